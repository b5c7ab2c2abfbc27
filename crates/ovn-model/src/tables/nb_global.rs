//! `NB_Global`.

use ovsdb_protocol::{Table, Uuid};

use crate::kept::Kept;
use crate::store::{Meta, Slabs};

/// The only row of the table, about the whole database.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NB_Global", load_stage = 2, since = "OVN 20.03", context = "Slabs")]
pub struct NbGlobal {
    /// The row.
    #[ovsdb(uuid)]
    pub uuid: Uuid,
    /// The kept intents for ports, whether these exist or not.
    #[ovsdb(prefix = "external_ids:ovn-extaddr:ipv")]
    pub kept: Kept,
    #[ovsdb(skip)]
    pub(crate) meta: Meta,
}
