use super::*;

const PATIENCE: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(10);

fn vigil() -> Vigil {
    Vigil::new(Some(PATIENCE))
}

/// A standby that has challenged and got the lock; and when.
fn challenger() -> (Vigil, Instant) {
    let (mut vigil, start) = (vigil(), Instant::now());
    assert!(!vigil.watch(false, start));
    let due = start + PATIENCE;
    assert_eq!(vigil.next_deadline(), Some(due));
    assert!(!vigil.watch(false, due - MOMENT) && vigil.watch(false, due));
    assert!(!vigil.watch(false, due + PATIENCE), "once is enough");
    assert_eq!(vigil.next_deadline(), None, "nothing to wait for but the answer");
    vigil.granted(due);
    assert!(vigil.is_challenging());
    (vigil, due)
}

#[test]
fn who_does_not_answer_is_dead() {
    let (mut vigil, granted) = challenger();
    assert_eq!(vigil.next_deadline(), Some(granted + GRACE));
    assert!(!vigil.prevails(granted + GRACE - MOMENT));
    assert!(vigil.prevails(granted + GRACE));
    assert!(!vigil.is_challenging());
    assert_eq!(vigil.next_deadline(), None, "an active agent watches nobody");
    assert!(!vigil.prevails(granted + GRACE), "it is told once");
}

#[test]
fn who_answers_is_asked_ever_less_often() {
    let (mut vigil, mut now) = challenger();
    for answered in 1..10 {
        assert_eq!(vigil.robbed(now), Robbed::Yield);
        let due = vigil.next_deadline().expect("it looks on");
        assert_eq!(due - now, PATIENCE * (1 << answered.min(DOUBLINGS)));
        assert!(vigil.watch(false, due));
        vigil.granted(due);
        now = due;
    }
    vigil.robbed(now);
    assert!(!vigil.watch(true, now));
    assert_eq!((vigil.next_deadline(), vigil.answered), (None, 0), "all is done");
}

#[test]
fn who_is_challenged_by_several_at_once_lives_none_the_less() {
    let (mut vigil, now) = (vigil(), Instant::now());
    vigil.granted(now);
    for challenge in 1..=ROUNDS {
        assert_eq!(vigil.robbed(now + challenge * MOMENT), Robbed::Defend);
        vigil.granted(now + challenge * MOMENT);
    }
    assert_eq!(vigil.robbed(now + GRACE), Robbed::Yield, "that is more than a challenge");
}

#[test]
fn what_is_done_in_time_is_no_reason() {
    let (mut vigil, mut now) = (vigil(), Instant::now());
    for _ in 0..10 {
        assert!(!vigil.watch(false, now));
        now += PATIENCE - MOMENT;
        assert!(!vigil.watch(true, now));
    }
}

#[test]
fn who_lives_takes_the_lock_back() {
    let (mut vigil, now) = (vigil(), Instant::now());
    vigil.granted(now);
    for n in 1..4 {
        let later = now + PATIENCE * n;
        assert_eq!(vigil.robbed(later), Robbed::Defend);
        assert!(!vigil.is_challenging() && !vigil.watch(false, later + PATIENCE));
        assert_eq!(vigil.next_deadline(), None);
        vigil.granted(later);
        assert!(!vigil.is_challenging(), "it goes on at once");
    }
}

/// An agent that was frozen learns late that it was robbed. The one that took its place lives as well.
#[test]
fn a_duel_has_an_end() {
    let (mut frozen, mut active) = (vigil(), challenger());
    let now = active.1 + PATIENCE;
    assert!(active.0.prevails(now));
    frozen.granted(active.1 - PATIENCE);

    let mut now = now;
    while frozen.robbed(now) == Robbed::Defend {
        frozen.granted(now);
        assert_eq!(active.0.robbed(now + MOMENT), Robbed::Defend);
        active.0.granted(now + MOMENT);
        now += 2 * MOMENT;
    }
    assert!(!frozen.is_challenging() && !active.0.is_challenging());
    // Later it answers again.
    assert_eq!(active.0.robbed(now + PATIENCE), Robbed::Defend);
}

/// Of several that challenge a dead one at once the last has it.
#[test]
fn challengers_make_room_for_each_other() {
    let ((mut one, now), (mut two, _)) = (challenger(), challenger());
    assert_eq!(one.robbed(now), Robbed::Yield);
    assert!(two.prevails(now + 2 * GRACE));
}

#[test]
fn another_connection_is_another_start() {
    let (mut vigil, now) = challenger();
    vigil.lost();
    assert!(!vigil.is_challenging());
    vigil.granted(now);
    assert!(!vigil.prevails(now + GRACE));
    assert_eq!(vigil.robbed(now + PATIENCE), Robbed::Defend);
}

#[test]
fn patience_may_be_endless() {
    let (mut vigil, now) = (Vigil::new(None), Instant::now());
    assert!(!vigil.watch(false, now) && !vigil.watch(false, now + 1000 * PATIENCE));
    assert_eq!(vigil.next_deadline(), None);
}
