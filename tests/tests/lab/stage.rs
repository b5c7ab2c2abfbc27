//! The stage for the rules: a lab with two instances and an agent, seen in one address family.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::lab::{Counts, Family, Held, Host, Lab, Outcome, Proto};
use ovn_extaddr_tests::{Agent, DefaultTarget, Protocol, eventually};
use serde_json::Value;

/// Long enough for everything that has to happen at once, on a busy machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Makes the agent accept the addresses although nothing forwards them. If something does, the forward's own flows in
/// OVN 23.03 (`lr_in_defrag`, and one conntrack zone for all) reverse the translation for connections that an instance
/// began, so that they survive whatever happens to our rows.
pub(crate) const ALLOWED: &str =
    "[[allow]]\nrouter = \"*\"\nprefixes = [\"203.0.113.16/31\", \"2001:db8::10/127\"]\n";

/// One of the agent's rows: `egress A c1`, `drain A c1`, `default-target A c1`.
pub(crate) type Row = String;

#[derive(Clone, Copy)]
pub(crate) struct Stage<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) agent: &'a Agent,
    pub(crate) c1: &'a Host,
    pub(crate) c2: &'a Host,
    pub(crate) family: Family,
}

impl Stage<'_> {
    /// Two addresses for forwards.
    pub(crate) fn a(&self) -> IpAddr {
        self.forward_address(0x10)
    }

    pub(crate) fn b(&self) -> IpAddr {
        self.forward_address(0x11)
    }

    fn forward_address(&self, last: u16) -> IpAddr {
        match self.family {
            Family::V4 => [203, 0, 113, last.to_le_bytes()[0]].into(),
            Family::V6 => [0x2001, 0xdb8, 0, 0, 0, 0, 0, last].into(),
        }
    }

    /// The address of the network's own SNAT.
    pub(crate) fn base(&self) -> Result<IpAddr> {
        let net = self.lab.net();
        let address = match self.family {
            Family::V4 => net.external_ipv4().map(IpAddr::V4),
            Family::V6 => net.external_ipv6().map(IpAddr::V6),
        };
        address.context("the network has no such uplink")
    }

    pub(crate) fn wan(&self) -> Result<IpAddr> {
        self.lab.wan().address(self.family)
    }

    // === what people and CMSes do ===

    /// Forwards TCP and UDP.
    pub(crate) fn forward(&self, address: IpAddr, listen: u16, to: &Host, port: u16) -> Result<()> {
        let pair = (SocketAddr::new(address, listen), SocketAddr::new(to.address(self.family)?, port));
        self.lab.net().add_forwards(Protocol::Tcp, &[pair])?;
        self.lab.net().add_forwards(Protocol::Udp, &[pair])
    }

    pub(crate) fn default_target(&self, shape: DefaultTarget) -> Result<()> {
        self.lab.net().add_default_target(self.a(), self.c1.address(self.family)?, shape)
    }

    /// Makes an instance request an address, or none.
    pub(crate) fn ask(&self, host: &Host, address: Option<IpAddr>) -> Result<()> {
        let key = match self.family {
            Family::V4 => "ipv4.address.external",
            Family::V6 => "ipv6.address.external",
        };
        let address = address.map(|address| address.to_string());
        self.lab.net().annotate(host.port()?, key, address.as_deref())
    }

    /// Undoes all of that.
    pub(crate) fn clear(&self) -> Result<()> {
        for host in [self.c1, self.c2] {
            self.ask(host, None)?;
        }
        for address in [self.a(), self.b()] {
            self.lab.net().remove_forward(address)?;
        }
        self.settles([])?;
        self.lab.flush()
    }

    // === what the agent does ===

    /// Waits until the agent's rows are these and in effect. Nothing may then take replies away.
    pub(crate) fn settles(&self, rows: impl IntoIterator<Item = Row>) -> Result<()> {
        let expected: BTreeSet<_> = rows.into_iter().collect();
        eventually(SOON, &format!("the agent's rows are {expected:?}"), || {
            let found = self.rows()?;
            ensure!(found == expected, "they are {found:?}");
            Ok(true)
        })?;
        self.lab.sync()?;
        let hazards = self.lab.hazards()?;
        ensure!(hazards.is_empty(), "{hazards:#?}");
        Ok(())
    }

    /// The agent's rows in the family.
    pub(crate) fn rows(&self) -> Result<BTreeSet<Row>> {
        let named = |logical: &str| -> Result<String> {
            for host in [self.c1, self.c2] {
                if host.address(self.family)?.to_string() == logical {
                    return Ok(host.name().to_owned());
                }
            }
            Ok(logical.to_owned())
        };
        let mut rows = BTreeSet::new();
        for nat in self.lab.net().nats()? {
            let id = |key: &str| nat.external_ids.get(&format!("ovn-extaddr:{key}")).map(String::as_str);
            let Some(role) = id("role") else { continue };
            let external: IpAddr = nat.external_ip.parse()?;
            if Family::from(external) == self.family {
                let internal = id("internal").unwrap_or(&nat.logical_ip);
                rows.insert(format!("{role} {} {}", self.letter(external), named(internal)?));
            }
        }
        Ok(rows)
    }

    fn letter(&self, address: IpAddr) -> String {
        match address {
            _ if address == self.a() => "A".to_owned(),
            _ if address == self.b() => "B".to_owned(),
            _ => address.to_string(),
        }
    }

    /// Waits until the agent reports this state for an instance.
    pub(crate) fn state(&self, host: &Host, expected: &str) -> Result<()> {
        let (port, family) = (host.port()?, self.family.to_string().to_lowercase());
        eventually(SOON, &format!("{} is {expected}", host.name()), || {
            let list: Vec<Value> = serde_json::from_str(&self.agent.appctl(&["list"])?)?;
            let entry = list.iter().find(|entry| entry["port"] == port && entry["family"] == *family);
            let state = entry.map_or("-", |entry| entry["state"].as_str().unwrap_or_default());
            ensure!(state == expected, "it is {state}: {list:?}");
            Ok(true)
        })
    }

    // === what happens to packets ===

    /// Everything that `host` begins is seen as `address`.
    pub(crate) fn leaves_as(&self, host: &Host, address: IpAddr) -> Result<()> {
        for proto in Proto::ALL {
            self.out(host, proto, None)?
                .is(address)
                .with_context(|| format!("{proto} of {}", host.name()))?;
        }
        Ok(())
    }

    pub(crate) fn out(&self, host: &Host, proto: Proto, port: Option<u16>) -> Result<Outcome> {
        self.lab.outbound(host, proto, self.family, port)
    }

    /// Traffic from outside to a forward arrives, with its source address.
    pub(crate) fn reaches(&self, address: IpAddr, listen: u16, at: &Host, port: u16) -> Result<()> {
        for proto in [Proto::Tcp, Proto::Udp] {
            let outcome = self.lab.inbound(SocketAddr::new(address, listen), proto, at, port)?;
            outcome.is(self.wan()?).with_context(|| format!("{proto} to {address}:{listen}"))?;
        }
        Ok(())
    }

    /// Lets an instance talk to a forward of `c1`.
    pub(crate) fn inside(&self, from: &Host, listen: u16, port: u16, proto: Proto) -> Result<Outcome> {
        self.lab.across(from, SocketAddr::new(self.a(), listen), self.c1, port)?.probe(proto, None)
    }

    pub(crate) fn hold(&self, host: &Host, count: usize) -> Result<Held> {
        self.lab.outward(host, self.family)?.hold(count)
    }
}

/// What is expected of packets.
pub(crate) trait Seen {
    /// An error unless everything was answered and came from `address`.
    fn is(&self, address: IpAddr) -> Result<()>;
}

impl Seen for Outcome {
    fn is(&self, address: IpAddr) -> Result<()> {
        let seen = self.seen()?;
        ensure!(seen.ip() == address, "seen as {seen}, not as {address}");
        Ok(())
    }
}

impl Seen for Counts {
    fn is(&self, address: IpAddr) -> Result<()> {
        ensure!(self.all_from(address), "{self}; seen as {:?}, not as {address}", self.sources);
        Ok(())
    }
}

pub(crate) fn egress(address: &str, host: &Host) -> Row {
    format!("egress {address} {}", host.name())
}

pub(crate) fn drain(address: &str, host: &Host) -> Row {
    format!("drain {address} {}", host.name())
}

pub(crate) fn converted(address: &str, host: &Host) -> Row {
    format!("default-target {address} {}", host.name())
}
