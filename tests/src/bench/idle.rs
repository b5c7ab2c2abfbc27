//! The cost of the agent while no relevant change happens.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use super::figure::{Figure, Goal, Series};
use super::ground::Ground;
use super::raw::transaction;
use super::subject::Subject;
use super::{Bench, MIB};
use crate::generate::Estate;
use crate::row::uuid_ref;

/// Transactions a second.
const RATE: u32 = 1000;

/// The CPU time that the agent may use in [`GOAL_OF`].
const GOAL: Duration = Duration::from_millis(20);
const GOAL_OF: Duration = Duration::from_secs(60);

/// Measures the CPU time while others change tables and columns that it does not monitor, 1,000 times a second.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let ground = Ground::open(Estate::of_ports(bench.ports).asking(1))?;
    let agent = Subject::in_charge(&ground.remote())?;
    // Its first decisions.
    sleep(bench.rest);

    let mut writer = ground.connect()?;
    let ports = ground.members(1);
    let set = json!({"op": "insert", "table": "Address_Set", "row": {"name": "bench"}});
    writer.transact(&transaction(vec![set]))?;
    let before = agent.usage()?.cpu;
    bench.say(format_args!("idle for {:?}", bench.idle));
    let (start, mut done) = (Instant::now(), 0);
    while start.elapsed() < bench.idle {
        let port = &ports[done as usize % ports.len()];
        // The most frequent changes of controllers: ports go up and down, address sets change.
        let change = if done % 2 == 0 {
            let (row, up) = (json!([["_uuid", "==", uuid_ref(&port.uuid)]]), done % 4 == 0);
            json!({"op": "update", "table": "Logical_Switch_Port", "where": row, "row": {"up": up}})
        } else {
            let row: Value = json!({"addresses": format!("10.0.0.{}", done % 251)});
            json!({"op": "update", "table": "Address_Set", "where": [["name", "==", "bench"]], "row": row})
        };
        writer.transact(&transaction(vec![change]))?;
        done += 1;
        sleep((start + Duration::from_secs(1) * done / RATE).saturating_duration_since(Instant::now()));
    }
    let usage = agent.usage()?;
    let cpu = usage.cpu - before;
    let rate = f64::from(done) / start.elapsed().as_secs_f64();
    agent.stop()?;
    let goal = GOAL.mul_f64(bench.idle.as_secs_f64() / GOAL_OF.as_secs_f64());
    let measure = format!("idle for {:?}, {rate:.0} other changes a second: CPU", bench.idle);
    let intents = ground.estate.intents();
    Ok(vec![
        Figure::new(measure, Series::times([cpu])).goal(Goal::Most(goal.as_secs_f64())),
        Figure::new(format!("idle with {intents} intents: memory"), Series::bytes([usage.resident]))
            .goal(Goal::Most(48.0 * MIB)),
    ])
}
