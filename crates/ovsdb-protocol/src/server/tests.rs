use serde_json::json;

use super::*;

fn cluster(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn read(row: &serde_json::Value, index: Option<u64>) -> ServerDatabase {
    ServerDatabase::read(&serde_json::from_value(row.clone()).unwrap(), index)
}

/// A server that has the database: model, connected, leader, whether there is a schema, cluster, index.
fn server(
    model: &str,
    [connected, leader, schema]: [bool; 3],
    cid: Option<u128>,
    index: Option<u64>,
) -> ServerDatabase {
    let row = json!({
        "name": "D",
        "model": model,
        "connected": connected,
        "leader": leader,
        "schema": if schema { json!("{}") } else { json!(["set", []]) },
        "cid": cid.map_or_else(|| json!(["set", []]), |number| json!(["uuid", cluster(number).to_string()])),
    });
    read(&row, index)
}

/// Regression: libovsdb, which treats every model except `clustered` as a leader.
#[test]
fn server_policy_decides_by_model_role_and_index() {
    use ServerRole as Role;
    use ServerUnusable as No;
    use StorageModel::{Clustered, Relay, Standalone};

    let other = |found: Option<u128>| No::OtherCluster { found: found.map(cluster), wanted: cluster(1) };
    let stale = |index| No::Stale { index, least: 10 };
    const ALL: [bool; 3] = [true, true, true];
    const FOLLOWER: [bool; 3] = [true, false, true];
    // The server; the verdict with `leader_only`, with any server allowed, and with cluster 1 pinned. The index 10 was
    // seen in cluster 1.
    #[rustfmt::skip]
    let table = [
        ("standalone", server("standalone", ALL, None, None),
            Ok(Role::Standalone), Ok(Role::Standalone), Err(other(None))),
        ("standalone, silent on the rest", server("standalone", [false, false, true], None, None),
            Ok(Role::Standalone), Ok(Role::Standalone), Err(other(None))),
        ("standalone, no schema", server("standalone", [true, true, false], None, None),
            Err(No::NoSchema(Standalone)), Err(No::NoSchema(Standalone)), Err(No::NoSchema(Standalone))),
        ("an unknown model", server("quantum", ALL, None, None),
            Ok(Role::Standalone), Ok(Role::Standalone), Err(other(None))),
        ("leader", server("clustered", ALL, Some(1), Some(11)),
            Ok(Role::Leader), Ok(Role::Leader), Ok(Role::Leader)),
        ("leader with an equal index", server("clustered", ALL, Some(1), Some(10)),
            Ok(Role::Leader), Ok(Role::Leader), Ok(Role::Leader)),
        ("leader, stale", server("clustered", ALL, Some(1), Some(9)),
            Err(stale(9)), Err(stale(9)), Err(stale(9))),
        ("leader without index", server("clustered", ALL, Some(1), None),
            Err(stale(0)), Err(stale(0)), Err(stale(0))),
        ("leader of another cluster", server("clustered", ALL, Some(2), Some(9)),
            Ok(Role::Leader), Ok(Role::Leader), Err(other(Some(2)))),
        ("leader of an unnamed cluster", server("clustered", ALL, None, None),
            Ok(Role::Leader), Ok(Role::Leader), Err(other(None))),
        ("follower", server("clustered", FOLLOWER, Some(1), Some(11)),
            Err(No::NotLeader), Ok(Role::Follower), Ok(Role::Follower)),
        ("follower, stale", server("clustered", FOLLOWER, Some(1), Some(9)),
            Err(No::NotLeader), Err(stale(9)), Err(stale(9))),
        ("leader, disconnected", server("clustered", [false, true, true], Some(1), Some(11)),
            Err(No::Disconnected(Clustered)), Err(No::Disconnected(Clustered)), Err(No::Disconnected(Clustered))),
        ("follower, disconnected", server("clustered", [false, false, true], Some(1), Some(11)),
            Err(No::Disconnected(Clustered)), Err(No::Disconnected(Clustered)), Err(No::Disconnected(Clustered))),
        ("not joined", server("clustered", [false, false, false], Some(1), None),
            Err(No::NoSchema(Clustered)), Err(No::NoSchema(Clustered)), Err(No::NoSchema(Clustered))),
        ("relay", server("relay", FOLLOWER, None, None),
            Err(No::Relay), Ok(Role::Relay), Err(other(None))),
        ("relay that claims to lead", server("relay", ALL, None, None),
            Err(No::Relay), Ok(Role::Relay), Err(other(None))),
        ("relay, disconnected", server("relay", [false, false, true], None, None),
            Err(No::Disconnected(Relay)), Err(No::Disconnected(Relay)), Err(other(None))),
        ("relay, empty", server("relay", [false, false, false], None, None),
            Err(No::NoSchema(Relay)), Err(No::NoSchema(Relay)), Err(No::NoSchema(Relay))),
    ];
    for (what, server, leader_only, any, pinned) in table {
        for (policy, verdict) in [
            (Policy::new(true, None), leader_only),
            (Policy::new(false, None), any),
            (Policy::new(false, Some(cluster(1))), pinned),
        ] {
            let mut policy = policy;
            policy.record_index(&ServerDatabase {
                cluster_id: Some(cluster(1)),
                index: Some(10),
                ..ServerDatabase::default()
            });
            assert_eq!(policy.check(Some(&server)), verdict, "{what}, {policy:?}");
        }
    }
    assert_eq!(Policy::default().check(None), Err(No::NoDatabase));
}

#[test]
fn least_index_only_grows_until_it_is_reset() {
    let mut policy = Policy::new(true, None);
    let at = |cid, index| server("clustered", [true; 3], Some(cid), Some(index));
    policy.record_index(&at(1, 10));
    policy.record_index(&at(1, 8));
    assert_eq!(policy.check(Some(&at(1, 9))), Err(ServerUnusable::Stale { index: 9, least: 10 }));
    assert!(policy.check(Some(&at(2, 1))).is_ok(), "each cluster counts for itself");
    policy.reset_min_index();
    assert!(policy.check(Some(&at(1, 1))).is_ok());
}

/// Rule: old servers lack columns of `_Server`.
#[test]
fn missing_columns_of_the_server_database_are_none() {
    assert_eq!(read(&json!({}), None), ServerDatabase::default());
    let odd = json!({"model": 7, "connected": "yes", "schema": "", "cid": 1, "leader": ["set", []]});
    assert_eq!(read(&odd, None), ServerDatabase::default());
}
