use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::plan::RowChange;

fn subject() -> Subject {
    Subject::Port(Arc::from("p"))
}

fn after(start: Instant, seconds: u64) -> Instant {
    start + Duration::from_secs(seconds)
}

#[test]
fn the_first_losses_are_healed_at_once_and_later_ones_ever_less_often() {
    let (mut fights, start) = (Fights::default(), Instant::now());
    for second in 0..10 {
        fights.note(&subject(), after(start, second));
        assert!(!fights.is_contested(&subject()), "{second}");
        assert_eq!(fights.until(&subject()), None);
    }
    let mut now = after(start, 10);
    for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
        fights.note(&subject(), now);
        assert!(fights.is_contested(&subject()));
        assert_eq!(fights.until(&subject()), Some(after(now, wait)));
        now = after(now, wait);
    }
}

#[test]
fn rows_that_stay_are_out_of_the_fight() {
    let (mut fights, start) = (Fights::default(), Instant::now());
    for second in 0..15 {
        fights.note(&subject(), after(start, second));
    }
    fights.forget_old(after(start, 100));
    assert!(fights.is_contested(&subject()));
    fights.forget_old(after(start, 200));
    assert!(!fights.is_contested(&subject()));
    assert_eq!(fights.deadlines().count(), 0);
}

#[test]
fn other_changes_do_not_count() {
    let (mut fights, start) = (Fights::default(), Instant::now());
    for second in 0..15 {
        let change = RowChange::RestoreVip(Uuid::nil(), "k".into(), "v".into());
        fights.committed(&subject(), &[change], after(start, second));
    }
    assert!(!fights.is_contested(&subject()));
}
