use super::*;

fn status(state: State, reason: Option<Code>) -> IntentStatus {
    IntentStatus {
        family: Family::V4,
        state,
        reason,
        router: None,
        external: None,
        internal: SmallVec::default(),
    }
}

fn count(intent_stats: &IntentStats, state: State) -> usize {
    intent_stats.counts().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| count)
}

#[test]
fn unchanged_status_is_not_reported_again() {
    let (mut intent_stats, port, now) = (IntentStats::new(false), "p".into(), Instant::now());
    let waiting = [status(State::Waiting, Some(Code::NoAddress))];
    let changes = intent_stats.update(&port, &waiting, now);
    assert_eq!(
        changes,
        [StatusChange { state: Some(State::Waiting), family: Family::V4, suppressed: 0, last: false }]
    );
    assert_eq!(intent_stats.update(&port, &waiting, now), []);
    assert_eq!(count(&intent_stats, State::Waiting), 1);
    assert_eq!(intent_stats.reasons()[&Code::NoAddress], 1);

    assert_eq!(intent_stats.update(&port, &[status(State::Active, None)], now).len(), 1);
    assert_eq!((count(&intent_stats, State::Waiting), count(&intent_stats, State::Active)), (0, 1));
    assert_eq!(intent_stats.reasons()[&Code::NoAddress], 0, "a gauge goes back to zero");

    let gone = intent_stats.update(&port, &[], now);
    assert_eq!(gone, [StatusChange { state: None, family: Family::V4, suppressed: 0, last: false }]);
    assert_eq!(intent_stats.update(&port, &[], now), []);
    assert!(intent_stats.counts().all(|(_, count)| count == 0) && intent_stats.ports().next().is_none());
}

#[test]
fn flapping_intent_is_reported_a_limited_number_of_times() {
    let (mut intent_stats, port, start) = (IntentStats::new(false), "p".into(), Instant::now());
    let mut flap = |times: u64, at: Instant| -> Vec<StatusChange> {
        let states = (0..times).map(|i| if i % 2 == 0 { State::Pending } else { State::Active });
        states.flat_map(|state| intent_stats.update(&port, &[status(state, None)], at)).collect()
    };
    let changes = flap(100, start);
    assert_eq!(changes.len(), MAX_REPORTED as usize);
    assert_eq!(changes.iter().filter(|changes| changes.last).count(), 1);
    let changes = flap(2, start + WINDOW);
    assert_eq!(changes.iter().map(|changes| changes.suppressed).collect::<Vec<_>>(), [95, 0]);
}

#[test]
fn intents_are_counted_per_router_on_request() {
    let (mut intent_stats, now) = (IntentStats::new(true), Instant::now());
    intent_stats.update(&"p".into(), &[status(State::Active, None)], now);
    intent_stats.update(&"q".into(), &[status(State::Active, None)], now);
    let active: Vec<_> = intent_stats.routers().filter(|(_, _, count)| *count > 0).collect();
    assert_eq!(active, [(None, State::Active, 2)]);
    intent_stats.update(&"p".into(), &[], now);
    intent_stats.update(&"q".into(), &[], now);
    assert_eq!(intent_stats.routers().count(), 0);
}
