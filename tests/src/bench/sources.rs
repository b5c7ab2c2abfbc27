//! Intents from a CMS: the cost of a large one, and the time of one event.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use tempfile::tempdir;

use super::figure::{Figure, Series};
use super::ground::Ground;
use super::observer::Observer;
use super::subject::Subject;
use super::{Bench, MIB};
use crate::cms_api::{CmsApi, cms_instance};
use crate::generate::{Estate, Member};

/// The most instances of the CMS.
const MAX_INSTANCES: u32 = 10_000;

/// Instances that ask, in turns, at most.
const TURNS: usize = 100;

/// The pause between two events, as of an operator.
const PAUSE: Duration = Duration::from_millis(1);

/// The size of other data of an instance, such as its image and cloud-init configuration, in bytes.
const BALLAST: usize = 1500;

/// The profile that all instances use.
const PROFILE: &str = "default";

/// Compares an agent that reads all instances of a CMS, each with an intent, with one that reads none; and measures the
/// time from a change in the CMS to the row, and the cost of a change of a profile that all instances use.
pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let ground = Ground::open(Estate::of_ports(bench.ports))?;
    let count = (bench.ports / 10).clamp(1, MAX_INSTANCES).min(ground.estate.ports());
    let members: Vec<_> = (0..count)
        .map(|n| ground.estate.member(n % ground.estate.networks, n / ground.estate.networks))
        .collect();
    let dir = tempdir()?;
    let socket = dir.path().join("unix.socket");
    let api = CmsApi::start(&socket)?;
    let mut names = Vec::new();
    let listing: usize = members
        .iter()
        .map(|member| {
            let instance = instance(member, true);
            let length = instance.to_string().len();
            names.push(api.put_silently(instance).1);
            length
        })
        .sum();
    api.set_profile("default", PROFILE, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let none = "drain = 0\nhold-down = 0\n";
    let config = format!("{none}[[cms]]\nkind = \"incus\"\nurl = \"unix:{}\"\n", socket.display());

    bench.say(format_args!("an agent reads {count} instances, {:.0} MiB", listing as f64 / MIB));
    let started = |config: &str, text: &str, arguments: &[&str]| -> Result<Subject> {
        let subject = Subject::configured(&ground.remote(), config, arguments)?;
        subject.wait(text)?;
        sleep(bench.rest);
        Ok(subject)
    };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in bench.rounds() {
        let subject = started(&config, "reading a source", &["--dry-run"])?;
        with.push(subject.usage()?);
        subject.stop()?;
        let subject = started(none, "synchronised with the database", &["--dry-run"])?;
        without.push(subject.usage()?);
        subject.stop()?;
    }

    // From here on only the instances in turn have intents.
    members.iter().for_each(|member| drop(api.put_silently(instance(member, false))));
    let subject = started(&config, "active: this agent has the lock", &[])?;
    let mut observer = Observer::open(&ground.socket())?;
    let turns = &members[..members.len().min(TURNS).min(bench.samples)];
    let mut times = Vec::new();
    let before = subject.usage()?.cpu;
    for member in turns.iter().cycle().take(bench.samples) {
        sleep(PAUSE);
        let start = Instant::now();
        api.put(instance(member, true));
        times.push(observer.inserted(1)? - start);
        sleep(PAUSE);
        api.put(instance(member, false));
        observer.deleted(1)?;
    }
    let cpu = (subject.usage()?.cpu - before) / u32::try_from(2 * times.len())?;

    let tell = || api.tell_of("profile-updated", &format!("/1.0/profiles/{PROFILE}"));
    bench.say(format_args!("a profile of {count} instances changes"));
    let (mut unheeded, mut heeded, mut deciding, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in bench.rounds() {
        // Once without effect: the cost of detecting that.
        let before = subject.usage()?.cpu;
        tell();
        sleep(bench.rest);
        unheeded.push(subject.usage()?.cpu - before);
        // Then all have an intent by it, and then none.
        members.iter().for_each(|member| drop(api.put_silently(instance(member, true))));
        let before = subject.usage()?.cpu;
        let start = Instant::now();
        tell();
        heeded.push(observer.inserted(members.len())? - start);
        sleep(bench.rest);
        let now = subject.usage()?;
        deciding.push(now.cpu - before);
        held.push(now.resident);
        members.iter().for_each(|member| drop(api.put_silently(instance(member, false))));
        tell();
        observer.deleted(members.len())?;
        sleep(bench.rest);
    }
    subject.stop()?;

    let times = Series::times(times);
    let cpus = |usages: &[super::usage::Usage]| Series::times(usages.iter().map(|usage| usage.cpu));
    let peaks = |usages: &[super::usage::Usage]| Series::bytes(usages.iter().map(|usage| usage.peak));
    let resident = |usages: &[super::usage::Usage]| Series::bytes(usages.iter().map(|usage| usage.resident));
    let what = format!("{count} instances of a CMS, all asking");
    Ok(vec![
        Figure::new(format!("{what}: CPU from the start"), cpus(&with)).beside("no CMS", cpus(&without)),
        Figure::new(format!("{what}: peak memory"), peaks(&with)).beside("no CMS", peaks(&without)),
        Figure::new(format!("{what}: memory"), resident(&with)).beside("no CMS", resident(&without)),
        Figure::new("one change in the CMS to its row", times.clone()),
        Figure::new("one change in the CMS to its row, p99", times.only(0.99)),
        Figure::new("CPU for one change in the CMS", Series::times([cpu])),
        Figure::new(
            format!("CPU for a change of a profile that {count} use, which asks for nothing"),
            Series::times(unheeded),
        ),
        Figure::new(format!("a profile that {count} use asks: to all rows committed"), Series::times(heeded)),
        Figure::new("CPU for that", Series::times(deciding)),
        Figure::new("memory after it", Series::bytes(held)),
    ])
}

fn instance(member: &Member, is_asking: bool) -> Value {
    let uuid = member.name.split_once("-instance-").map_or("", |(_, rest)| rest.trim_end_matches("-eth0"));
    let wanted = if is_asking { member.external.to_string() } else { "none".to_owned() };
    let ballast = "#cloud-config\n".repeat(BALLAST / 14);
    let config = [("user.user-data", ballast.as_str()), ("user.eth0.ipv4.address.external", &wanted)];
    cms_instance(&format!("c{uuid}"), uuid, &config, &[("eth0", &[])])
}
