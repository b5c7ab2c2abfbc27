use ovsdb_protocol::Replica;

use super::*;
use crate::Store;

/// A schema with the columns that `keep` lets pass.
fn schema(keep: impl Fn(&str, &Column) -> bool) -> DatabaseSchema {
    let tables = ALL.iter().filter_map(|table| {
        let columns = table.columns.iter().filter(|column| keep(table.name, column));
        let columns: Vec<_> =
            columns.map(|column| format!(r#""{}":{{"type":"string"}}"#, column.name)).collect();
        let other = r#""enabled":{"type":"boolean"}"#;
        (!columns.is_empty())
            .then(|| format!(r#""{}":{{"columns":{{{other},{}}}}}"#, table.name, columns.join(",")))
    });
    let tables = tables.collect::<Vec<_>>().join(",");
    let global = r#""NB_Global":{"columns":{"nb_cfg":{"type":"integer"}}}"#;
    let text = format!(r#"{{"name":"OVN_Northbound","version":"7.6.0","tables":{{{global},{tables}}}}}"#);
    DatabaseSchema::parse(&text).unwrap()
}

/// Regression: ovn-kubernetes#1089 and ovn-org/ovn#223, whose monitors have conditions of thousands of clauses.
#[test]
fn all_that_matters_is_asked_for_and_nothing_else() {
    let requests = requests(&schema(|_, _| true)).unwrap();
    assert!(requests.keys().map(|table| &**table).eq([
        "Load_Balancer",
        "Load_Balancer_Group",
        "Logical_Router",
        "Logical_Router_Port",
        "Logical_Switch",
        "Logical_Switch_Port",
        "NAT",
    ]));
    assert_eq!(requests["Logical_Switch"], MonitorRequest::columns(["name", "ports"]).load_stage(2));
}

/// Regression: libovsdb#235, libovsdb#244, libovsdb#448, ovn-kubernetes#2831 and ovn-org/ovn#70: one unknown column,
/// and nothing works.
#[test]
fn an_old_server_is_asked_for_what_it_has() {
    let mut store = Store::new();
    let requests = store.declare(&schema(|_, column| column.required)).unwrap();
    assert!(!requests.contains_key("Load_Balancer_Group"));
    let columns = MonitorRequest::columns(["name", "networks", "peer"]);
    assert_eq!(requests["Logical_Router_Port"], columns.load_stage(2));
    assert!(store.supports("NAT", "options") && !store.supports("NAT", "priority"));
    assert!(!store.supports("NB_Global", "nb_cfg") && !store.supports("Load_Balancer_Group", "name"));

    store.declare(&schema(|_, _| true)).unwrap();
    assert!(store.supports("NAT", "priority"));
}

#[test]
fn what_cannot_be_done_without_is_named() {
    let missing = |table: &'static str, column: &'static str| {
        requests(&schema(|t, c| (t, c.name) != (table, column))).unwrap_err().to_string()
    };
    assert_eq!(
        missing("NAT", "external_ids"),
        "the database OVN_Northbound has no column NAT.external_ids, which OVN 20.03 and newer have"
    );
    let error = requests(&schema(|table, _| table != "Load_Balancer")).unwrap_err();
    assert!(error.to_string().contains("Load_Balancer.name"), "{error}");
}
