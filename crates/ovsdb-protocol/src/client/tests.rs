use serde_json::{Value, json};
use tokio::join;
use tokio::task::JoinHandle;

use super::*;
use crate::monitor::MonitorRequest;
use crate::scripted::{Peer, Server};
use crate::update::RowDifference;

const ROW: Uuid = Uuid::from_u128(1);

/// A client with a running connection, and the server's end of it.
struct Connected {
    client: Client,
    locks: mpsc::Receiver<LockEvent>,
    running: JoinHandle<Result<(), Error>>,
    peer: Peer,
}

async fn connected(server: &Server) -> Connected {
    let endpoint = server.endpoint();
    let (client, peer) = join!(connect(&endpoint), server.accept());
    let (client, locks, mut connection) = client.unwrap();
    let running = tokio::spawn(async move { connection.run().await });
    Connected { client, locks, running, peer }
}

fn comment() -> Transaction {
    let mut transaction = Transaction::new("D");
    transaction.comment("why");
    transaction
}

fn everything() -> MonitorRequests {
    [("T".to_owned(), MonitorRequest::columns(["n"]))].into()
}

fn row(change: &Value) -> Value {
    json!({"T": {ROW.to_string(): change}})
}

#[tokio::test(start_paused = true)]
async fn replies_come_in_any_order() {
    let server = Server::unix();
    let Connected { client, running, mut peer, .. } = connected(&server).await;
    let script = async {
        let echo = peer.expect("echo").await;
        let list = peer.expect("list_dbs").await;
        let schema = peer.expect("get_schema").await;
        assert_eq!((&list["params"], &schema["params"]), (&json!([]), &json!(["D"])));
        peer.refuse(&schema, &json!({"error": "unknown database", "details": "D"})).await;
        peer.reply(&list, &json!(["D", "_Server"])).await;
        peer.reply(&echo, &json!([])).await;
    };
    let (echo, list, schema, ()) = join!(client.echo(), client.list_dbs(), client.get_schema("D"), script);
    echo.unwrap();
    assert_eq!(list.unwrap(), ["D", "_Server"]);
    let error = schema.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().error, "unknown database");
    assert!(!error.is_disconnected());
    drop(client);
    running.await.unwrap().unwrap();
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_cancelled_and_its_late_reply_too() {
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
    // The server was faster than that.
    peer.reply(&request, &json!([{}])).await;
    let script = async {
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([{"uuid": ["uuid", ROW.to_string()]}])).await;
    };
    let (outcome, ()) = join!(client.transact(&transaction), script);
    let Outcome::Committed(results) = outcome.unwrap() else { panic!("it is refused") };
    assert_eq!(results.uuid(0), Some(ROW), "a reply is taken for another one's");
}

/// Rule: a request that was cancelled is never answered, unless the session is aware of schema changes.
#[tokio::test(start_paused = true)]
async fn cancelled_requests_do_not_use_the_connection_up() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let transaction = comment();
    // ovsdb-server never answers a request that was cancelled.
    for _ in 0..3000 {
        tokio::select! {
            biased;
            _ = peer.expect("transact") => {}
            outcome = client.transact(&transaction) => panic!("{outcome:?}"),
        }
        peer.expect("cancel").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_at_a_cut_is_unknown() {
    let server = Server::unix();
    let Connected { client, running, mut peer, .. } = connected(&server).await;
    let script = async {
        peer.expect("transact").await;
        peer.expect("echo").await;
        drop(peer);
    };
    let transaction = comment();
    let (outcome, echo, ()) = join!(client.transact(&transaction), client.echo(), script);
    assert_eq!(outcome.unwrap(), Outcome::Unknown);
    assert!(echo.unwrap_err().is_disconnected());
    assert_eq!(running.await.unwrap().unwrap_err().to_string(), "the server closed the connection");
    // Now it cannot even be sent.
    assert!(client.transact(&transaction).await.unwrap_err().is_disconnected());
}

#[tokio::test(start_paused = true)]
async fn a_refused_transaction_is_an_outcome() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        let request = peer.expect("transact").await;
        peer.refuse(&request, &json!("canceled")).await;
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([null])).await;
    };
    let transaction = comment();
    let client = async {
        let Outcome::Refused(refused) = client.transact(&transaction).await.unwrap() else { panic!("not") };
        assert_eq!((refused.operation, &*refused.error.error), (None, "canceled"));
        let error = client.transact(&transaction).await.unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "the server's transaction result is malformed: operation 0 has no result"
        );
    };
    join!(client, script);
}

#[tokio::test(start_paused = true)]
async fn locks_and_what_happens_to_them() {
    let server = Server::unix();
    let Connected { client, mut locks, mut peer, .. } = connected(&server).await;
    let script = async {
        for (method, locked) in [("lock", false), ("steal", true)] {
            let request = peer.expect(method).await;
            assert_eq!(request["params"], json!(["leader"]));
            peer.reply(&request, &json!({"locked": locked})).await;
        }
        peer.notify("stolen", &json!(["leader"])).await;
        peer.notify("nonsense", &json!([])).await;
        peer.notify("locked", &json!(["leader"])).await;
        let request = peer.expect("unlock").await;
        peer.reply(&request, &json!({})).await;
    };
    let client = async {
        let name = "leader".parse().unwrap();
        assert!(!client.lock(&name).await.unwrap());
        assert!(client.steal(&name).await.unwrap());
        assert_eq!(locks.recv().await, Some(LockEvent::Stolen("leader".to_owned())));
        assert_eq!(locks.recv().await, Some(LockEvent::Locked("leader".to_owned())));
        client.unlock(&name).await.unwrap();
    };
    join!(client, script);
}

#[tokio::test(start_paused = true)]
async fn a_monitor_starts_with_the_content_and_ends_with_its_handle() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        let request = peer.expect("monitor_cond_since").await;
        peer.refuse(&request, &json!("unknown method")).await;
        let request = peer.expect("monitor_cond").await;
        let monitor = request["params"][1].clone();
        peer.reply(&request, &row(&json!({"initial": {"n": 1}}))).await;
        peer.notify("update2", &json!([monitor, row(&json!({"modify": {"n": 2}}))])).await;
        (peer, monitor)
    };
    let requests = everything();
    let (opened, (mut peer, id)) = join!(client.monitor("D", &requests, Uuid::nil()), script);
    let mut monitor = opened.unwrap();
    let n = |n: i64| crate::value::Row::new().with("n", n);
    let first = monitor.next().await.unwrap();
    assert!(first.snapshot);
    assert_eq!(first.tables["T"][&ROW], RowDifference::Insert(n(1)));
    let second = monitor.next().await.unwrap();
    assert!(!second.snapshot);
    assert_eq!(second.tables["T"][&ROW], RowDifference::Modify(n(2)));

    drop(monitor);
    // The server is told when it sends the next update; several on their way need no more.
    for _ in 0..3 {
        peer.notify("update2", &json!([id, row(&json!({"modify": {"n": 3}}))])).await;
    }
    let cancel = peer.expect("monitor_cancel").await;
    assert_eq!(cancel["params"], json!([id]));
    peer.reply(&cancel, &json!({})).await;
    let script = async {
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
    };
    join!(client.echo(), script).0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_nobody_waited_for_is_cancelled() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let requests = everything();
    let request = tokio::select! {
        biased;
        request = peer.expect("monitor_cond_since") => request,
        monitor = client.monitor("D", &requests, Uuid::nil()) => panic!("{monitor:?}"),
    };
    peer.expect("cancel").await;
    // A cancel is for transactions only: the server replies, and sends updates.
    let monitor = &request["params"][1];
    peer.reply(&request, &json!([false, Uuid::nil().to_string(), {}])).await;
    peer.notify("update3", &json!([monitor, Uuid::nil().to_string(), {}])).await;
    assert_eq!(peer.expect("monitor_cancel").await["params"], json!([monitor]));
}

#[tokio::test(start_paused = true)]
async fn a_monitor_that_falls_behind_ends_with_an_error_and_without_a_gap() {
    let server = Server::unix();
    let Connected { client, mut peer, .. } = connected(&server).await;
    let script = async {
        let request = peer.expect("monitor_cond_since").await;
        let monitor = request["params"][1].clone();
        let nil = Uuid::nil().to_string();
        peer.reply(&request, &json!([false, nil, {}])).await;
        let echo = peer.expect("echo").await;
        for n in 1..=UPDATES {
            peer.notify("update3", &json!([monitor, nil, row(&json!({"modify": {"n": n}}))])).await;
        }
        peer.expect("monitor_cancel").await;
        // Other things go on.
        peer.reply(&echo, &json!([])).await;
        peer
    };
    let requests = everything();
    let monitor = async {
        let mut monitor = client.monitor("D", &requests, Uuid::nil()).await.unwrap();
        client.echo().await.unwrap();
        assert!(monitor.next().await.unwrap().snapshot);
        for n in 1..UPDATES {
            let modified = RowDifference::Modify(crate::value::Row::new().with("n", n as i64));
            assert_eq!(monitor.next().await.unwrap().tables["T"][&ROW], modified);
        }
        let error = monitor.next().await.unwrap_err();
        assert!(!error.is_disconnected() && error.to_string().contains("not taken in time"), "{error}");
    };
    let (_peer, ()) = join!(script, monitor);
}

#[tokio::test(start_paused = true)]
async fn a_monitor_ends_with_the_connection() {
    let server = Server::unix();
    let Connected { client, running, mut peer, .. } = connected(&server).await;
    let script = async {
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, Uuid::nil().to_string(), {}])).await;
        drop(peer);
    };
    let requests = everything();
    let (monitor, ()) = join!(client.monitor("D", &requests, Uuid::nil()), script);
    let mut monitor = monitor.unwrap();
    assert!(monitor.next().await.unwrap().snapshot);
    assert!(monitor.next().await.unwrap_err().is_disconnected());
    running.await.unwrap().unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn callers_wait_where_the_connection_takes_no_more() {
    let server = Server::unix();
    let endpoint = server.endpoint();
    let (client, _peer) = join!(connect(&endpoint), server.accept());
    // The connection does not run.
    let (client, _locks, mut connection) = client.unwrap();
    let waiting: Vec<_> = (0..REQUESTS + 1)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.echo().await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(client.commands.capacity(), 0, "so many and no more are in the queue");
    let running = tokio::spawn(async move { connection.run().await });
    tokio::task::yield_now().await;
    assert_eq!(client.commands.capacity(), REQUESTS, "all were taken");
    running.abort();
    for caller in waiting {
        assert!(caller.await.unwrap().unwrap_err().is_disconnected());
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_is_asked_only_so_much() {
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
