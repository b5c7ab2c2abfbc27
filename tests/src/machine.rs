use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::command::Output;
use crate::dir::Dir;
use crate::process::Daemon;
use crate::wait::eventually;

const READY: Duration = Duration::from_secs(60);

/// The file system of another release, if it is not to be our own: see `scripts/containers`.
const ROOT: &str = "OVN_EXTADDR_TESTS_ROOT";

/// This system, booted once more by a real systemd: with its own processes, network, devices, journal and `/run`, and
/// with the files of this one below an overlay that is discarded. For tests of installations.
///
/// It needs root, overlayfs and cgroups; a missing one is an error, like every prerequisite.
#[derive(Debug)]
pub struct Machine {
    // Before `dir`: the processes end first, with everything mounted in their namespaces.
    systemd: Daemon,
    /// The process id of its first process, out here.
    init: u32,
    // After `systemd`: it is removed once nothing is in it.
    _cgroup: Cgroup,
    dir: Dir,
}

/// A separate control group, so that those which systemd creates are below it and are removed with it.
#[derive(Debug)]
struct Cgroup(PathBuf);

impl Machine {
    /// Boots, and waits until systemd has finished.
    pub fn boot() -> Result<Self> {
        ensure!(rustix::process::geteuid().is_root(), "a machine of its own takes root");
        let dir = Dir::new("machine")?;
        let script = dir.path().join("boot.sh");
        fs::write(&script, include_str!("machine.sh"))?;
        let place = dir.path().join("system");
        fs::create_dir(&place)?;
        let cgroup = Cgroup::new(dir.path())?;
        let mut command = Command::new("sh");
        // In the group first: its name space begins where the process is.
        command
            .args(["-c", "echo $$ >\"$1\"/cgroup.procs && shift && exec unshare \"$@\"", "sh"])
            .arg(&cgroup.0);
        command.args(["--fork", "--kill-child", "--pid", "--mount", "--cgroup", "--uts", "--ipc", "--net"]);
        let root = std::env::var_os(ROOT).unwrap_or_else(|| "/".into());
        command.args(["bash"]).arg(&script).arg(&place).arg(root);
        let mut systemd = Daemon::spawn(command, &dir.path().join("console.log"))?;
        let children = format!("/proc/{0}/task/{0}/children", systemd.pid());
        let mut init = None;
        systemd.wait_ready(READY, || {
            let text = fs::read_to_string(&children).unwrap_or_default();
            init = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
            let is_systemd = |pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm.trim() == "systemd")
            };
            init.is_some_and(|pid: u32| is_systemd(pid))
        })?;
        let machine =
            Self { systemd, init: init.context("there is no first process")?, _cgroup: cgroup, dir };
        eventually(READY, "systemd is done", || {
            let state = machine.run("systemctl", &["is-system-running"])?;
            let state = state.stdout.trim();
            ensure!(["running", "degraded"].contains(&state), "it is {state}");
            Ok(true)
        })
        .with_context(|| machine.systemd.log_tail(30))?;
        machine.run("ip", &["link", "set", "lo", "up"])?.success()?;
        Ok(machine)
    }

    /// Runs a program in the machine, to its end.
    ///
    /// An error means that it cannot be started; whether it succeeded is in the output.
    pub fn run(&self, program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<Output> {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.init.to_string());
        command.args(["--mount", "--pid", "--cgroup", "--uts", "--ipc", "--net", "--"]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C.UTF-8"]);
        command.args(["DEBIAN_FRONTEND=noninteractive", "SYSTEMD_PAGER="]);
        command.arg(program).args(arguments);
        Output::capture(command)
    }

    /// Runs a line of shell in the machine, and returns what it prints.
    pub fn sh(&self, line: &str) -> Result<String> {
        self.run("bash", &["-c", line])?.success().with_context(|| line.to_owned())
    }

    /// Where a path of the machine is out here.
    pub fn path(&self, inside: &str) -> PathBuf {
        Path::new(&format!("/proc/{}/root", self.init)).join(inside.trim_start_matches('/'))
    }

    /// The directory with systemd's log.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

impl Cgroup {
    fn new(dir: &Path) -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts
            .filter(|fields| fields.get(2) == Some(&"cgroup2"))
            .find_map(|fields| Some(fields.get(1)?.to_string()));
        let mount = mount.context("there is no cgroup2 file system")?;
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let ours =
            groups.lines().find_map(|line| line.strip_prefix("0::/")).context("we are in no cgroup")?;
        let name = dir.file_name().context("a directory has a name")?;
        let path = Path::new(&mount).join(ours).join(name);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The kernel lets go of the last process a moment after it was killed. Remaining groups are empty and harmless.
        let _ = eventually(Duration::from_secs(5), "the control group is empty", || {
            remove_groups(&self.0)?;
            Ok(true)
        });
    }
}

/// Removes a control group and those below it, which have no files that could be removed.
fn remove_groups(path: &Path) -> Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    Ok(fs::remove_dir(path)?)
}
