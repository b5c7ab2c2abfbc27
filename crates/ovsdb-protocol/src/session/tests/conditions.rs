//! Changes of the rows that are monitored.

use super::*;
use crate::monitor::RowFilter;
use crate::transact::Condition;

fn n_is(n: i64) -> RowFilter {
    RowFilter::Any(vec![Condition::eq("n", n)])
}

fn wanted(request: &Value) -> &Value {
    &request["params"][2]["T"][0]["where"]
}

/// Rule: the rows come before the answer (ovsdb-server(7), `monitor_cond_change`). Regression: ae25f8c8f and c1691ccea
/// of Open vSwitch, which resumed with other conditions than those of the rows.
#[tokio::test(start_paused = true)]
async fn changed_conditions_insert_matching_rows_and_outlive_the_connection() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(wanted(&request), &Value::Null);
        peer.reply(&request, &snapshot(1, &[(1, 1), (2, 2)])).await;
        let change = peer.expect("monitor_cond_change").await;
        assert_eq!(change["params"], json!(["session", "session", {"T": [{"where": [["n", "==", 2]]}]}]));
        peer.send(&update(2, &self::change(1, &json!({"delete": null})))).await;
        peer.reply(&change, &json!({})).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!((since(&request), wanted(&request)), (2, &json!([["n", "==", 2]])));
        peer.reply(&request, &json!([true, id(2), {}])).await;
        // The connection breaks while another change is under way: the rows belong to neither.
        peer.expect("monitor_cond_change").await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!((since(&request), wanted(&request)), (0, &json!([["n", "==", 1]])));
        peer.reply(&request, &snapshot(3, &[(1, 1)])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        let error = consumer.session.set_condition("U", RowFilter::All).unwrap_err().to_string();
        assert_eq!(error, "the table U is not monitored");
        let unknown = RowFilter::Any(vec![Condition::eq("nope", 1)]);
        let error = consumer.session.set_condition("T", unknown).unwrap_err().to_string();
        assert_eq!(error, "the column T.nope is not monitored");
        consumer.session.set_condition("T", n_is(2)).unwrap();
        assert!(consumer.session.is_synced());
        assert_eq!(consumer.until("condition").await, ["updated", "condition changed"]);
        assert_eq!(consumer.content(), [(2, 2)].into());
        consumer.until("synced").await;
        consumer.session.set_condition("T", n_is(1)).unwrap();
        let events = consumer.until("condition").await;
        assert_eq!(events[1..], ["connected", "synced whole", "condition changed"]);
    };
    let (_peer, ()) = join!(script, client);
    assert_eq!(consumer.content(), [(1, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn refused_change_leaves_the_conditions_unchanged() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(1, &[])).await;
        let changes = [(); 3];
        let mut requests = Vec::new();
        for () in changes {
            requests.push(peer.expect("monitor_cond_change").await);
        }
        peer.reply(&requests[0], &json!({})).await;
        peer.refuse(&requests[1], &json!({"error": "syntax error", "details": "no"})).await;
        peer.refuse(&requests[2], &json!({"error": "syntax error", "details": "no"})).await;
        peer.send(&update(2, &change(1, &json!({"insert": {"n": 1}})))).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!((since(&request), wanted(&request)), (2, &json!([["n", "==", 1]])));
        peer.reply(&request, &json!([true, id(2), {}])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        for n in 1..=3 {
            consumer.session.set_condition("T", n_is(n)).unwrap();
        }
        consumer.until("synced").await
    };
    let (_peer, events) = join!(script, client);
    assert_eq!(
        events[..4],
        [
            "condition changed",
            "condition: the server answered with an error: syntax error: no",
            "condition: the server answered with an error: syntax error: no",
            "updated",
        ]
    );
}
