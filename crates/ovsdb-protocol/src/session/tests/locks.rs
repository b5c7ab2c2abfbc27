//! Transactions when the connection breaks, and locks.

use super::*;

#[tokio::test(start_paused = true)]
async fn interrupted_transaction_is_reported_unknown_once() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let answered = peer.expect("transact").await;
        assert_eq!(answered["params"], json!(["D", {"op": "comment", "comment": "one"}]));
        peer.expect("transact").await;
        peer.expect("transact").await;
        peer.reply(&answered, &json!([{}])).await;
        drop(peer);

        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        // The first reply is invalid: the outcome is unknown, too.
        let request = peer.expect("transact").await;
        peer.expect("transact").await;
        peer.reply(&request, &json!([{}, {}, {}])).await;
        peer.closed().await;

        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let request = peer.expect("transact").await;
        peer.refuse(&request, &json!("canceled")).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let transaction = |comment| {
        let mut transaction = Transaction::new("D");
        transaction.comment(comment);
        transaction
    };
    let client = async {
        assert!(consumer.session.transact(&transaction("too early")).is_err());
        consumer.until("synced").await;
        for comment in ["one", "two", "three"] {
            consumer.session.transact(&transaction(comment)).unwrap();
        }
        let mut events = consumer.until("disconnected").await;
        assert!(consumer.session.transact(&transaction("too late")).is_err());
        events.extend(consumer.until("synced").await);
        for comment in ["four", "five"] {
            consumer.session.transact(&transaction(comment)).unwrap();
        }
        events.extend(consumer.until("synced").await);
        consumer.session.transact(&transaction("six")).unwrap();
        events.extend(consumer.until("completed").await);
        events
    };
    let (_peer, events) = join!(script, client);
    let expected = [
        "completed 1 Committed",
        "completed 2 Unknown",
        "completed 3 Unknown",
        "disconnected: the server closed the connection",
        "connected",
        "synced whole",
        "completed 4 Unknown",
        "completed 5 Unknown",
        "disconnected: the server's transaction result is malformed",
        "connected",
        "synced whole",
        "completed 6 Refused",
    ];
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    for (event, expected) in events.iter().zip(expected) {
        assert!(event.starts_with(expected), "{event} is not {expected}");
    }
}

/// Rule: a lock ends with its connection, and a client whose lock was stolen stays in the queue.
#[tokio::test(start_paused = true)]
async fn lock_is_requested_on_every_connection() {
    let server = Server::unix();
    let handshake = async |locked: bool| {
        let mut peer = server.accept().await;
        handshake_with_lock(&mut peer, locked).await;
        peer
    };
    let script = async {
        let mut peer = handshake(true).await;
        peer.notify("stolen", &json!(["leader"])).await;
        peer.notify("locked", &json!(["another"])).await;
        peer.notify("locked", &json!(["leader"])).await;
        drop(peer);
        drop(handshake(false).await);
        handshake(true).await
    };
    let mut consumer = Consumer::locking(&server);
    let client = async {
        let mut events = Vec::new();
        while events.iter().filter(|event| *event == "connected").count() < 3 {
            events.extend(consumer.until("connected").await);
        }
        events.extend(consumer.until("synced").await);
        events
    };
    let (_peer, events) = join!(script, client);
    let told = |event: &&String| event.starts_with("lock") || event.starts_with("disconnected");
    let lost = "disconnected: the server closed the connection";
    assert_eq!(
        events.iter().filter(told).collect::<Vec<_>>(),
        [
            "lock Held(1)",
            "lock Waiting",
            "lock Held(2)",
            "lock None",
            lost,
            "lock Waiting",
            "lock None",
            lost,
            "lock Held(3)"
        ]
    );
    assert_eq!(consumer.session.lock_status(), LockStatus::Held(3));
}

#[tokio::test(start_paused = true)]
async fn lock_that_is_no_longer_wanted_is_released() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake_with_lock(&mut peer, true).await;
        let unlock = peer.expect("unlock").await;
        assert_eq!(unlock["params"], json!(["leader"]));
        peer.reply(&unlock, &json!({})).await;
        // A late notification of the released lock is ignored.
        peer.notify("locked", &json!(["leader"])).await;
        let lock = peer.expect("lock").await;
        peer.reply(&lock, &json!({"locked": true})).await;
        peer
    };
    let mut consumer = Consumer::locking(&server);
    let client = async {
        let mut events = consumer.until("synced").await;
        consumer.session.want_lock(false).unwrap();
        events.extend(consumer.until("lock").await);
        assert_eq!(consumer.session.lock_status(), LockStatus::None);
        consumer.session.want_lock(true).unwrap();
        events.extend(consumer.until("lock").await);
        events
    };
    let (_peer, events) = join!(script, client);
    let told: Vec<_> = events.iter().filter(|event| event.starts_with("lock")).collect();
    assert_eq!(told, ["lock Held(1)", "lock None", "lock Held(2)"]);
}

/// ovsdb-server refuses a second request for a lock while there is one, so the session releases its request before it
/// steals the lock.
#[tokio::test(start_paused = true)]
async fn waiting_lock_request_is_replaced_by_a_steal() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake_with_lock(&mut peer, false).await;
        let unlock = peer.expect("unlock").await;
        assert_eq!(unlock["params"], json!(["leader"]));
        // It was granted and released at the same time.
        peer.notify("locked", &json!(["leader"])).await;
        peer.reply(&unlock, &json!({})).await;
        let steal = peer.expect("steal").await;
        assert_eq!(steal["params"], json!(["leader"]));
        peer.reply(&steal, &json!({"locked": true})).await;
        peer.notify("stolen", &json!(["leader"])).await;
        // A client that stole the lock is not put into the queue.
        peer.expect("unlock").await;
        let lock = peer.expect("lock").await;
        peer.reply(&lock, &json!({"locked": false})).await;
        peer.notify("locked", &json!(["leader"])).await;
        peer
    };
    let mut consumer = Consumer::locking(&server);
    consumer.session.steal_lock().unwrap();
    let client = async {
        let mut events = consumer.until("synced").await;
        consumer.session.steal_lock().unwrap();
        events.extend(consumer.until("lock Held").await);
        // The session has the lock.
        consumer.session.steal_lock().unwrap();
        events.extend(consumer.until("lock Waiting").await);
        events.extend(consumer.until("lock Held").await);
        events
    };
    let (_peer, events) = join!(script, client);
    let told: Vec<_> = events.iter().filter(|event| event.starts_with("lock")).collect();
    assert_eq!(told, ["lock Waiting", "lock Held(1)", "lock Waiting", "lock Held(2)"]);
}

#[tokio::test(start_paused = true)]
async fn lock_request_is_sent_beyond_the_limit_of_requests() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake_with_lock(&mut peer, false).await;
        for _ in 0..1024 {
            peer.expect("echo").await;
        }
        peer.expect("unlock").await;
        let steal = peer.expect("steal").await;
        peer.reply(&steal, &json!({"locked": true})).await;
        peer
    };
    let mut consumer = Consumer::locking(&server);
    let client = async {
        consumer.until("synced").await;
        for _ in 0..1024 {
            consumer.session.request("echo", &[(); 0]).unwrap();
        }
        assert!(consumer.session.request("echo", &[(); 0]).unwrap_err().is_busy());
        consumer.session.steal_lock().unwrap();
        consumer.until("lock Held").await;
    };
    join!(script, client);
}

/// Rule: a read-only server, such as a backup of a standalone one, refuses locks with a bare string.
#[tokio::test(start_paused = true)]
async fn server_that_refuses_the_lock_is_left() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let schema = ask_schema(&mut peer).await;
        let lock = peer.expect("lock").await;
        peer.refuse(&lock, &json!("lock is not allowed")).await;
        peer.reply(&schema, &usual_schema()).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::locking(&server);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert_eq!(events, ["connected", "disconnected: the server answered with an error: lock is not allowed"]);
}
