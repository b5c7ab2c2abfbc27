//! The reasons why an intent is not fulfilled: a closed set, each with its code and its sentence.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use ovn_model::{LoadBalancerId, Nat, NatId, RouterId, Store};
use uuid::Uuid;

use crate::forwards;
use crate::key::Key;
use crate::northd::{NatFlaw, VipFlaw};
use crate::sources::Kind;
use crate::topology::{DisabledPort, is_neutron_router};
use crate::wanted::InvalidWanted;
use crate::words::words;

/// Declares the reasons. Each entry has:
///
/// - the documentation, which is also the help text of `list --reason`;
/// - the code, which never changes its meaning, and the name;
/// - the values that the sentence names;
/// - `[hold_down]` where the forward may be gone for a moment only, so that an override stays for `hold-down`;
/// - the sentence, which says what is wrong and what to do about it.
macro_rules! reasons {
    (
        $context:ident;
        $(
            $(#[doc = $doc:literal])+
            $code:literal $name:ident $(($($field:ident: $type:ty),+))? $([$hold:ident])? => $sentence:expr;
        )+
    ) => {
        words! {
            /// The code of a reason.
            Code { $($(#[doc = $doc])+ $name $code,)+ }
        }

        /// A reason, with the values that its sentence names.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name $(($($type),+))?,)+
        }

        impl Reason {
            /// Returns the code.
            pub fn code(&self) -> Code {
                match self {
                    $(Self::$name { .. } => Code::$name,)+
                }
            }

            /// Returns whether an override that is rejected for it stays for `hold-down`: its forward is gone, and may
            /// come back at once.
            pub fn starts_hold_down(&self) -> bool {
                match self {
                    $(Self::$name { .. } => reasons!(@flag $($hold)?),)+
                }
            }

            fn sentence_in(&self, $context: Context<'_>) -> String {
                match self {
                    $(Self::$name $(($($field),+))? => $sentence.into(),)+
                }
            }
        }
    };
    (@flag) => { false };
    (@flag hold_down) => { true };
}

reasons! {
    context;

    /// The value of the key is not an address.
    "invalid-address" InvalidAddress => format!(
        "\"{}\" is not an {} address: set {} to an address, auto or none",
        context.wanted, context.key.family.title(), context.key
    );

    /// The address is of the other family.
    "wrong-family" WrongFamily => format!(
        "{} is not an {} address: set {} instead",
        context.wanted,
        context.key.family.title(),
        context.key.other()
    );

    /// The port is not an instance's.
    "not-an-instance" NotAnInstance => format!(
        "only ports of type \"\" and external are instances: remove {} from this one; of one of type virtual, its virtual-parents may have it",
        context.key
    );

    /// No switch has the port.
    "no-switch" NoSwitch => "no switch has this port: add it to one, or find out why the CMS left it without one";

    /// The port has no address of the family.
    "no-address" NoAddress => format!(
        "the port has no {} address, neither static nor allocated by OVN: give it one, or see whether ovn-northd runs",
        context.key.family
    );

    /// No router can be reached from the port's switch.
    "no-router" NoRouter => "no router is joined to the port's switch, unless by a gateway port, behind which the port is outside: join the one that has the forward";

    /// No reachable router sends the address to an instance.
    "not-a-forward" NotAForward(why: Option<NoForward>) [hold_down] => format!(
        "{} is not a forward address of the port's network{}: create the forward there, or set {} to one of `ovn-extaddr forwards`",
        context.wanted,
        why.map_or_else(|| context.elsewhere(), |why| context.explained(why)),
        context.key
    );

    /// Nothing forwards the address, and no allowed prefix grants it.
    "not-permitted" NotPermitted(why: Option<NoForward>) [hold_down] => format!(
        "nothing forwards {} to the port's network{}, and no allowed prefix grants it: create the forward, or add its prefix to allow in the configuration, unless another network has it",
        context.wanted,
        why.map_or_else(|| context.elsewhere(), |why| context.explained(why))
    );

    /// The address is forwarded, but not to this port.
    "not-a-target" NotATarget [hold_down] => format!(
        "{} forwards {} to others but not to this port: add a forward to it, or turn require-target off",
        context.here(),
        context.wanted
    );

    /// Something names a port that does not exist.
    "no-port" NoPort => "the policy names this port, and there is none of that name yet: create it, or correct the policy";

    /// What speaks for the port cannot be reached, and its rows stay as they are.
    "source-unreachable" SourceUnreachable(kind: Kind) => format!(
        "{} cannot be reached, so that nobody knows whether the port's rows are still wanted; they stay: see `ovn-extaddr doctor`",
        kind.title()
    );

    /// Two instances have the same UUID and different intents.
    "disputed-instance" DisputedInstance(one: Arc<str>, other: Arc<str>) => format!(
        "instances {one} and {other} have the same volatile.uuid and different intents, so that neither is used: give one of them another, or both the same keys"
    );

    /// Several routers forward the address.
    "ambiguous-router" AmbiguousRouter(one: RouterId, other: RouterId) => format!(
        "{} is a forward address of both {} and {} at the same distance: remove it from one",
        context.wanted,
        context.name(*one),
        context.name(*other)
    );

    /// The router is disabled.
    "router-disabled" RouterDisabled => format!(
        "{} is disabled, so that OVN ignores it: enable it (`ovn-nbctl lr-set-enabled`, or the CMS's administrative state)",
        context.here()
    );

    /// A port between the instance and the outside is disabled.
    "port-disabled" PortDisabled(port: DisabledPort) => format!(
        "{} is disabled, so that OVN drops all packets between the port and {} or the outside: enable it ({}, or the CMS's administrative state)",
        context.disabled(*port),
        context.here(),
        match port {
            DisabledPort::Switch(_) => "`ovn-nbctl lsp-set-enabled`",
            DisabledPort::Router(_) => "`ovn-nbctl lrp-set-enabled`",
        }
    );

    /// The router has no gateway.
    "no-gateway" NoGateway => format!(
        "{} has no gateway port and no options:chassis, so that OVN ignores its NAT: give it a gateway{}",
        context.here(),
        context.gateway_cure()
    );

    /// The router has several gateway ports, and the address belongs to none.
    "no-gateway-port" NoGatewayPort => format!(
        "{} has several gateway ports and {}",
        context.here(),
        context.gateway_port_cure()
    );

    /// A VIP without a port leads to the instance, and cannot be converted.
    "default-target" DefaultTarget(why: Unconvertible) => format!(
        "a load balancer forwards all ports of the address on {}, beside which OVN breaks TCP replies, and it is not converted, for {}: forward single ports, or use a dnat row",
        context.here(),
        why.sentence()
    );

    /// The address listens on so many ports that too few are left for the instance's own connections.
    "no-source-ports" NoSourcePorts(left: u32) => format!(
        "{} listens on so many ports of 1024-65535 that the largest block without one has {left}, too few for the instance's own connections: forward fewer ports, or lower min-source-ports",
        context.wanted
    );

    /// `auto`, and no address leads to this port alone.
    "no-forward-for-auto" NoForwardForAuto [hold_down] =>
        "no forward address leads to this port alone: create one, or name an address";

    /// `auto`, and several addresses do.
    "ambiguous-auto" AmbiguousAuto(one: IpAddr, other: IpAddr) => format!(
        "both {one} and {other} lead to this port alone: set {} to one of them", context.key
    );

    /// A foreign row translates the port's address to another one.
    "foreign-nat" ForeignNat(nat: NatId) => format!(
        "NAT row {} on {} translates {} already{}: remove it, or unset {}",
        context.nat(*nat),
        context.here(),
        context.extent_of(*nat),
        context.external_of(*nat).map_or_else(String::new, |address| format!(" to {address}")),
        context.key
    );

    /// A foreign row gives the address to another instance without connection tracking.
    "stateless-nat" StatelessNat(nat: NatId) => format!(
        "NAT row {} on {} gives {} to another instance without connection tracking, so that replies to this port's connections would reach that one: remove the row or its options:stateless, or unset {}",
        context.nat(*nat),
        context.here(),
        context.written_external_of(*nat),
        context.key
    );

    /// A foreign row gives the address to another instance on its own hypervisor.
    "distributed-nat" DistributedNat(nat: NatId) => format!(
        "NAT row {} on {} gives {} to {} on its own hypervisor (external_mac and logical_port), where replies to this port's connections would arrive and be lost: remove these two of the row, or unset {}",
        context.nat(*nat),
        context.here(),
        context.external_of(*nat).map_or_else(String::new, |address| address.to_string()),
        context.distributed_at(*nat),
        context.key
    );

    /// A load balancer forwards the address on every chassis.
    "distributed-balancer" DistributedBalancer(balancer: LoadBalancerId) => format!(
        "load balancer {} forwards {} on {} on every chassis (options:distributed), at any of which replies to this port's connections would arrive and be lost: forward an address of a gateway port's network, take that option off, or unset {}",
        context.store.load_balancer(*balancer).map_or("?", |row| &*row.name),
        context.wanted,
        context.here(),
        context.key
    );

    /// A load balancer leads to the instance without connection tracking.
    "stateless-balancer" StatelessBalancer(balancer: LoadBalancerId) => format!(
        "load balancer {} leads to the port on {} without connection tracking (options:use_stateless_nat, several gateway ports), so that an override would change the source ports of replies to its callers: take that option off, or unset {}",
        context.store.load_balancer(*balancer).map_or("?", |row| &*row.name),
        context.here(),
        context.key
    );

    /// Another port has the same internal address.
    "duplicate-address" DuplicateAddress(address: IpAddr, port: Arc<str>) => format!(
        "port {port} has the internal address {address} too, behind the same router, and would leave as this one: give one of them another"
    );

    /// The database refused the rows.
    "refused" Refused(error: Arc<str>) => format!(
        "the database refused the rows, and will be asked again: {error}"
    );
}

/// Values for a sentence beside those that its reason names.
#[derive(Clone, Copy)]
struct Context<'a> {
    store: &'a Store,
    key: &'a Key<'a>,
    wanted: &'a str,
    router: Option<RouterId>,
}

/// The reason why an address that a router of the port has is not a forward address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoForward {
    /// It is in a network on the inner side of the router: a service among instances.
    Inside(RouterId),
    /// OVN ignores the VIP.
    Vip(RouterId, VipFlaw),
    /// The VIP is a template's.
    Template(RouterId),
    /// OVN ignores the NAT row.
    Nat(RouterId, NatFlaw),
    /// Some releases forward it, with its whole network.
    Network(RouterId),
}

/// The reason why a VIP without a port is not converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unconvertible {
    /// The configuration says so.
    Forbidden,
    /// It rejects or drops packets.
    NoBackend,
    /// It may reject or drop packets at some times.
    HealthCheck,
    /// A `dnat` row has one.
    SeveralTargets,
    /// There is a `dnat` row for the address already.
    Dnat,
    /// Its load balancer is also used elsewhere, or is not understood.
    Shared,
    /// The instance would see another source.
    Source,
    /// A row forwards at one gateway port, and a VIP at each of several.
    GatewayPorts,
    /// The address would not be announced any more.
    Announced,
}

// ===== impl Reason =====

impl From<InvalidWanted> for Reason {
    fn from(invalid: InvalidWanted) -> Self {
        match invalid {
            InvalidWanted::Family => Self::WrongFamily,
            InvalidWanted::Address => Self::InvalidAddress,
        }
    }
}

impl Reason {
    /// Returns a sentence about the problem and what to do about it.
    pub fn sentence(&self, store: &Store, key: &Key<'_>, wanted: &str, router: Option<RouterId>) -> String {
        self.sentence_in(Context { store, key, wanted, router })
    }
}

// ===== impl Context =====

impl Context<'_> {
    fn name(&self, router: RouterId) -> &str {
        self.store.router(router).map_or("?", |row| &*row.name)
    }

    /// Returns the name of the router that has the address.
    fn here(&self) -> &str {
        self.router.map_or("its router", |router| self.name(router))
    }

    /// Returns how to create the gateway port of a Neutron router again, where its maintenance has removed it.
    fn gateway_cure(&self) -> String {
        let router = self.router.filter(|router| is_neutron_router(self.store, *router));
        let id = router.map(|router| self.name(router).trim_start_matches("neutron-"));
        id.map_or_else(String::new, |id| {
            format!("; if Neutron's maintenance has taken it, any edit makes it again: `openstack router set --description repaired {id}`")
        })
    }

    fn nat(&self, nat: NatId) -> Uuid {
        self.store.nat(nat).map_or_else(Uuid::nil, |row| row.uuid)
    }

    fn external_of(&self, nat: NatId) -> Option<IpAddr> {
        self.store.nat(nat)?.external_ip()
    }

    /// Returns the external address of a row, which may be a whole network.
    fn written_external_of(&self, nat: NatId) -> String {
        self.store.nat(nat).map_or_else(String::new, |row| row.external_ip_text().into_owned())
    }

    /// Describes which packets of the port a foreign row translates.
    fn extent_of(&self, nat: NatId) -> &'static str {
        let is_partial = |nat: &Nat| !nat.matches().is_empty() || nat.external_ips() != Ok(None);
        match self.store.nat(nat).is_some_and(is_partial) {
            true => "some packets of the port's address",
            false => "the port's address",
        }
    }

    fn distributed_at(&self, nat: NatId) -> String {
        let port = self.store.nat(nat).and_then(Nat::distributed_at);
        port.map_or_else(|| "another port".to_owned(), |port| format!("port {port}"))
    }

    fn disabled(&self, port: DisabledPort) -> String {
        match port {
            DisabledPort::Switch(id) => {
                format!("switch port {}", self.store.port(id).map_or("?", |row| &*row.name))
            }
            DisabledPort::Router(id) => {
                format!("router port {}", self.store.router_port(id).map_or("?", |row| &*row.name))
            }
        }
    }

    /// Explains why an address is not a forward of a router of the port.
    fn explained(&self, why: NoForward) -> String {
        match why {
            NoForward::Inside(router) => {
                format!(
                    " (it is in a network behind router {}: a service among instances)",
                    self.name(router)
                )
            }
            NoForward::Vip(router, flaw) => {
                format!(" (OVN ignores the VIP on router {}: {})", self.name(router), flaw.sentence())
            }
            NoForward::Template(router) => {
                format!(
                    " (the VIP on router {} is of a template, and something else on each chassis)",
                    self.name(router)
                )
            }
            NoForward::Network(router) => {
                format!(
                    " (a NAT row on router {} is for its whole network, which OVN 25.03 and later forward and earlier releases do not)",
                    self.name(router)
                )
            }
            NoForward::Nat(router, flaw) => {
                format!(" (OVN ignores the NAT row on router {}: {})", self.name(router), flaw.sentence())
            }
        }
    }

    /// Tells why none of several gateway ports can be named, and the cure.
    fn gateway_port_cure(&self) -> String {
        if !self.store.supports(Nat::COLUMNS.gateway_port) {
            return "this database cannot name one in a row (before OVN 22.06): remove all but one"
                .to_owned();
        }
        format!(
            "{} is in no network of theirs: give one of them a network that holds it, or name one as gateway_port of an SNAT row of the instance's network",
            self.wanted
        )
    }

    /// Names a router that forwards the address but cannot be used.
    fn elsewhere(&self) -> String {
        let wanted = self.wanted.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        let balancers = || self.store.balancers_with_vip(wanted);
        let routers = balancers().flat_map(|id| self.store.routers_of(id));
        let mut routers = routers.filter(|router| !forwards::is_internal(self.store, *router, wanted));
        if let Some(other) = routers.next() {
            return format!(" (it is one of router {}, which the port cannot reach)", self.name(other));
        }
        let unused = balancers().filter(|id| self.store.routers_of(*id).next().is_none());
        let unused = unused.filter_map(|id| Some(&self.store.load_balancer(id)?.name)).min();
        unused.map_or_else(String::new, |name| {
            format!(" (it is a VIP of load balancer {name}, which is on no router)")
        })
    }
}

// ===== impl Unconvertible =====

impl Unconvertible {
    fn sentence(self) -> &'static str {
        match self {
            Self::Forbidden => "the configuration has default-target = \"reject\"",
            Self::NoBackend => "it has no backend",
            Self::HealthCheck => {
                "its load balancer checks the health of backends (health_check), and a row would forward to an unhealthy one"
            }
            Self::SeveralTargets => "it leads to several backends",
            Self::Dnat => "a dnat row forwards the address, too",
            Self::Shared => {
                "its load balancer comes by a group, is on other routers, too, or is not understood"
            }
            Self::GatewayPorts => {
                "its router has several gateway ports, and a row would forward at one of them"
            }
            Self::Announced => {
                "its router announces the addresses of load balancers and not those of NAT rows: add nat to options:dynamic-routing-redistribute"
            }
            Self::Source => {
                "the instance would see another source (lb_force_snat_ip and dnat_force_snat_ip of the router differ, or skip_snat of the load balancer)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_down_starts_only_for_reasons_that_may_be_temporary() {
        assert!(Reason::NotAForward(None).starts_hold_down());
        assert!(!Reason::NoGateway.starts_hold_down());
    }
}
