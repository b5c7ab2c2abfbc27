mod monitors;

use std::future::poll_fn;
use std::task::Poll;

use serde_json::{Value, json};
use tokio::join;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::lock::LockStatus;
use crate::scripted::{Peer, Server};
use crate::value::{Datum, Row};

/// A client whose driver runs, and the server's end of its connection.
struct Connected {
    client: Client,
    running: JoinHandle<()>,
    peer: Peer,
}

fn config(server: &Server) -> SessionConfig {
    SessionConfig::new(server.endpoint().into(), "D")
}

async fn connected(server: &Server) -> Connected {
    let (client, driver) = Client::connect(config(server));
    let running = tokio::spawn(driver);
    let peer = after_handshake(server).await;
    client.ready().await.unwrap();
    Connected { client, running, peer }
}

/// Accepts a connection and answers as an old server without `_Server`.
async fn after_handshake(server: &Server) -> Peer {
    handshake_with(server, &json!({"name": "D", "version": "1.0.0", "tables": {}})).await
}

async fn handshake_with(server: &Server, schema: &Value) -> Peer {
    let mut peer = server.accept().await;
    let described = peer.expect("get_schema").await;
    let aware = peer.expect("set_db_change_aware").await;
    let request = peer.expect("get_schema").await;
    peer.refuse(&described, &json!({"error": "unknown database"})).await;
    peer.refuse(&aware, &json!("unknown method")).await;
    peer.reply(&request, schema).await;
    peer
}

/// Answers a request for a lock.
async fn answer_lock(peer: &mut Peer, locked: bool) {
    let lock = peer.expect("lock").await;
    peer.reply(&lock, &json!({"locked": locked})).await;
}

/// Lets the client steal the lock that it waits for.
async fn grant_steal(peer: &mut Peer) {
    let unlock = peer.expect("unlock").await;
    peer.reply(&unlock, &json!({})).await;
    let steal = peer.expect("steal").await;
    peer.reply(&steal, &json!({"locked": true})).await;
}

fn comment() -> Transaction {
    let mut transaction = Transaction::new("D");
    transaction.comment("why");
    transaction
}

#[tokio::test(start_paused = true)]
async fn replies_are_accepted_in_any_order() {
    let server = Server::unix();
    let Connected { client, running, mut peer } = connected(&server).await;
    let script = async {
        let echo = peer.expect("echo").await;
        let list = peer.expect("list_dbs").await;
        let schema = peer.expect("get_schema").await;
        assert_eq!((&list["params"], &schema["params"]), (&json!([]), &json!(["D"])));
        peer.refuse(&schema, &json!({"error": "unknown database", "details": "D"})).await;
        peer.reply(&list, &json!(["D", "_Server"])).await;
        peer.reply(&echo, &json!([])).await;
        let number = peer.expect("number").await;
        assert_eq!(number["params"], json!([1, "x"]));
        peer.reply(&number, &json!(5)).await;
        let text = peer.expect("number").await;
        peer.reply(&text, &json!("five")).await;
    };
    let calls = async {
        let (echo, list, schema) = join!(client.echo(), client.list_dbs(), client.get_schema("D"));
        echo.unwrap();
        assert_eq!(list.unwrap(), ["D", "_Server"]);
        let error = schema.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().error, "unknown database");
        assert!(!error.is_disconnected());
        assert_eq!(client.request::<u8>("number", &(1, "x")).await.unwrap(), 5);
        let error = client.request::<u8>("number", &(1, "x")).await.unwrap_err();
        assert!(error.is_malformed(), "{error:#}");
        let error = client.request::<Value>("monitor", &[1]).await.unwrap_err();
        assert_eq!(error.to_string(), "the session itself uses the method monitor");
    };
    join!(script, calls);
    drop(client);
    running.await.unwrap();
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn dropped_call_is_cancelled_and_its_late_reply_ignored() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let transaction = comment();
    let request = tokio::select! {
        biased;
        request = peer.expect("transact") => request,
        outcome = client.transact(&transaction) => panic!("{outcome:?}"),
    };
    let cancel = peer.expect("cancel").await;
    assert_eq!((&cancel["id"], &cancel["params"]), (&Value::Null, &json!([request["id"]])));
    // The server had executed it before the cancellation.
    peer.reply(&request, &json!([{}])).await;
    let script = async {
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([{"count": 7}])).await;
    };
    let (outcome, ()) = join!(client.transact(&transaction), script);
    let Outcome::Committed(results) = outcome.unwrap() else { panic!("it is refused") };
    assert_eq!(results.count(0), Some(7), "a reply is taken for another one's");
}

/// Rule: a request that was cancelled is never answered, unless the session is aware of schema changes.
#[tokio::test(start_paused = true)]
async fn cancelled_calls_do_not_exhaust_the_limit_of_requests() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let transaction = comment();
    for _ in 0..3000 {
        tokio::select! {
            biased;
            _ = peer.expect("transact") => {}
            outcome = client.transact(&transaction) => panic!("{outcome:?}"),
        }
        peer.expect("cancel").await;
    }
}

/// Regression: libovsdb and others, which report "not connected" without the cause.
#[tokio::test(start_paused = true)]
async fn interrupted_call_reports_the_cause_and_the_next_call_reconnects() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        peer.expect("transact").await;
        peer.expect("echo").await;
        drop(peer);
        let mut peer = after_handshake(&server).await;
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([{}])).await;
        peer
    };
    let calls = async {
        let transaction = comment();
        let (outcome, echo) = join!(client.transact(&transaction), client.echo());
        assert_eq!(outcome.unwrap(), Outcome::Unknown);
        let error = echo.unwrap_err();
        assert!(error.is_disconnected());
        assert_eq!(format!("{error:#}"), "the connection is closed: the server closed the connection");
        let outcome = client.transact(&transaction).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed(_)), "{outcome:?}");
    };
    join!(script, calls);
}

#[tokio::test(start_paused = true)]
async fn call_without_a_server_waits_for_its_timeout() {
    let server = Server::unix();
    let gone = Server::unix().endpoint();
    let remotes = format!("{},{gone}", server.endpoint());
    let (client, driver) = Client::connect(SessionConfig::new(remotes.parse().unwrap(), "D"));
    // The driver has not run yet.
    let start = Instant::now();
    let error = client.clone().wait_at_most(Duration::from_secs(7)).echo().await.unwrap_err();
    assert_eq!((start.elapsed().as_secs(), error.to_string()), (7, "no server can be used".to_owned()));
    tokio::spawn(driver);

    let script = async {
        // One server hangs up, the other does not exist.
        drop(server.accept().await);
        server.accept().await
    };
    let fast = client.clone().fail_fast();
    let (mut peer, result) = join!(script, fast.echo());
    let error = result.unwrap_err();
    assert!(error.is_unavailable() && !error.is_disconnected());
    let text = error.to_string();
    // The error after a server hung up depends on what was sent to it.
    assert!(text.starts_with(&format!("no server can be used: {}: ", server.endpoint())), "{text}");
    assert!(text.ends_with(&format!("; {gone}: No such file or directory (os error 2)")), "{text}");
    assert_eq!(error.failures().len(), 2);
    assert_eq!(client.status().failures.len(), 2);

    // Callers that wait longer are served by the next connection.
    let script = async {
        for error in [json!({"error": "unknown database"}), json!("unknown method")] {
            let request = peer.receive().await.unwrap();
            peer.refuse(&request, &error).await;
        }
        let schema = peer.expect("get_schema").await;
        peer.reply(&schema, &json!({"name": "D", "version": "1.0.0", "tables": {}})).await;
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
    };
    let ((), echo) = join!(script, client.echo());
    echo.unwrap();
    let status = client.status();
    assert!(status.is_ready && !status.all_failed && status.failures.is_empty(), "{status:?}");
    assert_eq!(status.remote, Some(server.endpoint()));
}

#[tokio::test(start_paused = true)]
async fn refused_transaction_is_an_outcome_and_not_an_error() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        let request = peer.expect("transact").await;
        peer.refuse(&request, &json!("canceled")).await;
    };
    let transaction = comment();
    let (outcome, ()) = join!(client.transact(&transaction), script);
    let Outcome::Refused(refused) = outcome.unwrap() else { panic!("not refused") };
    assert_eq!((refused.operation, &*refused.error.error), (None, "canceled"));
}

/// Rule: a client whose lock was stolen stays in the queue; a lock is released with its handle.
#[tokio::test(start_paused = true)]
async fn lock_is_requested_on_every_connection_until_it_is_dropped() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let (saw, seen) = oneshot::channel();
    let script = async {
        let lock = peer.expect("lock").await;
        assert_eq!(lock["params"], json!(["leader"]));
        peer.reply(&lock, &json!({"locked": false})).await;
        grant_steal(&mut peer).await;
        seen.await.unwrap();
        drop(peer);
        let mut peer = after_handshake(&server).await;
        answer_lock(&mut peer, true).await;
        assert_eq!(peer.expect("unlock").await["params"], json!(["leader"]));
        let lock = peer.expect("lock").await;
        assert_eq!(lock["params"], json!(["other"]));
        peer.reply(&lock, &json!({"locked": true})).await;
        assert_eq!(peer.expect("unlock").await["params"], json!(["other"]));
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
        peer
    };
    let calls = async {
        let mut lock = client.lock(&"leader".parse().unwrap()).await.unwrap();
        assert_eq!(lock.status(), LockStatus::Waiting);
        let error = client.lock(&"other".parse().unwrap()).await.unwrap_err();
        assert_eq!(error.to_string(), "the client has a lock already; release it first");
        assert_eq!(lock.steal().await.unwrap(), 1);
        saw.send(()).unwrap();
        lock.changed().await.unwrap();
        assert_eq!(lock.held().await.unwrap(), 2, "of another connection");
        // The server would execute it, and sees nothing of it.
        let mut asserting = comment();
        assert!(lock.transact(2, &asserting).await.unwrap_err().is_invalid_request());
        asserting.assert_lock("leader");
        assert!(lock.transact(1, &asserting).await.unwrap_err().is_lock_lost());
        drop(lock);
        yield_now().await;
        let lock = client.lock(&"other".parse().unwrap()).await.unwrap();
        assert_eq!(lock.status(), LockStatus::Held(3));
        lock.release().await.unwrap();
    };
    let (_peer, ()) = join!(script, calls);
}

#[tokio::test(start_paused = true)]
async fn lock_that_cannot_be_stolen_is_stolen_on_the_next_connection() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        answer_lock(&mut peer, false).await;
        peer.expect("unlock").await;
        peer.expect("steal").await;
        // Before the reply.
        drop(peer);
        let mut peer = after_handshake(&server).await;
        answer_lock(&mut peer, false).await;
        grant_steal(&mut peer).await;
        peer
    };
    let calls = async {
        let mut lock = client.lock(&"leader".parse().unwrap()).await.unwrap();
        assert_eq!(lock.steal().await.unwrap(), 1);
        lock
    };
    let (_peer, _lock) = join!(script, calls);
}

#[tokio::test(start_paused = true)]
async fn steal_waits_for_a_connection() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        answer_lock(&mut peer, false).await;
        peer
    };
    let (peer, lock) = join!(script, async { client.lock(&"leader".parse().unwrap()).await.unwrap() });
    drop(peer);
    let mut lock = lock;
    assert_eq!(lock.changed().await.unwrap(), LockStatus::None);
    let script = async {
        let mut peer = after_handshake(&server).await;
        answer_lock(&mut peer, false).await;
        grant_steal(&mut peer).await;
        peer
    };
    let (_peer, stolen) = join!(script, lock.steal());
    assert_eq!(stolen.unwrap(), 1);
}

/// Drops a call after each number of polls that it takes.
async fn dropped_after_each_poll<T>(call: impl Fn() -> std::pin::Pin<Box<dyn Future<Output = T>>>) {
    for polls in 0.. {
        let mut future = call();
        let mut left = polls;
        let limited = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(true);
            }
            left -= 1;
            future.as_mut().poll(cx).map(|_| false)
        });
        let was_cut = limited.await;
        drop(future);
        yield_now().await;
        if !was_cut {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lock_is_released_if_its_request_is_dropped_in_any_state() {
    let server = Server::unix();
    let Connected { client, mut peer, running } = connected(&server).await;
    let name: crate::lock::LockName = "leader".parse().unwrap();
    let script = async {
        let mut is_locked = false;
        loop {
            let request = peer.receive().await.expect("the client hung up");
            match request["method"].as_str() {
                Some("lock") => {
                    assert!(!is_locked, "it has not been released");
                    is_locked = true;
                    peer.reply(&request, &json!({"locked": true})).await;
                }
                Some("unlock") => {
                    is_locked = false;
                    peer.reply(&request, &json!({})).await;
                }
                _ => {
                    peer.reply(&request, &json!([])).await;
                    return is_locked;
                }
            }
        }
    };
    let calls = async {
        dropped_after_each_poll(|| {
            let (client, name) = (client.clone(), name.clone());
            Box::pin(async move { drop(client.lock(&name).await.unwrap()) })
        })
        .await;
        client.echo().await.unwrap();
    };
    let (is_locked, ()) = join!(script, calls);
    assert!(!is_locked);
    running.abort();
}

/// Another server does not know the lock. Found by a reading: the release waited for one, for up to 30 seconds.
#[tokio::test(start_paused = true)]
async fn release_of_a_lock_waits_for_no_other_connection() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let name = "leader".parse().unwrap();
    let (lock, ()) = join!(client.lock(&name), answer_lock(&mut peer, true));
    drop(peer);
    client.status.clone().wait_for(|status| !status.is_ready).await.unwrap();
    let start = Instant::now();
    assert!(lock.unwrap().release().await.is_err());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn client_whose_driver_ended_reports_an_error() {
    let server = Server::unix();
    let Connected { client, running, .. } = connected(&server).await;
    running.abort();
    let error = client.transact(&comment()).await.unwrap_err();
    assert_eq!(error.to_string(), "the driver of the client has ended");
}

#[tokio::test(start_paused = true)]
async fn calls_to_a_silent_server_are_bounded() {
    let server = Server::unix();
    let Connected { client, peer, .. } = connected(&server).await;
    let calls = (0..1025).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.echo().await })
    });
    let mut refused = 0;
    for call in calls.collect::<Vec<_>>() {
        if let Ok(result) = tokio::time::timeout(Duration::from_secs(1), call).await {
            assert_eq!(result.unwrap().unwrap_err().to_string(), "too many requests await their reply");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn value_at_which_the_server_hangs_up_is_not_sent() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    for value in [Datum::from("a\0b"), f64::from_bits(1).into(), f64::INFINITY.into()] {
        let mut bad = Transaction::new("D");
        bad.insert("T", Row::new().with("c", value));
        let error = client.transact(&bad).await.unwrap_err();
        assert!(error.is_invalid_request() && !error.is_disconnected(), "{error:#}");
    }
    for (method, params) in [("x\"y", json!([])), ("x\\", json!([])), ("x", json!("D")), ("x", json!(null))] {
        let error = client.request::<Value>(method, &params).await.unwrap_err();
        assert!(error.is_invalid_request(), "{method} {params}: {error:#}");
    }
    // The echo is the first that the server sees.
    let script = async {
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
    };
    join!(script, async { client.echo().await.unwrap() });
}

#[tokio::test(start_paused = true)]
async fn longest_duration_is_no_limit() {
    let server = Server::unix();
    let mut config = config(&server);
    config.probe = Some(Duration::MAX);
    config.connect_timeout = Duration::MAX;
    let (client, driver) = Client::connect(config);
    tokio::spawn(driver);
    let client = client.wait_at_most(Duration::MAX);
    let (_peer, ready) = join!(after_handshake(&server), client.ready());
    ready.unwrap();
}
