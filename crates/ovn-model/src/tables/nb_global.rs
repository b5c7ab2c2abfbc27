//! `NB_Global`.

use ovsdb_protocol::{Table, Uuid};

use crate::kept::Kept;
use crate::store::{Meta, Slabs};

/// The only row of a table about the database as a whole.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NB_Global", load_stage = 2, since = "OVN 20.03", context = "Slabs")]
pub struct NbGlobal {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// What is asked for ports, be they there or not.
    #[ovsdb(prefix = "external_ids:ovn-extaddr:ipv")]
    pub kept: Kept,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}
