//! Sources and values of intents, and where an address without a forward is allowed.

use super::*;
use crate::case::Settings;

impl<'a> Oracle<'a> {
    /// The source and value of a port's intent: the first source that has one. `None` if there is no intent.
    pub(super) fn asked(&self, uuid: Uuid, port: &Row, family: Family) -> Option<(&'static str, String)> {
        let (key, kept) = match family {
            Family::V4 => ("ipv4.address.external", "ovn-extaddr:ipv4.address.external:"),
            Family::V6 => ("ipv6.address.external", "ovn-extaddr:ipv6.address.external:"),
        };
        let name = port.text("name");
        let written = |source, text: &str| {
            let wanted = text.trim().to_owned();
            Some((source, wanted)).filter(|(_, wanted)| !wanted.is_empty() && wanted != "none")
        };
        if let Some(text) = port.get("external_ids", key) {
            return written("annotation", text);
        }
        if !is_instance(port) {
            return None;
        }
        let mut globals = self.database.table("NB_Global");
        if let Some(text) = globals.find_map(|(_, row)| row.get("external_ids", &format!("{kept}{name}"))) {
            return written("kept", text);
        }
        let switch = self.holder("Logical_Switch", "ports", uuid);
        let routers = switch.map(|switch| self.reachable(switch)).unwrap_or_default();
        let routers: Vec<_> =
            routers.keys().filter_map(|router| self.database.row("Logical_Router", *router)).collect();
        let switch = switch.and_then(|switch| self.database.row("Logical_Switch", switch));
        for rule in &self.settings.policy {
            let matches = rule.port.is_none_or(|glob| fits(glob, name))
                && rule.switch.is_none_or(|glob| switch.is_some_and(|row| fits(glob, row.text("name"))))
                && rule.router.is_none_or(|glob| routers.iter().any(|row| fits(glob, row.text("name"))));
            let wish = if family == Family::V4 { rule.ipv4 } else { rule.ipv6 };
            if let (true, Some(wish)) = (matches, wish) {
                let address = wish.parse::<IpAddr>().map(|address| address.to_string());
                return written("policy", &address.unwrap_or_else(|_| wish.to_owned()));
            }
        }
        if routers.iter().any(|row| row.get("external_ids", "address.external") == Some("auto")) {
            return written("router", "auto");
        }
        if self.settings.auto { written("config", "auto") } else { None }
    }

    /// The gateway that an address is allowed on although none of these forwards it: the nearest.
    pub(super) fn allowed_router(
        &self,
        routers: &BTreeMap<Uuid, usize>,
        external: IpAddr,
        is_cut: impl Fn(Uuid) -> bool,
    ) -> Result<Uuid, &'static str> {
        let allowed = routers
            .iter()
            .filter(|(router, _)| self.is_gateway(**router) && self.is_allowed(**router, external));
        let mut ranked: Vec<_> = allowed.map(|(router, hops)| ((is_cut(*router), *hops), *router)).collect();
        ranked.sort_unstable();
        match ranked[..] {
            [] => Err("not-permitted"),
            [(one, _), (other, _), ..] if one == other => Err("ambiguous-router"),
            [(_, router), ..] => Ok(router),
        }
    }

    /// Whether the configuration allows an address on a router, and no other router has it.
    fn is_allowed(&self, router: Uuid, address: IpAddr) -> bool {
        let name = self.database.row("Logical_Router", router).map(|row| row.text("name"));
        let Settings { allow, .. } = self.settings;
        allow.iter().any(|(glob, prefix)| {
            name.is_some_and(|name| fits(glob, name))
                && network(prefix).is_some_and(|prefix| contains(prefix, address))
        }) && !self.is_elsewhere(router, address)
    }

    /// Whether another router forwards an address, has it, or translates to it. Of our own rows, those on the router
    /// with the least UUID count.
    pub(crate) fn is_elsewhere(&self, router: Uuid, address: IpAddr) -> bool {
        let others = self.database.table("Logical_Router").map(|(other, _)| other).filter(|o| *o != router);
        others.into_iter().any(|other| {
            let leaves = self.nats(other).into_iter().any(|(_, nat)| {
                nat.text("external_ip").parse() == Ok(address)
                    && match nat.get("external_ids", "ovn-extaddr:role") {
                        Some("egress") if self.is_ours(nat) => other < router,
                        Some("drain" | "default-target") if self.is_ours(nat) => false,
                        _ => ["snat", "dnat_and_snat"].contains(&nat.text("type")),
                    }
            });
            let ports = self.router_ports(other);
            let mut own = ports.iter().flat_map(|(_, port)| port.texts("networks").filter_map(network));
            leaves || own.any(|(own, _)| own == address) || !self.forwards_at(other, address).is_empty()
        })
    }

    /// Whether a router has an external address: it forwards it, or it is allowed there.
    pub(crate) fn has_external(&self, router: Uuid, address: IpAddr) -> bool {
        !self.forwards_at(router, address).is_empty() || self.is_allowed(router, address)
    }

    /// The addresses of a port, by its name.
    pub(crate) fn addresses_of(&self, name: &str) -> Vec<IpAddr> {
        let mut ports = self.database.table("Logical_Switch_Port");
        let port = ports.find(|(_, row)| row.text("name") == name);
        port.into_iter()
            .flat_map(|(_, row)| [Family::V4, Family::V6].map(|f| internal_addresses(row, f)))
            .flatten()
            .collect()
    }

    /// Whether a router can be reached from a port, by its name.
    pub(crate) fn reaches(&self, name: &str, router: Uuid) -> bool {
        let mut ports = self.database.table("Logical_Switch_Port");
        let port = ports.find(|(_, row)| row.text("name") == name);
        let switch = port.and_then(|(uuid, _)| self.holder("Logical_Switch", "ports", uuid));
        switch.is_some_and(|switch| self.reachable(switch).contains_key(&router))
    }
}

/// Whether a pattern matches a whole text; `*` matches any text and `?` any character.
fn fits(glob: &str, text: &str) -> bool {
    match glob.chars().next() {
        None => text.is_empty(),
        Some('*') => (0..=text.len()).any(|at| fits(&glob[1..], &text[at..])),
        Some(c) => {
            let mut rest = text.chars();
            rest.next().is_some_and(|other| c == '?' || c == other)
                && fits(&glob[c.len_utf8()..], rest.as_str())
        }
    }
}
