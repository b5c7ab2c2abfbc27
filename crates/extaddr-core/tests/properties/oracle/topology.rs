//! The routers that a switch reaches, and the criteria of a gateway.

use super::*;

/// The owner of each referenced row, by the column that refers to it.
pub(super) type Holders = BTreeMap<(&'static str, &'static str, Uuid), Uuid>;

/// The routers that can be reached from a switch, by closed ways too or not.
pub(super) type Reached = RefCell<BTreeMap<(Uuid, bool), BTreeMap<Uuid, usize>>>;

/// Of several rows that refer to one, the owner is the one with the least UUID.
pub(super) fn holders(database: &Database) -> Holders {
    let mut holders = Holders::new();
    for (table, column) in
        [("Logical_Switch", "ports"), ("Logical_Router", "ports"), ("Logical_Router", "nat")]
    {
        for (holder, row) in database.table(table) {
            for element in row.refs(column) {
                holders.entry((table, column, element)).or_insert(holder);
            }
        }
    }
    holders
}

impl<'a> Oracle<'a> {
    /// The owner of a row.
    pub(super) fn holder(&self, table: &'static str, column: &'static str, uuid: Uuid) -> Option<Uuid> {
        self.holders.get(&(table, column, uuid)).copied()
    }

    /// The routers that can be reached from each switch.
    pub(crate) fn reached(&self) -> BTreeMap<Uuid, BTreeMap<Uuid, usize>> {
        let switches = self.database.table("Logical_Switch");
        switches.map(|(switch, _)| (switch, self.reachable(switch))).collect()
    }

    /// The routers that can be reached from a switch, and how many routers away they are. Closed ways are only used for
    /// routers that no other way leads to.
    pub(super) fn reachable(&self, switch: Uuid) -> BTreeMap<Uuid, usize> {
        let mut reached = self.reachable_by(switch, true);
        reached.extend(self.reachable_by(switch, false));
        reached
    }

    /// The same by ways through disabled ports, or not.
    pub(super) fn reachable_by(&self, switch: Uuid, closed: bool) -> BTreeMap<Uuid, usize> {
        if let Some(known) = self.reached.borrow().get(&(switch, closed)) {
            return known.clone();
        }
        let mut reached = BTreeMap::new();
        let mut level = self.routers_on(self.joined([switch].into(), closed), closed);
        for hops in 1..=MAX_HOPS {
            level.retain(|router| !reached.contains_key(router));
            reached.extend(level.iter().map(|router| (*router, hops)));
            // Behind a gateway router is the outside, and a disabled one forwards nothing.
            let inner =
                level.into_iter().filter(|router| !self.is_gateway(*router) && !self.is_disabled(*router));
            level = inner.flat_map(|router| self.neighbours(router, closed)).collect();
        }
        self.reached.borrow_mut().insert((switch, closed), reached.clone());
        reached
    }

    /// The switches, and those that are joined with them directly, over others too.
    pub(super) fn joined(&self, mut switches: BTreeSet<Uuid>, closed: bool) -> BTreeSet<Uuid> {
        let mut ports: Vec<_> = self.database.table("Logical_Switch_Port").collect();
        ports.retain(|(_, port)| port.text("type") == "switch");
        let peer = |port: &'a Row| port.texts("peer").next().filter(|_| port.text("type") == "switch");
        loop {
            let before = switches.len();
            for (one, port) in &ports {
                for (other, row) in &ports {
                    if (closed || is_open(port) && is_open(row))
                        && peer(port) == Some(row.text("name"))
                        && peer(row) == Some(port.text("name"))
                        && let Some(from) = self.holder("Logical_Switch", "ports", *one)
                        && switches.contains(&from)
                    {
                        switches.extend(self.holder("Logical_Switch", "ports", *other));
                    }
                }
            }
            if switches.len() == before {
                return switches;
            }
        }
    }

    pub(super) fn routers_on(&self, switches: BTreeSet<Uuid>, closed: bool) -> BTreeSet<Uuid> {
        let ports = self.database.table("Logical_Switch_Port");
        let ports = ports.filter(|(port, row)| {
            (closed || is_open(row))
                && self.holder("Logical_Switch", "ports", *port).is_some_and(|on| switches.contains(&on))
        });
        let leading = ports.filter_map(|(_, port)| leads_to(port));
        leading.filter_map(|name| self.router_with(name, closed)).collect()
    }

    /// The routers over a switch or a peering.
    pub(super) fn neighbours(&self, router: Uuid, closed: bool) -> BTreeSet<Uuid> {
        let mut found = BTreeSet::new();
        for (_, port) in self.router_ports(router).into_iter().filter(|(_, port)| closed || is_open(port)) {
            for (other, row) in self.database.table("Logical_Switch_Port") {
                if leads_to(row) == Some(port.text("name"))
                    && (closed || is_open(row))
                    && let Some(switch) = self.holder("Logical_Switch", "ports", other)
                {
                    found.extend(self.routers_on(self.joined([switch].into(), closed), closed));
                }
            }
            for (other, row) in self.database.table("Logical_Router_Port") {
                let joined = row.texts("peer").any(|peer| peer == port.text("name"))
                    && port.texts("peer").any(|peer| peer == row.text("name"));
                if joined && !is_gateway_port(row) && (closed || is_open(row)) {
                    found.extend(self.holder("Logical_Router", "ports", other));
                }
            }
        }
        found
    }

    /// Whether a gateway port is closed: it is disabled, or everything that it leads to is.
    pub(super) fn is_closed(&self, port: Uuid) -> bool {
        let row = self.database.row("Logical_Router_Port", port).unwrap();
        let ends = self.database.table("Logical_Switch_Port");
        let mut ends = ends.filter(|(_, end)| leads_to(end) == Some(row.text("name"))).peekable();
        !is_open(row) || ends.peek().is_some() && ends.all(|(_, end)| !is_open(end))
    }

    /// Whether all ports of a router that is bound to a chassis are closed, except those in networks of these addresses.
    pub(super) fn is_closed_outside(&self, router: Uuid, internal: &[IpAddr]) -> bool {
        let is_bound = self
            .database
            .row("Logical_Router", router)
            .is_some_and(|row| row.get("options", "chassis").is_some());
        let ports = self.router_ports(router);
        let outer = || ports.iter().filter(|(_, row)| !internal.iter().any(|address| holds(row, *address)));
        is_bound && outer().next().is_some() && outer().all(|(port, _)| self.is_closed(*port))
    }

    pub(super) fn router_with(&self, port: &str, closed: bool) -> Option<Uuid> {
        let mut ports = self.database.table("Logical_Router_Port");
        let (uuid, row) = ports.find(|(_, row)| row.text("name") == port)?;
        let is_way = !is_gateway_port(row) && (closed || is_open(row));
        self.holder("Logical_Router", "ports", uuid).filter(|_| is_way)
    }

    pub(super) fn router_ports(&self, router: Uuid) -> Vec<(Uuid, &'a Row)> {
        let ports = self.database.table("Logical_Router_Port");
        ports.filter(|(port, _)| self.holder("Logical_Router", "ports", *port) == Some(router)).collect()
    }

    /// The gateway ports that northd uses: none on a router that is bound to a chassis.
    pub(super) fn gateway_ports(&self, router: Uuid) -> Vec<(Uuid, &'a Row)> {
        let mut ports = self.router_ports(router);
        ports.retain(|(_, port)| is_gateway_port(port) && !self.is_bound(router));
        ports
    }

    pub(super) fn is_bound(&self, router: Uuid) -> bool {
        let row = self.database.row("Logical_Router", router);
        row.is_some_and(|row| row.get("options", "chassis").is_some())
    }

    pub(super) fn is_gateway(&self, router: Uuid) -> bool {
        self.is_bound(router) || !self.gateway_ports(router).is_empty()
    }
}

pub(super) fn is_open(port: &Row) -> bool {
    port.flag("enabled") != Some(false)
}

pub(crate) fn is_gateway_port(port: &Row) -> bool {
    port.is_set("ha_chassis_group") || port.is_set("gateway_chassis")
}

pub(super) fn leads_to(port: &Row) -> Option<&str> {
    port.get("options", "router-port").filter(|_| port.text("type") == "router")
}
