//! A plan, for people and machines.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ovn_model::{NatId, RouterId, Store};
use serde::Serialize;
use uuid::Uuid;

use crate::engine::Engine;
use crate::plan::RowChange;

/// A change of a row of ours: an element of `plan --json`. Field names are stable.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedChange {
    /// `insert`, `update` or `delete`.
    pub action: &'static str,
    /// The port that the row is for.
    pub port: String,
    /// The router that refers to it.
    pub router: String,
    /// Its UUID.
    pub nat: Uuid,
    /// What it says now, `null` for an insertion.
    pub from: Option<Content>,
    /// What it shall say, `null` for a deletion.
    pub to: Option<Content>,
}

/// What a row says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Content {
    /// `external_ip`.
    pub external_ip: String,
    /// `logical_ip`.
    pub logical_ip: String,
    /// `external_port_range`.
    pub port_range: Option<String>,
    /// The name of the `gateway_port`.
    pub gateway_port: Option<String>,
}

/// Returns all that an agent would change now, sorted by port.
pub fn planned(store: &Store, engine: &Engine) -> Vec<PlannedChange> {
    let changes = engine.unsettled().iter().flat_map(|port| {
        engine.changes(store, port).into_iter().map(move |change| planned_change(store, port, &change))
    });
    changes.collect()
}

fn planned_change(store: &Store, port: &Arc<str>, change: &RowChange) -> PlannedChange {
    let router = |id: RouterId| store.router(id).map_or_else(String::new, |row| row.name.to_string());
    let planned = |action, nat, id, from, to| PlannedChange {
        action,
        port: port.to_string(),
        router: router(id),
        nat,
        from,
        to,
    };
    match change {
        RowChange::Insert(row) => planned("insert", row.uuid, row.router, None, Some(wanted(store, row))),
        RowChange::Update(nat, row) => {
            planned("update", row.uuid, row.router, current(store, *nat), Some(wanted(store, row)))
        }
        RowChange::Delete(nat, router) => {
            let uuid = store.nat(*nat).map_or_else(Uuid::nil, |row| row.uuid);
            planned("delete", uuid, *router, current(store, *nat), None)
        }
    }
}

fn wanted(store: &Store, row: &crate::resolve::DesiredRow) -> Content {
    let text = |address: IpAddr| address.to_string();
    Content {
        external_ip: text(row.external),
        logical_ip: text(row.logical),
        port_range: row.port_range.map(|range| range.to_string()),
        gateway_port: row.gateway_port.and_then(|id| store.router_port(id)).map(|port| port.name.to_string()),
    }
}

fn current(store: &Store, nat: NatId) -> Option<Content> {
    let row = store.nat(nat)?;
    Some(Content {
        external_ip: row.external_ip_text().into_owned(),
        logical_ip: row.logical_ip_text().into_owned(),
        port_range: Some(row.external_port_range().to_owned()).filter(|range| !range.is_empty()),
        gateway_port: row.gateway_port.and_then(|id| store.router_port(id)).map(|port| port.name.to_string()),
    })
}

impl fmt::Display for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, router, .. } = self;
        match (&self.from, &self.to) {
            (None, Some(to)) => write!(f, "+ {router}: {to}  ({port})"),
            (Some(from), None) => write!(f, "- {router}: {from}  ({port})"),
            (Some(from), Some(to)) => write!(f, "~ {router}: {from}  becomes  {to}  ({port})"),
            (None, None) => Ok(()),
        }
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "snat {} for {}", self.external_ip, self.logical_ip)?;
        if let Some(range) = &self.port_range {
            write!(f, " ports {range}")?;
        }
        if let Some(port) = &self.gateway_port {
            write!(f, " at {port}")?;
        }
        Ok(())
    }
}
