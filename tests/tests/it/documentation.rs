//! Commands and output in the documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Agent, Cli, Output, OvsdbServer, eventually};

use crate::fixture::{Fixture, SOON, wait_until_settled};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn read(path: &str) -> Result<String> {
    fs::read_to_string(format!("{ROOT}/{path}")).with_context(|| path.to_owned())
}

/// The README and all of `docs`.
fn texts() -> Result<Vec<String>> {
    Ok(pages()?.into_values().collect())
}

/// The same by their names.
fn pages() -> Result<BTreeMap<String, String>> {
    let mut pages = BTreeMap::from([("README.md".to_owned(), read("README.md")?)]);
    for entry in fs::read_dir(format!("{ROOT}/docs"))? {
        let name = format!("docs/{}", entry?.file_name().display());
        if name.ends_with(".md") {
            pages.insert(name.clone(), read(&name)?);
        }
    }
    Ok(pages)
}

/// The targets of a page's links, without those outside of the repository.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let prose = text.split("```").step_by(2);
    let targets = prose.flat_map(|prose| prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()));
    targets.filter(|target| !target.is_empty() && !target.contains("://"))
}

/// The anchors of a page's parts, as forges and mdBook derive them from headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let anchor = |heading: &str| -> String {
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let headings = headings.map(|line| anchor(line.trim_start_matches('#').trim()));
    let named = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next());
    headings.chain(named.map(str::to_owned)).collect()
}

#[test]
fn documentation_links_resolve_and_the_summary_lists_every_page() -> Result<()> {
    let pages = pages()?;
    let mut wrong = Vec::new();
    let mut followed = 0;
    for (name, text) in &pages {
        let directory = Path::new(name).parent().context("a page is in a directory")?;
        for link in links(text) {
            followed += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let there = if file.is_empty() { PathBuf::from(name) } else { directory.join(file) };
            let found = Path::new(ROOT).join(&there);
            let known = anchor.is_empty()
                || fs::read_to_string(&found).is_ok_and(|text| anchors(&text).contains(anchor));
            if !found.exists() || !known {
                wrong.push(format!("{name}: {link}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{wrong:#?}");
    ensure!(followed > 50, "only {followed} links were found");
    let summary = &pages["docs/SUMMARY.md"];
    let missing: Vec<_> = pages
        .keys()
        .filter_map(|name| name.strip_prefix("docs/"))
        .filter(|name| *name != "SUMMARY.md" && !summary.contains(&format!("]({name})")))
        .collect();
    ensure!(missing.is_empty(), "docs/SUMMARY.md does not have {missing:?}");
    Ok(())
}

/// Every line of code, in blocks and in prose.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
    let spans = text.split("```").step_by(2).flat_map(|prose| prose.split('`').skip(1).step_by(2));
    blocks
        .chain(spans)
        .map(|line| line.trim().trim_start_matches("$ ").split(" #").next().unwrap_or_default())
}

/// A command and its output, as the README shows them.
fn shown(readme: &str) -> Vec<(Vec<&str>, &str)> {
    let blocks = readme.split("```console\n").skip(1).filter_map(|block| block.split("```").next());
    let commands = blocks.flat_map(|block| block.split("$ ovn-extaddr ").skip(1));
    let commands = commands.filter_map(|command| command.split_once('\n'));
    commands.map(|(line, printed)| (line.split(' ').collect(), printed)).collect()
}

/// The README's network, as commands of OVN's tool.
const NETWORK: [&str; 5] = [
    "lr-add R -- lrp-add R R-ext 02:00:00:00:00:01 203.0.113.2/24 -- lrp-set-gateway-chassis R-ext c1",
    "lrp-add R R-int 02:00:00:00:00:02 10.57.0.1/24 -- ls-add S -- lsp-add S S-R -- lsp-set-type S-R router",
    "lsp-set-options S-R router-port=R-int -- lsp-add S p1 -- lsp-set-addresses p1 02:00:00:00:00:11\\ 10.57.0.11",
    "lsp-add S p2 -- lsp-set-addresses p2 02:00:00:00:00:12\\ 10.57.0.12 -- lr-nat-add R snat 203.0.113.2 10.57.0.0/24",
    "lb-add fw 203.0.113.10:80 10.57.0.11:80 -- lr-lb-add R fw",
];

#[test]
fn commands_of_the_readme_print_what_it_shows() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    for line in NETWORK {
        let mut command = Command::new("ovn-nbctl");
        let words = line.replace("\\ ", "\u{a0}");
        command.arg(format!("--db={}", server.remote()));
        command.args(words.split(' ').map(|word| word.replace('\u{a0}', " ")));
        Output::capture(command)?.success()?;
    }
    let cli = Cli::new(server.remote())?;
    let readme = read("README.md")?;
    let (mut agent, mut tried) = (None, Vec::new());
    for (arguments, expected) in shown(&readme) {
        match arguments[0] {
            "run" => agent = Some(Agent::start(server.remote())?),
            "explain" => drop(cli.run(&["set", "p2", "--ipv4", "203.0.113.9"])?.success()?),
            // As the README says: once no agent runs.
            "cleanup" => drop(agent.take().context("an agent runs")?.stop()?),
            _ => {}
        }
        if arguments[0] != "run" {
            let output = cli.run(&arguments)?;
            ensure!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
            ensure!(expected.is_empty() || output.stdout == expected, "{arguments:?}: {}", output.stdout);
        }
        if arguments[0] == "set" {
            wait_until_settled(&cli)?;
        }
        tried.push(arguments[0]);
    }
    ensure!(
        tried == ["forwards", "run", "set", "list", "explain", "plan", "unset", "cleanup", "doctor"],
        "{tried:?}"
    );
    Ok(())
}

#[test]
fn documented_screens_match_the_program() -> Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("scripts/screens");
    command.current_dir(ROOT).arg("--binary").arg(Agent::built()?).arg("--output").arg(file.path());
    Output::capture(command)?.success()?;
    ensure!(fs::read_to_string(file.path())? == read("docs/screens.md")?, "run scripts/screens");
    Ok(())
}

/// The commands in the documentation are valid for the program.
#[test]
fn documented_commands_are_valid() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    let mut tried = 0;
    for text in &texts()? {
        for line in code(text) {
            let Some(arguments) = line.strip_prefix("ovn-extaddr ") else { continue };
            let arguments: Vec<_> =
                arguments.split_whitespace().filter(|word| !word.starts_with('[')).collect();
            // One does not end, the others are placeholders.
            let stands_for = |word: &&str| word.contains('|') || word.contains('…') || *word == "COMMAND";
            if ["run"].contains(&arguments[0])
                || arguments.iter().any(stands_for)
                || arguments.contains(&"--watch")
            {
                continue;
            }
            let output = cli.run(&arguments)?;
            ensure!(output.code() != Some(2), "{line}: {output:?}");
            tried += 1;
        }
    }
    ensure!(tried > 20, "only {tried} commands were found");
    Ok(())
}

#[test]
fn documented_control_commands_are_valid() -> Result<()> {
    let fixture = Fixture::start()?;
    let known = fixture.agent.appctl(&["list-commands"])?;
    let known: Vec<_> = known.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let operate = read("docs/operate.md")?;
    for command in &known {
        ensure!(operate.contains(&format!("`{command}")), "{command} is not in docs/operate.md");
    }
    let mut tried = 0;
    for text in &texts()? {
        for line in code(text) {
            let Some((_, command)) = line.split_once("ovn-appctl -t ovn-extaddr ") else { continue };
            let arguments: Vec<_> = command.split_whitespace().collect();
            // In prose this one is named without a level.
            if ![["COMMAND"], ["vlog/set"]].iter().any(|alone| arguments == alone) {
                ensure!(known.contains(&arguments[0]), "{line}");
                fixture.agent.appctl(&arguments).with_context(|| line.to_owned())?;
                tried += 1;
            }
        }
    }
    ensure!(tried > 2, "only {tried} commands were found");
    Ok(())
}

/// The order that docs/configuration.md describes.
#[test]
fn options_precede_the_environment_and_the_environment_precedes_files() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let cli = Cli::new(server.remote())?;
    cli.write_config(
        "db = \"unix:/of/the/file\"\nowner = \"of-the-file\"\nca-cert = \"/of/the/file.pem\"\n",
    )?;
    let doctor = |more: &[&str]| -> Result<String> { Ok(cli.run(&[&["doctor"], more].concat())?.stdout) };
    // The harness sets the database in the environment.
    let found = doctor(&[])?;
    ensure!(found.contains(&server.remote()) && !found.contains("/of/the/file "), "{found}");
    ensure!(found.contains("owner of-the-file") && found.contains("/of/the/file.pem"), "{found}");
    let more = ["--db=unix:/of/the/option", "--owner=of-the-option", "--ca-cert=/of/the/option.pem"];
    let found = doctor(&more)?;
    ensure!(found.contains("unix:/of/the/option") && !found.contains(&server.remote()), "{found}");
    ensure!(found.contains("/of/the/option.pem") && !found.contains("/of/the/file.pem"), "{found}");
    let found = doctor(&more[1..])?;
    ensure!(found.contains("owner of-the-option"), "{found}");
    let mut command = cli.command(&["list"]);
    command.env_remove("OVN_NB_DB");
    let output = Output::capture(command)?;
    ensure!(output.stderr.contains("unix:/of/the/file"), "{output:?}");

    let levels = |config: &str, variable: Option<&str>, arguments: &[&str]| -> Result<String> {
        let mut agent = Agent::builder(server.remote()).config(config).args(arguments);
        if let Some(level) = variable {
            agent = agent.env("OVN_EXTADDR_LOG", level);
        }
        let agent = agent.start()?;
        eventually(SOON, "the agent answers", || {
            Ok(agent.appctl(&["vlog/list"]).ok().and_then(|list| Some(list.lines().last()?.to_owned())))
        })
    };
    for (variable, arguments, expected) in [
        (None, &[][..], "info"),
        (Some("debug"), &[], "debug"),
        (Some("debug"), &["--log-level=trace"], "trace"),
    ] {
        let level = levels("log-level = \"info\"", variable, arguments)?;
        ensure!(level.ends_with(expected), "{level} with {variable:?} and {arguments:?}");
    }
    Ok(())
}
