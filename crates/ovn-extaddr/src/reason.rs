//! Why a port does not have what was asked for: a closed set of codes.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ovn_model::{Family, NatId, RouterId, Store, keys};
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// The code of a reason, which never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum Code {
    /// The value of the key is no address.
    InvalidAddress,
    /// The address is of the other family.
    WrongFamily,
    /// The port is not an instance's.
    NotAnInstance,
    /// No switch has the port.
    NoSwitch,
    /// The port has no address of the family.
    NoAddress,
    /// No router can be reached from the port's switch.
    NoRouter,
    /// No reachable router sends the address to an instance.
    NotAForward,
    /// Nothing forwards the address, and no allowed prefix holds it.
    NotPermitted,
    /// The address is forwarded, but not to this port.
    NotATarget,
    /// The policy names a port that does not exist.
    NoPort,
    /// Several routers forward the address.
    AmbiguousRouter,
    /// The router has no gateway.
    NoGateway,
    /// The router has several gateway ports, and the address belongs to none.
    NoGatewayPort,
    /// A VIP without a port leads to the instance, and cannot be converted.
    DefaultTarget,
    /// `auto`, and no address leads to this port alone.
    NoForwardForAuto,
    /// `auto`, and several addresses do.
    AmbiguousAuto,
    /// A foreign row translates the port's address to another one.
    ForeignNat,
    /// Another port has the same internal address.
    DuplicateAddress,
    /// The database refused the rows.
    Refused,
}

impl Code {
    /// Returns the word.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidAddress => "invalid-address",
            Self::WrongFamily => "wrong-family",
            Self::NotAnInstance => "not-an-instance",
            Self::NoSwitch => "no-switch",
            Self::NoAddress => "no-address",
            Self::NoRouter => "no-router",
            Self::NotAForward => "not-a-forward",
            Self::NotPermitted => "not-permitted",
            Self::NotATarget => "not-a-target",
            Self::NoPort => "no-port",
            Self::AmbiguousRouter => "ambiguous-router",
            Self::NoGateway => "no-gateway",
            Self::NoGatewayPort => "no-gateway-port",
            Self::DefaultTarget => "default-target",
            Self::NoForwardForAuto => "no-forward-for-auto",
            Self::AmbiguousAuto => "ambiguous-auto",
            Self::ForeignNat => "foreign-nat",
            Self::DuplicateAddress => "duplicate-address",
            Self::Refused => "refused",
        }
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// A reason, with what its sentence has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The value of the key is no address.
    InvalidAddress,
    /// The address is of the other family.
    WrongFamily,
    /// The port is not an instance's.
    NotAnInstance,
    /// No switch has the port.
    NoSwitch,
    /// The port has no address of the family.
    NoAddress,
    /// No router can be reached from the port's switch.
    NoRouter,
    /// No reachable router sends the address to an instance.
    NotAForward,
    /// Nothing forwards the address, and it is in none of the networks allowed for the router.
    NotPermitted,
    /// The address is forwarded, but not to this port.
    NotATarget,
    /// The policy names a port that does not exist.
    NoPort,
    /// Several routers do, and none is to be preferred.
    AmbiguousRouter(RouterId, RouterId),
    /// The router has no gateway, so that OVN ignores its NAT.
    NoGateway,
    /// The router has several gateway ports, and the address belongs to none.
    NoGatewayPort,
    /// The address leads to an instance as a whole, by a VIP without a port that stays as it is.
    DefaultTarget(Unconvertible),
    /// `auto`, and no address leads to this port alone.
    NoForwardForAuto,
    /// `auto`, and several addresses do.
    AmbiguousAuto(IpAddr, IpAddr),
    /// A foreign row translates the port's address already, to another one.
    ForeignNat(NatId),
    /// Another port with a wish has the same internal address behind the same router.
    DuplicateAddress(IpAddr, Arc<str>),
    /// The database refused the rows.
    Refused(Arc<str>),
}

/// Why a VIP without a port is not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unconvertible {
    /// The configuration says so.
    Forbidden,
    /// It refuses or drops what arrives.
    NoBackend,
    /// A `dnat` row has one.
    SeveralTargets,
    /// Two rows for the same would be one too many.
    Dnat,
    /// Its load balancer is elsewhere, too, or not understood.
    Shared,
}

impl Unconvertible {
    fn sentence(self) -> &'static str {
        match self {
            Self::Forbidden => "the configuration has default-target = \"reject\"",
            Self::NoBackend => "it has no backend",
            Self::SeveralTargets => "it leads to several backends",
            Self::Dnat => "a dnat row forwards the address, too",
            Self::Shared => {
                "its load balancer comes by a group, is on other routers, too, or is not understood"
            }
        }
    }
}

impl Reason {
    /// Returns the code.
    pub fn code(&self) -> Code {
        match self {
            Self::InvalidAddress => Code::InvalidAddress,
            Self::WrongFamily => Code::WrongFamily,
            Self::NotAnInstance => Code::NotAnInstance,
            Self::NoSwitch => Code::NoSwitch,
            Self::NoAddress => Code::NoAddress,
            Self::NoRouter => Code::NoRouter,
            Self::NotAForward => Code::NotAForward,
            Self::NotPermitted => Code::NotPermitted,
            Self::NotATarget => Code::NotATarget,
            Self::NoPort => Code::NoPort,
            Self::AmbiguousRouter(..) => Code::AmbiguousRouter,
            Self::NoGateway => Code::NoGateway,
            Self::NoGatewayPort => Code::NoGatewayPort,
            Self::DefaultTarget(_) => Code::DefaultTarget,
            Self::NoForwardForAuto => Code::NoForwardForAuto,
            Self::AmbiguousAuto(..) => Code::AmbiguousAuto,
            Self::ForeignNat(_) => Code::ForeignNat,
            Self::DuplicateAddress(..) => Code::DuplicateAddress,
            Self::Refused(_) => Code::Refused,
        }
    }

    /// Says what is wrong and what to do about it.
    pub fn sentence(&self, store: &Store, family: Family, wanted: &str, router: Option<RouterId>) -> String {
        let key = keys::port_key(family);
        let name = |router: RouterId| store.router(router).map_or("?", |r| &*r.name);
        let here = router.map_or("its router", name);
        match self {
            Self::InvalidAddress => {
                format!("\"{wanted}\" is no {family} address: set {key} to an address, auto or none")
            }
            Self::WrongFamily => {
                let other = keys::port_key(if family == Family::V4 { Family::V6 } else { Family::V4 });
                format!("{wanted} is no {family} address: it belongs into {other}")
            }
            Self::NotAnInstance => {
                format!("only ports of type \"\" are instances: remove {key} from this one")
            }
            Self::NoSwitch => "no switch has this port: add it to one, or see why the CMS made half a port".to_owned(),
            Self::NoAddress => {
                format!(
                    "the port has no {family} address, neither static nor allocated by OVN: give it one, or see whether ovn-northd runs"
                )
            }
            Self::NoRouter => "no router is joined to the port's switch: join the one that has the forward".to_owned(),
            Self::NotAForward => format!(
                "{wanted} is not a forward address of the port's network{}: create the forward there, or set {key} to one of `ovn-extaddr forwards`",
                match store
                    .balancers_with_vip(wanted.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
                    .iter()
                    .find_map(|id| store.routers_of(*id).next())
                {
                    Some(other) =>
                        format!(" (it is one of router {}, which the port cannot reach)", name(other)),
                    None => String::new(),
                }
            ),
            Self::NotPermitted => format!(
                "nothing forwards {wanted} to the port's network and no allowed prefix holds it: create the forward, or add its prefix to allow in the configuration"
            ),
            Self::NotATarget => format!(
                "{here} forwards {wanted} to others but not to this port: add a forward to it, or turn require-target off"
            ),
            Self::NoPort => "the policy names this port, and there is none of that name yet: create it, or correct the policy".to_owned(),
            Self::AmbiguousRouter(a, b) => format!(
                "{wanted} is a forward address of both {} and {} at the same distance: remove it from one",
                name(*a),
                name(*b)
            ),
            Self::NoGateway => format!(
                "{here} has no gateway port and no options:chassis, so that OVN ignores its NAT: give it a gateway"
            ),
            Self::NoGatewayPort => format!(
                "{here} has several gateway ports and {wanted} is in no network of theirs: set gateway_port on its base SNAT row"
            ),
            Self::DefaultTarget(why) => format!(
                "a load balancer forwards all ports of the address on {here}, beside which OVN breaks TCP replies, and it is not converted, for {}: forward single ports, or use a dnat row",
                why.sentence()
            ),
            Self::NoForwardForAuto => {
                "no forward address leads to this port alone: create one, or name an address".to_owned()
            }
            Self::AmbiguousAuto(a, b) => {
                format!("both {a} and {b} lead to this port alone: set {key} to one of them")
            }
            Self::ForeignNat(nat) => format!(
                "NAT row {} on {here} translates the port's address already{}: remove it, or unset {key}",
                store.nat(*nat).map_or_else(Uuid::nil, |nat| nat.uuid),
                store
                    .nat(*nat)
                    .and_then(|nat| nat.external_ip())
                    .map_or_else(String::new, |ip| format!(" to {ip}")),
            ),
            Self::DuplicateAddress(address, port) => {
                format!(
                    "port {port} has the internal address {address} too, behind the same router, and only one can be served: give one of them another"
                )
            }
            Self::Refused(error) => {
                format!("the database refused the rows, and will be asked again: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn codes_are_asked_for_by_the_words_that_reports_use() {
        for code in Code::value_variants() {
            let asked = code.to_possible_value();
            assert_eq!(asked.as_ref().map(|value| value.get_name()), Some(code.name()));
        }
    }
}
