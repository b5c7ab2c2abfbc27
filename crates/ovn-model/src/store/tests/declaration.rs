//! The monitored columns, for different servers.

use ovsdb_protocol::{Batch, ColumnSpec, DatabaseSchema, MonitorRequest, Replica, declared_schema};

use super::super::Store;
use crate::{Group, Nat};

/// A schema with the columns that `keep` accepts.
fn schema(keep: impl Fn(&str, &ColumnSpec) -> bool) -> DatabaseSchema {
    declared_schema("OVN_Northbound", Store::tables(), |table, column| keep(table.name, column))
}

/// Regression: ovn-kubernetes#1089 and ovn-org/ovn#223, whose monitors have conditions of thousands of clauses.
#[test]
fn monitor_requests_name_only_tables_and_columns_in_use() {
    let requests = Store::new().declare(&schema(|_, _| true)).unwrap();
    assert!(requests.keys().map(|table| &**table).eq([
        "Load_Balancer",
        "Load_Balancer_Group",
        "Logical_Router",
        "Logical_Router_Port",
        "Logical_Switch",
        "Logical_Switch_Port",
        "NAT",
        "NB_Global",
    ]));
    assert_eq!(requests["Logical_Switch"], MonitorRequest::columns(["name", "ports"]).load_stage(2));
}

/// Regression: libovsdb#235, libovsdb#244, libovsdb#448, ovn-kubernetes#2831 and ovn-org/ovn#70: with one unknown
/// column nothing works.
#[test]
fn monitor_requests_omit_columns_that_an_old_server_lacks() {
    let mut store = Store::new();
    let requests = store.declare(&schema(|_, column| !column.is_optional)).unwrap();
    assert!(!requests.contains_key("Load_Balancer_Group"));
    let columns = MonitorRequest::columns(["name", "networks", "peer", "options"]);
    assert_eq!(requests["Logical_Router_Port"], columns.load_stage(2));
    assert!(store.supports(Nat::COLUMNS.kind) && !store.supports(Nat::COLUMNS.gateway_port));
    assert!(!store.supports(Group::COLUMNS.name));
    assert!(store.missing().any(|missing| missing.to_string() == "Load_Balancer_Group"));

    store.declare(&schema(|_, _| true)).unwrap();
    assert!(store.supports(Nat::COLUMNS.gateway_port));
}

#[test]
fn missing_required_column_is_an_error_that_names_it() {
    let missing = |table: &'static str, column: &'static str| {
        Store::new().declare(&schema(|t, c| (t, c.name) != (table, column))).unwrap_err().to_string()
    };
    assert_eq!(
        missing("NAT", "external_ids"),
        "the database OVN_Northbound has no column NAT.external_ids, which OVN 20.03 and newer releases have"
    );
    let error = Store::new().declare(&schema(|table, _| table != "Load_Balancer")).unwrap_err();
    assert!(error.to_string().contains("has no table Load_Balancer,"), "{error}");
}

#[test]
fn snapshot_with_other_columns_changes_everything() {
    let mut store = Store::new();
    let snapshot = |store: &mut Store, schema: &DatabaseSchema| {
        store.declare(schema).unwrap();
        store.begin(Batch::Snapshot);
        store.commit();
        store.take_changes().everything
    };
    let (old, new) = (schema(|_, column| !column.is_optional), schema(|_, _| true));
    assert!(snapshot(&mut store, &old), "the first");
    assert!(!snapshot(&mut store, &old));
    assert!(snapshot(&mut store, &new));
    assert!(!snapshot(&mut store, &new));
    assert!(snapshot(&mut store, &old));
}
