//! The data-plane lab for interactive use; `scripts/lab` builds and calls it.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand};
use ovn_extaddr_tests::Protocol;
use ovn_extaddr_tests::lab::{
    self, Family, Found, Host, Lab, Proto, Way, built, cases, description, end, facts, found, sweep_leftovers,
};
use serde_json::Value;

/// A complete OVN in network namespaces of its own, with instances, an outside host and probes.
///
/// Needs root. Touches nothing outside its own namespaces and directories. `scripts/lab --ovn RELEASE COMMAND` takes the OVN
/// and Open vSwitch of a Debian release (bookworm, trixie, sid) instead of this machine's.
#[derive(Debug, Parser)]
#[command(name = "scripts/lab", bin_name = "scripts/lab", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Start a lab with instances c1 and c2 and a forward to c1, and leave it running
    Up(Shape),
    /// End a lab; or all that `up` has started, and remove what killed labs and tests left behind
    Down {
        /// As `list` shows it
        name: Option<String>,
    },
    /// Show the labs on this machine
    List,
    /// Send packets and show which address and port the far end sees
    ///
    /// `probe c1 wan` goes out, `probe wan 203.0.113.10:80 --at c1:8080` comes in through a forward, `probe c2
    /// 203.0.113.10:80 --at c1:8080` goes from instance to instance, and the same from c1 is a hairpin.
    Probe(Probe),
    /// Run a command in the namespace of a host or a chassis
    Exec {
        #[command(flatten)]
        which: Which,
        /// `wan`, `c1`, ... or `gateway-1`, `chassis-1`, ...
        host: String,
        #[arg(trailing_var_arg = true, required = true)]
        command: Vec<String>,
    },
    /// Print what lets ovn-nbctl, ovn-sbctl and ovn-extaddr talk to the lab: eval "$(scripts/lab env)"
    Env(Which),
    /// Measure what this OVN release does with rows like ours, and print it as a Markdown table
    Facts(Shape),
    /// Play cases of docs/field-cases.md, without the agent and with it, and print them as a Markdown table
    Cases,
    #[command(hide = true)]
    Keep(Shape),
    #[command(hide = true)]
    Reap { inventory: PathBuf },
}

#[derive(Clone, Debug, Args)]
struct Shape {
    /// How many chassis; the first is the gateway, the instances are on the last
    #[arg(long, default_value_t = 1)]
    chassis: usize,
    /// Start the agent, too
    #[arg(long)]
    agent: bool,
}

#[derive(Clone, Debug, Args)]
struct Which {
    /// The lab, if there are several
    #[arg(long)]
    lab: Option<String>,
}

#[derive(Debug, Args)]
struct Probe {
    #[command(flatten)]
    which: Which,
    /// `wan`, `c1` or `c2`
    from: String,
    /// A host, or ADDRESS:PORT of a forward
    to: String,
    /// Where a forward leads to: HOST:PORT
    #[arg(long, default_value = "c1:8080")]
    at: String,
    /// tcp, udp or icmp; all of them unless given
    #[arg(long, value_parser = parse_proto)]
    proto: Option<Proto>,
    /// The source port, or the identifier of an ICMP echo request
    #[arg(long)]
    source_port: Option<u16>,
    /// Keep that many TCP connections talking instead, and report on them every second until Ctrl-C
    #[arg(long, value_name = "N")]
    hold: Option<usize>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scripts/lab: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Up(shape) => up(&shape),
        Task::Down { name } => down(name.as_deref()),
        Task::List => list(),
        Task::Probe(probe) => run_probe(&probe),
        Task::Exec { which, host, command } => exec(&which, &host, &command),
        Task::Env(which) => env(&which),
        Task::Facts(shape) => measure(&shape),
        Task::Cases => play_cases(),
        Task::Keep(shape) => keep(&shape),
        Task::Reap { inventory } => lab::reap(&inventory),
    }
}

// === up and down ===

/// Starts a process that keeps the lab, and waits until it reports that everything is up.
fn up(shape: &Shape) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("keep").args(["--chassis", &shape.chassis.to_string()]);
    if shape.agent {
        command.arg("--agent");
    }
    // Ctrl-C here ends this process only; the other one then cannot report its result, and ends, too.
    let mut keeper = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().context("no pipe")?).read_line(&mut line)?;
    let Some(words) = line.trim().strip_prefix("up ") else {
        let mut said = String::new();
        std::io::Read::read_to_string(&mut keeper.stderr.take().context("no pipe")?, &mut said)?;
        bail!("the lab does not come up\n{}", said.trim_end());
    };
    let (name, _) = words.split_once(' ').context("a name and a directory")?;
    let lab = select(Some(name))?;
    tour(&lab, &description(&lab)?, shape);
    Ok(())
}

/// Keeps a lab until it is killed.
fn keep(shape: &Shape) -> Result<()> {
    let (lab, c1, _) = start(shape)?;
    for (family, listen) in [(Family::V4, "203.0.113.10:80"), (Family::V6, "[2001:db8::10]:80")] {
        let pair = (listen.parse()?, SocketAddr::new(c1.address(family)?, 8080));
        lab.net().add_forwards(Protocol::Tcp, &[pair])?;
        lab.net().add_forwards(Protocol::Udp, &[pair])?;
    }
    let _agent = shape
        .agent
        .then(|| -> Result<_> {
            let binary = built("ovn-extaddr")?;
            lab.agent_with(|builder| builder.binary(binary))
        })
        .transpose()?;
    lab.sync()?;
    let mut out = std::io::stdout();
    writeln!(out, "up {} {}", lab.name(), lab.dir().display())?;
    out.flush()?;
    loop {
        std::thread::park();
    }
}

fn start(shape: &Shape) -> Result<(Lab, Host, Host)> {
    ensure!(shape.chassis > 0, "a lab has at least one chassis");
    let mut lab = Lab::builder().chassis(shape.chassis).start()?;
    let last = shape.chassis - 1;
    let (c1, c2) = (lab.instance("c1", last)?, lab.instance("c2", last)?);
    Ok((lab, c1, c2))
}

fn tour(lab: &Found, description: &Value, shape: &Shape) {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    println!(
        "{} is up: OVN with {} chassis, network {}",
        lab.name,
        shape.chassis,
        text(&description["router"])
    );
    for host in description["hosts"].as_array().into_iter().flatten() {
        println!("  {:<4} {:<14} {}", text(&host["name"]), text(&host["ipv4"]), text(&host["ipv6"]));
    }
    let port = Host::described(description, "c1").and_then(|host| host.port().map(str::to_owned));
    println!(
        "\n\
         203.0.113.10:80 and [2001:db8::10]:80 are forwarded to c1:8080. A short tour:\n\
         \n\
         \x20 scripts/lab probe c1 wan                            who the outside sees when c1 calls\n\
         \x20 scripts/lab probe wan 203.0.113.10:80 --at c1:8080  who c1 sees when the outside calls\n\
         \x20 scripts/lab probe c2 203.0.113.10:80 --at c1:8080   and when another instance does\n\
         \x20 eval \"$(scripts/lab env)\"                           ovn-nbctl, ovn-sbctl and ovn-extaddr mean this lab\n\
         {}\
         \x20 ovn-extaddr set {} --ipv4 203.0.113.10\n\
         \x20 scripts/lab probe c1 wan --hold 200                 connections held open while you change things\n\
         \x20 scripts/lab exec c1 sh                              a shell in c1\n\
         \x20 scripts/lab down                                    all gone\n\
         \n\
         Logs of the chassis:",
        if shape.agent {
            ""
        } else {
            "  ovn-extaddr run &                                   the agent (or: up --agent)\n"
        },
        port.as_deref().unwrap_or("PORT"),
    );
    for chassis in description["chassis"].as_array().into_iter().flatten() {
        println!("  {:<10} {}", text(&chassis["name"]), text(&chassis["dir"]));
    }
}

fn down(name: Option<&str>) -> Result<()> {
    let mut ended = 0;
    for lab in found().into_iter().filter(|lab| lab.alive && name.is_none_or(|name| name == lab.name)) {
        // Running tests have labs, too; these are left alone.
        if is_keeper(&lab) {
            end(&lab)?;
            println!("{} is down", lab.name);
            ended += 1;
        } else if name.is_some() {
            bail!("{} belongs to process {}, which is not `scripts/lab up`", lab.name, lab.owner);
        }
    }
    for name in sweep_leftovers(name) {
        println!("{name}: removed what was left of it");
        ended += 1;
    }
    match name {
        Some(name) if ended == 0 => bail!("no lab {name}"),
        _ if ended == 0 => println!("no lab is up"),
        _ => {}
    }
    Ok(())
}

fn list() -> Result<()> {
    for lab in found() {
        let state = match (lab.alive, is_keeper(&lab)) {
            (false, _) => "left behind by a dead process",
            (true, true) => "up",
            (true, false) => "of a test",
        };
        println!("{}  {state}  process {}  {}", lab.name, lab.owner, lab.dir.display());
    }
    Ok(())
}

fn is_keeper(lab: &Found) -> bool {
    let line = std::fs::read_to_string(format!("/proc/{}/cmdline", lab.owner)).unwrap_or_default();
    let mut words = line.split('\0');
    words.next().is_some_and(|program| program.ends_with("ovn-extaddr-lab")) && words.next() == Some("keep")
}

// === looking at packets ===

fn run_probe(probe: &Probe) -> Result<()> {
    let lab = description(&select(probe.which.lab.as_deref())?)?;
    let from = Host::described(&lab, &probe.from)?;
    let mut failed = false;
    if let Ok(forward) = probe.to.parse::<SocketAddr>() {
        let (at, port) = probe.at.rsplit_once(':').context("--at takes HOST:PORT")?;
        let at = Host::described(&lab, at)?;
        failed |= report(&Way::forwarded(&from, forward, &at, port.parse()?)?, probe)?;
    } else {
        let at = Host::described(&lab, &probe.to)?;
        for family in from.families() {
            failed |= report(&Way::direct(&from, &at, family)?, probe)?;
        }
    }
    ensure!(!failed, "not everything was answered");
    Ok(())
}

/// Prints the outcome, and returns whether something was unanswered.
fn report(way: &Way<'_>, probe: &Probe) -> Result<bool> {
    if let Some(count) = probe.hold {
        let held = way.hold(count)?;
        for _ in 0_u64.. {
            let counts = held.check();
            let sources: Vec<String> =
                counts.sources.iter().map(|(source, count)| format!("{count} as {source}")).collect();
            println!("{way}: {counts}; {}", sources.join(", "));
            if counts.alive == 0 {
                return Ok(true);
            }
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let mut failed = false;
    for proto in Proto::ALL.into_iter().filter(|&proto| probe.proto.is_none_or(|only| only == proto)) {
        let outcome = way.probe(proto, probe.source_port)?;
        println!("{proto:<4} {way}: {outcome}");
        failed |= !outcome.answered;
    }
    Ok(failed)
}

fn measure(shape: &Shape) -> Result<()> {
    let (mut lab, c1, c2) = start(shape)?;
    let (northd, vswitchd) = (lab.ovn().northd_appctl(&["version"])?, lab.chassis()[0].appctl(&["version"])?);
    let version = |text: &str| text.lines().next().unwrap_or_default().replace(" (Open vSwitch)", "");
    println!("{}, {}; chassis: {}\n", version(&northd), version(&vswitchd), shape.chassis);
    let facts = facts::measure(&lab, &c1, &c2)?;
    print!("{}", facts::table(&facts));
    ensure!(facts.iter().all(|fact| fact.wrong.is_empty()), "not everything is as expected");
    Ok(())
}

fn play_cases() -> Result<()> {
    let played = cases::play()?;
    print!("{}", cases::table(&played));
    ensure!(played.iter().all(|case| case.wrong.is_empty()), "not everything is as expected");
    Ok(())
}

// === the rest ===

fn exec(which: &Which, host: &str, command: &[String]) -> Result<()> {
    let lab = description(&select(which.lab.as_deref())?)?;
    let all = [&lab["hosts"], &lab["chassis"]];
    let mut all = all.into_iter().filter_map(Value::as_array).flatten();
    let found =
        all.find(|entry| entry["name"] == host).with_context(|| format!("no host or chassis {host}"))?;
    let namespace = found["netns"].as_str().context("a host without a namespace")?;
    let mut ip = Command::new("ip");
    ip.args(["netns", "exec", namespace]).args(command);
    // A chassis' own ovs-vsctl and ovs-appctl.
    if let Some(dir) = found["dir"].as_str() {
        for name in ["OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR", "OVN_DBDIR"] {
            ip.env(name, dir);
        }
    }
    Err(ip.exec()).context("cannot start ip")
}

fn env(which: &Which) -> Result<()> {
    let found = select(which.lab.as_deref())?;
    let lab = description(&found)?;
    let bin = built("ovn-extaddr")?;
    for name in ["RUNDIR", "LOGDIR", "DBDIR"] {
        println!("export OVN_{name}={0} OVS_{name}={0}", found.dir.display());
    }
    println!(
        "export OVN_NB_DB={} OVN_SB_DB={}",
        lab["nb"].as_str().unwrap_or_default(),
        lab["sb"].as_str().unwrap_or_default()
    );
    println!("export PATH={}:$PATH", bin.parent().context("a program without a directory")?.display());
    Ok(())
}

fn select(name: Option<&str>) -> Result<Found> {
    let mut labs = found();
    labs.retain(|lab| lab.alive && name.map_or_else(|| is_keeper(lab), |name| lab.name == name));
    match (labs.pop(), labs.is_empty()) {
        (Some(lab), true) => Ok(lab),
        (Some(_), false) => bail!("several labs are up: choose one with --lab (scripts/lab list)"),
        (None, _) => bail!("no lab is up: scripts/lab up"),
    }
}

fn parse_proto(text: &str) -> Result<Proto, String> {
    Proto::ALL
        .into_iter()
        .find(|proto| proto.to_string() == text)
        .ok_or_else(|| "tcp, udp or icmp".to_owned())
}
