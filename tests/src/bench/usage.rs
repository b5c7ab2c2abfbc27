use std::fs;
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often the memory of a process that may end at any time is read.
const INTERVAL: Duration = Duration::from_millis(2);

/// Clock ticks of `/proc/PID/stat` in a second: the same on all Linux architectures that OVN runs on.
const TICKS: u64 = 100;

/// The resources that a process has used since its start.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// Time on a CPU, in the kernel or not.
    pub(super) cpu: Duration,
    /// The peak of its memory, in bytes.
    pub(super) peak: u64,
    /// Its present memory.
    pub(super) resident: u64,
}

impl Usage {
    /// Reads the resources of a running process.
    pub(super) fn read(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .with_context(|| format!("process {pid} is gone"))?;
        let kilobytes = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            line.trim_start_matches(':').trim().strip_suffix(" kB")?.parse::<u64>().ok()
        };
        let memory = kilobytes("VmHWM").zip(kilobytes("VmRSS"));
        let (peak, resident) = memory.with_context(|| format!("process {pid} has ended"))?;
        Ok(Self { cpu: cpu(pid)?, peak: peak << 10, resident: resident << 10 })
    }

    /// Waits for a process to end, and returns how long it took and what it used.
    pub(super) fn until_end(mut child: Child, start: Instant) -> Result<(Duration, Self)> {
        let pid = child.id();
        let id = i32::try_from(pid).ok().and_then(Pid::from_raw).context("a process id that is none")?;
        let mut usage = Self::default();
        // The process stays as a zombie for reading its CPU time; its memory is then gone.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while waitid(WaitId::Pid(id), look)?.is_none() {
            if let Ok(now) = Self::read(pid) {
                usage = Self { peak: usage.peak.max(now.peak), ..now };
            }
            sleep(INTERVAL);
        }
        let wall = start.elapsed();
        usage.cpu = cpu(pid)?;
        let status = child.wait()?;
        ensure!(status.success(), "it failed: {status}");
        Ok((wall, usage))
    }
}

/// The CPU time of a process. The scheduler counts nanoseconds, but only of live threads; the process's own count
/// includes all threads, but in ticks. Neither is ever too high.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in parentheses, may contain anything.
    let fields = stat.rsplit_once(')').context("no name in stat")?.1;
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<u64>().ok()).sum();
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread that ends meanwhile is in the other count.
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanoseconds).max(Duration::from_millis(ticks * 1000 / TICKS)))
}
