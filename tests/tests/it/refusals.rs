//! Intents that cannot be granted, with their reasons, and that each is granted once its reason is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Agent, Cli, OvsdbServer, PROMPT, eventually};
use serde_json::Value;

use crate::fixture::{Fixture, OWNER, SOON, owned, row, state_of, wait_for_rows, wait_until_settled};
use site::Site;
use table::{Case, POLICY};

mod site;
mod table;

/// Reasons that need a CMS: table tests in `engine/tests.rs` of `extaddr-core` reproduce them, and `sources::api_faults` the
/// second.
const OF_SOURCES: [&str; 2] = ["disputed-instance", "source-unreachable"];

/// The program itself lists the reasons.
fn known_reasons() -> Result<BTreeSet<String>> {
    let refused = Cli::new("unix:/no/such")?.run(&["list", "--reason", "no-such-reason"])?.stderr;
    let values = refused.split_once("[possible values: ").and_then(|(_, rest)| rest.split_once(']'));
    let values = values.with_context(|| refused.clone())?.0;
    Ok(values.split(", ").map(str::to_owned).collect())
}

#[test]
fn every_reason_is_reproduced_and_documented() -> Result<()> {
    let known = known_reasons()?;
    let cases = [table::usual_cases(), table::allowed_cases()].concat();
    let refused = || cases.iter().filter_map(|case| Some((case.reason()?.to_owned(), case.cure)));
    let reproduced = refused().map(|(reason, _)| reason).chain(OF_SOURCES.map(str::to_owned));
    assert_eq!(reproduced.collect::<BTreeSet<_>>(), known);
    assert!(refused().all(|(_, cure)| !cure.is_empty()), "{:?}", refused().collect::<Vec<_>>());
    let documentation = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/states.md"))?;
    let reasons = documentation.split_once("| reason |").context("a table of reasons")?.1;
    let rows = reasons.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    assert_eq!(rows.map(str::to_owned).collect::<BTreeSet<_>>(), known);
    Ok(())
}

#[test]
fn every_refusal_has_its_reason_and_ends_with_its_cause() -> Result<()> {
    let config = "default-target = \"reject\"\nrequire-target = true\nmin-source-ports = 40000\n";
    refused_and_granted(config, &table::usual_cases())?;
    // On another router, addresses without a forward are allowed.
    let config = "allow = [{ router = \"another\", prefixes = [\"203.0.113.0/24\"] }]\n";
    refused_and_granted(config, &table::allowed_cases())
}

fn refused_and_granted(config: &str, cases: &[Case]) -> Result<()> {
    // Ports without a switch can exist if something else may have them, as network functions of OVN 25.09 do.
    let server = OvsdbServer::northbound_with(|schema| {
        schema["tables"]["Logical_Switch_Port"]["isRoot"] = true.into();
    })?;
    let cli = Cli::new(server.remote())?;
    let policy = cli.dir().join(POLICY);
    fs::write(&policy, "# no rules\n")?;
    let config = format!("{PROMPT}{config}policy = \"{}\"\n", policy.display());
    cli.write_config(&config)?;
    let mut agent = Agent::builder(server.remote()).config(&config).start()?;
    agent.wait_for_log("active: this agent has the lock")?;
    let fixture = Fixture { agent, cli, server };

    let mut sites = Vec::new();
    for (id, case) in (1..).zip(cases) {
        let site = Site::new(&fixture.server, id, case)?;
        (case.spoil)(&fixture, &site).with_context(|| format!("case {id}, {}", case.state))?;
        sites.push(site);
    }
    // Only the agent knows what the database refused.
    let told = || -> Result<Vec<Value>> { Ok(serde_json::from_str(&fixture.agent.appctl(&["list"])?)?) };
    let states_become = |expected: BTreeMap<u32, &str>| {
        eventually(SOON, "all have their states", || {
            let list = told()?;
            let found: BTreeMap<u32, String> = (1..)
                .zip(&sites)
                .map(|(id, site)| {
                    let entry = list.iter().find(|entry| entry["port"] == site.instance.port.as_str());
                    (id, entry.map(state_of).unwrap_or_default())
                })
                .collect();
            let wrong: Vec<_> = found.iter().filter(|(id, state)| expected[id] != state.as_str()).collect();
            ensure!(wrong.is_empty(), "these are wrong: {wrong:?} of {expected:?}");
            Ok(true)
        })
    };
    states_become((1..).zip(cases).map(|(id, case)| (id, case.state)).collect())?;
    for entry in told()? {
        let message = entry["message"].as_str().unwrap_or_default();
        assert!(
            message.len() > 20 && !message.contains(['\n', '?']),
            "a sentence for an operator: {message}"
        );
        let case = sites.iter().zip(cases).find(|(site, _)| entry["port"] == site.instance.port.as_str());
        if let Some((_, case)) = case {
            assert!(message.contains(case.cure), "\"{}\" is not in {message}", case.cure);
        }
    }
    for (case, site) in cases.iter().zip(&sites) {
        check_explanation(&fixture, case, site)?;
    }
    let rows = owned(&fixture.server, OWNER)?;
    let rows: Vec<_> = rows.iter().filter(|row| !row.ends_with("-another")).collect();
    assert!(rows.is_empty(), "{rows:#?}");

    for (id, (case, site)) in (1..).zip(cases.iter().zip(&sites)) {
        (case.mend)(&fixture, site).with_context(|| format!("case {id}, {}", case.state))?;
    }
    states_become((1..).zip(cases).map(|(id, _)| (id, "active")).collect())?;
    let expected =
        sites.iter().map(|site| Ok(row(&site.net, &site.instance, site.external, site.internal()?)));
    wait_for_rows(&fixture.server, OWNER, expected.collect::<Result<Vec<_>>>()?)?;

    // And in reverse, now that there are rows to remove.
    for (id, (case, site)) in (1..).zip(cases.iter().zip(&sites)) {
        if case.state.starts_with("conflict") {
            (case.spoil)(&fixture, site).with_context(|| format!("case {id} again"))?;
        }
    }
    let again = |case: &Case| if case.state.starts_with("conflict") { case.state } else { "active" };
    states_become((1..).zip(cases).map(|(id, case)| (id, again(case))).collect())?;
    wait_until_settled(&fixture.cli)
}

/// What a person sees when looking for the reason, without asking the agent.
fn check_explanation(fixture: &Fixture, case: &Case, site: &Site) -> Result<()> {
    let Some((state, reason)) = case.state.split_once(' ') else { return Ok(()) };
    let port = site.instance.port.as_str();
    let explained = fixture.cli.run(&["explain", port])?;
    match reason {
        "refused" => {
            // The database does not show its refusals: the agent's log does.
            ensure!(fixture.agent.log().contains("transaction refused"), "{}", fixture.agent.log());
            ensure!(explained.success()?.contains("will leave as"));
        }
        _ => {
            let found =
                fixture.cli.run(&["list", "--wide", "--reason", reason, "--state", state])?.success()?;
            ensure!(found.contains(port) && found.contains(&format!("{reason}: ")), "{reason}: {found}");
            ensure!(!found.contains(" active "), "{found}");
            let explained = explained.success()?;
            ensure!(explained.contains(&format!("✗ {reason} ")), "{explained}");
        }
    }
    Ok(())
}
