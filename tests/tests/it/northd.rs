//! The real ovn-northd as the oracle: for random routers, load balancers and NAT rows, whether OVN forwards exactly the
//! program's forwards, and gives instances the source addresses that the program reports.
//!
//! OVN's behaviour is determined with ovn-trace, which follows packets through northd's logical flows. The program is
//! run before and after an agent has done its work. Many routers are in one database at a time. A difference is reduced
//! to smaller and smaller cases; the smallest one is printed as a command of ovn-nbctl, with both sides.
//!
//! Every run has a few cases, always the same; `scripts/northd-oracle` draws many others.

mod answers;
mod case;
mod commands;
mod compare;
mod draw;
mod packets;
mod shrink;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use ovn_extaddr_tests::{Agent, Cli, Ovn, eventually};

use crate::fixture::seed_and_steps;
use case::Case;
use compare::{Disagreement, Evidence, compare};
use draw::{Abilities, draw};

/// The default number of cases of a run.
const CASES: u64 = 40;

/// The default seed.
const SEED: u64 = 20_261_127;

/// Routers in one database.
const TOGETHER: usize = 60;

/// The most disagreements that are examined, of a kind and in all.
const MAX_OF_A_KIND: usize = 40;
const MAX_REPORTED: usize = 20;

/// How long an agent may take for all of them.
const TIMEOUT: Duration = Duration::from_secs(60);

#[test]
fn decisions_agree_with_the_flows_of_northd() -> Result<()> {
    let (seed, cases) =
        if std::env::var_os("OVN_EXTADDR_SEED").is_some() { seed_and_steps(CASES)? } else { (SEED, CASES) };
    let abilities = abilities()?;
    let mut random = Rng::with_seed(seed);
    let drawn: Vec<Case> = (0..cases).map(|_| draw(&mut random, abilities)).collect();
    let mut found: Vec<(Case, Disagreement)> = Vec::new();
    for (batch, cases) in drawn.chunks(TOGETHER).enumerate() {
        let judged = judge(cases).with_context(|| format!("seed {seed}, batch {batch}"))?;
        for (case, disagreements) in cases.iter().zip(judged) {
            found.extend(disagreements.into_iter().map(|disagreement| (case.clone(), disagreement)));
        }
    }
    // Reducing them takes a while.
    for (_, disagreement) in &found {
        println!("{}: {}", disagreement.kind, disagreement.text);
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut reported: Vec<(Case, &str)> = Vec::new();
    let mut report = String::new();
    for (case, disagreement) in &found {
        *counts.entry(disagreement.kind).or_default() += 1;
        let known = reported.iter().any(|(least, kind)| *kind == disagreement.kind && case.holds(least));
        if !known && counts[disagreement.kind] <= MAX_OF_A_KIND && reported.len() < MAX_REPORTED {
            let (least, both) = shrink::shrink(case, disagreement)?;
            report.push_str(&format!("\n{}\n{least}\n{}\n", both.kind, both.text));
            reported.push((least, both.kind));
        }
    }
    ensure!(found.is_empty(), "seed {seed}, {cases} cases: {counts:?}\n{report}");
    println!("seed {seed}: {cases} routers, and OVN does what the program says");
    Ok(())
}

/// Determines the abilities of the installed schema.
fn abilities() -> Result<Abilities> {
    let ovn = Ovn::start()?;
    Ok(Abilities { nat_match: ovn.nbctl(&["--columns=match", "list", "nat"]).is_ok() })
}

/// Compares both sides for all of these cases, in one database.
fn judge(cases: &[Case]) -> Result<Vec<Vec<Disagreement>>> {
    let mut ovn = Ovn::start()?;
    let numbers: Vec<String> = (1..=cases.len()).map(|number| number.to_string()).collect();
    for (case, number) in cases.iter().zip(&numbers) {
        let commands = case.commands(number).join(&"--".to_owned());
        let words: Vec<&str> = commands.iter().map(String::as_str).collect();
        ovn.nbctl(&words).with_context(|| format!("cannot write this case:\n{case}"))?;
    }
    let cli = Cli::new(ovn.nb.remote())?;
    let (before, flows_before) = observe_flows(&mut ovn, cases, &numbers)?;
    let (forwards, wanted) = (answers::forwards(&cli)?, answers::intents(&cli)?);

    let agent = Agent::start(ovn.nb.remote())?;
    eventually(TIMEOUT, "the agent has nothing left to do", || {
        let plan = cli.run(&["plan", "--exit-code"])?;
        ensure!(plan.code() == Some(0), "{plan:?}");
        Ok(true)
    })?;
    let given: Vec<answers::Intent> = answers::intents(&cli)?;
    drop(agent);
    let (after, flows_after) = observe_flows(&mut ovn, cases, &numbers)?;

    let mut judged = Vec::new();
    for (index, (case, number)) in cases.iter().zip(&numbers).enumerate() {
        let router = format!("R{number}");
        let is_here = |intent: &&answers::Intent| intent.port.starts_with(&format!("p{number}-"));
        let evidence = Evidence {
            case,
            number,
            before: &before[index],
            forwards: forwards.iter().filter(|forward| forward.router == router).collect(),
            wanted: wanted.iter().filter(is_here).collect(),
            flows_before: flows_before.router(&router),
            after: &after[index],
            given: given.iter().filter(is_here).collect(),
            flows_after: flows_after.router(&router),
        };
        judged.push(compare(&evidence));
    }
    Ok(judged)
}

/// Returns OVN's behaviour for each router.
///
/// It is determined with a separate Southbound: this compares northd's rules, not the result of successive changes.
/// northd 25.09.1 and later may assign the flows of VIPs that several routers share to the wrong routers, even if it
/// recomputes everything: it looks sets of datapaths up by the number of their members, and does not count those that
/// it adds for balancers (lib/ovn-util.h, `dynamic_bitmap_or`; northd/lflow-mgr.c, `ovn_dp_group_create`), so that it
/// treats a set as unused that other flows refer to, and changes it.
fn observe_flows(ovn: &mut Ovn, cases: &[Case], numbers: &[String]) -> Result<(Vec<packets::Seen>, Flows)> {
    ovn.renew_southbound()?;
    ovn.sbctl(&["chassis-add", "gateway-1", "geneve", "127.0.0.1"])?;
    ovn.sync()?;
    let mut tracer = ovn.tracer()?;
    let looks = cases.iter().zip(numbers).map(|(case, number)| packets::look(&mut tracer, case, number));
    Ok((looks.collect::<Result<_>>()?, Flows::read(ovn)?))
}

/// The logical flows of each router that translate source addresses, or back.
struct Flows(BTreeMap<String, Vec<String>>);

impl Flows {
    fn read(ovn: &Ovn) -> Result<Self> {
        let mut flows: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut here = None;
        for line in ovn.sbctl(&["lflow-list"])?.lines() {
            // Datapath: "R1" (6c1b...)  Pipeline: ingress
            if let Some(rest) = line.strip_prefix("Datapath: \"") {
                here = rest.split('"').next().map(str::to_owned);
            } else if ["(lr_out_snat", "(lr_in_unsnat"].iter().any(|stage| line.contains(stage)) {
                let datapath = here.clone().context("a flow without a datapath")?;
                flows.entry(datapath).or_default().push(line.trim().to_owned());
            }
        }
        if flows.is_empty() {
            bail!("ovn-sbctl lists no flow of a router");
        }
        Ok(Self(flows))
    }

    fn router(&self, router: &str) -> &[String] {
        self.0.get(router).map_or(&[], Vec::as_slice)
    }
}
