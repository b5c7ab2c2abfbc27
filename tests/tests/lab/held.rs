//! Connections that are held while everything changes, and what happens without the agent's precautions.

use std::net::IpAddr;
use std::panic::resume_unwind;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::lab::{Family, Held, Lab};
use ovn_extaddr_tests::{Cli, DefaultTarget, PROMPT};

use crate::stage::{ALLOWED, Row, Seen, Stage, converted, drain, egress};

/// How many connections are held through everything.
const MANY: usize = 200;
/// How many begin at every later step.
const SOME: usize = 20;

fn with_agent(config: &str, play: impl Fn(&Stage<'_>) -> Result<()>) -> Result<()> {
    let mut lab = Lab::builder().start()?;
    let (c1, c2) = (lab.instance("c1", 0)?, lab.instance("c2", 0)?);
    let agent = lab.agent_with(|builder| builder.config(config))?;
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        play(&stage).with_context(|| family.to_string())?;
    }
    Ok(())
}

/// Connections that began at one step.
struct Since {
    step: &'static str,
    held: Held,
    /// The source address that the far end sees.
    address: IpAddr,
}

/// Checks all connections at once: dead ones take long.
fn check_all(all: &[Since], check: impl Fn(&Since) -> Result<()> + Sync) -> Result<()> {
    thread::scope(|scope| {
        let checks: Vec<_> = all.iter().map(|since| scope.spawn(|| check(since))).collect();
        checks.into_iter().try_for_each(|check| check.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn all_live(all: &[Since], now: &str) -> Result<()> {
    check_all(all, |since| {
        since.held.check().is(since.address).with_context(|| format!("of {}, now: {now}", since.step))
    })
}

/// Sets, changes, changes back and unsets the address of `c1`, and holds connections of every step. `beside` is a
/// further row as soon as the second address is in use.
fn play_all(stage: &Stage<'_>, beside: Option<Row>) -> Result<Vec<Since>> {
    let &Stage { c1, .. } = stage;
    let with = |rows: [Row; 2]| rows.into_iter().chain(beside.clone());
    let (a, b, base) = (stage.a(), stage.b(), stage.base()?);
    stage.settles([])?;
    let mut all = Vec::new();
    let mut next = |step, count, address| -> Result<()> {
        all.push(Since { step, held: stage.hold(c1, count)?, address });
        all_live(&all, step)
    };
    next("before", MANY, base)?;
    stage.ask(c1, Some(a))?;
    stage.settles([egress("A", c1)])?;
    next("set", MANY, a)?;
    stage.ask(c1, Some(b))?;
    stage.settles(with([egress("B", c1), drain("A", c1)]))?;
    next("changed", SOME, b)?;
    stage.ask(c1, Some(a))?;
    stage.settles(with([egress("A", c1), drain("B", c1)]))?;
    next("changed back", SOME, a)?;
    stage.ask(c1, None)?;
    stage.settles(with([drain("A", c1), drain("B", c1)]))?;
    next("unset", SOME, base)?;
    Ok(all)
}

#[test]
fn connections_survive_every_change_of_the_address() -> Result<()> {
    let mut lab = Lab::builder().chassis(2).start()?;
    let (c1, c2) = (lab.instance("c1", 1)?, lab.instance("c2", 1)?);
    let mut agent = lab.agent_with(|builder| builder.config(ALLOWED))?;
    let mut all = Vec::new();
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        all.extend(play_all(&stage, None).with_context(|| family.to_string())?);
    }
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        stage.ask(&c1, Some(stage.a()))?;
        stage.settles([egress("A", &c1), drain("B", &c1)])?;
    }
    agent.kill9()?;
    all_live(&all, "the agent dead")?;
    agent.restart()?;
    agent.wait_for_log("synchronised")?;
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        stage.settles([egress("A", &c1), drain("B", &c1)])?;
        stage.leaves_as(&c1, stage.a())?;
    }
    all_live(&all, "the agent restarted")?;
    agent.stop()?;

    // The last step is the longest: connections may finish until the drain ends.
    let cli = Cli::new(lab.ovn().nb.remote())?;
    cli.write_config(ALLOWED)?;
    let mut cleanup = cli.command(&["cleanup", "--drain", "30"]).stdout(Stdio::null()).spawn()?;
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        stage.settles([drain("A", &c1), drain("B", &c1)])?;
        stage.leaves_as(&c1, stage.base()?)?;
    }
    all_live(&all, "cleaned up")?;
    ensure!(cleanup.try_wait()?.is_none(), "the time was up before anything could be seen");
    ensure!(cleanup.wait()?.success(), "cleanup fails");
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        stage.settles([])?;
        stage.leaves_as(&c1, stage.base()?)?;
    }
    // Now the connections with our addresses are cut: the rows kept them alive.
    check_all(&all, |since| {
        let (counts, base) = (since.held.check(), ["before", "unset"].contains(&since.step));
        ensure!(base == (counts.alive > 0), "of {} as {}: {counts}", since.step, since.address);
        Ok(())
    })
}

/// The same with forwarded addresses: one by port, so that source ports are restricted, the other as a whole, so that
/// it is converted under the connections.
#[test]
fn connections_survive_changes_between_forwarded_addresses() -> Result<()> {
    let mut lab = Lab::builder().chassis(2).start()?;
    let (c1, c2) = (lab.instance("c1", 1)?, lab.instance("c2", 1)?);
    let agent = lab.agent_with(|builder| builder.config("hold-down = 0\n"))?;
    let mut all = Vec::new();
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        stage.forward(stage.a(), 40_000, &c1, 8080)?;
        lab.net().add_default_target(stage.b(), c1.address(family)?, DefaultTarget::Vip)?;
        let played = play_all(&stage, Some(converted("B", &c1))).with_context(|| family.to_string())?;
        all.extend(played);
        // And traffic from outside still arrives.
        stage.reaches(stage.a(), 40_000, &c1, 8080)?;
        stage.reaches(stage.b(), 81, &c1, 81)?;
    }
    all_live(&all, "the end")
}

#[test]
fn flows_show_the_hazard_without_a_port_range() -> Result<()> {
    let endangered = |stage: &Stage<'_>| {
        stage.forward(stage.a(), 40_000, stage.c1, 8080)?;
        stage.ask(stage.c1, Some(stage.a()))?;
        stage.state(stage.c1, "active")?;
        stage.lab.sync()?;
        let hazards = stage.lab.hazards()?;
        let of_family = hazards.iter().filter(|hazard| hazard.external == stage.a());
        let ports: Vec<u16> = of_family.map(|hazard| hazard.port).collect();
        ensure!(ports == [40_000, 40_000], "for TCP and UDP: {hazards:#?}");
        Ok(())
    };
    with_agent("port-range = \"off\"\n", endangered)
}

#[test]
fn override_is_refused_where_conversion_is_disabled() -> Result<()> {
    let refused = |stage: &Stage<'_>| {
        stage.default_target(DefaultTarget::Vip)?;
        stage.ask(stage.c1, Some(stage.a()))?;
        stage.state(stage.c1, "rejected")?;
        stage.settles([])?;
        stage.leaves_as(stage.c1, stage.base()?)?;
        stage.reaches(stage.a(), 8080, stage.c1, 8080)?;
        // What the agent prevents: the same row made by hand endangers every reply.
        let row = stage.lab.net().add_nat("snat", stage.a(), &stage.c1.address(stage.family)?.to_string())?;
        stage.lab.sync()?;
        ensure!(!stage.lab.hazards()?.is_empty(), "no hazard where one is");
        stage.lab.net().remove_nat(&row)?;
        stage.agent.write_config(PROMPT)?;
        stage.settles([egress("A", stage.c1), converted("A", stage.c1)])?;
        stage.agent.write_config(&format!("{PROMPT}default-target = \"reject\"\n"))?;
        stage.settles([])
    };
    with_agent("default-target = \"reject\"\n", refused)
}
