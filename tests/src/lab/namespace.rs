use std::fs::File;
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::command::run;

/// Where `ip netns` keeps its namespaces.
pub(super) const DIRECTORY: &str = "/run/netns";

/// The name of a network namespace of `ip netns`; it does not own the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace with its loopback up.
    pub(super) fn create(name: &str) -> Result<Self> {
        let mut command = Command::new("ip");
        command.args(["netns", "add", name]);
        run(command)?;
        let namespace = Self::named(name);
        namespace.shell("ip link set lo up")?;
        Ok(namespace)
    }

    /// An existing namespace.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its name, for `ip netns exec`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Calls `work` on a thread that is in this namespace.
    ///
    /// Everything it creates stays there: a socket, wherever it is used later, and a process with all its children.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let path = Path::new(DIRECTORY).join(&self.name);
        let file = File::open(&path).with_context(|| format!("no namespace {}", self.name))?;
        let inside = || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                .with_context(|| format!("cannot enter namespace {}", self.name))?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Runs a shell script in this namespace, up to its first failing command, and returns what it printed.
    pub fn shell(&self, script: &str) -> Result<String> {
        self.run(|| {
            let mut command = Command::new("sh");
            let path = std::env::var("PATH").unwrap_or_default();
            command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(["-ec", script]);
            run(command)
        })
        .with_context(|| format!("in namespace {}", self.name))
    }
}
