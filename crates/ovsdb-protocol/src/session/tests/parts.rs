//! Snapshots that come in parts.

use super::*;

/// A database of three tables, and a consumer that loads them in three stages.
struct Consumer(super::Consumer);

impl Consumer {
    fn new(server: &Server) -> Self {
        let mut consumer = super::Consumer::new(server);
        let selections = ["T", "U", "V"].into_iter().zip(0..);
        consumer.cache = Cache::new(selections.map(|(table, part)| Selection::table(table).load_stage(part)));
        Self(consumer)
    }

    async fn until(&mut self, last: &str) -> Vec<String> {
        self.0.until(last).await
    }

    /// The value of the column `n` of every row, by table and number.
    fn content(&self) -> Vec<(&str, u128, i64)> {
        let cache = &self.0.cache;
        let row = |table| {
            let rows = cache.rows(table);
            rows.map(move |(uuid, row)| {
                (table, uuid.as_u128(), row.get("n").and_then(Datum::as_integer).unwrap())
            })
        };
        ["T", "U", "V"].into_iter().flat_map(row).collect()
    }
}

fn three_tables() -> Value {
    let table = json!({"columns": {"n": {"type": "integer"}}});
    json!({"name": "D", "version": "1.0.0", "tables": {"T": table, "U": table, "V": table}})
}

/// Answers up to the request for a monitor, and returns that.
async fn handshake(peer: &mut Peer) -> Value {
    let request = ask_schema(peer).await;
    peer.reply(&request, &three_tables()).await;
    peer.expect("monitor_cond_since").await
}

/// Answers the requests for the two later load stages, which have no rows.
async fn answer_stages(peer: &mut Peer) {
    for _ in 0..2 {
        let part = peer.expect("monitor_cond_change").await;
        peer.reply(&part, &json!({})).await;
    }
}

fn wheres(request: &Value) -> Vec<&Value> {
    request["params"][2].as_object().unwrap().values().map(|table| &table[0]["where"]).collect()
}

fn insert(table: &str, uuid: u128, n: i64) -> Value {
    json!({table: {id(uuid): {"insert": {"n": n}}}})
}

/// A request is handled when the reply to the previous one is sent, and rows, if there are any, precede the reply to
/// `monitor_cond_change` (ovsdb-server(7)).
#[tokio::test(start_paused = true)]
async fn load_stages_are_requested_together_and_committed_together() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(wheres(&request), [&Value::Null, &json!([false]), &json!([false])]);
        let mut parts = Vec::new();
        for table in ["U", "V"] {
            let part = peer.expect("monitor_cond_change").await;
            assert_eq!(part["params"], json!(["session", "session", {table: [{"where": [true]}]}]));
            parts.push(part);
        }
        peer.reply(
            &request,
            &json!([false, id(1), {"T": {
                id(1): {"initial": {"n": 1}}, id(2): {"initial": {"n": 2}}, id(3): {"initial": {"n": 3}},
            }}]),
        )
        .await;
        // Meanwhile the rows of the first part change.
        peer.send(&update(
            2,
            &json!({"T": {
                id(1): {"modify": {"n": 10}}, id(2): {"delete": null}, id(4): {"insert": {"n": 4}},
            }}),
        ))
        .await;
        peer.send(&update(3, &insert("U", 5, 5))).await;
        peer.reply(&parts[0], &json!({})).await;
        peer.send(&update(4, &json!({"U": {id(5): {"modify": {"n": 50}}}}))).await;
        // The last part has no rows.
        peer.reply(&parts[1], &json!({})).await;
        peer.send(&update(5, &insert("V", 6, 6))).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(
            (since(&request), wheres(&request)),
            (5, vec![&Value::Null; 3]),
            "differences to all parts"
        );
        peer.reply(&request, &json!([true, id(6), {"U": {id(5): {"delete": null}}}])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        assert_eq!(consumer.until("synced").await, ["connected", "synced whole"]);
        assert_eq!(consumer.content(), [("T", 1, 10), ("T", 3, 3), ("T", 4, 4), ("U", 5, 50)]);
        assert_eq!(consumer.until("updated").await, ["updated"]);
        assert_eq!(consumer.until("synced").await.pop().unwrap(), "synced by differences");
        assert_eq!(consumer.content(), [("T", 1, 10), ("T", 3, 3), ("T", 4, 4), ("V", 6, 6)]);
    };
    join!(script, client);
    assert_eq!(consumer.0.cache.error(), None);
}

#[tokio::test(start_paused = true)]
async fn connection_lost_between_load_stages_changes_nothing() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let part = peer.expect("monitor_cond_change").await;
        peer.reply(&request, &json!([false, id(1), insert("T", 1, 1)])).await;
        peer.send(&update(2, &insert("U", 2, 2))).await;
        peer.reply(&part, &json!({})).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 0, "what is here is nowhere in the history");
        peer.reply(&request, &json!([false, id(3), insert("T", 1, 3)])).await;
        answer_stages(&mut peer).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let events = consumer.until("disconnected").await;
        assert_eq!(events.len(), 2, "{events:?}");
        assert_eq!(consumer.content(), []);
        consumer.until("synced").await;
    };
    join!(script, client);
    assert_eq!(consumer.content(), [("T", 1, 3)]);
}

#[tokio::test(start_paused = true)]
async fn server_without_monitor_cond_change_is_asked_for_all_rows() {
    for knows_since in [true, false] {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let mut request = handshake(&mut peer).await;
            if knows_since {
                peer.reply(&request, &json!([false, id(1), insert("T", 1, 1)])).await;
                let part = peer.expect("monitor_cond_change").await;
                peer.refuse(&part, &json!("unknown method")).await;
                peer.closed().await;
                peer = server.accept().await;
                request = handshake(&mut peer).await;
                assert_eq!(wheres(&request), [&Value::Null; 3]);
                let rows = json!({"T": {id(1): {"initial": {"n": 1}}}, "V": {id(2): {"initial": {"n": 2}}}});
                peer.reply(&request, &json!([false, id(1), rows])).await;
            } else {
                peer.refuse(&request, &json!("unknown method")).await;
                for _ in 0..2 {
                    let part = peer.expect("monitor_cond_change").await;
                    peer.refuse(
                        &part,
                        &json!({"error": "syntax error", "details": "unknown monitor session"}),
                    )
                    .await;
                }
                let request = peer.expect("monitor_cond").await;
                assert_eq!(wheres(&request), [&Value::Null; 3]);
                let rows = json!({"T": {id(1): {"initial": {"n": 1}}}, "V": {id(2): {"initial": {"n": 2}}}});
                peer.reply(&request, &rows).await;
            }
            peer
        };
        let mut consumer = Consumer::new(&server);
        let (_peer, events) = join!(script, consumer.until("synced"));
        assert_eq!(events.len(), if knows_since { 4 } else { 2 }, "{events:?}");
        assert_eq!(consumer.content(), [("T", 1, 1), ("V", 2, 2)]);
    }
}

/// The schema may be converted at any time, which ends all monitors.
#[tokio::test(start_paused = true)]
async fn schema_conversion_between_load_stages_restarts_the_snapshot() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &json!([false, id(1), insert("T", 1, 1)])).await;
        peer.notify("monitor_canceled", &json!(["session"])).await;
        for _ in 0..2 {
            let part = peer.expect("monitor_cond_change").await;
            peer.refuse(&part, &json!({"error": "syntax error", "details": "unknown monitor session"})).await;
        }
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &three_tables()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &json!([false, id(2), insert("T", 2, 2)])).await;
        answer_stages(&mut peer).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let (_peer, events) = join!(script, consumer.until("synced"));
    assert_eq!(events, ["connected", "synced whole"]);
    assert_eq!(consumer.content(), [("T", 2, 2)]);
}

/// Rule: requests are answered in order, so that the stages that were requested before a cancellation still come, each
/// after a silence.
#[tokio::test(start_paused = true)]
async fn slow_stage_of_a_cancelled_monitor_is_awaited() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &json!([false, id(1), insert("T", 1, 1)])).await;
        let parts = [peer.expect("monitor_cond_change").await, peer.expect("monitor_cond_change").await];
        let cancel = peer.expect("monitor_cancel").await;
        let schema = peer.expect("get_schema").await;
        peer.reply(&parts[0], &json!({})).await;
        tokio::time::sleep(Duration::from_secs(30)).await;
        peer.send(&update(1, &insert("V", 2, 2))).await;
        peer.reply(&parts[1], &json!({})).await;
        peer.reply(&cancel, &json!({})).await;
        peer.reply(&schema, &three_tables()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, id(1), insert("T", 1, 1)])).await;
        answer_stages(&mut peer).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("connected").await;
        let waited = timeout(Duration::from_secs(1), consumer.until("synced")).await;
        assert!(waited.is_err(), "two stages are missing");
        consumer.0.session.redeclare().unwrap();
        assert_eq!(consumer.until("synced").await, ["synced whole"]);
        assert_eq!(consumer.content(), [("T", 1, 1)]);
    };
    join!(script, client);
}

#[tokio::test(start_paused = true)]
async fn rows_of_a_later_stage_before_the_first_are_an_error() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        let part = peer.expect("monitor_cond_change").await;
        peer.reply(&part, &json!({})).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert!(events[1].contains("it comes before that to the monitor request"), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn data_received_before_a_hangup_is_processed() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let parts = [peer.expect("monitor_cond_change").await, peer.expect("monitor_cond_change").await];
        let rows: serde_json::Map<_, _> = (1..=2000).map(|n| (id(n), json!({"initial": {"n": 1}}))).collect();
        // Most of it is not decoded yet when the end of the connection is seen.
        let mut all = reply(&request, &json!([false, id(1), {"T": rows}]));
        all.extend(parts.iter().map(|part| reply(part, &json!({}))));
        peer.send(&all).await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert_eq!(events[1], "synced whole", "{events:?}");
    assert_eq!(consumer.content().len(), 2000);
}
