//! The time from one intent to its row.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::Bench;
use super::figure::{Figure, Goal, Series};
use super::ground::{Ground, Recording, asking, withdrawing};
use super::observer::Observer;
use super::reflex::Reflex;
use super::subject::Subject;
use super::tap::Tap;
use crate::generate::{Estate, Member};

/// Ports of the small database.
const SMALL: u32 = 1000;

/// Overrides on the crowded router, while others are set and withdrawn.
const CROWD: u32 = 10_000;

/// The most instances with intents, in turns.
const TURNS: usize = 100;

/// The pause between two intents, as of an operator.
const PAUSE: Duration = Duration::from_millis(1);

/// Times of one kind of database.
#[derive(Debug)]
struct Times {
    /// From the intent to the row.
    ours: Series,
    /// The round trip of the transaction with the intent.
    intent: Series,
    /// The round trips of that and of the one with the row, by a client that has the latter prepared.
    both: Series,
    /// From the intent to the row, by a client that receives the intent like the agent, and has the answer prepared.
    reflex: Series,
}

/// Compares the agent with raw round trips, in a small and a large database, and on a crowded router.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let turns = bench.samples.min(TURNS) as u32;
    let small = Ground::open(Estate::of_ports(SMALL.min(bench.ports)))?;
    let in_small = times(bench, &small, &spread(&small.estate, turns))?;
    drop(small);

    let crowd = CROWD.min(bench.ports / 2);
    let large = Ground::open(Estate::of_ports(bench.ports).crowded(crowd + turns))?;
    let in_large = times(bench, &large, &spread(&large.estate, turns))?;

    bench.say(format_args!("an agent writes {crowd} overrides on one router"));
    let crowded: Vec<Member> =
        (0..crowd + turns).map(|n| large.estate.member(large.estate.networks, n)).collect();
    let (settled, asking_in_turns) = crowded.split_at(crowd as usize);
    let mut observer = Observer::open(&large.socket())?;
    let agent = Subject::in_charge(&large.remote())?;
    large.connect()?.transact(&asking(settled))?;
    observer.inserted(settled.len())?;
    agent.stop()?;
    drop(observer);
    let in_crowd = times(bench, &large, asking_in_turns)?;

    let beyond = |times: &Times| times.ours.beyond(&times.both);
    let one = format!("one intent to its row, {} ports", large.estate.ports());
    Ok(vec![
        Figure::new(one.clone(), in_large.ours.clone())
            .beside("2 raw round trips", in_large.intent.times_over(2.0))
            .goal(Goal::Ratio(1.5)),
        Figure::new(one.clone(), in_large.ours.clone())
            .beside("same 2 transactions, raw", in_large.both.clone()),
        Figure::new(one.clone(), in_large.ours.clone())
            .beside("answer known before", in_large.reflex.clone()),
        Figure::new(format!("{one}, p99"), in_large.ours.only(0.99)).goal(Goal::Most(0.005)),
        Figure::new(one, in_large.ours.clone())
            .beside(format!("with {} ports", SMALL.min(bench.ports)), in_small.ours)
            .goal(Goal::Ratio(1.2)),
        Figure::new(format!("answer known before, {} ports", large.estate.ports()), in_large.reflex.clone())
            .beside(format!("with {} ports", SMALL.min(bench.ports)), in_small.reflex),
        Figure::new(format!("one intent to its row, router with {crowd}"), in_crowd.ours.clone())
            .beside("same 2 transactions, raw", in_crowd.both.clone()),
        Figure::new(format!("the same, beyond the server's part, router with {crowd}"), beyond(&in_crowd))
            .beside("small router", beyond(&in_large))
            .goal(Goal::Ratio(2.0)),
    ])
}

/// Instances of as many networks as possible, not the first ones, to which forwards lead.
fn spread(estate: &Estate, count: u32) -> Vec<Member> {
    let member = |n| estate.member(n % estate.networks, estate.forwards + n / estate.networks);
    (0..count).map(member).collect()
}

fn times(bench: &Bench, ground: &Ground, members: &[Member]) -> Result<Times> {
    bench.say(format_args!("latency, {} ports", ground.estate.ports()));
    let mut operator = ground.connect()?;
    let mut observer = Observer::open(&ground.socket())?;
    let turns: Vec<_> = members
        .iter()
        .map(|member| (asking(std::slice::from_ref(member)), withdrawing(std::slice::from_ref(member))))
        .collect();
    // One intent, until the row exists; then its withdrawal.
    let mut turn = |ask: &[u8], withdraw: &[u8]| -> Result<Duration> {
        sleep(PAUSE);
        let start = Instant::now();
        operator.send(ask)?;
        let elapsed = observer.inserted(1)? - start;
        operator.reply()?;
        sleep(PAUSE);
        operator.transact(withdraw)?;
        observer.deleted(1)?;
        Ok(elapsed)
    };

    let tap = Tap::open(&ground.socket())?;
    let agent = Subject::in_charge(&tap.remote())?;
    for (ask, withdraw) in &turns {
        turn(ask, withdraw)?;
    }
    agent.stop()?;
    let recording = Recording::new(&tap.heard()?)?;
    ensure!(recording.writes.len() == turns.len(), "an intent is not a transaction of the agent");

    let agent = Subject::in_charge(&ground.remote())?;
    let mut ours = Vec::new();
    for (ask, withdraw) in turns.iter().cycle().take(bench.samples) {
        ours.push(turn(ask, withdraw)?);
    }
    agent.stop()?;
    ground.calm()?;

    let answers = turns.iter().zip(&recording.writes).cycle().take(bench.samples);
    let answers = answers.flat_map(|(_, (write, undo))| [write.clone(), undo.clone()]).collect();
    let reflex = Reflex::start(recording.connect(ground)?, answers)?;
    let mut known = Vec::new();
    for (ask, withdraw) in turns.iter().cycle().take(bench.samples) {
        known.push(turn(ask, withdraw)?);
    }
    reflex.end()?;
    ground.calm()?;

    let (mut intent, mut both) = (Vec::new(), Vec::new());
    let mut client = recording.connect(ground)?;
    for ((ask, withdraw), (write, undo)) in turns.iter().zip(&recording.writes).cycle().take(bench.samples) {
        sleep(PAUSE);
        let first = operator.transact(ask)?;
        let second = client.transact(write)?;
        intent.push(first);
        both.push(first + second);
        sleep(PAUSE);
        operator.transact(withdraw)?;
        client.transact(undo)?;
        // It does not delay replies, but its buffer is finite.
        observer.inserted(1)?;
        observer.deleted(1)?;
    }
    let [ours, intent, both, reflex] = [ours, intent, both, known].map(Series::times);
    Ok(Times { ours, intent, both, reflex })
}
