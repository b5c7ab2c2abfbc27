//! Small networks for tests of rules: rows as a server would send them, and the decisions on them, each as a line.

mod live;

pub(crate) use live::Live;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Instant;

use ovn_model::{Family, Store, keys};
use ovsdb_protocol::{Batch, Columns, Replica, RowChange, RowUpdate, declared_schema};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::clock::Now;
use crate::difference;
use crate::drain::unused;
use crate::engine::Engine;
use crate::explain::Check;
use crate::hazards;
use crate::key::Key;
use crate::ownership::{Owner, Role};
use crate::policy::Allow;
use crate::resolve::{Decision, Dependency, Question, Verdict, resolve};
use crate::rules::Rules;
use crate::sources::requests::Requests;
use crate::topology::reach;

/// A network whose rows have names, from which their UUIDs are derived.
#[derive(Clone)]
pub(crate) struct NetworkBuilder {
    rows: BTreeMap<(&'static str, String), serde_json::Map<String, Value>>,
    pub(crate) rules: Rules,
    /// Whether the server's release has neither gateway ports nor source ports of NAT rows.
    pub(crate) is_old: bool,
}

/// An edit of a network.
pub(crate) type Edit = fn(&mut NetworkBuilder);

/// Returns a map in OVSDB's notation.
pub(crate) fn map(pairs: &[(&str, &str)]) -> Value {
    json!(["map", pairs])
}

/// Returns a reference to a row of a name.
pub(crate) fn reference(table: &str, name: &str) -> Value {
    json!(["uuid", uuid(table, name)])
}

/// Returns a prefix that is allowed on routers of these names.
pub(crate) fn allow(router: &str, prefix: &str) -> Allow {
    toml::from_str(&format!("router = \"{router}\"\nprefixes = [\"{prefix}\"]")).unwrap()
}

/// Returns the UUID of a row; a name that is a UUID is that of the row.
fn uuid(table: &str, name: &str) -> Uuid {
    let made = || Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{table} {name}").as_bytes());
    Uuid::parse_str(name).unwrap_or_else(|_| made())
}

/// Returns the decision on each intent of a port, IPv4 first.
fn outcome(store: &Store, engine: &Engine, port: &str) -> String {
    let outcomes = engine.decisions(port).iter().map(|decision| match &decision.verdict {
        Verdict::Granted(grant) => {
            let rows = grant.rows.iter().map(|(internal, _)| internal.to_string());
            let external = decision.external.map(|address| address.to_string()).unwrap_or_default();
            let mut text = format!("granted {external} for {}", rows.collect::<Vec<_>>().join(", "));
            if let Some(range) = grant.port_range {
                text += &format!(" ports {range}");
            }
            if let Some(port) = grant.gateway_port.and_then(|port| store.router_port(port)) {
                text += &format!(" at {}", port.name);
            }
            if decision.converts {
                text += " converted";
            }
            text
        }
        Verdict::Foreign(_) => "foreign".to_owned(),
        Verdict::Waiting(reason) => format!("waiting {}", reason.code().name()),
        Verdict::Rejected(reason) => format!("rejected {}", reason.code().name()),
        Verdict::Conflict(reason) => format!("conflict {}", reason.code().name()),
    });
    outcomes.collect::<Vec<_>>().join("; ")
}

/// Returns the changes for a port or of conversions, each as `plan` writes it.
fn lines(store: &Store, engine: &Engine, port: Option<&str>) -> Vec<String> {
    let planned = difference::planned(store, engine).into_iter();
    let lines = planned.filter(|change| change.port.as_deref() == port).map(|change| {
        let content = change.to.or(change.from).map(|content| content.to_string());
        let words = [Some(change.action.name().to_owned()), content, change.load_balancer, change.vip];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let mut lines: Vec<_> = lines.collect();
    lines.sort_unstable();
    lines
}

impl NetworkBuilder {
    /// Returns a router `R` with the gateway port `R-ext`, 203.0.113.2/24, and the port `R-S`, 10.57.0.1/24 and
    /// fd42:57::1/64, to the switch `S` with the instance port `p1`, 10.57.0.11 and fd42:57::b, and the SNAT of 10.57.0.0/24.
    pub(crate) fn new() -> Self {
        let mut network = Self { rows: BTreeMap::new(), rules: Rules::new(Owner::default()), is_old: false };
        network.put("Logical_Switch", "S", json!({"name": "S"}));
        network.put("Logical_Router", "R", json!({"name": "R"}));
        network.router_port("R", "R-S", &["10.57.0.1/24", "fd42:57::1/64"]);
        network.join("S", "R-S");
        network.gateway_port("R", "R-ext", &["203.0.113.2/24"]);
        network.instance("p1", "02:00:00:00:00:11 10.57.0.11 fd42:57::b");
        network.nat("base", "R", "snat", "203.0.113.2", "10.57.0.0/24");
        network
    }

    /// Sets columns of a row, which is inserted if it does not exist.
    pub(crate) fn put(&mut self, table: &'static str, name: &str, columns: Value) {
        let Value::Object(columns) = columns else { panic!("{columns} is not a row") };
        self.rows.entry((table, name.to_owned())).or_default().extend(columns);
    }

    /// Returns the name of a row.
    pub(crate) fn name_of(&self, row: Uuid) -> Option<&str> {
        self.rows.keys().find(|(table, name)| uuid(table, name) == row).map(|(_, name)| &**name)
    }

    /// Replaces the UUIDs of rows by `<TABLE NAME>`; rows that are not there keep theirs.
    pub(crate) fn with_names(&self, text: &str) -> String {
        self.rows.keys().fold(text.to_owned(), |text, (table, name)| {
            text.replace(&uuid(table, name).to_string(), &format!("<{table} {name}>"))
        })
    }

    /// Deletes a row, to which references stay.
    pub(crate) fn delete(&mut self, table: &'static str, name: &str) {
        self.rows.remove(&(table, name.to_owned()));
    }

    /// Adds a row to a set of references.
    fn link(&mut self, (table, name, column): (&'static str, &str, &str), to: (&str, &str)) {
        let row = self.rows.entry((table, name.to_owned())).or_default();
        let set = row.entry(column).or_insert_with(|| json!(["set", []]));
        if let Some(elements) = set[1].as_array_mut() {
            elements.push(reference(to.0, to.1));
        }
    }

    pub(crate) fn router(&mut self, name: &str) {
        self.put("Logical_Router", name, json!({"name": name}));
    }

    pub(crate) fn router_port(&mut self, router: &str, name: &str, networks: &[&str]) {
        let row = json!({"name": name, "networks": ["set", networks]});
        self.put("Logical_Router_Port", name, row);
        self.link(("Logical_Router", router, "ports"), ("Logical_Router_Port", name));
    }

    pub(crate) fn gateway_port(&mut self, router: &str, name: &str, networks: &[&str]) {
        self.router_port(router, name, networks);
        let group = reference("HA_Chassis_Group", "group");
        self.put("Logical_Router_Port", name, json!({"ha_chassis_group": group}));
    }

    /// Makes a router a gateway as a whole, bound to a chassis, with `R-ext` as a usual port.
    pub(crate) fn bind_to_chassis(&mut self) {
        self.put("Logical_Router", "R", json!({"options": map(&[("chassis", "gateway-1")])}));
        self.put("Logical_Router_Port", "R-ext", json!({"ha_chassis_group": ["set", []]}));
    }

    /// Joins a switch with a router's port.
    pub(crate) fn join(&mut self, switch: &str, router_port: &str) {
        let name = format!("{switch}-{router_port}");
        let options = map(&[("router-port", router_port)]);
        let row = json!({"name": name, "type": "router", "addresses": "router", "options": options});
        self.put("Logical_Switch_Port", &name, row);
        self.link(("Logical_Switch", switch, "ports"), ("Logical_Switch_Port", &name));
    }

    /// Adds a port to a switch.
    pub(crate) fn switch_port(&mut self, switch: &str, name: &str, columns: Value) {
        self.put("Logical_Switch_Port", name, json!({"name": name}));
        self.put("Logical_Switch_Port", name, columns);
        self.link(("Logical_Switch", switch, "ports"), ("Logical_Switch_Port", name));
    }

    /// Puts an instance's port on `S`.
    pub(crate) fn instance(&mut self, name: &str, addresses: &str) {
        self.put("Logical_Switch_Port", name, json!({"name": name, "addresses": addresses}));
        self.link(("Logical_Switch", "S", "ports"), ("Logical_Switch_Port", name));
    }

    /// Gives a port one key of `external_ids`, and no other.
    pub(crate) fn annotate(&mut self, port: &str, key: &str, value: &str) {
        self.put("Logical_Switch_Port", port, json!({"external_ids": map(&[(key, value)])}));
    }

    /// Annotates a port with an address, for its family; `auto` is for IPv4.
    pub(crate) fn wants(&mut self, port: &str, wanted: &str) {
        let family = if wanted.contains(':') { Family::V6 } else { Family::V4 };
        self.annotate(port, keys::port_key(family), wanted);
    }

    pub(crate) fn nat(&mut self, name: &str, router: &str, kind: &str, external: &str, logical: &str) {
        self.put("NAT", name, json!({"type": kind, "external_ip": external, "logical_ip": logical}));
        self.link(("Logical_Router", router, "nat"), ("NAT", name));
    }

    /// Limits a NAT row to a router port.
    pub(crate) fn nat_at(&mut self, name: &str, port: &str) {
        self.put("NAT", name, json!({"gateway_port": reference("Logical_Router_Port", port)}));
    }

    pub(crate) fn balancer(&mut self, name: &str, vips: &[(&str, &str)], routers: &[&str]) {
        self.put("Load_Balancer", name, json!({"name": name, "vips": map(vips)}));
        for router in routers {
            self.link(("Logical_Router", router, "load_balancer"), ("Load_Balancer", name));
        }
    }

    /// Returns a store that has the rows.
    pub(crate) fn store(&self) -> Store {
        let mut store = Store::new();
        let has = |column: &str| !self.is_old || !["external_port_range", "gateway_port"].contains(&column);
        let schema = declared_schema(crate::DATABASE, Store::tables(), |_, column| has(column.name));
        store.declare(&schema).unwrap();
        store.begin(Batch::Snapshot);
        for ((table, name), row) in &self.rows {
            let text = Value::Object(row.clone()).to_string();
            let change = RowChange::Insert(Columns::new(&text));
            store.apply(RowUpdate { table, uuid: uuid(table, name), change }).unwrap();
        }
        store.commit();
        store
    }

    /// Returns the decision on each intent of a port, IPv4 first, such as `granted 203.0.113.10 for 10.57.0.11 ports
    /// 1024-65535 at R-ext` or `rejected not-a-forward`.
    pub(crate) fn outcome(&self, port: &str) -> String {
        let (store, engine) = self.decided();
        outcome(&store, &engine, port)
    }

    /// Returns the source and value of a port's first intent.
    pub(crate) fn asked(&self, port: &str) -> String {
        let (_, engine) = self.decided();
        let first = engine.decisions(port).first();
        first.map_or_else(String::new, |decision| format!("{} {}", decision.source.name(), decision.wanted))
    }

    /// Returns the sentence about a port's only intent that is refused.
    pub(crate) fn sentence(&self, port: &str) -> String {
        let (store, engine) = self.decided();
        let decision = &engine.decisions(port)[0];
        let reason = decision.reason().unwrap();
        reason.sentence(&store, &Key::of_port(decision.family), &decision.address(), decision.router)
    }

    /// Returns the dependencies of the decision on a port's IPv4 intent.
    pub(crate) fn watched(&self, port: &str) -> Vec<Dependency> {
        self.resolved(port).1
    }

    /// Returns the rows of a port's IPv4 intent, by their addresses.
    pub(crate) fn rows(&self, port: &str) -> Vec<(IpAddr, Uuid)> {
        let decision = self.resolved(port).0;
        decision.grant().map_or_else(Vec::new, |grant| grant.rows.to_vec())
    }

    /// Returns the steps that `explain` shows for a port's IPv4 intent, with a `!` where not everything will work.
    pub(crate) fn checks(&self, port: &str) -> Vec<String> {
        let checks = self.resolved(port).2;
        let line =
            |check: Check| format!("{}{}: {}", if check.hazard { "!" } else { "" }, check.step, check.detail);
        checks.into_iter().map(line).collect()
    }

    /// Decides on a port's IPv4 intent.
    fn resolved(&self, port: &str) -> (Decision, Vec<Dependency>, Vec<Check>) {
        let store = self.store();
        let port = store.port(store.port_by_name(port).unwrap()).unwrap();
        let reach = reach(&store, port.switch.unwrap());
        let requests = &Requests::default();
        let question =
            Question { store: &store, rules: &self.rules, requests, reach: &reach, port, family: Family::V4 };
        let (mut watched, mut checks) = (Vec::new(), Vec::new());
        let decision = resolve(question, &mut watched, &mut checks).unwrap();
        (decision, watched, checks)
    }

    /// Returns the changes for a port with its present rows, each as `plan` writes it.
    pub(crate) fn plan(&self, port: &str) -> Vec<String> {
        let (store, engine) = self.decided();
        lines(&store, &engine, Some(port))
    }

    /// Returns the changes of conversions, each as `plan` writes it.
    pub(crate) fn conversions(&self) -> Vec<String> {
        let (store, engine) = self.decided();
        lines(&store, &engine, None)
    }

    /// Returns a store that has the rows, and an engine that has decided on it.
    pub(crate) fn decided(&self) -> (Store, Engine) {
        let (mut store, mut engine) = (self.store(), Engine::new(self.rules.clone()));
        engine.catch_up(&mut store, Now { instant: Instant::now(), wall: 1_800_000_000 });
        (store, engine)
    }

    /// Adds one of our rows, as it was written for a port on `R`.
    pub(crate) fn own_row(&mut self, port: &str, external: &str, internal: &str, gateway_port: Option<&str>) {
        let name = self.row_of_role(Role::Egress, port, internal, &[]);
        self.put("NAT", &name, json!({"type": "snat", "external_ip": external, "logical_ip": internal}));
        if let Some(port) = gateway_port {
            self.nat_at(&name, port);
        }
    }

    /// Adds a drain row on `R`, as it was written for a port. Returns its name.
    pub(crate) fn drain_row(&mut self, port: &str, external: &str, internal: &str, until: u64) -> String {
        let tags = [("ovn-extaddr:internal", internal), ("ovn-extaddr:until", &*until.to_string())];
        let name = self.row_of_role(Role::Drain, port, external, &tags);
        let logical = unused(uuid("NAT", &name), Family::V4).to_string();
        self.put("NAT", &name, json!({"type": "snat", "external_ip": external, "logical_ip": logical}));
        name
    }

    /// Adds one of our rows on `R` with its UUID, which follows from an address, and its tags and these. Returns its name.
    pub(crate) fn row_of_role(
        &mut self,
        role: Role,
        port: &str,
        address: &str,
        more: &[(&str, &str)],
    ) -> String {
        let owner = &self.rules.owner;
        let row = owner.row_uuid(role, uuid("Logical_Router", "R"), address.parse().unwrap(), port);
        let mut tags = vec![(keys::OWNER, owner.as_str()), (keys::ROLE, role.name())];
        tags.extend(Some((keys::PORT, port)).filter(|_| !port.is_empty()));
        tags.extend(more);
        let name = row.to_string();
        let columns = json!({"options": map(&[("stateless", "false")]), "external_ids": map(&tags)});
        self.put("NAT", &name, columns);
        self.link(("Logical_Router", "R", "nat"), ("NAT", &name));
        name
    }

    /// Returns the codes of all hazards.
    pub(crate) fn hazards(&self) -> Vec<&'static str> {
        hazards::all(self.rules.network(&self.store())).iter().map(|hazard| hazard.code).collect()
    }
}
