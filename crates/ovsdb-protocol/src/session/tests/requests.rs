//! Requests other than transactions, and cancellation.

use super::*;

/// A server with an empty table, and a consumer that is synchronised with it.
async fn synced() -> (Consumer, Peer, Server) {
    let server = Server::unix();
    let mut consumer = Consumer::new(&server);
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        peer
    };
    let (peer, _) = join!(script, consumer.until("synced"));
    (consumer, peer, server)
}

#[tokio::test(start_paused = true)]
async fn every_request_ends_once() {
    let (mut consumer, mut peer, _server) = synced().await;
    consumer.session.request("list_dbs", &[(); 0]).unwrap();
    consumer.session.request("frobnicate", &[1]).unwrap();
    consumer.session.request("echo", &[(); 0]).unwrap();
    let script = async {
        let list = peer.expect("list_dbs").await;
        let unknown = peer.expect("frobnicate").await;
        assert_eq!(unknown["params"], json!([1]));
        peer.refuse(&unknown, &json!("unknown method")).await;
        peer.reply(&list, &json!(["D"])).await;
        peer.expect("echo").await;
        drop(peer);
    };
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert_eq!(
        events,
        [
            "replied: the server answered with an error: unknown method",
            "replied [\"D\"]",
            "replied: the connection is closed",
            "disconnected: the server closed the connection",
        ]
    );
    assert!(consumer.session.request("list_dbs", &[(); 0]).is_err(), "there is no connection");
}

#[tokio::test(start_paused = true)]
async fn methods_that_the_session_tracks_are_refused_as_requests() {
    let (mut consumer, _peer, _server) = synced().await;
    for method in ["monitor", "monitor_cond_since", "lock", "steal", "cancel"] {
        let error = consumer.session.request(method, &[(); 0]).unwrap_err().to_string();
        assert_eq!(error, format!("the session itself uses the method {method}"));
    }
}

/// Rule: a request that was cancelled may be answered or not (`ovsdb_jsonrpc_trigger_complete`).
#[tokio::test(start_paused = true)]
async fn abandoned_transaction_is_cancelled_and_its_reply_dropped() {
    let (mut consumer, mut peer, _server) = synced().await;
    let mut transaction = Transaction::new("D");
    transaction.comment("why");
    let one = consumer.session.transact(&transaction).unwrap();
    let two = consumer.session.request("get_schema", &["D"]).unwrap();
    consumer.session.request("echo", &[(); 0]).unwrap();
    consumer.session.cancel(one);
    consumer.session.cancel_request(two);
    // It does not exist any more.
    consumer.session.cancel(one);
    let script = async {
        let one = peer.expect("transact").await;
        let two = peer.expect("get_schema").await;
        let echo = peer.expect("echo").await;
        for request in [one, two] {
            let cancel = peer.expect("cancel").await;
            assert_eq!((&cancel["id"], &cancel["params"]), (&Value::Null, &json!([request["id"]])));
            peer.refuse(&request, &json!("canceled")).await;
        }
        peer.reply(&echo, &json!([])).await;
    };
    let (_, events) = join!(script, consumer.until("replied"));
    assert_eq!(events, ["replied []"]);
}

/// Rule: a conversion ends the monitors first, then answers.
#[tokio::test(start_paused = true)]
async fn schema_conversion_is_answered_and_adopted() {
    let (mut consumer, mut peer, _server) = synced().await;
    let schema = schema("2.0.0", &json!({"n": {"type": "integer"}, "m": {"type": "integer"}}));
    consumer.session.convert(&schema).unwrap();
    let script = async {
        let convert = peer.expect("convert").await;
        assert_eq!(convert["params"], json!(["D", schema]));
        peer.notify("monitor_canceled", &json!(["session"])).await;
        peer.reply(&convert, &json!({})).await;
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &schema).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &snapshot(0, &[])).await;
        peer
    };
    let (_peer, events) = join!(script, consumer.until("synced"));
    assert_eq!(events, ["unsynced", "replied {}", "synced whole"]);
    assert!(consumer.session.schema().unwrap().column("T", "m").is_some());
}

#[tokio::test(start_paused = true)]
async fn lock_can_be_set_on_a_running_session() {
    let (mut consumer, mut peer, _server) = synced().await;
    assert_eq!(consumer.session.lock_status(), LockStatus::None);
    consumer.session.set_lock("one".parse().unwrap()).unwrap();
    let script = async {
        let lock = peer.expect("lock").await;
        assert_eq!(lock["params"], json!(["one"]));
        peer.reply(&lock, &json!({"locked": true})).await;
        lock
    };
    let (first, events) = join!(script, consumer.until("lock"));
    assert_eq!(events, ["lock Held(1)"]);
    // Repeating it changes nothing.
    consumer.session.set_lock("one".parse().unwrap()).unwrap();
    consumer.session.set_lock("two".parse().unwrap()).unwrap();
    let script = async {
        assert_eq!(peer.expect("unlock").await["params"], json!(["one"]));
        // A notification already sent belongs to the other lock.
        peer.notify("stolen", &json!(["one"])).await;
        peer.reply(&first, &json!({"locked": true})).await;
        let lock = peer.expect("lock").await;
        assert_eq!(lock["params"], json!(["two"]));
        peer.reply(&lock, &json!({"locked": false})).await;
        peer.notify("locked", &json!(["two"])).await;
    };
    let client = async {
        let mut events = consumer.until("lock Waiting").await;
        events.extend(consumer.until("lock").await);
        events
    };
    let ((), events) = join!(script, client);
    assert_eq!(events, ["lock None", "lock Waiting", "lock Held(2)"]);
}
