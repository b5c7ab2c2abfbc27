use super::*;

fn standing(state: State, reason: Option<Code>) -> Standing {
    Standing {
        family: Family::V4,
        state,
        reason,
        router: None,
        external: None,
        internal: SmallVec::default(),
    }
}

fn count(ledger: &Ledger, state: State) -> usize {
    ledger.counts().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| count)
}

#[test]
fn what_did_not_change_is_not_said_again() {
    let (mut ledger, port, now) = (Ledger::new(false), "p".into(), Instant::now());
    let waiting = [standing(State::Waiting, Some(Code::NoAddress))];
    let news = ledger.update(&port, &waiting, now);
    assert_eq!(news, [News { state: Some(State::Waiting), family: Family::V4, untold: 0, last: false }]);
    assert_eq!(ledger.update(&port, &waiting, now), []);
    assert_eq!(count(&ledger, State::Waiting), 1);
    assert_eq!(ledger.reasons()[&Code::NoAddress], 1);

    assert_eq!(ledger.update(&port, &[standing(State::Active, None)], now).len(), 1);
    assert_eq!((count(&ledger, State::Waiting), count(&ledger, State::Active)), (0, 1));
    assert_eq!(ledger.reasons()[&Code::NoAddress], 0, "a gauge goes back to zero");

    let gone = ledger.update(&port, &[], now);
    assert_eq!(gone, [News { state: None, family: Family::V4, untold: 0, last: false }]);
    assert_eq!(ledger.update(&port, &[], now), []);
    assert!(ledger.counts().all(|(_, count)| count == 0) && ledger.ports().next().is_none());
}

#[test]
fn an_intent_that_flaps_is_silenced_for_a_while() {
    let (mut ledger, port, start) = (Ledger::new(false), "p".into(), Instant::now());
    let mut flap = |times: u64, at: Instant| -> Vec<News> {
        let states = (0..times).map(|i| if i % 2 == 0 { State::Pending } else { State::Active });
        states.flat_map(|state| ledger.update(&port, &[standing(state, None)], at)).collect()
    };
    let news = flap(100, start);
    assert_eq!(news.len(), MOST_SAID as usize);
    assert_eq!(news.iter().filter(|news| news.last).count(), 1);
    let news = flap(2, start + WINDOW);
    assert_eq!(news.iter().map(|news| news.untold).collect::<Vec<_>>(), [95, 0]);
}

#[test]
fn routers_are_counted_where_asked_for() {
    let (mut ledger, now) = (Ledger::new(true), Instant::now());
    ledger.update(&"p".into(), &[standing(State::Active, None)], now);
    ledger.update(&"q".into(), &[standing(State::Active, None)], now);
    let active: Vec<_> = ledger.routers().filter(|(_, _, count)| *count > 0).collect();
    assert_eq!(active, [(None, State::Active, 2)]);
    ledger.update(&"p".into(), &[], now);
    ledger.update(&"q".into(), &[], now);
    assert_eq!(ledger.routers().count(), 0);
}
