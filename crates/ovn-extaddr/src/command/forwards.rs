//! `ovn-extaddr forwards`

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use extaddr_core::engine::Engine;
use extaddr_core::explain::Check;
use extaddr_core::forwards::{self, Forward};
use extaddr_core::northd;
use extaddr_core::reason::{Code, Reason};
use extaddr_core::resolve::Verdict;
use extaddr_core::suggest::did_you_mean;
use extaddr_core::topology::{is_disabled, is_gateway, reach};
use ovn_model::{Family, Protocol, RouterId, Store};
use serde::Serialize;

use crate::command::complete;
use crate::command::output::Output;
use crate::command::style::Palette;
use crate::command::table::{self, Cell, Width};
use crate::observe::Observer;
use crate::settings::Settings;

/// Lists forwards.
#[derive(Debug, Args)]
pub(super) struct Forwards {
    /// Only those of this router, by its name.
    #[arg(add = ArgValueCompleter::new(complete::routers))]
    router: Option<String>,

    #[command(flatten)]
    width: Width,

    #[command(flatten)]
    output: Output,
}

/// An element of `forwards --json`. Field names are stable.
#[derive(Debug, Serialize)]
struct Listed {
    router: String,
    address: Option<IpAddr>,
    /// `port`, `default-target`, `converted` (a default target that our own row replaces), `dnat` or `dnat_and_snat`.
    kind: &'static str,
    protocol: Option<String>,
    port: Option<u16>,
    targets: Vec<Target>,
    /// The load balancer's name, or the NAT row's UUID.
    from: String,
    /// The reason why OVN does not forward it, as a code of `list`.
    ignored: Option<Code>,
    /// The ports whose own connections have the address.
    used_by: Vec<String>,
    /// Their display names, in the same order; `null` if not known.
    used_by_names: Vec<Option<String>>,
}

#[derive(Debug, Serialize)]
struct Target {
    address: IpAddr,
    port: Option<u16>,
    /// The instance's `Logical_Switch_Port`.
    instance: Option<String>,
    /// Its display name.
    name: Option<String>,
}

impl Forwards {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let observer = Observer::open(&settings).await?;
        let (Observer { store, engine, .. }, names) = (&observer, observer.names());
        let wanted = |name: &str| self.router.as_deref().is_none_or(|router| router == name);
        let mut routers: Vec<_> = store.routers().filter(|(_, row)| wanted(&row.name)).collect();
        if let (Some(router), true) = (&self.router, routers.is_empty()) {
            let guess = did_you_mean(router, store.routers().map(|(_, row)| &*row.name));
            bail!("there is no router {router} in the Northbound database{guess}");
        }
        routers.sort_by_key(|(_, row)| row.name.to_string());
        let instances = instances(store);
        let users = users(engine);
        let mut listed: Vec<_> = routers
            .iter()
            .flat_map(|(id, _)| {
                forwards::on_router(engine.network(store), *id).into_iter().map(move |f| (*id, f))
            })
            .map(|(router, forward)| listed(store, &instances, &users, router, &forward))
            .collect();
        for forward in &mut listed {
            forward.used_by_names = forward.used_by.iter().map(|port| names.name(port)).collect();
            for target in &mut forward.targets {
                target.name = target.instance.as_deref().and_then(|port| names.name(port));
            }
        }
        self.output.print_all(&listed, || text(&listed, self.width, palette))?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(listed: &[Listed], width: Width, palette: Palette) -> String {
    let shown = |name: &Option<String>, port: &str| match name {
        Some(name) if width.is_wide() => format!("{name} {port}"),
        Some(name) => name.clone(),
        None => port.to_owned(),
    };
    let heading = ["ROUTER", "ADDRESS", "KIND", "PROTOCOL", "PORT", "TARGETS", "USED BY"];
    let dash = |text: Option<String>| Cell::whole(text.unwrap_or_else(|| "-".to_owned()));
    let rows = listed.iter().map(|row| {
        let targets = Check::list(row.targets.iter().map(|target| {
            let instance = target.instance.as_deref().map(|port| shown(&target.name, port));
            target.endpoint() + &instance.map_or_else(String::new, |instance| format!(" ({instance})"))
        }));
        // The address, and the parenthesis after it.
        let head = row.targets.first().map_or(0, |target| target.endpoint().len() + " (".len());
        let used_by = row.used_by_names.iter().zip(&row.used_by).map(|(name, port)| shown(name, port));
        let used_by = Check::list(used_by);
        let ignored = row.ignored.map_or_else(String::new, |why| format!(" ({})", why.name()));
        let kind = format!("{}{ignored}", row.kind);
        [
            Cell::from(&row.router),
            dash(row.address.map(|a| a.to_string())),
            Cell::with_head(kind, row.kind.len()),
            dash(row.protocol.clone()),
            dash(row.port.map(|port| port.to_string())),
            Cell::with_head(targets, head),
            Cell::from(if used_by.is_empty() { "-" } else { &used_by }),
        ]
    });
    table::render(palette, width, heading, rows)
}

/// The instances behind each router, by their addresses.
type Instances = HashMap<(RouterId, IpAddr), String>;

fn instances(store: &Store) -> Instances {
    let mut reaches = HashMap::new();
    let mut instances = Instances::new();
    for (_, port) in store.ports() {
        let Some(switch) = port.switch else { continue };
        let reach = reaches.entry(switch).or_insert_with(|| reach(store, switch));
        for (router, _) in &reach.routers {
            for family in Family::ALL {
                for address in northd::port_addresses(port, family).iter().copied() {
                    instances.insert((*router, address), port.name.to_string());
                }
            }
        }
    }
    instances
}

fn users(engine: &Engine) -> HashMap<(RouterId, IpAddr), HashSet<String>> {
    let mut users: HashMap<_, HashSet<String>> = HashMap::new();
    for port in engine.ports() {
        for decision in engine.decisions(port) {
            let granted = matches!(decision.verdict, Verdict::Granted(_) | Verdict::Foreign(_));
            if let (Some(router), Some(address), true) = (decision.router, decision.external, granted) {
                users.entry((router, address)).or_default().insert(port.to_string());
            }
        }
    }
    users
}

fn listed(
    store: &Store,
    instances: &Instances,
    users: &HashMap<(RouterId, IpAddr), HashSet<String>>,
    router: RouterId,
    forward: &Forward<'_>,
) -> Listed {
    let instance = |address| instances.get(&(router, address)).cloned();
    let target = |address, port| Target { address, port, instance: instance(address), name: None };
    let (kind, protocol, targets, from) = match forward {
        Forward::Vip(id, vip) => {
            let balancer = store.load_balancer(*id);
            let kind = if forward.is_default_target() { "default-target" } else { "port" };
            let targets = vip.backends().iter().map(|b| target(b.address, b.port.map(u16::from))).collect();
            let name = balancer.map_or_else(String::new, |row| row.name.to_string());
            // northd takes a balancer without a protocol for one of TCP, and a VIP without a port for all protocols,
            // whatever that of its balancer (northd/northd.c, `build_lrouter_nat_flows_for_lb`).
            let protocol = balancer.filter(|_| !forward.is_default_target());
            let protocol = protocol.map(|row| row.protocol.unwrap_or(Protocol::Tcp).as_str().to_owned());
            (kind, protocol, targets, name)
        }
        Forward::Nat(_, nat) | Forward::Converted(_, nat) => {
            let targets = forward.targets().map(|address| target(address, None)).collect();
            let kind = if let Forward::Converted(..) = forward {
                "converted"
            } else {
                nat.kind.map_or("dnat", |kind| kind.as_str())
            };
            (kind, None, targets, nat.uuid.to_string())
        }
    };
    let address = forward.address();
    let mut used_by: Vec<_> =
        address.and_then(|address| users.get(&(router, address))).into_iter().flatten().cloned().collect();
    used_by.sort_unstable();
    Listed {
        router: store.router(router).map_or_else(String::new, |row| row.name.to_string()),
        address,
        kind,
        protocol,
        port: forward.port().map(u16::from),
        targets,
        from,
        ignored: ignored(store, router, forward).map(|reason| reason.code()),
        used_by,
        used_by_names: Vec::new(),
    }
}

/// Returns why OVN ignores everything on the router, or its NAT rows.
fn ignored(store: &Store, router: RouterId, forward: &Forward<'_>) -> Option<Reason> {
    if is_disabled(store, router) {
        return Some(Reason::RouterDisabled);
    }
    let is_row = !matches!(forward, Forward::Vip(..));
    (is_row && !is_gateway(store, router)).then_some(Reason::NoGateway)
}

impl Target {
    /// Renders the address, and the port if there is one.
    fn endpoint(&self) -> String {
        match (self.address, self.port) {
            (address, None) => address.to_string(),
            (address, Some(port)) => SocketAddr::new(address, port).to_string(),
        }
    }
}
