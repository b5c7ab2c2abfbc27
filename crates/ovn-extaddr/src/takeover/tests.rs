use super::*;

const TIMEOUT: Duration = Duration::from_secs(30);
const MOMENT: Duration = Duration::from_millis(10);

fn takeover() -> Takeover {
    Takeover::new(Some(TIMEOUT))
}

/// A standby that has challenged and got the lock, and when.
fn challenger() -> (Takeover, Instant) {
    let (mut takeover, start) = (takeover(), Instant::now());
    assert!(!takeover.watch(false, start));
    let due = start + TIMEOUT;
    assert_eq!(takeover.next_deadline(), Some(due));
    assert!(!takeover.watch(false, due - MOMENT) && takeover.watch(false, due));
    assert!(!takeover.watch(false, due + TIMEOUT), "once is enough");
    assert_eq!(takeover.next_deadline(), None, "nothing to wait for but the answer");
    takeover.granted(due);
    assert!(takeover.is_challenging());
    (takeover, due)
}

#[test]
fn holder_that_does_not_answer_a_challenge_is_dead() {
    let (mut takeover, granted) = challenger();
    assert_eq!(takeover.next_deadline(), Some(granted + GRACE));
    assert!(!takeover.is_unanswered(granted + GRACE - MOMENT));
    assert!(takeover.is_unanswered(granted + GRACE));
    assert!(!takeover.is_challenging());
    assert_eq!(takeover.next_deadline(), None, "an active agent watches nobody");
    assert!(!takeover.is_unanswered(granted + GRACE), "it is told once");
}

#[test]
fn holder_that_answers_is_challenged_ever_less_often() {
    let (mut takeover, mut now) = challenger();
    for answered in 1..10 {
        assert_eq!(takeover.stolen(now), Stolen::Concede);
        let due = takeover.next_deadline().expect("it looks on");
        assert_eq!(due - now, TIMEOUT * (1 << answered.min(DOUBLINGS)));
        assert!(takeover.watch(false, due));
        takeover.granted(due);
        now = due;
    }
    takeover.stolen(now);
    assert!(!takeover.watch(true, now));
    assert_eq!((takeover.next_deadline(), takeover.answered), (None, 0), "all is done");
}

#[test]
fn lock_is_reclaimed_after_several_challenges_at_once() {
    let (mut takeover, now) = (takeover(), Instant::now());
    takeover.granted(now);
    for challenge in 1..=ROUNDS {
        assert_eq!(takeover.stolen(now + challenge * MOMENT), Stolen::Reclaim);
        takeover.granted(now + challenge * MOMENT);
    }
    assert_eq!(takeover.stolen(now + GRACE), Stolen::Concede, "that is more than a challenge");
}

#[test]
fn changes_done_in_time_cause_no_challenge() {
    let (mut takeover, mut now) = (takeover(), Instant::now());
    for _ in 0..10 {
        assert!(!takeover.watch(false, now));
        now += TIMEOUT - MOMENT;
        assert!(!takeover.watch(true, now));
    }
}

#[test]
fn lock_is_reclaimed_after_steal() {
    let (mut takeover, now) = (takeover(), Instant::now());
    takeover.granted(now);
    for n in 1..4 {
        let later = now + TIMEOUT * n;
        assert_eq!(takeover.stolen(later), Stolen::Reclaim);
        assert!(!takeover.is_challenging() && !takeover.watch(false, later + TIMEOUT));
        assert_eq!(takeover.next_deadline(), None);
        takeover.granted(later);
        assert!(!takeover.is_challenging(), "it goes on at once");
    }
}

/// A frozen agent learns late that its lock was stolen. The agent that took over is alive as well.
#[test]
fn two_live_agents_stop_stealing_from_each_other() {
    let (mut frozen, mut active) = (takeover(), challenger());
    let now = active.1 + TIMEOUT;
    assert!(active.0.is_unanswered(now));
    frozen.granted(active.1 - TIMEOUT);

    let mut now = now;
    while frozen.stolen(now) == Stolen::Reclaim {
        frozen.granted(now);
        assert_eq!(active.0.stolen(now + MOMENT), Stolen::Reclaim);
        active.0.granted(now + MOMENT);
        now += 2 * MOMENT;
    }
    assert!(!frozen.is_challenging() && !active.0.is_challenging());
    // Later it answers again.
    assert_eq!(active.0.stolen(now + TIMEOUT), Stolen::Reclaim);
}

/// If several challenge a dead agent at once, the last one gets the lock.
#[test]
fn challenger_concedes_to_the_next_challenger() {
    let ((mut one, now), (mut two, _)) = (challenger(), challenger());
    assert_eq!(one.stolen(now), Stolen::Concede);
    assert!(two.is_unanswered(now + 2 * GRACE));
}

#[test]
fn lost_connection_resets_the_takeover() {
    let (mut takeover, now) = challenger();
    takeover.lost();
    assert!(!takeover.is_challenging());
    takeover.granted(now);
    assert!(!takeover.is_unanswered(now + GRACE));
    assert_eq!(takeover.stolen(now + TIMEOUT), Stolen::Reclaim);
}

#[test]
fn takeover_can_be_disabled() {
    let (mut takeover, now) = (Takeover::new(None), Instant::now());
    assert!(!takeover.watch(false, now) && !takeover.watch(false, now + 1000 * TIMEOUT));
    assert_eq!(takeover.next_deadline(), None);
}
