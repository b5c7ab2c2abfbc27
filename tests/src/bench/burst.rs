//! Many intents in one transaction.

use std::time::Instant;

use anyhow::Result;

use super::Bench;
use super::figure::{Figure, Goal, Series};
use super::ground::{Ground, Recording, asking, withdrawing};
use super::observer::Observer;
use super::subject::Subject;
use super::tap::Tap;
use crate::generate::Estate;

/// Instances of each network with intents: 10,000 in 500 networks.
const EACH: u32 = 20;

/// Compares the agent with a client that sends the same transactions, one after the other, as soon as the intents have
/// arrived. The time is from the answer to the transaction with the intents, which neither can influence, to the moment
/// at which a third party has seen all rows.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let ground = Ground::open(Estate::of_ports(bench.ports))?;
    let members = ground.members(EACH);
    let (ask, withdraw) = (asking(&members), withdrawing(&members));
    let mut operator = ground.connect()?;
    let mut observer = Observer::open(&ground.socket())?;

    let tap = Tap::open(&ground.socket())?;
    let agent = Subject::in_charge(&tap.remote())?;
    operator.transact(&ask)?;
    observer.inserted(members.len())?;
    operator.transact(&withdraw)?;
    observer.deleted(members.len())?;
    agent.stop()?;
    let recording = Recording::new(&tap.heard()?)?;
    bench.say(format_args!("the agent's rows came in {} transactions", recording.writes.len()));

    let (mut ours, mut raw) = (Vec::new(), Vec::new());
    for round in bench.rounds() {
        bench.say(format_args!("burst, round {round}"));
        let agent = Subject::in_charge(&ground.remote())?;
        operator.transact(&ask)?;
        let start = Instant::now();
        ours.push(observer.inserted(members.len())? - start);
        operator.transact(&withdraw)?;
        observer.deleted(members.len())?;
        agent.stop()?;
        ground.calm()?;

        let mut client = recording.connect(&ground)?;
        operator.transact(&ask)?;
        let start = Instant::now();
        for (write, _) in &recording.writes {
            client.transact(write)?;
        }
        raw.push(observer.inserted(members.len())? - start);
        for (_, undo) in &recording.writes {
            client.transact(undo)?;
        }
        operator.transact(&withdraw)?;
        observer.deleted(members.len())?;
        drop(client);
        ground.calm()?;
    }
    let measure = format!("{} intents at once to all rows committed", members.len());
    Ok(vec![
        Figure::new(measure, Series::times(ours))
            .beside("raw, same transactions", Series::times(raw))
            .goal(Goal::Ratio(1.5)),
    ])
}
