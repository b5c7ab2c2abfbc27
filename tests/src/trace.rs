use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::ovsdb_server::OvsdbServer;
use crate::rpc;

/// How long one packet may take; reading the database counts for the first.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The most packets that one daemon follows.
const PACKETS: usize = 4000;

/// How often one packet may pass connection tracking.
const ENCOUNTERS: usize = 16;

/// The output of ovn-trace when it has used up the given states.
const USED_UP: &str = "/* default (use --ct to customize) */";

/// An ovn-trace that follows packets of new connections through a copy of the Southbound database.
///
/// In the copy, ports of routers with `options:chassis` are like those of others: ovn-trace's handling of such routers
/// is out of date, so that it loses every packet for an address that one translates back (`execute_ct_nat` in
/// utilities/ovn-trace.c). The flows are the same for both.
#[derive(Debug)]
pub struct Tracer {
    control: PathBuf,
    left: usize,
    // The daemon goes first, when this is dropped.
    copy: OvsdbServer,
    dir: Dir,
}

impl Tracer {
    /// Starts one for the present content of the Southbound database.
    pub(crate) fn start(southbound: &OvsdbServer) -> Result<Self> {
        let dir = Dir::new("trace")?;
        let copy = OvsdbServer::with_file(southbound.database(), |file| {
            let mut command = isolated("ovsdb-client", dir.path());
            command.arg("backup").arg(southbound.remote()).arg(southbound.database());
            fs::write(file, run(command)?).context("cannot copy the Southbound database")
        })?;
        copy.transact(vec![json!({
            "op": "update", "table": "Port_Binding", "where": [["type", "==", "l3gateway"]], "row": {"type": "patch"},
        })])?;
        let tracer = Self { control: dir.path().join("trace.ctl"), left: PACKETS, copy, dir };
        tracer.launch()?;
        Ok(tracer)
    }

    /// Follows a packet, an expression as ovn-trace(8) has it, that comes in at a logical switch or router, and returns
    /// the detailed account.
    pub fn follow(&mut self, datapath: &str, packet: &str) -> Result<String> {
        if self.left == 0 {
            self.exit()?;
            self.launch()?;
            self.left = PACKETS;
        }
        self.left -= 1;
        let account = rpc::call(&self.control, "trace", &json!([datapath, packet]), TIMEOUT)
            .with_context(|| format!("ovn-trace {datapath} '{packet}'"))?;
        let account = account.as_str().context("ovn-trace answers with no text")?;
        let mut tracked = account.lines().filter(|line| line.starts_with("ct_"));
        ensure!(
            !tracked.any(|line| line.contains(USED_UP)),
            "more connection tracking than expected: {account}"
        );
        Ok(account.to_owned())
    }

    fn launch(&self) -> Result<()> {
        let mut command = isolated("ovn-trace", self.dir.path());
        command
            .args(["-vsyslog:off", "-vconsole:off", "--detach", "--pidfile"])
            .arg(format!("--unixctl={}", self.control.display()))
            .arg(format!("--db={}", self.copy.remote()));
        // A daemon uses each of them once, and then treats packets as those of established connections.
        command.args(std::iter::repeat_n("--ct=new", PACKETS * ENCOUNTERS));
        run(command).map(drop)
    }

    fn exit(&self) -> Result<()> {
        rpc::call(&self.control, "exit", &json!([]), TIMEOUT).map(drop)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        // It may be gone.
        let _ = self.exit();
    }
}
