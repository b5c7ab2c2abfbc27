use std::path::Path;

use anyhow::Result;

use super::estate::Estate;
use super::namespace::Namespace;
use super::{TIMEOUT, link};
use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::ovsdb_server::{OvsdbServer, installed_schema};
use crate::process::Daemon;

/// A chassis: a namespace with an Open vSwitch and an ovn-controller.
#[derive(Debug)]
pub struct Chassis {
    // The processes end before what they use is removed.
    controller: Daemon,
    vswitchd: Daemon,
    configuration: OvsdbServer,
    dir: Dir,
    namespace: Namespace,
    name: String,
    ports: u32,
}

impl Chassis {
    /// Starts Open vSwitch with its bridges, and ovn-controller.
    pub(super) fn start(
        estate: &Estate,
        number: usize,
        name: &str,
        southbound: &str,
        gateway: bool,
    ) -> Result<Self> {
        let namespace = estate.namespace(&format!("ch{number}"))?;
        // The machine's own IPv6 must not interfere with that of the instances.
        namespace.shell("echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")?;
        let dir = estate.directory(&format!("ch{number}"))?;
        let configuration = OvsdbServer::with_schema(&installed_schema("vswitch.ovsschema")?)?;
        estate.adopt(configuration.dir())?;

        let address = format!("172.31.255.{}", number + 1);
        let mut command = isolated("ovs-vsctl", dir.path());
        command.args(["-vsyslog:off", "--no-wait", &format!("--db={}", configuration.remote()), "init"]);
        command.args(["--", "set", "open_vswitch", "."]);
        command.args([
            // Two threads instead of two per processor: there are many chassis.
            "other_config:n-handler-threads=1".to_owned(),
            "other_config:n-revalidator-threads=1".to_owned(),
            format!("external_ids:system-id={name}"),
            format!("external_ids:hostname={name}"),
            format!("external_ids:ovn-remote=\"{southbound}\""),
            "external_ids:ovn-encap-type=geneve".to_owned(),
            format!("external_ids:ovn-encap-ip={address}"),
            "external_ids:ovn-bridge-datapath-type=netdev".to_owned(),
        ]);
        let mut bridges = vec!["br-int", "br-under"];
        if gateway {
            command.arg("external_ids:ovn-bridge-mappings=uplink:br-ex");
            bridges.push("br-ex");
        }
        for bridge in bridges {
            command.args(["--", "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"]);
        }
        command.args(["--", "set", "bridge", "br-int", "fail_mode=secure"]);
        run(command)?;

        let mut vswitchd = namespace.run(|| {
            let mut command = isolated("ovs-vswitchd", dir.path());
            command.args(["-vsyslog:off", "--disable-system", "--pidfile"]).arg(configuration.remote());
            Daemon::spawn(command, &dir.path().join("ovs-vswitchd.log"))
        })?;
        vswitchd.wait_ready(TIMEOUT, || {
            namespace.shell("ip link show br-int && ip link show br-under").is_ok()
        })?;
        namespace.shell(&format!("ip address add {address}/24 dev br-under; ip link set br-under up"))?;
        let controller = namespace.run(|| {
            let mut command = isolated("ovn-controller", dir.path());
            command.args(["-vsyslog:off", "--pidfile"]).arg(configuration.remote());
            Daemon::spawn(command, &dir.path().join("ovn-controller.log"))
        })?;
        let name = name.to_owned();
        Ok(Self { controller, vswitchd, configuration, dir, namespace, name, ports: 0 })
    }

    /// The chassis' name in the Southbound database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its directory: `OVS_RUNDIR` and `OVN_RUNDIR` of its programs, with their logs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The ovn-controller process.
    pub fn controller(&mut self) -> &mut Daemon {
        &mut self.controller
    }

    /// The ovs-vswitchd process.
    pub fn vswitchd(&mut self) -> &mut Daemon {
        &mut self.vswitchd
    }

    /// Runs ovs-vsctl.
    pub fn vsctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovs-vsctl", self.dir());
        command.args(["-vsyslog:off", "--timeout=30", &format!("--db={}", self.configuration.remote())]);
        command.args(arguments);
        run(command)
    }

    /// Sends a command to ovs-vswitchd's control socket, such as `dpctl/dump-conntrack`.
    pub fn appctl(&self, arguments: &[&str]) -> Result<String> {
        let mut command = isolated("ovs-appctl", self.dir());
        command.args(["--timeout=30", "-t", "ovs-vswitchd"]).args(arguments);
        run(command)
    }

    /// Wires `device` of another namespace to a new port of one of the bridges.
    pub(super) fn wire(
        &mut self,
        bridge: &str,
        other: &Namespace,
        device: &str,
        iface_id: Option<&str>,
    ) -> Result<()> {
        self.ports += 1;
        let port = format!("v{}", self.ports);
        link(&self.namespace, &port, other, device)?;
        let mut arguments = vec!["add-port", bridge, &port];
        let id = iface_id.map(|id| format!("external_ids:iface-id={id}"));
        if let Some(id) = &id {
            arguments.extend(["--", "set", "interface", &port, id]);
        }
        self.vsctl(&arguments).map(drop)
    }

    /// Wires several namespaces to one new port of the integration bridge, each with the tag of its packets there. The
    /// tags are the work of another bridge: not every kernel has VLAN devices.
    pub(super) fn nest(&mut self, iface_id: &str, guests: [(&Namespace, Option<u16>); 2]) -> Result<()> {
        let bridge = "br-nest";
        self.vsctl(&["add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev"])?;
        link(&self.namespace, "trunk0", &self.namespace, "trunk1")?;
        let id = format!("external_ids:iface-id={iface_id}");
        self.vsctl(&["add-port", "br-int", "trunk0", "--", "set", "interface", "trunk0", &id])?;
        self.add_port(bridge, "trunk1")?;
        for (namespace, tag) in guests {
            self.wire(bridge, namespace, "eth0", None)?;
            if let Some(tag) = tag {
                self.vsctl(&["set", "port", &format!("v{}", self.ports), &format!("tag={tag}")])?;
            }
        }
        Ok(())
    }

    /// Adds an existing device to a bridge.
    pub(super) fn add_port(&self, bridge: &str, device: &str) -> Result<()> {
        self.vsctl(&["add-port", bridge, device]).map(drop)
    }
}
