//! `Logical_Router`.

use std::sync::Arc;

use ovsdb_protocol::{Rare, Table, Uuid};

use crate::id::{GroupId, LoadBalancerId, NatId, RouterPortId};
use crate::store::{Meta, Slabs};

/// A logical router.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Router", load_stage = 2, since = "OVN 20.03", context = "Slabs")]
pub struct Router {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Arc<str>,
    /// Whether OVN uses the router; it does unless this is false.
    #[ovsdb(optional, since = "20.03")]
    pub enabled: Option<bool>,
    /// The chassis of a gateway router.
    #[ovsdb(key = "options:chassis")]
    pub chassis: Option<Box<str>>,
    /// `options:lb_force_snat_ip`: the source of packets that a load balancer forwards.
    #[ovsdb(key = "options:lb_force_snat_ip")]
    pub lb_force_snat: Rare<Option<Box<str>>>,
    /// `options:dnat_force_snat_ip`: the source of packets that a `dnat` rule forwards.
    #[ovsdb(key = "options:dnat_force_snat_ip")]
    pub dnat_force_snat: Rare<Option<Box<str>>>,
    /// `options:dynamic-routing`: whether its routes are announced.
    #[ovsdb(key = "options:dynamic-routing")]
    pub dynamic_routing: Rare<Option<Box<str>>>,
    /// `options:dynamic-routing-redistribute`: which routes are announced, where its ports do not say that themselves.
    #[ovsdb(key = "options:dynamic-routing-redistribute")]
    pub redistribute: Rare<Option<Box<str>>>,
    /// The intent for all instances behind it, [`keys::ROUTER`](crate::keys::ROUTER).
    #[ovsdb(key = "external_ids:address.external")]
    pub external: Option<Box<str>>,
    /// The handles of its ports, sorted. The row of one may be missing, here and below.
    pub ports: Vec<RouterPortId>,
    /// The handles of its NAT rows, sorted.
    #[ovsdb(column = "nat")]
    pub nats: Vec<NatId>,
    /// The handles of its own load balancers, sorted.
    #[ovsdb(column = "load_balancer")]
    pub load_balancers: Vec<LoadBalancerId>,
    /// The handles of its groups of load balancers, sorted.
    #[ovsdb(
        column = "load_balancer_group",
        optional,
        since = "21.12",
        absent = "nothing, for there are no groups to be looked at"
    )]
    pub groups: Vec<GroupId>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}
