//! Cases of `docs/field-cases.md` whose outcome only packets show: without our row, with the rows of earlier versions
//! of the agent, and with the agent.

use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Result, ensure};

use super::{Family, Host, Lab, Proto, TIMEOUT, Way};
use crate::agent::PROMPT;
use crate::net::{DefaultTarget, Instance, Net, Protocol};
use crate::wait::eventually;

/// One case, with the effect on packets.
#[derive(Clone, Debug)]
pub struct Played {
    /// The number in `docs/field-cases.md`.
    pub case: u8,
    /// The situation.
    pub what: &'static str,
    /// Without our row.
    pub without: String,
    /// With the former rows, if there were any.
    pub before: Option<String>,
    /// With the agent, and its report.
    pub agent: String,
    /// The unexpected results.
    pub wrong: Vec<String>,
}

type Play = fn() -> Result<Played>;

const CASES: [Play; 6] = [
    backend_with_port,
    internal_vip,
    no_source_port_left,
    for_some_hosts,
    forced_source,
    second_gateway_port,
];

/// The address that is forwarded.
const A: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

/// Plays all of them, each in its own lab.
pub fn play() -> Result<Vec<Played>> {
    CASES.iter().map(|case| case()).collect()
}

/// The cases as a Markdown table.
pub fn table(played: &[Played]) -> String {
    let mut text = "| case | there is | without a row of ours | with the rows of before | with the agent |\n|---|---|---|---|---|\n".to_owned();
    for case in played {
        text.push_str(&format!("{case}\n"));
    }
    text
}

// === the cases ===

fn backend_with_port() -> Result<Played> {
    let stage = Stage::start(Lab::builder().start()?)?;
    let target = stage.address()?;
    stage.balancer(&format!("{A}"), &format!("{target}:80"))?;
    let look = || -> Result<String> {
        Ok(format!("A:22 from outside {}, c1 leaves {}", stage.inbound(22)?, stage.out()?))
    };
    let without = look()?;
    let rows = [stage.add("dnat", A)?, stage.add("snat", A)?];
    let before = look()?;
    stage.remove(&rows)?;
    let said = stage.with_agent(&stage.ask(A)?)?;
    let agent = look()?;
    let mut played =
        Played::new(3, "a VIP without a port, whose backend has one: `A` to `c1:80`", without, agent, said);
    played.same_as_without();
    played.before = Some(before);
    Ok(played)
}

fn internal_vip() -> Result<Played> {
    let mut lab = Lab::builder().net(Net::builder(1).without_gateway()).start()?;
    let router = lab.net().router();
    lab.ovn().nbctl(&["set", "logical_router", &router, "options:chassis=gateway-1"])?;
    let stage = Stage::start(lab)?;
    let vip = Ipv4Addr::new(10, 57, 1, 50);
    stage.balancer(&format!("{vip}:80"), &format!("{}:8080", stage.address()?))?;
    let without = format!("c1 leaves {}", stage.out()?);
    let row = stage.add("snat", vip)?;
    let before = format!("c1 leaves {}", stage.out()?);
    stage.remove(&[row])?;
    let said =
        stage.with_agent(&format!("set logical_router {router} external_ids:address.external=auto"))?;
    let agent = format!("c1 leaves {}", stage.out()?);
    let what = "a service inside, 10.57.1.50:80, on a router with `options:chassis`; `auto` for all";
    let mut played = Played::new(4, what, without, agent, said);
    played.same_as_without();
    played.before = Some(before);
    Ok(played)
}

fn no_source_port_left() -> Result<Played> {
    let stage = Stage::start(Lab::builder().start()?)?;
    let target = stage.address()?;
    // All of 1024 to 65535 are too many for a lab; of these, no block is large enough either.
    let some = (1000..=u16::MAX).step_by(120);
    let pair = |port| (SocketAddr::new(A.into(), port), SocketAddr::new(target, port));
    let all: Vec<(SocketAddr, SocketAddr)> = some.map(pair).collect();
    stage.lab.net().add_forwards(Protocol::Tcp, &all)?;
    stage.sync()?;
    let look = || -> Result<String> { Ok(format!("c1 leaves {}", stage.seen(Proto::Tcp, Some(40_000))?)) };
    let without = look()?;
    let row = stage.add("snat", A)?;
    let before = look()?;
    stage.remove(&[row])?;
    let said = stage.with_agent(&stage.ask(A)?)?;
    let agent = look()?;
    let what = "every 120th TCP port of A forwarded to c1, which sends from port 40000, one of them";
    let mut played = Played::new(5, what, without, agent, said);
    played.same_as_without();
    played.before = Some(before);
    Ok(played)
}

fn for_some_hosts() -> Result<Played> {
    let stage = Stage::start(Lab::builder().start()?)?;
    stage.balancer(&format!("{A}:80"), &format!("{}:8080", stage.address()?))?;
    let far = stage.lab.wan().also(Ipv4Addr::new(198, 51, 100, 9))?;
    let row = stage.add("snat", A)?;
    stage.nbctl(&format!(
        "--id=@set create address_set name=far addresses=\"198.51.100.0/24\" -- set nat {row} allowed_ext_ips=@set"
    ))?;
    stage.sync()?;
    let look = || -> Result<String> {
        let there = stage.way(&stage.c1, &far)?;
        Ok(format!("c1 leaves {} to the set, {} to others", there, stage.out()?))
    };
    let without = look()?;
    let said = stage.with_agent(&stage.ask(A)?)?;
    let agent = look()?;
    let what = "somebody's `snat A c1` with `allowed_ext_ips` of 198.51.100.0/24, A:80 forwarded to c1";
    let mut played = Played::new(6, what, without, agent, said);
    if played.agent.contains("(foreign") {
        played.wrong.push("the row is taken for one that fulfils the intent".to_owned());
    }
    Ok(played)
}

fn forced_source() -> Result<Played> {
    let mut lab = Lab::builder().net(Net::builder(1).without_gateway()).start()?;
    let router = lab.net().router();
    let options = ["options:chassis=gateway-1", "options:lb_force_snat_ip=router_ip"];
    lab.ovn().nbctl(&["set", "logical_router", &router, options[0], options[1]])?;
    let stage = Stage::start(lab)?;
    stage.lab.net().add_default_target(A.into(), stage.address()?, DefaultTarget::Vip)?;
    stage.sync()?;
    let look = || -> Result<String> { Ok(format!("c1 sees who calls A {}", stage.inbound(8080)?)) };
    let without = look()?;
    // The effect of a conversion: the balancers are detached from the router, with a row for each direction.
    let balancers =
        [Protocol::Tcp, Protocol::Udp].map(|protocol| stage.lab.net().balancer(protocol, A.into()));
    for balancer in &balancers {
        stage.nbctl(&format!("lr-lb-del {router} {balancer}"))?;
    }
    let rows = [stage.add("dnat", A)?, stage.add("snat", A)?];
    let before = look()?;
    for balancer in &balancers {
        stage.nbctl(&format!("lr-lb-add {router} {balancer}"))?;
    }
    stage.remove(&rows)?;
    let said = stage.with_agent(&stage.ask(A)?)?;
    let agent = look()?;
    let what = "`lb_force_snat_ip=router_ip` on a router with `options:chassis`, A's default target is c1";
    let mut played = Played::new(12, what, without, agent, said);
    played.same_as_without();
    played.before = Some(before);
    Ok(played)
}

fn second_gateway_port() -> Result<Played> {
    let mut lab = Lab::builder().start()?;
    let router = lab.net().router();
    let ovn = lab.ovn();
    ovn.nbctl_line(&format!("lrp-add {router} priv 0a:00:00:00:02:02 192.0.2.2/24"))?;
    ovn.nbctl_line("lrp-set-gateway-chassis priv gateway-1")?;
    ovn.nbctl_line("ls-add priv -- lsp-add priv priv-R -- lsp-set-type priv-R router")?;
    ovn.nbctl_line("lsp-set-addresses priv-R router -- lsp-set-options priv-R router-port=priv")?;
    ovn.nbctl_line("lsp-add priv private")?;
    ovn.nbctl(&["lsp-set-addresses", "private", "0a:00:00:00:02:01 192.0.2.1"])?;
    let instance = Instance {
        port: "private".to_owned(),
        mac: "0a:00:00:00:02:01".to_owned(),
        ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)),
        ipv6: None,
    };
    let private = lab.guest(&instance, "private", 0, &[(IpAddr::from([192, 0, 2, 2]), 24)])?;
    let stage = Stage::start(lab)?;
    stage.balancer(&format!("{A}:80"), &format!("{}:8080", stage.address()?))?;
    let row = stage.add("snat", Ipv4Addr::new(192, 0, 2, 50))?;
    let port = stage.nbctl("--bare --columns=_uuid find logical_router_port name=priv")?;
    stage.nbctl(&format!("set nat {row} gateway_port={}", port.trim()))?;
    stage.sync()?;
    let look = || -> Result<String> {
        Ok(format!(
            "c1 leaves {} by the one port, {} by the other",
            stage.out()?,
            stage.way(&stage.c1, &private)?
        ))
    };
    let without = look()?;
    let said = stage.with_agent(&stage.ask(A)?)?;
    let agent = look()?;
    let what = "two gateway ports, somebody's `snat 192.0.2.50 c1` for the second, A:80 forwarded to c1";
    let mut played = Played::new(13, what, without, agent, said);
    let expected = format!("c1 leaves as {A} by the one port, as 192.0.2.50 by the other");
    if !played.agent.starts_with(&expected) {
        played.wrong.push(format!("not: {expected}"));
    }
    Ok(played)
}

// === inside ===

struct Stage {
    c1: Host,
    lab: Lab,
}

impl Stage {
    fn start(mut lab: Lab) -> Result<Self> {
        let c1 = lab.instance("c1", 0)?;
        Ok(Self { c1, lab })
    }

    fn address(&self) -> Result<IpAddr> {
        self.c1.address(Family::V4)
    }

    fn nbctl(&self, line: &str) -> Result<String> {
        self.lab.ovn.nbctl_line(line)
    }

    fn sync(&self) -> Result<()> {
        self.lab.sync()?;
        self.lab.flush()
    }

    /// A load balancer of TCP on the router and on the switch.
    fn balancer(&self, vip: &str, backend: &str) -> Result<()> {
        let (router, switch) = (self.lab.net().router(), self.lab.net().internal_switch());
        self.nbctl(&format!(
            "--id=@lb create load_balancer name=lb vips={{\"{vip}\"=\"{backend}\"}} \
             -- add logical_router {router} load_balancer @lb -- add logical_switch {switch} load_balancer @lb"
        ))?;
        self.sync()
    }

    /// A row for `c1`.
    fn add(&self, kind: &str, external: Ipv4Addr) -> Result<String> {
        let row = self.lab.net().add_nat(kind, external.into(), &self.address()?.to_string())?;
        self.sync()?;
        Ok(row)
    }

    fn remove(&self, rows: &[String]) -> Result<()> {
        rows.iter().try_for_each(|row| self.lab.net().remove_nat(row))?;
        self.sync()
    }

    /// The command that sets the intent of `c1`.
    fn ask(&self, address: Ipv4Addr) -> Result<String> {
        let port = self.c1.port()?;
        Ok(format!("set logical_switch_port {port} external_ids:ipv4.address.external=\"{address}\""))
    }

    /// Runs the agent after this command, and returns its report on `c1`.
    fn with_agent(&self, command: &str) -> Result<String> {
        self.nbctl(command)?;
        let agent = self.lab.agent_with(|builder| builder.config(PROMPT))?;
        eventually(TIMEOUT, "the agent has nothing left to do", || {
            let plan = agent.cli(&["plan", "--exit-code"])?;
            ensure!(plan.code() == Some(0), "{plan:?}");
            Ok(true)
        })?;
        let list = agent.list_json()?;
        let port = self.c1.port()?;
        let entry = list.iter().find(|entry| entry["port"] == port && entry["family"] == "ipv4");
        self.sync()?;
        // An intent for all ports is not reported for those without a forward.
        let Some(entry) = entry else { return Ok("says nothing of c1".to_owned()) };
        let words = [&entry["state"], &entry["reason"]].into_iter().filter_map(|word| word.as_str());
        Ok(words.collect::<Vec<_>>().join(" "))
    }

    /// The address of `c1` as seen outside, by every protocol.
    fn out(&self) -> Result<String> {
        self.way(&self.c1, self.lab.wan())
    }

    fn way(&self, from: &Host, to: &Host) -> Result<String> {
        let mut all = Vec::new();
        for proto in Proto::ALL {
            let outcome = Way::direct(from, to, Family::V4)?.probe(proto, None)?;
            all.push(
                outcome.seen().map_or_else(|_| "not at all".to_owned(), |seen| format!("as {}", seen.ip())),
            );
        }
        all.dedup();
        Ok(all.join(" or "))
    }

    fn seen(&self, proto: Proto, port: Option<u16>) -> Result<String> {
        let outcome = self.lab.outbound(&self.c1, proto, Family::V4, port)?;
        Ok(outcome.seen().map_or_else(|_| "not at all".to_owned(), |seen| format!("as {}", seen.ip())))
    }

    /// The address that `c1` sees of a client of a port of A from outside, by TCP.
    fn inbound(&self, port: u16) -> Result<String> {
        let outcome = self.lab.inbound(SocketAddr::new(A.into(), port), Proto::Tcp, &self.c1, port)?;
        Ok(outcome
            .seen()
            .map_or_else(|_| "is not answered".to_owned(), |seen| format!("arrives as {}", seen.ip())))
    }
}

impl Played {
    fn new(case: u8, what: &'static str, without: String, agent: String, said: String) -> Self {
        Self { case, what, without, before: None, agent: format!("{agent} ({said})"), wrong: Vec::new() }
    }

    fn same_as_without(&mut self) {
        if !self.agent.starts_with(&format!("{} (", self.without)) {
            self.wrong.push("not as without".to_owned());
        }
    }
}

impl Display for Played {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self { case, what, without, before, agent, wrong } = self;
        write!(out, "| {case} | {what} | {without} | {} | {agent}", before.as_deref().unwrap_or("-"))?;
        if !wrong.is_empty() {
            write!(out, " **unexpected: {}**", wrong.join("; "))?;
        }
        write!(out, " |")
    }
}
