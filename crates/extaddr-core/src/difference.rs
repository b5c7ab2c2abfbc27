//! A plan, for people and machines.

use std::fmt;

use ovn_model::{NatId, RouterId, Store};
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::change::RowChange;
use crate::engine::{Engine, ReconcileKey};
use crate::row::OwnRow;

/// A change of the database: an element of `plan --json`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedChange {
    /// The kind of change.
    pub action: Action,
    /// The port whose rows change; `null` for the conversion of an address.
    pub port: Option<String>,
    /// The display name of the port, if it is known.
    pub name: Option<String>,
    /// The router that it concerns.
    pub router: String,
    /// The UUID of our row.
    pub nat: Option<Uuid>,
    /// The row's present content.
    pub from: Option<Content>,
    /// The row's desired content.
    pub to: Option<Content>,
    /// The name of the load balancer.
    pub load_balancer: Option<String>,
    /// The key of the VIP.
    pub vip: Option<String>,
}

/// The kinds of changes of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Our row is inserted.
    Insert,
    /// Our row is changed.
    Update,
    /// Our row is deleted.
    Delete,
    /// A load balancer is detached from a router.
    Detach,
    /// It is attached again.
    Attach,
    /// A VIP is removed from a load balancer.
    RemoveVip,
    /// It is inserted again.
    RestoreVip,
}

/// The content of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// `egress`, `drain` or `default-target`.
    pub role: &'static str,
    /// `external_ip`.
    pub external_ip: String,
    /// `logical_ip`.
    pub logical_ip: String,
    /// `external_port_range`.
    pub port_range: Option<String>,
    /// The name of the `gateway_port`.
    pub gateway_port: Option<String>,
}

// ===== impl Action =====

impl Action {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Detach,
        Self::Attach,
        Self::RemoveVip,
        Self::RestoreVip,
    ];

    /// Returns the word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Detach => "detach",
            Self::Attach => "attach",
            Self::RemoveVip => "remove-vip",
            Self::RestoreVip => "restore-vip",
        }
    }
}

impl From<&RowChange> for Action {
    /// Returns the kind of a change.
    fn from(change: &RowChange) -> Self {
        match change {
            RowChange::Insert(_) => Self::Insert,
            RowChange::Update(..) => Self::Update,
            RowChange::Delete(..) => Self::Delete,
            RowChange::Detach(..) => Self::Detach,
            RowChange::Attach(..) => Self::Attach,
            RowChange::RemoveVip(..) => Self::RemoveVip,
            RowChange::RestoreVip(..) => Self::RestoreVip,
        }
    }
}

impl Serialize for Action {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Returns all changes that an agent would make now: ports in order, then conversions.
pub fn planned(store: &Store, engine: &Engine) -> Vec<PlannedChange> {
    let subjects = engine.unsettled().iter();
    let changes = subjects.flat_map(|subject| {
        engine
            .changes(store, subject)
            .into_iter()
            .map(move |change| planned_change(store, engine, subject, &change))
    });
    changes.collect()
}

/// Describes a change that has not been made yet.
pub fn planned_change(
    store: &Store,
    engine: &Engine,
    subject: &ReconcileKey,
    change: &RowChange,
) -> PlannedChange {
    let (port, place) = match subject {
        ReconcileKey::Port(port) => (Some(port.to_string()), None),
        ReconcileKey::Conversion((router, _)) => (None, Some(*router)),
    };
    let router = |id: RouterId| store.router(id).map_or_else(String::new, |row| row.name.to_string());
    let blank = PlannedChange {
        action: Action::from(change),
        name: port.as_deref().and_then(|port| engine.requests().name(port)),
        port,
        router: place.map(router).unwrap_or_default(),
        nat: None,
        from: None,
        to: None,
        load_balancer: None,
        vip: None,
    };
    let now = |nat: NatId| current(store, engine, nat);
    let balancer = |id| store.load_balancer(id).map(|row| row.name.to_string());
    let by_uuid = |uuid: Uuid| store.load_balancer_by_uuid(uuid).and_then(balancer);
    match change {
        RowChange::Insert(row) => PlannedChange {
            router: router(row.router),
            nat: Some(row.uuid),
            to: Some(wanted(store, row)),
            ..blank
        },
        RowChange::Update(nat, row) => PlannedChange {
            router: router(row.router),
            nat: Some(row.uuid),
            from: now(*nat),
            to: Some(wanted(store, row)),
            ..blank
        },
        RowChange::Delete(nat, id) => PlannedChange {
            router: router(*id),
            nat: store.nat(*nat).map(|row| row.uuid),
            from: now(*nat),
            ..blank
        },
        RowChange::Detach(_, id) => PlannedChange { load_balancer: balancer(*id), ..blank },
        RowChange::Attach(_, uuid) => PlannedChange { load_balancer: by_uuid(*uuid), ..blank },
        RowChange::RemoveVip(id, key, _) => {
            PlannedChange { load_balancer: balancer(*id), vip: Some(key.to_string()), ..blank }
        }
        RowChange::RestoreVip(uuid, key, _) => {
            PlannedChange { load_balancer: by_uuid(*uuid), vip: Some(key.to_string()), ..blank }
        }
    }
}

fn wanted(store: &Store, row: &OwnRow) -> Content {
    Content {
        role: row.purpose.role().name(),
        external_ip: row.external.to_string(),
        logical_ip: row.logical.to_string(),
        port_range: row.port_range.map(|range| range.to_string()),
        gateway_port: row.gateway_port.and_then(|id| store.router_port(id)).map(|port| port.name.to_string()),
    }
}

fn current(store: &Store, engine: &Engine, nat: NatId) -> Option<Content> {
    let row = store.nat(nat)?;
    Some(Content {
        role: engine.owner().role(row).map_or("unknown", |role| role.name()),
        external_ip: row.external_ip_text().into_owned(),
        logical_ip: row.logical_ip_text().into_owned(),
        port_range: Some(row.external_port_range_text().into_owned()).filter(|range| !range.is_empty()),
        gateway_port: row.gateway_port.and_then(|id| store.router_port(id)).map(|port| port.name.to_string()),
    })
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, external_ip, logical_ip, .. } = self;
        match *role {
            "default-target" => write!(f, "dnat {external_ip} to {logical_ip}")?,
            "drain" => write!(f, "drain {external_ip}")?,
            _ => write!(f, "snat {external_ip} for {logical_ip}")?,
        }
        if let Some(range) = &self.port_range {
            write!(f, " ports {range}")?;
        }
        if let Some(port) = &self.gateway_port {
            write!(f, " at {port}")?;
        }
        Ok(())
    }
}
