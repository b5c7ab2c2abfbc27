//! How a router is written into a Northbound database.

use std::fmt::{self, Display, Formatter};

use super::case::{
    Balancer, Case, Gateway, INSTANCES, Nat, OUTSIDE, Place, Port, Row, instance, mac, port_name,
};

impl Case {
    /// The commands of ovn-nbctl that create it in one transaction. Names end with the number.
    pub(super) fn commands(&self, number: &str) -> Vec<Vec<String>> {
        let mut made = Commands::default();
        let router = format!("R{number}");
        let mut ports = self.outer().to_vec();
        ports.push(Port::Inner);
        made.router(self, &router);
        for port in ports {
            made.port(self, port, number);
        }
        for index in 0..INSTANCES {
            let (switch, name) = (format!("S{number}"), port_name(number, index));
            made.add(["lsp-add".to_owned(), switch, name.clone()]);
            let [v4, v6] = instance(index);
            made.add(["lsp-set-addresses".to_owned(), name, format!("{} {v4} {v6}", mac(index))]);
        }
        if self.base {
            for (external, network) in [("203.0.113.2", "10.57.0.0/24"), ("2001:db8::2", "fd42:57::/64")] {
                let port = (self.gateway == Gateway::Two).then_some(Port::Ext);
                made.nat(&Nat { port, ..Nat::snat(external, network) }, number);
            }
        }
        for row in &self.rows {
            match row {
                Row::Balancer(balancer) => made.balancer(balancer, number),
                Row::Nat(nat) => made.nat(nat, number),
                Row::Intent { instance, key, wanted } => {
                    let name = port_name(number, *instance);
                    let pair = format!("external_ids:{key}={}", quoted(wanted));
                    made.add(["set".to_owned(), "logical_switch_port".to_owned(), name, pair]);
                }
            }
        }
        made.commands
    }
}

/// The commands: the common part of all cases in few lines, and each row separately.
impl Display for Case {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let bare = Self { rows: Vec::new(), ..self.clone() }.commands("").len();
        write!(out, "ovn-nbctl")?;
        for (index, command) in self.commands("").into_iter().enumerate() {
            match index {
                0 => {}
                _ if index < bare => write!(out, " --")?,
                _ => write!(out, " \\\n  --")?,
            }
            for word in command {
                let plain = |c: char| c.is_ascii_alphanumeric() || "-_=:@./,".contains(c);
                if word.chars().all(plain) { write!(out, " {word}")? } else { write!(out, " '{word}'")? }
            }
        }
        Ok(())
    }
}

/// Commands of one transaction.
#[derive(Default)]
struct Commands {
    commands: Vec<Vec<String>>,
    rows: usize,
}

impl Commands {
    fn add<W: Into<String>>(&mut self, words: impl IntoIterator<Item = W>) {
        self.commands.push(words.into_iter().map(Into::into).collect());
    }

    /// A name for a row of this transaction.
    fn id(&mut self) -> String {
        self.rows += 1;
        format!("@{}", self.rows)
    }

    fn router(&mut self, case: &Case, router: &str) {
        let mut words: Vec<String> =
            ["--id=@r", "create", "logical_router"].map(str::to_owned).into_iter().collect();
        words.push(format!("name={router}"));
        if let Some(enabled) = case.enabled {
            words.push(format!("enabled={enabled}"));
        }
        if matches!(case.gateway, Gateway::Chassis | Gateway::ChassisAndPort) {
            words.push("options:chassis=gateway-1".to_owned());
        }
        words.extend(case.options.iter().map(|(key, value)| format!("options:{key}={}", quoted(value))));
        self.add(words);
    }

    fn port(&mut self, case: &Case, port: Port, number: &str) {
        let (router, name) = (format!("R{number}"), port.name(number));
        let is_gateway = port != Port::Inner
            && matches!(case.gateway, Gateway::One { .. } | Gateway::Two | Gateway::ChassisAndPort);
        let by_group = case.gateway == Gateway::One { group: true };
        let mut words =
            vec![format!("--id={}", port.id()), "create".to_owned(), "logical_router_port".to_owned()];
        words.push(format!("name={name}"));
        words.push(format!("mac=\"{}\"", port.mac()));
        words.push(format!("networks=\"{}\",\"{}\"", port.networks()[0], port.networks()[1]));
        if is_gateway {
            let (chassis, group) = (self.id(), self.id());
            if by_group {
                self.add([
                    format!("--id={chassis}"),
                    "create".into(),
                    "ha_chassis".into(),
                    "chassis_name=gateway-1".into(),
                ]);
                let members = format!("ha_chassis={chassis}");
                self.add([
                    format!("--id={group}"),
                    "create".into(),
                    "ha_chassis_group".into(),
                    format!("name={name}"),
                    members,
                ]);
                words.push(format!("ha_chassis_group={group}"));
            } else {
                let unique = format!("name={name}-gateway-1");
                self.add([
                    format!("--id={chassis}"),
                    "create".into(),
                    "gateway_chassis".into(),
                    unique,
                    "chassis_name=gateway-1".into(),
                ]);
                words.push(format!("gateway_chassis={chassis}"));
            }
        }
        if port == Port::Ext && case.outer_disabled || port == Port::Inner && case.inner_disabled {
            words.push("enabled=false".to_owned());
        }
        self.add(words);
        self.add([
            "add".to_owned(),
            "logical_router".to_owned(),
            router,
            "ports".to_owned(),
            port.id().to_owned(),
        ]);
        let switch = if port == Port::Inner { format!("S{number}") } else { port.outside(number).0 };
        let attached = format!("{switch}-R");
        self.add(["ls-add".to_owned(), switch.clone()]);
        self.add(["lsp-add".to_owned(), switch.clone(), attached.clone()]);
        self.add(["lsp-set-type".to_owned(), attached.clone(), "router".to_owned()]);
        self.add(["lsp-set-addresses".to_owned(), attached.clone(), "router".to_owned()]);
        self.add(["lsp-set-options".to_owned(), attached, format!("router-port={name}")]);
        if port != Port::Inner {
            let (_, host) = port.outside(number);
            let [v4, v6] = port.beyond();
            self.add(["lsp-add".to_owned(), switch, host.clone()]);
            self.add(["lsp-set-addresses".to_owned(), host, format!("{OUTSIDE} {v4} {v6}")]);
        }
    }

    fn balancer(&mut self, balancer: &Balancer, number: &str) {
        let id = self.id();
        let mut words = vec![format!("--id={id}"), "create".to_owned(), "load_balancer".to_owned()];
        words.push(format!("name=lb{number}-{}", self.rows));
        words.extend(balancer.protocol.map(|protocol| format!("protocol={protocol}")));
        words.extend(balancer.options.iter().map(|(key, value)| format!("options:{key}={value}")));
        let vips: Vec<String> = balancer
            .vips
            .iter()
            .map(|(vip, backends)| format!("{}={}", quoted(vip), quoted(backends)))
            .collect();
        words.push(format!("vips={{{}}}", vips.join(",")));
        self.add(words);
        let mut attach = |table: &str, record: String, column: &str, id: &str| {
            self.add(["add".to_owned(), table.to_owned(), record, column.to_owned(), id.to_owned()]);
        };
        if matches!(balancer.place, Place::Router | Place::Both) {
            attach("logical_router", format!("R{number}"), "load_balancer", &id);
        }
        if matches!(balancer.place, Place::Switch | Place::Both) {
            attach("logical_switch", format!("S{number}"), "load_balancer", &id);
        }
        if balancer.place == Place::Group {
            let group = self.id();
            let name = format!("name=group{number}-{}", self.rows);
            self.add([
                format!("--id={group}"),
                "create".into(),
                "load_balancer_group".into(),
                name,
                format!("load_balancer={id}"),
            ]);
            self.add([
                "add".into(),
                "logical_router".into(),
                format!("R{number}"),
                "load_balancer_group".into(),
                group,
            ]);
        }
    }

    fn nat(&mut self, nat: &Nat, number: &str) {
        let (id, set) = (self.id(), self.id());
        let mut words = vec![format!("--id={id}"), "create".to_owned(), "nat".to_owned()];
        words.push(format!("type={}", nat.kind));
        words.push(format!("external_ip={}", quoted(&nat.external)));
        words.push(format!("logical_ip={}", quoted(&nat.logical)));
        words.extend(nat.port.map(|port| format!("gateway_port={}", port.id())));
        words.extend(nat.range.map(|range| format!("external_port_range={}", quoted(range))));
        words.extend(
            nat.stateless.map(|stateless| format!("options:stateless={}", quoted(&stateless.to_string()))),
        );
        if let Some((text, priority)) = nat.matching {
            words.push(format!("match={}", quoted(text)));
            words.push(format!("priority={priority}"));
        }
        if nat.distributed {
            words.push(format!("logical_port={}", port_name(number, 0)));
            words.push("external_mac=\"02:00:00:00:02:01\"".to_owned());
        }
        if let Some((column, network)) = nat.set {
            let name = format!("name=set{number}_{}", self.rows);
            self.add([
                format!("--id={set}"),
                "create".into(),
                "address_set".into(),
                name,
                format!("addresses={}", quoted(network)),
            ]);
            words.push(format!("{column}={set}"));
        }
        self.add(words);
        self.add(["add".into(), "logical_router".into(), format!("R{number}"), "nat".into(), id]);
    }
}

/// A string in ovn-nbctl's notation.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
