//! The effect of rows like ours in the installed OVN release: the table of `docs/dataplane.md`, measured.
//!
//! The rows are made by hand here, without the agent. [`measure`] runs all of them in a lab; every [`Fact`] has the
//! results and lists unexpected ones. Some cases fail on some releases only; for these the rule is that the structural
//! check has predicted every failure: see [`hazards`](super::hazards).

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, SocketAddr};
use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context, Result};
use serde_json::json;

use super::{Counts, Family, Flows, Held, Host, Lab, Outcome, Proto};
use crate::net::{DefaultTarget, Protocol};
use crate::row::uuid_ref;

/// How many connections, and as many UDP flows, are held across a change.
const HELD: usize = 20;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Fact {
    /// Its number in `docs/dataplane.md`; further ones have letters.
    pub row: &'static str,
    /// What was set up.
    pub situation: &'static str,
    /// The family of the addresses.
    pub family: Family,
    /// The number of chassis.
    pub chassis: usize,
    /// The results.
    pub results: Vec<String>,
    /// What of it should not be so.
    pub wrong: Vec<String>,
}

type Measure = fn(&Case<'_>, &mut Fact) -> Result<()>;

/// All cases, in the order of `docs/dataplane.md`.
const CASES: [(&str, &str, Measure); 19] = [
    ("1", "by-port forward A:80 + override", by_port),
    ("2", "port-less VIP A (tcp and udp balancer) + override", default_vip),
    ("3", "the same with dnat_and_snat instead of snat", default_vip_both),
    ("4", "dnat A instead of the VIP, + override", default_dnat),
    ("5", "4 plus a by-port balancer A:80 to c2", default_dnat_and_by_port),
    ("6", "by-port forward A:40000 + override, outbound from source port 40000", collision),
    ("7", "6 with external_port_range=1024-39999", port_range),
    ("8", "port range and ICMP", port_range_icmp),
    ("9", "connections through the network's SNAT, then the override", appears),
    ("10", "override changed A to B with connections on A", changes),
    ("10f", "10 without a drain row, but a forwarded port of A stays", changes_forwarded),
    ("11", "10, but a drain row for A stays", changes_drained),
    ("12", "override withdrawn, with a drain row left", withdrawn_drained),
    ("13", "c2 to A:80, forward of c1, balancer on router and switch, with override", east_west),
    ("14", "the same where a dnat row is all there is", east_west_dnat),
    ("15", "port-less VIP on the switch only, dnat + override on the router", converted),
    ("16", "15 done and undone with connections from wan and c2 established", converted_live),
    ("h", "hairpin: c1 to its own A:80, with override", hairpin),
    ("w", "override withdrawn without a drain row", withdrawn),
];

/// Measures everything, for both families, with two instances of the lab's network.
pub fn measure(lab: &Lab, c1: &Host, c2: &Host) -> Result<Vec<Fact>> {
    let mut facts = Vec::new();
    for family in Family::BOTH {
        let case = Case::new(lab, c1, c2, family)?;
        for (row, situation, measure) in CASES {
            let chassis = lab.chassis.len();
            let mut fact = Fact { row, situation, family, chassis, results: Vec::new(), wrong: Vec::new() };
            case.clear()?;
            measure(&case, &mut fact).with_context(|| format!("row {row} by {family}"))?;
            facts.push(fact);
        }
        case.clear()?;
    }
    Ok(facts)
}

/// The facts as a Markdown table.
pub fn table(facts: &[Fact]) -> String {
    let mut text = "| # | situation | family | chassis | measured |\n|---|---|---|---|---|\n".to_owned();
    for fact in facts {
        text.push_str(&format!("{fact}\n"));
    }
    text
}

// === the cases ===

fn by_port(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(80, case.c1, 8080)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    for proto in Proto::ALL {
        fact.seen_as(&format!("out {proto}"), case.out(proto, None)?, case.a);
    }
    for proto in [Proto::Tcp, Proto::Udp] {
        fact.seen_as(&format!("in {proto}"), case.inbound(proto, 80, case.c1, 8080)?, case.outside()?);
    }
    Ok(())
}

fn default_vip(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Vip)?;
    case.override_with(case.a, None)?;
    case.foretold(fact, None)
}

fn default_vip_both(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Vip)?;
    case.lab.net.add_nat("dnat_and_snat", case.a, &case.c1.address(case.family)?.to_string())?;
    case.sync()?;
    // Without an override hazards are not checked, only the results.
    for proto in [Proto::Tcp, Proto::Udp] {
        let outcome = case.out(proto, None)?;
        fact.note(format!("out {proto} {outcome}"));
    }
    Ok(())
}

fn default_dnat(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Dnat)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    for proto in Proto::ALL {
        fact.seen_as(&format!("out {proto}"), case.out(proto, None)?, case.a);
        fact.seen_as(&format!("in {proto}"), case.inbound(proto, 8080, case.c1, 8080)?, case.outside()?);
    }
    Ok(())
}

fn default_dnat_and_by_port(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Dnat)?;
    case.forward(80, case.c2, 8080)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    fact.seen_as("in A:80 at c2", case.inbound(Proto::Tcp, 80, case.c2, 8080)?, case.outside()?);
    fact.seen_as("in A:8081 at c1", case.inbound(Proto::Tcp, 8081, case.c1, 8081)?, case.outside()?);
    fact.seen_as("out tcp", case.out(Proto::Tcp, None)?, case.a);
    Ok(())
}

fn collision(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(40000, case.c1, 80)?;
    case.override_with(case.a, None)?;
    case.foretold(fact, Some(40000))
}

fn port_range(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(40000, case.c1, 80)?;
    case.override_with(case.a, Some("1024-39999"))?;
    case.sync()?;
    for hazard in case.lab.hazards()? {
        fact.wrong.push(hazard.to_string());
    }
    for proto in [Proto::Tcp, Proto::Udp] {
        let outcome = case.out(proto, Some(40000))?;
        fact.seen_as(&format!("out {proto}"), outcome, case.a);
        if let Some(seen) = outcome.seen
            && !(1024..40000).contains(&seen.port())
        {
            fact.wrong.push(format!("{proto} source port {} is outside the range", seen.port()));
        }
    }
    fact.seen_as("in tcp", case.inbound(Proto::Tcp, 40000, case.c1, 80)?, case.outside()?);
    Ok(())
}

fn port_range_icmp(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(40000, case.c1, 80)?;
    case.override_with(case.a, Some("1024-39999"))?;
    case.sync()?;
    fact.seen_as("out icmp", case.out(Proto::Icmp, Some(40000))?, case.a);
    Ok(())
}

fn appears(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(80, case.c1, 8080)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.override_with(case.a, None)?;
    case.sync()?;
    fact.alive(&held.check()?, case.base()?);
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.a);
    Ok(())
}

fn changes(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    let row = case.override_with(case.a, None)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.lab.net.remove_nat(&row)?;
    case.override_with(case.b, None)?;
    case.sync()?;
    fact.cut(&held.check()?);
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.b);
    Ok(())
}

fn changes_forwarded(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(80, case.c1, 8080)?;
    let row = case.override_with(case.a, None)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.lab.net.remove_nat(&row)?;
    case.override_with(case.b, None)?;
    case.sync()?;
    // Depends on the release: one that has a conntrack zone for both kinds of NAT finds the way back by the balancer's.
    for (what, counts) in held.check()? {
        fact.note(format!("{what}: {counts}"));
    }
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.b);
    Ok(())
}

fn changes_drained(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    let row = case.override_with(case.a, None)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.drain(case.a)?;
    case.lab.net.remove_nat(&row)?;
    case.override_with(case.b, None)?;
    case.sync()?;
    fact.alive(&held.check()?, case.a);
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.b);
    Ok(())
}

fn withdrawn_drained(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    let row = case.override_with(case.a, None)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.drain(case.a)?;
    case.lab.net.remove_nat(&row)?;
    case.sync()?;
    fact.alive(&held.check()?, case.a);
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.base()?);
    Ok(())
}

fn withdrawn(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    let row = case.override_with(case.a, None)?;
    case.sync()?;
    let mut held = case.establish()?;
    case.lab.net.remove_nat(&row)?;
    case.sync()?;
    fact.cut(&held.check()?);
    fact.seen_as("new", case.out(Proto::Tcp, None)?, case.base()?);
    Ok(())
}

fn east_west(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(80, case.c1, 8080)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    for proto in [Proto::Tcp, Proto::Udp] {
        let outcome = case.east_west(case.c2, proto, 80)?;
        fact.seen_as(&proto.to_string(), outcome, case.c2.address(case.family)?);
    }
    Ok(())
}

fn east_west_dnat(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Dnat)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    let outcome = case.east_west(case.c2, Proto::Tcp, 8080)?;
    fact.note(format!("tcp {outcome}"));
    if outcome.seen().map(|seen| seen.ip()).ok() == Some(case.c2.address(case.family)?) {
        fact.wrong.push("c1 sees c2's real address".to_owned());
    }
    Ok(())
}

fn converted(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Vip)?;
    case.convert()?;
    case.sync()?;
    for hazard in case.lab.hazards()? {
        fact.wrong.push(hazard.to_string());
    }
    for proto in Proto::ALL {
        fact.seen_as(&format!("out {proto}"), case.out(proto, None)?, case.a);
        fact.seen_as(&format!("in {proto}"), case.inbound(proto, 8080, case.c1, 8080)?, case.outside()?);
    }
    let outcome = case.east_west(case.c2, Proto::Tcp, 8080)?;
    fact.seen_as("from c2", outcome, case.c2.address(case.family)?);
    Ok(())
}

fn converted_live(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.default_target(DefaultTarget::Vip)?;
    case.sync()?;
    let forward = SocketAddr::new(case.a, 8080);
    let outside = case.lab.inward(forward, case.c1, 8080)?.hold(HELD)?;
    let inside = case.lab.across(case.c2, forward, case.c1, 8080)?.hold(HELD)?;
    let (wan, c2) = (case.outside()?, case.c2.address(case.family)?);
    case.convert()?;
    case.sync()?;
    fact.alive(&[("done: from wan", outside.check())], wan);
    fact.alive(&[("from c2", inside.check())], c2);
    case.unconvert()?;
    case.sync()?;
    fact.alive(&[("undone: from wan", outside.check())], wan);
    fact.alive(&[("from c2", inside.check())], c2);
    Ok(())
}

fn hairpin(case: &Case<'_>, fact: &mut Fact) -> Result<()> {
    case.forward(80, case.c1, 8080)?;
    case.override_with(case.a, None)?;
    case.sync()?;
    for proto in [Proto::Tcp, Proto::Udp] {
        let outcome = case.east_west(case.c1, proto, 80)?;
        fact.note(format!("{proto} {outcome}"));
        if !outcome.answered {
            fact.wrong.push(format!("{proto}: no hairpin"));
        }
    }
    Ok(())
}

// === inside ===

struct Case<'a> {
    lab: &'a Lab,
    c1: &'a Host,
    c2: &'a Host,
    family: Family,
    /// Two addresses for forwards.
    a: IpAddr,
    b: IpAddr,
}

/// The connections that c1 has established with the host outside before a change.
struct Established {
    connections: Held,
    flows: Flows,
}

impl Established {
    fn check(&mut self) -> Result<[(&'static str, Counts); 2]> {
        // What is cut is silent for some seconds.
        let Self { connections, flows } = self;
        let (tcp, udp) = thread::scope(|scope| {
            let udp = scope.spawn(|| flows.check());
            (connections.check(), udp.join())
        });
        let udp = udp.unwrap_or_else(|panic| resume_unwind(panic))?;
        Ok([("established tcp", tcp), ("udp", udp)])
    }
}

impl<'a> Case<'a> {
    fn new(lab: &'a Lab, c1: &'a Host, c2: &'a Host, family: Family) -> Result<Self> {
        let (a, b) = match family {
            Family::V4 => ("203.0.113.10", "203.0.113.11"),
            Family::V6 => ("2001:db8::10", "2001:db8::11"),
        };
        Ok(Self { lab, c1, c2, family, a: a.parse()?, b: b.parse()? })
    }

    /// Removes everything that a case may have created.
    fn clear(&self) -> Result<()> {
        for address in [self.a, self.b] {
            self.lab.net.remove_forward(address)?;
        }
        let bases: Vec<String> =
            [self.lab.net.subnet4(), self.lab.net.subnet6()].into_iter().flatten().collect();
        for nat in self.lab.net.nats()?.iter().filter(|nat| !bases.contains(&nat.logical_ip)) {
            self.lab.net.remove_nat(&nat.uuid)?;
        }
        self.sync()?;
        self.lab.flush()
    }

    fn sync(&self) -> Result<()> {
        self.lab.sync()
    }

    fn establish(&self) -> Result<Established> {
        let way = self.lab.outward(self.c1, self.family)?;
        Ok(Established { connections: way.hold(HELD)?, flows: way.open_flows(HELD)? })
    }

    fn outside(&self) -> Result<IpAddr> {
        self.lab.wan.address(self.family)
    }

    /// The address of the network's own SNAT.
    fn base(&self) -> Result<IpAddr> {
        let net = &self.lab.net;
        let address = match self.family {
            Family::V4 => net.external_ipv4().map(IpAddr::V4),
            Family::V6 => net.external_ipv6().map(IpAddr::V6),
        };
        address.context("the network has no such uplink")
    }

    fn forward(&self, listen: u16, target: &Host, port: u16) -> Result<()> {
        let pair = (SocketAddr::new(self.a, listen), SocketAddr::new(target.address(self.family)?, port));
        self.lab.net.add_forwards(Protocol::Tcp, &[pair])?;
        self.lab.net.add_forwards(Protocol::Udp, &[pair])
    }

    fn default_target(&self, shape: DefaultTarget) -> Result<()> {
        self.lab.net.add_default_target(self.a, self.c1.address(self.family)?, shape)
    }

    fn override_with(&self, external: IpAddr, range: Option<&str>) -> Result<String> {
        let row = self.lab.net.add_nat("snat", external, &self.c1.address(self.family)?.to_string())?;
        if let Some(range) = range {
            self.lab.ovn.nb.transact(vec![json!({
                "op": "update", "table": "NAT", "where": [["_uuid", "==", uuid_ref(&row)]],
                "row": {"external_port_range": range},
            })])?;
        }
        Ok(row)
    }

    fn drain(&self, external: IpAddr) -> Result<()> {
        let nowhere = if external.is_ipv4() { "240.0.0.1" } else { "100::1" };
        self.lab.net.add_nat("snat", external, nowhere).map(drop)
    }

    /// Detaches the port-less VIPs from the router and inserts rows instead, in one transaction.
    fn convert(&self) -> Result<()> {
        let (router, a, target) = (self.lab.net.router(), self.a, self.c1.address(self.family)?);
        let (tcp, udp) = self.balancers();
        self.nbctl(&format!(
            "lr-lb-del {router} {tcp} -- lr-lb-del {router} {udp} \
             -- lr-nat-add {router} dnat {a} {target} -- lr-nat-add {router} snat {a} {target}"
        ))
    }

    fn unconvert(&self) -> Result<()> {
        let (router, a, target) = (self.lab.net.router(), self.a, self.c1.address(self.family)?);
        let (tcp, udp) = self.balancers();
        self.nbctl(&format!(
            "lr-lb-add {router} {tcp} -- lr-lb-add {router} {udp} \
             -- lr-nat-del {router} dnat {a} -- lr-nat-del {router} snat {target}"
        ))
    }

    fn balancers(&self) -> (String, String) {
        let name = |protocol| self.lab.net.balancer(protocol, self.a);
        (name(Protocol::Tcp), name(Protocol::Udp))
    }

    fn nbctl(&self, line: &str) -> Result<()> {
        self.lab.ovn.nbctl_line(line).map(drop)
    }

    fn out(&self, proto: Proto, source_port: Option<u16>) -> Result<Outcome> {
        self.lab.outbound(self.c1, proto, self.family, source_port)
    }

    fn inbound(&self, proto: Proto, listen: u16, at: &Host, port: u16) -> Result<Outcome> {
        self.lab.inbound(SocketAddr::new(self.a, listen), proto, at, port)
    }

    fn east_west(&self, from: &Host, proto: Proto, listen: u16) -> Result<Outcome> {
        self.lab.across(from, SocketAddr::new(self.a, listen), self.c1, 8080)?.probe(proto, None)
    }

    /// Measures connections that fail on some releases: failures must be among the hazards.
    fn foretold(&self, fact: &mut Fact, source_port: Option<u16>) -> Result<()> {
        self.sync()?;
        let hazards = self.lab.hazards()?;
        for proto in [Proto::Tcp, Proto::Udp] {
            let outcome = self.out(proto, source_port)?;
            let foretold = hazards
                .iter()
                .any(|hazard| hazard.proto == proto && source_port.is_none_or(|port| hazard.port == port));
            let note = if foretold { "a hazard flow" } else { "no hazard flow" };
            fact.note(format!("out {proto} {outcome} ({note})"));
            match outcome.seen() {
                Ok(seen) if seen.ip() == self.a => {}
                _ if foretold => {}
                _ => fact.wrong.push(format!("{proto} fails though no hazard was found")),
            }
        }
        Ok(())
    }
}

impl Fact {
    fn note(&mut self, text: String) {
        self.results.push(text);
    }

    fn seen_as(&mut self, what: &str, outcome: Outcome, expected: IpAddr) {
        if outcome.seen().map(|seen| seen.ip()).ok() != Some(expected) {
            self.wrong.push(format!("{what} {outcome}, not as {expected}"));
        }
        self.note(format!("{what} {outcome}"));
    }

    fn alive(&mut self, held: &[(&str, Counts)], address: IpAddr) {
        for (what, counts) in held {
            if !counts.all_from(address) {
                self.wrong.push(format!("{what}: {counts}, not all seen as {address}"));
            }
            self.note(format!("{what}: {counts}"));
        }
    }

    fn cut(&mut self, held: &[(&str, Counts)]) {
        for (what, counts) in held {
            if counts.alive > 0 {
                self.wrong.push(format!("{what}: {counts}, not all cut"));
            }
            self.note(format!("{what}: {counts}"));
        }
    }
}

impl Display for Fact {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { row, situation, family, chassis, results, wrong } = self;
        write!(out, "| {row} | {situation} | {family} | {chassis} | {}", results.join("; "))?;
        if !wrong.is_empty() {
            write!(out, " **unexpected: {}**", wrong.join("; "))?;
        }
        write!(out, " |")
    }
}
