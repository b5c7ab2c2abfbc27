//! Whose turn it is to be connected to, and when all had theirs. Pure.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::endpoint::{Destination, Endpoint, Remotes};

/// Takes turns between remotes and, where the name of one stands for several addresses, between those. A name is
/// looked up at each of its turns, and each address counts as a remote of its own.
#[derive(Debug)]
pub(crate) struct Rota {
    remotes: Remotes,
    /// What was last known of each remote.
    known: Vec<Known>,
    /// Whose turn it is after the present one.
    next: usize,
    /// Addresses of the present one that did not have their turn.
    rest: VecDeque<Destination>,
    /// How many had their turn since the last pause or success.
    tried: usize,
}

/// What was last known of a remote.
#[derive(Clone, Debug)]
struct Known {
    /// How many addresses it had.
    addresses: usize,
    /// Which of them had its turn last.
    last: Option<SocketAddr>,
}

/// What is to be done next.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Look up the addresses of this remote, and tell [`Rota::resolved`].
    Resolve(Endpoint),
    /// Connect.
    Connect(Destination),
}

// ===== impl Rota =====

impl Rota {
    pub(crate) fn new(remotes: Remotes) -> Self {
        let known = vec![Known { addresses: 1, last: None }; remotes.endpoints().len()];
        Self { remotes, known, next: 0, rest: VecDeque::new(), tried: 0 }
    }

    /// Returns what is to be done next.
    pub(crate) fn turn(&mut self) -> Turn {
        if let Some(destination) = self.rest.pop_front() {
            self.tried += 1;
            if let Some(known) = self.present() {
                known.last = destination.address();
            }
            return Turn::Connect(destination);
        }
        let endpoint = self.remotes.endpoints()[self.next].clone();
        self.next = (self.next + 1) % self.known.len();
        match endpoint.literal() {
            Some(destination) => {
                self.tried += 1;
                Turn::Connect(destination)
            }
            None => Turn::Resolve(endpoint),
        }
    }

    /// Takes the addresses of the remote that was to be looked up: those after the one that had its turn last come
    /// first.
    pub(crate) fn resolved(&mut self, mut destinations: Vec<Destination>) {
        let Some(known) = self.present() else { return };
        known.addresses = destinations.len();
        let last = destinations.iter().position(|destination| destination.address() == known.last);
        destinations.rotate_left(last.map_or(0, |last| last + 1));
        self.rest = destinations.into();
    }

    /// The remote that was to be looked up has no address, which was its turn.
    pub(crate) fn unresolved(&mut self) {
        self.tried += 1;
        if let Some(known) = self.present() {
            known.addresses = 1;
        }
    }

    /// Returns whether all had their turn, so that it is time for a pause, and begins to count anew if so.
    pub(crate) fn is_over(&mut self) -> bool {
        let all = self.known.iter().map(|known| known.addresses).sum();
        let over = self.tried >= all;
        if over {
            self.tried = 0;
        }
        over
    }

    /// The one whose turn it is served for a while. What remains are the others, and they are tried without a pause.
    pub(crate) fn succeeded(&mut self) {
        self.tried = 1;
    }

    /// Goes on with other remotes, after `current`, where that is one of them; returns whether it is.
    pub(crate) fn replace(&mut self, remotes: Remotes, current: Option<&Endpoint>) -> bool {
        let place =
            current.and_then(|current| remotes.endpoints().iter().position(|listed| listed == current));
        *self = Self::new(remotes);
        self.next = place.map_or(0, |place| (place + 1) % self.known.len());
        place.is_some()
    }

    fn present(&mut self) -> Option<&mut Known> {
        let remotes = self.known.len();
        self.known.get_mut((self.next + remotes - 1) % remotes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rota(text: &str) -> Rota {
        Rota::new(text.parse().unwrap())
    }

    /// Goes on for so many attempts, all of which fail. Names have these addresses; a pause is shown as such.
    fn attempts(rota: &mut Rota, count: usize, names: &[(&str, &[u8])]) -> String {
        let mut seen = Vec::new();
        while seen.iter().filter(|text| *text != "|").count() < count {
            match rota.turn() {
                Turn::Connect(destination) => seen.push(match destination.address() {
                    Some(address) => address.ip().to_string().replace("192.0.2.", ""),
                    None => destination.endpoint().to_string(),
                }),
                Turn::Resolve(endpoint) => {
                    let (name, _) = endpoint.host().unwrap();
                    let found = names.iter().find(|(known, _)| *known == name);
                    let Some((_, addresses)) = found else {
                        rota.unresolved();
                        seen.push(format!("?{name}"));
                        if rota.is_over() {
                            seen.push("|".to_owned());
                        }
                        continue;
                    };
                    let destination =
                        |last: &u8| Destination::new(endpoint.clone(), ([192, 0, 2, *last], 1).into());
                    rota.resolved(addresses.iter().map(destination).collect());
                    continue;
                }
            }
            if rota.is_over() {
                seen.push("|".to_owned());
            }
        }
        seen.join(" ")
    }

    #[test]
    fn all_have_their_turn_before_a_pause() {
        for (remotes, names, expected) in [
            ("unix:a", &[][..], "unix:a | unix:a | unix:a | unix:a | unix:a | unix:a |"),
            ("unix:a,unix:b", &[], "unix:a unix:b | unix:a unix:b | unix:a unix:b |"),
            ("tcp:n:1", &[("n", &[1, 2, 3][..])], "1 2 3 | 1 2 3 |"),
            ("tcp:n:1,unix:a", &[("n", &[1, 2])], "1 2 unix:a | 1 2 unix:a |"),
            ("unix:a,tcp:n:1", &[("n", &[1, 2])], "unix:a 1 2 | unix:a 1 2 |"),
            ("tcp:n:1,tcp:m:1", &[("m", &[7, 8])], "?n 7 8 | ?n 7 8 |"),
        ] {
            assert_eq!(attempts(&mut rota(remotes), 6, names), expected, "{remotes}");
        }
    }

    #[test]
    fn a_name_that_is_looked_up_anew_goes_on_after_the_last_address() {
        let mut rota = rota("tcp:n:1");
        assert_eq!(attempts(&mut rota, 3, &[("n", &[1, 2, 3])]), "1 2 3 |");
        // Resolvers change the order, and addresses come and go.
        assert_eq!(attempts(&mut rota, 3, &[("n", &[3, 1, 2])]), "1 2 3 |");
        assert_eq!(attempts(&mut rota, 2, &[("n", &[9, 3])]), "9 3 |");
        assert_eq!(attempts(&mut rota, 2, &[("n", &[4, 5])]), "4 5 |");
    }

    #[test]
    fn after_a_success_the_others_are_tried_at_once() {
        let names: &[(&str, &[u8])] = &[("n", &[1, 2, 3])];
        let mut rota = rota("tcp:n:1");
        assert_eq!(attempts(&mut rota, 2, names), "1 2");
        rota.succeeded();
        assert!(!rota.is_over());
        assert_eq!(attempts(&mut rota, 2, names), "3 1 |");
    }

    #[test]
    fn another_list_goes_on_after_the_present_one() {
        let mut rota = rota("unix:a,unix:b");
        assert_eq!(attempts(&mut rota, 1, &[]), "unix:a");
        let present = "unix:a".parse().unwrap();
        assert!(rota.replace("unix:c,unix:a,unix:d".parse().unwrap(), Some(&present)));
        assert_eq!(attempts(&mut rota, 3, &[]), "unix:d unix:c unix:a |");
        assert!(!rota.replace("unix:e".parse().unwrap(), Some(&present)));
        assert_eq!(attempts(&mut rota, 1, &[]), "unix:e |");
    }
}
