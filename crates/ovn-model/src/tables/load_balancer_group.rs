//! `Load_Balancer_Group`.

use std::sync::Arc;

use ovsdb_protocol::{Table, Uuid};

use crate::id::{LoadBalancerId, RouterId};
use crate::store::{IdSet, Meta, Slabs};

/// A group of load balancers.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Load_Balancer_Group", load_stage = 2, optional, since = "21.12", context = "Slabs")]
pub struct Group {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// The handles of its load balancers, sorted. The row of one may be missing.
    #[ovsdb(column = "load_balancer")]
    pub load_balancers: Vec<LoadBalancerId>,
    #[ovsdb(skip)]
    pub(crate) routers: IdSet<RouterId>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}
