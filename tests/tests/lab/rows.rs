//! The rows of the table of facts, with the agent instead of hand-made rows.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::lab::{Family, Lab, Proto};
use ovn_extaddr_tests::{DefaultTarget, PROMPT};

use crate::stage::{Seen, Stage, converted, drain, egress};

/// How many connections are held across a change.
const HELD: usize = 20;

type Play = fn(&Stage<'_>) -> Result<()>;

/// By the numbers of the table.
const PLAYS: [(&str, Play); 10] = [
    ("1, 13: a forwarded port", by_port),
    ("2, 15: a default target by VIPs is converted", default_vip),
    ("3: dnat_and_snat does it already", both_ways),
    ("4, 14: a default target by a dnat row", default_dnat),
    ("5: the same, and a forwarded port of another instance", default_dnat_and_by_port),
    ("6, 7, 8: a source port that is forwarded", collision),
    ("9: the override comes", comes),
    ("10, 11: its address changes", changes),
    ("12: it is withdrawn", withdrawn),
    ("16: connections to what is converted", converted_live),
];

fn all_rows(chassis: usize) -> Result<()> {
    let mut lab = Lab::builder().chassis(chassis).start()?;
    let (c1, c2) = (lab.instance("c1", chassis - 1)?, lab.instance("c2", chassis - 1)?);
    let agent = lab.agent_with(|builder| builder.config("hold-down = 0\n"))?;
    for family in Family::BOTH {
        let stage = Stage { lab: &lab, agent: &agent, c1: &c1, c2: &c2, family };
        for (row, play) in PLAYS {
            play(&stage).and_then(|()| stage.clear()).with_context(|| format!("{row} by {family}"))?;
        }
    }
    Ok(())
}

#[test]
fn rows_translate_packets_on_one_chassis() -> Result<()> {
    all_rows(1)
}

#[test]
fn rows_translate_packets_with_the_gateway_on_another_chassis() -> Result<()> {
    all_rows(2)
}

fn by_port(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.forward(stage.a(), 80, c1, 8080)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.leaves_as(c2, stage.base()?)?;
    stage.reaches(stage.a(), 80, c1, 8080)?;
    for proto in [Proto::Tcp, Proto::Udp] {
        stage.inside(c2, 80, 8080, proto)?.is(c2.address(stage.family)?).context("from c2")?;
        // From the instance itself, seen as itself or as the router: answered in any case.
        ensure!(stage.inside(c1, 80, 8080, proto)?.answered, "no hairpin by {proto}");
    }
    Ok(())
}

fn default_vip(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.default_target(DefaultTarget::Vip)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1), converted("A", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.reaches(stage.a(), 8080, c1, 8080)?;
    for proto in [Proto::Tcp, Proto::Udp] {
        stage.inside(c2, 8080, 8080, proto)?.is(c2.address(stage.family)?).context("from c2")?;
    }
    // Together with a forwarded port of another instance, in the same balancers.
    stage.forward(stage.a(), 25, c2, 2525)?;
    stage.settles([egress("A", c1), converted("A", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.reaches(stage.a(), 8080, c1, 8080)?;
    stage.reaches(stage.a(), 25, c2, 2525)?;
    stage.ask(c1, None)?;
    stage.settles([drain("A", c1), converted("A", c1)])?;
    stage.leaves_as(c1, stage.base()?)?;
    stage.reaches(stage.a(), 8080, c1, 8080)
}

fn both_ways(stage: &Stage<'_>) -> Result<()> {
    let row =
        stage.lab.net().add_nat("dnat_and_snat", stage.a(), &stage.c1.address(stage.family)?.to_string())?;
    stage.ask(stage.c1, Some(stage.a()))?;
    stage.state(stage.c1, "foreign")?;
    stage.settles([])?;
    stage.leaves_as(stage.c1, stage.a())?;
    stage.reaches(stage.a(), 8080, stage.c1, 8080)?;
    stage.lab.net().remove_nat(&row)
}

fn default_dnat(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.default_target(DefaultTarget::Dnat)?;
    // From inside, the only way is through the router, with an override or without.
    let inside = || -> Result<_> {
        let outcome = stage.inside(c2, 8080, 8080, Proto::Tcp)?;
        Ok((outcome.answered, outcome.seen().ok().map(|seen| seen.ip())))
    };
    let before = inside()?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.reaches(stage.a(), 8080, c1, 8080)?;
    let after = inside()?;
    ensure!(after == before, "from inside it was {before:?} and is {after:?}");
    Ok(())
}

fn default_dnat_and_by_port(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.default_target(DefaultTarget::Dnat)?;
    stage.forward(stage.a(), 80, c2, 8080)?;
    for host in [c1, c2] {
        stage.ask(host, Some(stage.a()))?;
    }
    stage.settles([egress("A", c1), egress("A", c2)])?;
    stage.leaves_as(c1, stage.a())?;
    stage.leaves_as(c2, stage.a())?;
    stage.reaches(stage.a(), 80, c2, 8080)?;
    stage.reaches(stage.a(), 81, c1, 81)
}

fn collision(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, .. } = stage;
    stage.forward(stage.a(), 40_000, c1, 8080)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    for proto in Proto::ALL {
        let outcome = stage.out(c1, proto, Some(40_000))?;
        outcome.is(stage.a()).with_context(|| proto.to_string())?;
        if proto != Proto::Icmp {
            let port = outcome.seen()?.port();
            ensure!((1024..40_000).contains(&port), "{proto} leaves from port {port}");
        }
    }
    stage.reaches(stage.a(), 40_000, c1, 8080)
}

fn comes(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, .. } = stage;
    stage.forward(stage.a(), 80, c1, 8080)?;
    stage.settles([])?;
    let held = stage.hold(c1, HELD)?;
    let inbound = stage.lab.inward(SocketAddr::new(stage.a(), 80), c1, 8080)?.hold(HELD)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    held.check().is(stage.base()?)?;
    inbound.check().is(stage.wan()?)?;
    stage.leaves_as(c1, stage.a())
}

fn changes(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, .. } = stage;
    stage.forward(stage.a(), 80, c1, 8080)?;
    stage.forward(stage.b(), 80, c1, 8081)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    let held = stage.hold(c1, HELD)?;
    stage.ask(c1, Some(stage.b()))?;
    stage.settles([egress("B", c1), drain("A", c1)])?;
    held.check().is(stage.a())?;
    stage.leaves_as(c1, stage.b())?;
    stage.reaches(stage.a(), 80, c1, 8080)?;
    stage.reaches(stage.b(), 80, c1, 8081)
}

fn withdrawn(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, .. } = stage;
    stage.forward(stage.a(), 80, c1, 8080)?;
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1)])?;
    let held = stage.hold(c1, HELD)?;
    stage.ask(c1, None)?;
    stage.settles([drain("A", c1)])?;
    held.check().is(stage.a())?;
    stage.leaves_as(c1, stage.base()?)?;
    stage.reaches(stage.a(), 80, c1, 8080)
}

fn converted_live(stage: &Stage<'_>) -> Result<()> {
    let &Stage { c1, c2, .. } = stage;
    stage.default_target(DefaultTarget::Vip)?;
    stage.settles([])?;
    let forward = SocketAddr::new(stage.a(), 8080);
    let outside = stage.lab.inward(forward, c1, 8080)?.hold(HELD)?;
    let inside = stage.lab.across(c2, forward, c1, 8080)?.hold(HELD)?;
    let (wan, there) = (stage.wan()?, c2.address(stage.family)?);
    stage.ask(c1, Some(stage.a()))?;
    stage.settles([egress("A", c1), converted("A", c1)])?;
    outside.check().is(wan).context("from wan, converted")?;
    inside.check().is(there).context("from c2, converted")?;
    // Undone at once, with the connections established in the meantime.
    let meanwhile = stage.lab.inward(SocketAddr::new(stage.a(), 9090), c1, 9090)?.hold(HELD)?;
    stage.agent.write_config(PROMPT)?;
    stage.ask(c1, None)?;
    stage.settles([])?;
    outside.check().is(wan).context("from wan, undone")?;
    inside.check().is(there).context("from c2, undone")?;
    meanwhile.check().is(wan).context("from wan, established while converted")?;
    stage.agent.write_config("hold-down = 0\n")
}
