//! Statistics of intents: counts by state, and changes that are worth a line in the log. Pure.

use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use foldhash::{HashMap, HashMapExt};
use ovn_model::{Family, RouterId};
use smallvec::SmallVec;

use crate::reason::Code;
use crate::report::IntentStatus;
use crate::state::State;

/// The maximum number of log lines of one intent within a [`WINDOW`]. One that keeps changing would hide all others.
const MAX_REPORTED: u32 = 5;

/// The time after which an intent may be logged again.
const WINDOW: Duration = Duration::from_secs(60);

/// The status of every intent, as it was last taken in.
#[derive(Debug, Default)]
pub struct IntentStats {
    known: HashMap<Arc<str>, SmallVec<[Known; 1]>>,
    hasher: RandomState,
    counts: [usize; State::ALL.len()],
    reasons: BTreeMap<Code, usize>,
    /// Intents by router and state; only if enabled.
    routers: Option<HashMap<Option<RouterId>, [usize; State::ALL.len()]>>,
}

#[derive(Clone, Debug)]
struct Known {
    family: Family,
    state: State,
    reason: Option<Code>,
    router: Option<RouterId>,
    /// A digest of all that a line in the log contains.
    digest: u64,
    /// The time of the first of the recent log lines, and their number.
    since: Instant,
    logged: u32,
    suppressed: u32,
}

/// A change that is worth a line in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// The state of the intent; `None` if the intent is gone.
    pub state: Option<State>,
    /// Its address family.
    pub family: Family,
    /// The number of changes before it that were not logged because there were too many.
    pub suppressed: u32,
    /// Whether it is the last to be logged for a while.
    pub last: bool,
}

// ===== impl IntentStats =====

impl IntentStats {
    /// Creates statistics that count by router too, if `by_router`.
    pub fn new(by_router: bool) -> Self {
        Self { routers: by_router.then(HashMap::new), ..Self::default() }
    }

    /// Switches counting by router on or off.
    pub fn count_by_router(&mut self, by_router: bool) {
        if self.routers.is_some() != by_router {
            self.routers = by_router.then(HashMap::new);
            for known in self.known.values().flat_map(|known| known.iter()) {
                if let Some(routers) = &mut self.routers {
                    routers.entry(known.router).or_default()[known.state as usize] += 1;
                }
            }
        }
    }

    /// Reserves capacity for that many ports.
    pub fn reserve(&mut self, ports: usize) {
        self.known.reserve(ports.saturating_sub(self.known.len()));
    }

    /// Takes in the present status of the intents of a port. Returns the changes.
    pub fn update(&mut self, port: &Arc<str>, statuses: &[IntentStatus], now: Instant) -> Vec<StatusChange> {
        let old = self.known.get(port).cloned().unwrap_or_default();
        let mut changes = Vec::new();
        let known = statuses.iter().map(|status| {
            let before = old.iter().find(|known| known.family == status.family);
            Known::new(status, self.hasher.hash_one(status), before, now, &mut changes)
        });
        let known: SmallVec<[_; 1]> = known.collect();
        old.iter().for_each(|before| self.count(before, false));
        known.iter().for_each(|after| self.count(after, true));
        let gone = old.iter().filter(|before| known.iter().all(|after| after.family != before.family));
        changes.extend(gone.map(|gone| StatusChange {
            state: None,
            family: gone.family,
            suppressed: gone.suppressed,
            last: false,
        }));
        if !known.is_empty() {
            self.known.insert(Arc::clone(port), known);
        } else if !old.is_empty() {
            self.known.remove(port);
        }
        changes
    }

    /// Returns whether it equals the last status of an intent.
    pub fn has(&self, port: &str, status: &IntentStatus) -> bool {
        let known = self.known.get(port).into_iter().flat_map(|known| known.iter());
        let mut known = known.filter(|known| known.family == status.family);
        known.any(|known| known.digest == self.hasher.hash_one(status))
    }

    /// Returns the ports that have a status.
    pub fn ports(&self) -> impl Iterator<Item = &Arc<str>> {
        self.known.keys()
    }

    /// Returns the number of intents in each state.
    pub fn counts(&self) -> impl Iterator<Item = (State, usize)> {
        State::ALL.iter().copied().zip(self.counts)
    }

    /// Returns the number of intents with each reason, including reasons that no intent has any more.
    pub fn reasons(&self) -> &BTreeMap<Code, usize> {
        &self.reasons
    }

    /// Returns the number of intents in each state for each router.
    pub fn routers(&self) -> impl Iterator<Item = (Option<RouterId>, State, usize)> {
        let routers = self.routers.iter().flatten();
        routers.flat_map(|(router, counts)| {
            State::ALL.iter().copied().zip(*counts).map(|(state, count)| (*router, state, count))
        })
    }

    fn count(&mut self, known: &Known, is_there: bool) {
        let step = |count: &mut usize| *count = if is_there { *count + 1 } else { count.saturating_sub(1) };
        step(&mut self.counts[known.state as usize]);
        if let Some(reason) = known.reason {
            step(self.reasons.entry(reason).or_default());
        }
        if let Some(routers) = &mut self.routers {
            let counts = routers.entry(known.router).or_default();
            step(&mut counts[known.state as usize]);
            if counts.iter().all(|count| *count == 0) {
                routers.remove(&known.router);
            }
        }
    }
}

// ===== impl Known =====

impl Known {
    fn new(
        status: &IntentStatus,
        digest: u64,
        before: Option<&Self>,
        now: Instant,
        changes: &mut Vec<StatusChange>,
    ) -> Self {
        let IntentStatus { family, state, reason, router, .. } = status;
        let fresh = |since| Self {
            family: *family,
            state: *state,
            reason: *reason,
            router: *router,
            digest,
            since,
            logged: 0,
            suppressed: 0,
        };
        let mut known = match before {
            Some(before) if before.digest == digest => return before.clone(),
            Some(before) if now < before.since + WINDOW => {
                Self { logged: before.logged, suppressed: before.suppressed, ..fresh(before.since) }
            }
            Some(before) => Self { suppressed: before.suppressed, ..fresh(now) },
            None => fresh(now),
        };
        if known.logged < MAX_REPORTED {
            known.logged += 1;
            let suppressed = std::mem::take(&mut known.suppressed);
            let last = known.logged == MAX_REPORTED;
            changes.push(StatusChange { state: Some(*state), family: *family, suppressed, last });
        } else {
            known.suppressed += 1;
        }
        known
    }
}

#[cfg(test)]
mod tests;
