//! The filter of a list of intents: by state, and by a text in the fields that are shown.

use std::borrow::Cow;
use std::net::IpAddr;

use foldhash::HashSet;
use ovn_model::{RouterId, Store};

use crate::engine::PortOutcome;
use crate::reason::Code;
use crate::report::Entry;
use crate::resolve::{Decision, Verdict};
use crate::state::State;
use crate::wanted::{Text, Wanted};

/// The filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    states: Vec<State>,
    /// The text, in lower case.
    text: String,
}

/// A filter with facts derived from it for a database, so that most ports need no detailed check.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    /// Whether addresses may contain the text.
    addresses: bool,
    /// Whether reasons may contain the text.
    reasons: bool,
    /// The routers whose names contain the text.
    routers: HashSet<RouterId>,
}

/// The fields of an intent that are searched for a text.
#[derive(Clone, Debug)]
pub(super) struct Shown<'a> {
    pub(super) port: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) router: Option<&'a str>,
    pub(super) wanted: &'a str,
    pub(super) internal: &'a [IpAddr],
    pub(super) external: Option<IpAddr>,
    pub(super) reason: Option<Code>,
}

// ===== impl Filter =====

impl Filter {
    /// Creates a filter that admits intents in one of these states (in any state if the list is empty) that have the
    /// text in the name or display name of their port, the name of their router, an address, or the code of their
    /// reason. Case is ignored.
    pub fn new(states: Vec<State>, text: &str) -> Self {
        Self { states, text: text.trim().to_lowercase() }
    }

    /// Returns whether the filter has a text.
    pub fn has_text(&self) -> bool {
        !self.text.is_empty()
    }

    /// Returns whether every intent is admitted.
    pub fn is_open(&self) -> bool {
        self.states.is_empty() && self.text.is_empty()
    }

    /// Returns whether an intent is admitted.
    pub fn admits(&self, entry: &Entry) -> bool {
        self.admits_state(entry.state) && self.shows(&Shown::new(entry))
    }

    pub(super) fn admits_state(&self, state: State) -> bool {
        self.states.is_empty() || self.states.contains(&state)
    }

    /// Returns whether one of the fields has the text.
    pub(super) fn shows(&self, shown: &Shown<'_>) -> bool {
        self.text.is_empty()
            || [Some(shown.port), shown.name, shown.router, Some(shown.wanted), shown.reason.map(Code::name)]
                .into_iter()
                .flatten()
                .any(|text| self.is_in(text))
            || shown.internal.iter().chain(&shown.external).any(|address| self.is_in_address(*address))
    }

    fn is_in(&self, text: &str) -> bool {
        lowercase(text).contains(&*self.text)
    }

    fn is_in_address(&self, address: IpAddr) -> bool {
        address.to_string().contains(&*self.text)
    }

    /// Returns whether an intent with this decision may be in an admitted state, see `report`. An intent with a held
    /// row is active.
    fn may_admit(&self, decision: &Decision) -> bool {
        let state = match &decision.verdict {
            Verdict::Granted(_) => {
                return self.admits_any(&[State::Active, State::Pending, State::Contested]);
            }
            Verdict::Waiting(_) => State::Waiting,
            Verdict::Rejected(_) => State::Rejected,
            Verdict::Conflict(_) => State::Conflict,
            Verdict::Foreign(_) => State::Foreign,
        };
        self.admits_state(state)
    }

    fn admits_any(&self, states: &[State]) -> bool {
        states.iter().any(|state| self.admits_state(*state))
    }
}

// ===== impl Sieve =====

impl Sieve {
    pub(super) fn new(store: &Store, filter: &Filter) -> Self {
        if !filter.has_text() {
            return Self::default();
        }
        let routers = store.routers().filter(|(_, row)| filter.is_in(&row.name)).map(|(id, _)| id);
        let is_of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, '.' | ':');
        Self {
            addresses: filter.text.chars().all(is_of_address),
            reasons: Code::ALL.iter().any(|code| filter.is_in(code.name())),
            routers: routers.collect(),
        }
    }

    /// Returns whether a port needs a detailed check, since one of its intents may be admitted. `name` is its display
    /// name.
    pub(super) fn lets_pass(
        &self,
        filter: &Filter,
        port: &str,
        name: impl FnOnce() -> Option<String>,
        outcome: PortOutcome<'_>,
    ) -> bool {
        let PortOutcome { decisions, held, leaves } = outcome;
        // Expiring rows are not in the decisions.
        if decisions.is_empty() || leaves || !held.is_empty() {
            return true;
        }
        if !filter.states.is_empty() && !decisions.iter().any(|decision| filter.may_admit(decision)) {
            // Intents with the text are counted in all states.
            return filter.has_text() && self.may_show(filter, port, name, decisions);
        }
        !filter.has_text() || self.may_show(filter, port, name, decisions)
    }

    fn may_show(
        &self,
        filter: &Filter,
        port: &str,
        name: impl FnOnce() -> Option<String>,
        decisions: &[Decision],
    ) -> bool {
        let of_decision = |decision: &Decision| {
            decision.router.is_some_and(|router| self.routers.contains(&router))
                || match &decision.wanted {
                    Text::Canonical(Wanted::Address(address)) => {
                        self.addresses && filter.is_in_address(*address)
                    }
                    text => filter.is_in(&text.to_string()),
                }
                || (self.addresses
                    && decision
                        .internal
                        .iter()
                        .chain(&decision.external)
                        .any(|address| filter.is_in_address(*address)))
        };
        self.reasons
            || filter.is_in(port)
            || decisions.iter().any(of_decision)
            || name().is_some_and(|name| filter.is_in(&name))
    }
}

// ===== impl Shown =====

impl<'a> Shown<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        Self {
            port: &entry.port,
            name: entry.name.as_deref(),
            router: entry.router.as_deref(),
            wanted: &entry.wanted,
            internal: &entry.internal,
            external: entry.external,
            reason: entry.reason,
        }
    }
}

/// Returns a text in lower case. Most names have no capital letters.
fn lowercase(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.to_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERNAL: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(10, 57, 0, 11))];

    fn shown<'a>() -> Shown<'a> {
        Shown {
            port: "incus-net2-instance-a-eth0",
            name: Some("shop:Web1/eth0"),
            router: Some("incus-net2-lr"),
            wanted: "auto",
            internal: &INTERNAL,
            external: Some(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 10))),
            reason: Some(Code::NotAForward),
        }
    }

    #[test]
    fn search_text_matches_every_shown_value() {
        for (text, expected) in [
            ("", true),
            ("  ", true),
            ("NET2-instance", true),
            ("web1", true),
            ("WEB1/eth0", true),
            ("incus-net2-lr", true),
            ("auto", true),
            ("10.57.0.11", true),
            ("203.0.113.", true),
            ("not-a-forward", true),
            ("web2", false),
            ("10.57.0.12", false),
            ("no-gateway", false),
            ("<script>", false),
        ] {
            assert_eq!(Filter::new(Vec::new(), text).shows(&shown()), expected, "{text}");
        }
    }
}
