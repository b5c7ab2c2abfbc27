//! The order in which remotes and their addresses are tried. No IO, no clock.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::endpoint::{Destination, Endpoint, Remotes};

/// A cycle through remotes, and through the addresses of each name. A name is resolved again at each of its turns, and
/// each of its addresses counts as a remote of its own.
#[derive(Debug)]
pub(crate) struct RemoteCycle {
    remotes: Remotes,
    /// The result of the last resolution of each remote.
    known: Vec<Known>,
    /// The index of the remote after the current one.
    next: usize,
    /// The addresses of the current remote that were not tried yet.
    rest: VecDeque<Destination>,
    /// The number of addresses tried since the last pause or success.
    tried: usize,
}

/// The result of the last resolution of a remote.
#[derive(Clone, Debug)]
struct Known {
    /// The number of its addresses.
    addresses: usize,
    /// The address that was tried last.
    last: Option<SocketAddr>,
}

/// The next step of a session without a connection.
#[derive(Debug)]
pub(crate) enum NextStep {
    /// Resolve this name, and call [`RemoteCycle::resolved`] or [`RemoteCycle::unresolved`].
    Resolve(Endpoint),
    /// Connect to this address.
    Connect(Destination),
}

// ===== impl RemoteCycle =====

impl RemoteCycle {
    pub(crate) fn new(remotes: Remotes) -> Self {
        let known = vec![Known { addresses: 1, last: None }; remotes.endpoints().len()];
        Self { remotes, known, next: 0, rest: VecDeque::new(), tried: 0 }
    }

    /// Returns the next step.
    pub(crate) fn next_step(&mut self) -> NextStep {
        if let Some(destination) = self.rest.pop_front() {
            self.tried += 1;
            if let Some(known) = self.current() {
                known.last = destination.address();
            }
            return NextStep::Connect(destination);
        }
        let endpoint = self.remotes.endpoints()[self.next].clone();
        self.next = (self.next + 1) % self.known.len();
        match endpoint.literal() {
            Some(destination) => {
                self.tried += 1;
                NextStep::Connect(destination)
            }
            None => NextStep::Resolve(endpoint),
        }
    }

    /// Sets the addresses of the current remote. Those after the one that was tried last come first.
    pub(crate) fn resolved(&mut self, mut destinations: Vec<Destination>) {
        let Some(known) = self.current() else { return };
        known.addresses = destinations.len();
        let last = destinations.iter().position(|destination| destination.address() == known.last);
        destinations.rotate_left(last.map_or(0, |last| last + 1));
        self.rest = destinations.into();
    }

    /// Records that the current remote could not be resolved, which counts as a failed attempt.
    pub(crate) fn unresolved(&mut self) {
        self.tried += 1;
        if let Some(known) = self.current() {
            known.addresses = 1;
        }
    }

    /// Returns true if all addresses were tried, so that it is time for a pause, and starts the next round if so.
    pub(crate) fn end_round(&mut self) -> bool {
        let all = self.known.iter().map(|known| known.addresses).sum();
        let over = self.tried >= all;
        if over {
            self.tried = 0;
        }
        over
    }

    /// Records that the current address served for a while: the others are tried next, without a pause.
    pub(crate) fn succeeded(&mut self) {
        self.tried = 1;
    }

    /// Replaces the remotes, and continues after `current` if it is one of them. Returns whether it is.
    pub(crate) fn replace(&mut self, remotes: Remotes, current: Option<&Endpoint>) -> bool {
        let place =
            current.and_then(|current| remotes.endpoints().iter().position(|listed| listed == current));
        *self = Self::new(remotes);
        self.next = place.map_or(0, |place| (place + 1) % self.known.len());
        place.is_some()
    }

    fn current(&mut self) -> Option<&mut Known> {
        let remotes = self.known.len();
        self.known.get_mut((self.next + remotes - 1) % remotes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(text: &str) -> RemoteCycle {
        RemoteCycle::new(text.parse().unwrap())
    }

    /// Makes so many attempts, all of which fail. Names have these addresses; `|` stands for a pause.
    fn attempts(cycle: &mut RemoteCycle, count: usize, names: &[(&str, &[u8])]) -> String {
        let mut seen = Vec::new();
        while seen.iter().filter(|text| *text != "|").count() < count {
            match cycle.next_step() {
                NextStep::Connect(destination) => seen.push(match destination.address() {
                    Some(address) => address.ip().to_string().replace("192.0.2.", ""),
                    None => destination.endpoint().to_string(),
                }),
                NextStep::Resolve(endpoint) => {
                    let (name, _) = endpoint.host().unwrap();
                    let found = names.iter().find(|(known, _)| *known == name);
                    let Some((_, addresses)) = found else {
                        cycle.unresolved();
                        seen.push(format!("?{name}"));
                        if cycle.end_round() {
                            seen.push("|".to_owned());
                        }
                        continue;
                    };
                    let destination =
                        |last: &u8| Destination::new(endpoint.clone(), ([192, 0, 2, *last], 1).into());
                    cycle.resolved(addresses.iter().map(destination).collect());
                    continue;
                }
            }
            if cycle.end_round() {
                seen.push("|".to_owned());
            }
        }
        seen.join(" ")
    }

    #[test]
    fn every_remote_and_address_is_tried_before_a_pause() {
        for (remotes, names, expected) in [
            ("unix:a", &[][..], "unix:a | unix:a | unix:a | unix:a | unix:a | unix:a |"),
            ("unix:a,unix:b", &[], "unix:a unix:b | unix:a unix:b | unix:a unix:b |"),
            ("tcp:n:1", &[("n", &[1, 2, 3][..])], "1 2 3 | 1 2 3 |"),
            ("tcp:n:1,unix:a", &[("n", &[1, 2])], "1 2 unix:a | 1 2 unix:a |"),
            ("unix:a,tcp:n:1", &[("n", &[1, 2])], "unix:a 1 2 | unix:a 1 2 |"),
            ("tcp:n:1,tcp:m:1", &[("m", &[7, 8])], "?n 7 8 | ?n 7 8 |"),
        ] {
            assert_eq!(attempts(&mut cycle(remotes), 6, names), expected, "{remotes}");
        }
    }

    #[test]
    fn host_name_resolved_again_continues_after_the_last_address() {
        let mut cycle = cycle("tcp:n:1");
        assert_eq!(attempts(&mut cycle, 3, &[("n", &[1, 2, 3])]), "1 2 3 |");
        // Resolvers change the order, and addresses come and go.
        assert_eq!(attempts(&mut cycle, 3, &[("n", &[3, 1, 2])]), "1 2 3 |");
        assert_eq!(attempts(&mut cycle, 2, &[("n", &[9, 3])]), "9 3 |");
        assert_eq!(attempts(&mut cycle, 2, &[("n", &[4, 5])]), "4 5 |");
    }

    #[test]
    fn remaining_remotes_are_tried_at_once_after_a_success() {
        let names: &[(&str, &[u8])] = &[("n", &[1, 2, 3])];
        let mut cycle = cycle("tcp:n:1");
        assert_eq!(attempts(&mut cycle, 2, names), "1 2");
        cycle.succeeded();
        assert!(!cycle.end_round());
        assert_eq!(attempts(&mut cycle, 2, names), "3 1 |");
    }

    #[test]
    fn replaced_list_continues_after_the_current_remote() {
        let mut cycle = cycle("unix:a,unix:b");
        assert_eq!(attempts(&mut cycle, 1, &[]), "unix:a");
        let present = "unix:a".parse().unwrap();
        assert!(cycle.replace("unix:c,unix:a,unix:d".parse().unwrap(), Some(&present)));
        assert_eq!(attempts(&mut cycle, 3, &[]), "unix:d unix:c unix:a |");
        assert!(!cycle.replace("unix:e".parse().unwrap(), Some(&present)));
        assert_eq!(attempts(&mut cycle, 1, &[]), "unix:e |");
    }
}
