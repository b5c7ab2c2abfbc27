//! A router with everything on it.

use std::net::{IpAddr, SocketAddr};

/// How the router is a gateway, if it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    /// It is not a gateway.
    None,
    /// `options:chassis`.
    Chassis,
    /// The outer port, by `gateway_chassis` or by `ha_chassis_group`.
    One { group: bool },
    /// Two outer ports.
    Two,
    /// `options:chassis`, and an outer port with `gateway_chassis`.
    ChassisAndPort,
}

/// A router. Everything may be omitted except the router itself, two switches and their ports.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) gateway: Gateway,
    /// `Logical_Router.enabled`.
    pub(super) enabled: Option<bool>,
    /// Whether the outer port is disabled.
    pub(super) outer_disabled: bool,
    /// Whether the inner port is disabled.
    pub(super) inner_disabled: bool,
    /// Whether both networks have SNAT, by the outer port's addresses.
    pub(super) base: bool,
    pub(super) options: Vec<(&'static str, &'static str)>,
    pub(super) rows: Vec<Row>,
}

/// The parts that may be omitted.
#[derive(Clone, Debug)]
pub(super) enum Row {
    Balancer(Balancer),
    Nat(Nat),
    Intent { instance: usize, key: &'static str, wanted: String },
}

/// A `Load_Balancer`.
#[derive(Clone, Debug)]
pub(super) struct Balancer {
    pub(super) protocol: Option<&'static str>,
    pub(super) place: Place,
    pub(super) options: Vec<(&'static str, &'static str)>,
    pub(super) vips: Vec<(String, String)>,
}

/// Where a balancer is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Router,
    Switch,
    Both,
    /// A group that is on the router.
    Group,
}

/// A `NAT` row.
#[derive(Clone, Debug)]
pub(super) struct Nat {
    pub(super) kind: &'static str,
    pub(super) external: String,
    pub(super) logical: String,
    /// The port that it names.
    pub(super) port: Option<Port>,
    pub(super) range: Option<&'static str>,
    pub(super) stateless: Option<bool>,
    /// Which of `allowed_ext_ips` and `exempted_ext_ips` refers to a set.
    pub(super) set: Option<(&'static str, &'static str)>,
    /// `match` and `priority`.
    pub(super) matching: Option<(&'static str, u16)>,
    /// Whether it has `logical_port` and `external_mac`.
    pub(super) distributed: bool,
}

/// A port of the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Port {
    /// 203.0.113.2 and 2001:db8::2.
    Ext,
    /// 192.0.2.2 and 2001:db8:2::2.
    Priv,
    /// Into the instances' network.
    Inner,
}

/// The simplest kind of gateway.
pub(super) const PLAIN: Gateway = Gateway::One { group: false };

/// The number of instances.
pub(super) const INSTANCES: usize = 3;

/// The MAC of the hosts outside.
pub(super) const OUTSIDE: &str = "02:00:00:00:00:01";

impl Port {
    /// The name, with the router's number.
    pub(super) fn name(self, number: &str) -> String {
        match self {
            Self::Ext => format!("R{number}-ext"),
            Self::Priv => format!("R{number}-priv"),
            Self::Inner => format!("R{number}-S"),
        }
    }

    pub(super) fn mac(self) -> &'static str {
        match self {
            Self::Ext => "02:00:00:00:01:01",
            Self::Priv => "02:00:00:00:01:02",
            Self::Inner => "02:00:00:00:01:03",
        }
    }

    /// The networks, as in `networks`.
    pub(super) fn networks(self) -> [&'static str; 2] {
        match self {
            Self::Ext => ["203.0.113.2/24", "2001:db8::2/64"],
            Self::Priv => ["192.0.2.2/24", "2001:db8:2::2/64"],
            Self::Inner => ["10.57.0.1/24", "fd42:57::1/64"],
        }
    }

    /// Whether an address is the port's own.
    pub(super) fn has(self, address: IpAddr) -> bool {
        let address = address.to_string();
        self.networks().iter().any(|network| network.split('/').next() == Some(&address))
    }

    /// The host outside that is behind an outer port.
    pub(super) fn beyond(self) -> [IpAddr; 2] {
        let addresses = match self {
            Self::Priv => ["192.0.2.1", "2001:db8:2::1"],
            Self::Ext | Self::Inner => ["203.0.113.1", "2001:db8::1"],
        };
        addresses.map(|address| address.parse().expect("an address"))
    }

    /// The switch that it leads into, and the port of the host there.
    pub(super) fn outside(self, number: &str) -> (String, String) {
        match self {
            Self::Priv => (format!("Y{number}"), format!("wan{number}-priv")),
            Self::Ext | Self::Inner => (format!("X{number}"), format!("wan{number}")),
        }
    }

    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Ext => "@ext",
            Self::Priv => "@priv",
            Self::Inner => "@inner",
        }
    }
}

/// An instance's addresses.
pub(super) fn instance(index: usize) -> [IpAddr; 2] {
    let last = 11 + index as u8;
    [IpAddr::from([10, 57, 0, last]), IpAddr::from([0xfd42, 0x57, 0, 0, 0, 0, 0, u16::from(last)])]
}

/// An instance's port.
pub(super) fn port_name(number: &str, index: usize) -> String {
    format!("p{number}-{}", index + 1)
}

pub(super) fn mac(index: usize) -> String {
    format!("02:00:00:00:00:{:02x}", 0x11 + index)
}

impl Case {
    /// Whether this case contains a smaller one, so that both may disagree for one reason.
    pub(super) fn holds(&self, smaller: &Self) -> bool {
        let shape = |case: &Self| (case.gateway, case.enabled);
        (shape(smaller) == shape(self) || shape(smaller) == (PLAIN, None))
            && (self.outer_disabled || !smaller.outer_disabled)
            && (self.inner_disabled || !smaller.inner_disabled)
            && smaller.rows.iter().all(|part| self.rows.iter().any(|row| row.holds(part)))
    }

    /// The existing outer ports.
    pub(super) fn outer(&self) -> &'static [Port] {
        if self.gateway == Gateway::Two { &[Port::Ext, Port::Priv] } else { &[Port::Ext] }
    }

    pub(super) fn nats(&self) -> impl Iterator<Item = &Nat> {
        self.rows.iter().filter_map(|row| if let Row::Nat(nat) = row { Some(nat) } else { None })
    }

    pub(super) fn balancers(&self) -> impl Iterator<Item = &Balancer> {
        self.rows
            .iter()
            .filter_map(|row| if let Row::Balancer(balancer) = row { Some(balancer) } else { None })
    }
}

impl Row {
    fn holds(&self, part: &Self) -> bool {
        match (self, part) {
            (Self::Balancer(one), Self::Balancer(part)) => part.vips.iter().all(|vip| one.vips.contains(vip)),
            (Self::Nat(one), Self::Nat(part)) => {
                (one.kind, &one.external, &one.logical) == (part.kind, &part.external, &part.logical)
            }
            (Self::Intent { key: one, .. }, Self::Intent { key: part, .. }) => one == part,
            _ => false,
        }
    }
}

impl Balancer {
    pub(super) fn is_template(&self) -> bool {
        self.options.contains(&("template", "true"))
    }

    /// Whether it has a VIP on an address.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        self.vips.iter().filter_map(|(vip, _)| endpoint(vip)).any(|(here, _)| here == address)
    }
}

impl Nat {
    pub(super) fn snat(external: &str, logical: &str) -> Self {
        Self {
            kind: "snat",
            external: external.to_owned(),
            logical: logical.to_owned(),
            port: None,
            range: None,
            stateless: None,
            set: None,
            matching: None,
            distributed: false,
        }
    }

    /// Whether it is for some packets only.
    pub(super) fn is_partial(&self) -> bool {
        self.set.is_some() || self.matching.is_some()
    }
}

/// The address of a VIP, and its port if it has one; `None` if it is invalid.
pub(super) fn endpoint(vip: &str) -> Option<(IpAddr, Option<u16>)> {
    let pair = vip.parse::<SocketAddr>().map(|pair| (pair.ip(), Some(pair.port()))).ok();
    let address = || Some((vip.trim_start_matches('[').trim_end_matches(']').parse().ok()?, None));
    // A missing number means no port.
    pair.or_else(address).or_else(|| endpoint(vip.strip_suffix(':')?))
}
