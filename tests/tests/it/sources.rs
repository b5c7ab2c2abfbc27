//! Incus and LXD as sources of intents: a scripted server of their API beside a real database.

mod api_changes;
mod api_faults;
mod remote;

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Addressing, Agent, CmsApi, Instance, Net, OvsdbServer, PROMPT, cms_instance, eventually,
};
use serde_json::Value;

use crate::fixture::{Fixture, OWNER, SOON, ip, owned, row, wait_for_rows};

/// The forward addresses of a stage, both to its first instance.
const ONE: &str = "203.0.113.101";
const TWO: &str = "203.0.113.102";

/// A network with an instance and two forwards to it, a CMS that has the instance, and an agent that reads from it.
struct Stage {
    fixture: Fixture,
    api: CmsApi,
    net: Net,
    instance: Instance,
    dir: tempfile::TempDir,
}

impl Stage {
    /// The CMS does not report the instance yet.
    fn new() -> Result<Self> {
        Self::with(|_| Ok(()))
    }

    /// The CMS has been prepared when the agent starts.
    fn with(prepare: impl FnOnce(&CmsApi) -> Result<()>) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("unix.socket");
        let api = CmsApi::start(&socket)?;
        let server = OvsdbServer::northbound()?;
        let mut net = Net::builder(1).ipv4_only().create(&server)?;
        let instance = net.add_instance(Addressing::Static)?;
        for address in [ONE, TWO] {
            net.add_forward(ip(address), 443, instance.v4()?, 443)?;
        }
        prepare(&api)?;
        let config = config(&socket);
        let cli = ovn_extaddr_tests::Cli::new(server.remote())?;
        cli.write_config(&config)?;
        let agent = Agent::builder(server.remote()).config(&config).start()?;
        Ok(Self { fixture: Fixture { agent, cli, server }, api, net, instance, dir })
    }

    /// Where the CMS listens.
    fn socket(&self) -> PathBuf {
        self.dir.path().join("unix.socket")
    }

    /// The instance's UUID.
    fn uuid(&self) -> Result<String> {
        uuid_of(&self.instance.port)
    }

    /// The instance as the CMS has it, with an address for `eth0` by a key of the instance.
    fn asking(&self, address: &str) -> Result<Value> {
        Ok(cms_instance(
            "web1",
            &self.uuid()?,
            &[("user.eth0.ipv4.address.external", address)],
            &[("eth0", &[])],
        ))
    }

    /// Waits until the instance leaves with this address and the agent has no other row.
    fn leaves_as(&self, address: &str) -> Result<()> {
        let expected = row(&self.net, &self.instance, address, self.instance.v4()?);
        wait_for_rows(&self.fixture.server, OWNER, [expected])
    }

    /// Whether the instance leaves with this address now.
    fn leaves_now_as(&self, address: &str) -> Result<bool> {
        let expected = row(&self.net, &self.instance, address, self.instance.v4()?);
        Ok(owned(&self.fixture.server, OWNER)?.into_iter().eq([expected]))
    }

    /// The only line of `status` about a source.
    fn source_line(&self) -> Result<String> {
        let status = self.fixture.agent.appctl(&["status"])?;
        let line = status.lines().find_map(|line| line.strip_prefix("source: "));
        Ok(line.with_context(|| status.clone())?.to_owned())
    }
}

/// Waits until `status` reports this for the source.
fn wait_for_source(stage: &Stage, part: &str) -> Result<()> {
    eventually(SOON, &format!("the source is {part}"), || {
        let line = stage.source_line()?;
        ensure!(line.contains(part), "it is {line}");
        Ok(true)
    })
}

fn config(socket: &std::path::Path) -> String {
    format!("{PROMPT}[[cms]]\nkind = \"incus\"\nurl = \"unix:{}\"\n", PathBuf::from(socket).display())
}

/// The UUID in the name of an instance's port.
fn uuid_of(port: &str) -> Result<String> {
    let (_, rest) = port.split_once("-instance-").context("a port of an instance")?;
    Ok(rest[..36].to_owned())
}
