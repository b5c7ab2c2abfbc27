use std::ffi::OsStr;
use std::process::Command;

/// The process whose file system has the servers to test against, if it is not our own: see `scripts/containers`.
const VARIABLE: &str = "OVN_EXTADDR_TESTS_CONTAINER";

/// Another root file system, of a running container that shares the directory for temporary files with us.
pub(crate) struct Container {
    pid: String,
}

impl Container {
    /// The one that the environment names.
    pub(crate) fn given() -> Option<Self> {
        std::env::var(VARIABLE).ok().map(|pid| Self { pid })
    }

    /// Whether a program is one of the container's: those of OVN and Open vSwitch. Programs for certificates do not
    /// depend on the release.
    pub(crate) fn has(program: &OsStr) -> bool {
        let name = program.to_str().unwrap_or_default();
        name != "ovs-pki" && ["ovsdb-", "ovs-", "ovn-"].iter().any(|prefix| name.starts_with(prefix))
    }

    /// The command, to be run there. It is nevertheless our own process, to be signalled and waited for, since nsenter
    /// becomes the program.
    pub(crate) fn command(&self, program: &OsStr) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--target={}", self.pid)).args(["--mount", "--"]).arg(program);
        command
    }
}
