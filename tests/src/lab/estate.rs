//! The resources of a lab outside its own process, and their removal when the lab ends in any way.
//!
//! Namespaces and directories are written into an inventory before they are used. A small process, the reaper, holds
//! the other end of a pipe; when the lab's process closes it, intentionally or by dying, the reaper kills what still
//! runs, deletes the namespaces and removes the directories. It is in its own process group, so that Ctrl-C does not
//! reach it. If the reaper is killed too, [`sweep_leftovers`] finds the inventory by its name and does the same.

use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::namespace::{DIRECTORY, Namespace};
use crate::command::run;
use crate::dir::Dir;
use crate::process::Daemon;

/// The prefix of the names of namespaces; the owner's process id and a number follow.
const PREFIX: &str = "oxalab-";
/// The prefix of the name of a lab's directory, where the inventory is.
const DIR_PREFIX: &str = "oxa-lab-";
const INVENTORY: &str = "inventory";
/// The only programs a lab leaves running: nothing else is ever killed for the directory in its environment.
const PROGRAMS: [&str; 5] = ["ovsdb-server", "ovn-northd", "ovs-vswitchd", "ovn-controller", "ovn-extaddr"];

/// Everything of one lab that would outlive its process.
#[derive(Debug)]
pub(super) struct Estate {
    name: String,
    // Open all the time, as in the reaper: it stays usable even when the directory for temporary files is cleaned up.
    inventory: File,
    reaper: Child,
    dir: Dir,
}

/// A lab on this machine, of any process, from its inventory.
#[derive(Clone, Debug)]
pub struct Found {
    /// As in the names of its namespaces.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// The process it belongs to.
    pub owner: i32,
    /// Whether that process still runs.
    pub alive: bool,
}

impl Estate {
    /// Makes an empty estate and starts its reaper.
    pub(super) fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        ensure!(geteuid().is_root(), "the data-plane lab makes network namespaces and needs root");
        let (pid, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = Dir::new(&format!("lab-{pid}-{number}"))?;
        let path = dir.path().join(INVENTORY);
        let started = start_time(pid.cast_signed()).context("cannot tell when this process started")?;
        let mut inventory = File::options().create_new(true).read(true).append(true).open(&path)?;
        writeln!(inventory, "owner {pid} {started}")?;
        let program = built("ovn-extaddr-lab")?;
        let mut reaper = Command::new(&program)
            .arg("reap")
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        // It sends a byte once it has the inventory open.
        let mut ready = [0; 1];
        reaper
            .stdout
            .take()
            .context("no pipe")?
            .read_exact(&mut ready)
            .context("the reaper does not start")?;
        Ok(Self { name: format!("{PREFIX}{pid}-{number}"), inventory, reaper, dir })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Makes a namespace.
    pub(super) fn namespace(&self, what: &str) -> Result<Namespace> {
        let name = format!("{}-{what}", self.name);
        self.note("netns", &name)?;
        Namespace::create(&name)
    }

    /// Makes a directory.
    pub(super) fn directory(&self, what: &str) -> Result<Dir> {
        let dir = Dir::new(what)?;
        self.adopt(dir.path())?;
        Ok(dir)
    }

    /// Takes charge of a directory and of the daemons that have it as `OVS_RUNDIR`.
    pub(super) fn adopt(&self, dir: &Path) -> Result<()> {
        self.note("dir", &dir.display().to_string())
    }

    /// Takes charge of the directory a daemon logs to.
    pub(super) fn adopt_daemon(&self, daemon: &Daemon) -> Result<()> {
        self.adopt(daemon.log_path().parent().context("a log without a directory")?)
    }

    fn note(&self, kind: &str, what: &str) -> Result<()> {
        // One write: a line is written completely or not at all.
        (&self.inventory)
            .write_all(format!("{kind} {what}\n").as_bytes())
            .context("cannot write the lab's inventory")
    }
}

impl Drop for Estate {
    fn drop(&mut self) {
        drop(self.reaper.stdin.take());
        if !self.reaper.wait().is_ok_and(|status| status.success()) {
            sweep(self.dir.path(), &text(&mut self.inventory));
        }
    }
}

/// The reaper: waits for the end of standard input, then removes everything in the inventory.
pub fn reap(inventory: &Path) -> Result<()> {
    let lab = inventory.parent().context("an inventory without a directory")?;
    let mut file = File::open(inventory)?;
    println!();
    // Nothing is ever written to it; an error is an end, too.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    sweep(lab, &text(&mut file));
    Ok(())
}

/// All labs on this machine.
pub fn found() -> Vec<Found> {
    let entries = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    let mut found: Vec<Found> = entries.filter_map(|entry| describe(&entry.path())).collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Removes the leftovers of labs of dead processes, of all or one, and returns their names.
pub fn sweep_leftovers(only: Option<&str>) -> Vec<String> {
    let mut swept = Vec::new();
    for lab in found().into_iter().filter(|lab| !lab.alive && only.is_none_or(|only| only == lab.name)) {
        sweep_by_path(&lab.dir);
        // A directory that is to be kept is not a leftover any more.
        if !keep() {
            swept.push(lab.name);
        }
    }
    // Namespaces whose directory somebody has removed.
    for entry in fs::read_dir(DIRECTORY).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if only.is_some_and(|only| !name.starts_with(&format!("{only}-"))) {
            continue;
        }
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if owner.and_then(|pid| pid.parse().ok()).is_some_and(|pid: i32| start_time(pid).is_none()) {
            delete_namespace(&name);
            swept.push(name);
        }
    }
    swept
}

/// Ends a lab of another process, by killing that process, and waits until nothing is left of it.
pub fn end(lab: &Found) -> Result<()> {
    // Checked again, so that no other process with this number is killed.
    if describe(&lab.dir).is_some_and(|now| now.alive)
        && let Some(pid) = Pid::from_raw(lab.owner)
    {
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot end process {}", lab.owner))?;
    }
    for _ in 0..500 {
        let alive = describe(&lab.dir).is_some_and(|now| now.alive);
        if !alive && (!lab.dir.exists() || keep()) {
            return Ok(());
        }
        sleep(Duration::from_millis(20));
    }
    sweep_by_path(&lab.dir);
    ensure!(!lab.dir.exists() || keep(), "{} does not end", lab.name);
    Ok(())
}

/// A program that was built together with this one: next to it, or, for a test, one directory up.
pub fn built(program: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().context("cannot tell where this program is")?;
    let found = here.ancestors().skip(1).take(2).map(|dir| dir.join(program)).find(|path| path.exists());
    found.with_context(|| format!("{program} is not built: run cargo build --workspace --bins first"))
}

// === inside ===

fn keep() -> bool {
    std::env::var_os("OVN_EXTADDR_TESTS_KEEP").is_some()
}

fn describe(dir: &Path) -> Option<Found> {
    let rest = dir.file_name()?.to_str()?.strip_prefix(DIR_PREFIX)?;
    let mut words = rest.split('-');
    let (pid, number) = (words.next()?, words.next()?);
    let inventory = fs::read_to_string(dir.join(INVENTORY)).ok()?;
    let owner: i32 = pid.parse().ok()?;
    let started = inventory.lines().next()?.split(' ').nth(2)?;
    let alive = start_time(owner).is_some_and(|now| now == started);
    Some(Found { name: format!("{PREFIX}{pid}-{number}"), dir: dir.to_owned(), owner, alive })
}

/// The start time of a process, which distinguishes it from a later one with the same number; `None` if there is none.
fn start_time(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name, in parentheses, may hold anything. proc(5): (3) state ... (22) starttime.
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    // A zombie has no resources any more.
    if rest.next()? == "Z" { None } else { rest.nth(18).map(str::to_owned) }
}

fn sweep_by_path(lab: &Path) {
    sweep(lab, &fs::read_to_string(lab.join(INVENTORY)).unwrap_or_default());
}

/// The whole inventory.
fn text(inventory: &mut File) -> String {
    let mut text = String::new();
    // As much as can be read is better than nothing.
    let _ = inventory.rewind();
    let _ = inventory.read_to_string(&mut text);
    text
}

/// Kills, deletes and removes what the inventory names. Missing items are ignored.
fn sweep(lab: &Path, inventory: &str) {
    let of = |kind: &str| -> Vec<&str> {
        inventory
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(k, _)| *k == kind)
            .map(|(_, w)| w)
            .collect()
    };
    let dirs = of("dir");
    for _ in 0..50 {
        let running = daemons_of(&dirs);
        if running.is_empty() {
            break;
        }
        running.into_iter().for_each(kill);
        sleep(Duration::from_millis(10));
    }
    of("netns").into_iter().for_each(delete_namespace);
    if !keep() {
        for dir in dirs.into_iter().map(Path::new).chain([lab]) {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

fn daemons_of(dirs: &[&str]) -> Vec<i32> {
    let variables: Vec<String> = dirs.iter().map(|dir| format!("OVS_RUNDIR={dir}")).collect();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let of_these = |pid: &i32| {
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        PROGRAMS.contains(&name.trim())
            && environment
                .split(|&byte| byte == 0)
                .any(|entry| variables.iter().any(|variable| variable.as_bytes() == entry))
    };
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(of_these).collect()
}

fn delete_namespace(name: &str) {
    let ip = |arguments: &[&str]| {
        let mut command = Command::new("ip");
        command.args(arguments);
        run(command)
    };
    if !Path::new(DIRECTORY).join(name).exists() {
        return;
    }
    for pid in ip(&["netns", "pids", name]).unwrap_or_default().split_whitespace() {
        pid.parse().into_iter().filter(|&pid: &i32| pid.cast_unsigned() != std::process::id()).for_each(kill);
    }
    let _ = ip(&["netns", "delete", name]);
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL);
    }
}
