use std::sync::Arc;

use super::*;
use crate::testing::NetworkBuilder;

fn subject() -> ReconcileKey {
    ReconcileKey::Port(Arc::from("p"))
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn lost_rows_are_restored_at_once_and_then_ever_less_often() {
    let (mut contention, start) = (ContentionTracker::default(), Instant::now());
    for second in 0..10 {
        contention.note(&subject(), vec![1], after(start, second));
        assert!(!contention.is_contested(&subject()), "{second}");
        assert!(contention.waiting_round(&subject(), after(start, second)).is_none());
    }
    let mut now = after(start, 10);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        contention.note(&subject(), vec![1], now);
        assert!(contention.is_contested(&subject()));
        assert_eq!(contention.deadlines().min(), Some(after(now, wait)));
        assert!(contention.waiting_round(&subject(), after(now, wait - 1)).is_some_and(|round| round.has(1)));
        now = after(now, wait);
        assert!(contention.waiting_round(&subject(), now).is_none());
    }
}

#[test]
fn row_that_stays_is_contested_no_longer() {
    let (mut contention, start) = (ContentionTracker::default(), Instant::now());
    for second in 0..15 {
        contention.note(&subject(), vec![1], after(start, second));
    }
    contention.forget_old(after(start, 100));
    assert!(contention.is_contested(&subject()));
    assert_eq!(contention.next_expiry(), Some(after(start, 14 + 120)));
    contention.forget_old(after(start, 200));
    assert!(!contention.is_contested(&subject()));
    assert_eq!(contention.deadlines().count(), 0);
    assert_eq!(contention.next_expiry(), None);
}

#[test]
fn repeated_loss_of_one_of_two_rows_is_contested() {
    let (mut contention, start) = (ContentionTracker::default(), Instant::now());
    contention.note(&subject(), vec![1, 2], start);
    for second in 1..=10 {
        contention.note(&subject(), vec![2], after(start, second));
    }
    assert!(contention.is_contested(&subject()));
    let round = contention.waiting_round(&subject(), after(start, 10)).unwrap();
    assert!(round.has(2) && !round.has(3), "what is new does not wait");
}

#[test]
fn changes_of_the_operator_are_not_contention() {
    let (mut contention, start) = (ContentionTracker::default(), Instant::now());
    for second in 0..15 {
        // Another address each time.
        contention.note(&subject(), vec![second], after(start, second));
    }
    let mut network = NetworkBuilder::new();
    network.own_row("p1", "203.0.113.10", "10.57.0.11", None);
    let store = network.store();
    let (id, nat) = store.nats().find(|(_, nat)| !nat.tags.is_empty()).unwrap();
    let deletion = [RowChange::Delete(id, nat.router.unwrap())];
    for second in 15..30 {
        // Set and unset alternately.
        contention.note(&subject(), vec![1], after(start, second));
        contention.committed(&subject(), &deletion, after(start, second));
    }
    assert!(!contention.is_contested(&subject()));
}
