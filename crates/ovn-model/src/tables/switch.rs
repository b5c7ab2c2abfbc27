//! `Logical_Switch`.

use std::sync::Arc;

use ovsdb_protocol::{Table, Uuid};

use crate::id::PortId;
use crate::store::{Meta, Slabs};

/// A logical switch.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "Logical_Switch", load_stage = 2, since = "OVN 20.03", context = "Slabs")]
pub struct Switch {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// Its name, which need not be unique.
    pub name: Arc<str>,
    /// The handles of its ports, sorted. The row of one may be missing.
    pub ports: Vec<PortId>,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}
