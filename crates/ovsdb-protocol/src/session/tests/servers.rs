//! Which servers are usable, and what happens when one ceases to be.

use super::*;
use crate::server::ServerRole;

/// The schema of `_Server` in Open vSwitch 2.9 and newer.
fn server_schema(columns: &[&str]) -> Value {
    let columns: serde_json::Map<_, _> = columns
        .iter()
        .map(|column| {
            let optional = |key: &str| json!({"type": {"key": key, "min": 0}});
            let column_type = match *column {
                "connected" | "leader" => json!({"type": "boolean"}),
                "cid" | "sid" => optional("uuid"),
                "schema" => optional("string"),
                "index" => optional("integer"),
                _ => json!({"type": "string"}),
            };
            ((*column).to_owned(), column_type)
        })
        .collect();
    json!({"name": "_Server", "version": "1.2.0", "tables": {"Database": {"columns": columns}}})
}

const COLUMNS: [&str; 8] = ["cid", "connected", "index", "leader", "model", "name", "schema", "sid"];

fn member(leader: bool) -> Value {
    let cid = json!(["uuid", id(1)]);
    json!({"name": "D", "model": "clustered", "connected": true, "leader": leader, "schema": "{}", "cid": cid})
}

fn standalone() -> Value {
    json!({"name": "D", "model": "standalone", "connected": true, "leader": true, "schema": "{}"})
}

/// Answers all requests before the one for rows, and returns the request for the schema.
async fn describe(peer: &mut Peer, row: &Value, index: i64) -> Value {
    let request = peer.expect("get_schema").await;
    peer.reply(&request, &server_schema(&COLUMNS)).await;
    let request = peer.expect("set_db_change_aware").await;
    peer.reply(&request, &json!({})).await;
    let schema = peer.expect("get_schema").await;
    let request = peer.expect("monitor_cond").await;
    assert_eq!(
        request["params"],
        json!(["_Server", "server", {"Database": [{
            "columns": ["cid", "connected", "leader", "model", "name", "schema", "sid"],
            "where": [["name", "==", "D"]],
        }]}])
    );
    peer.reply(&request, &json!({"Database": {id(50): {"initial": row}}})).await;
    let request = peer.expect("transact").await;
    assert_eq!(
        request["params"],
        json!(["_Server", {"op": "select", "table": "Database", "columns": ["index"], "where": [["name", "==", "D"]]}])
    );
    peer.reply(&request, &json!([{"rows": [{"index": index}]}])).await;
    schema
}

/// As [`describe`], up to the snapshot, whose request is returned.
async fn serve(peer: &mut Peer, row: &Value, index: i64) -> Value {
    let schema = describe(peer, row, index).await;
    peer.reply(&schema, &usual_schema()).await;
    let request = peer.expect("monitor_cond_since").await;
    peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
    request
}

async fn change_row(peer: &mut Peer, columns: &Value) {
    let tables = json!({"Database": {id(50): {"modify": columns}}});
    peer.notify("update2", &json!(["server", tables])).await;
}

fn remotes(servers: &[&Server]) -> Remotes {
    let texts: Vec<_> = servers.iter().map(|server| server.endpoint().to_string()).collect();
    texts.join(",").parse().unwrap()
}

/// The next disconnection: its error, and the pause after it.
async fn disconnection(consumer: &mut Consumer) -> (String, Duration) {
    loop {
        if let SessionEvent::Disconnected { error, retry, .. } = consumer.next().await {
            return (format!("{error:#}"), retry);
        }
    }
}

/// Rule: `index` changes with every commit, so it is selected and not monitored.
#[tokio::test(start_paused = true)]
async fn unusable_server_is_left_for_the_next() {
    let (follower, leader) = (Server::unix(), Server::unix());
    let script = async {
        let mut peer = follower.accept().await;
        describe(&mut peer, &member(false), 5).await;
        peer.closed().await;
        let mut peer = leader.accept().await;
        serve(&mut peer, &member(true), 5).await;
        peer
    };
    let mut consumer = Consumer::with(SessionConfig::new(remotes(&[&follower, &leader]), "D"));
    let client = async {
        let why = "the server is not the leader of its cluster".to_owned();
        assert_eq!(disconnection(&mut consumer).await, (why, Duration::ZERO));
        consumer.until("synced").await;
    };
    let (_peer, ()) = join!(script, client);
    assert_eq!(consumer.session.role(), Some(ServerRole::Leader));
    let cluster = consumer.session.server().and_then(|server| server.cluster_id);
    assert_eq!(cluster, Some(Uuid::from_u128(1)));
    assert_eq!(consumer.content(), [(1, 1)].into());
}

/// Regression: libovsdb#390, a deadlock between a change of the leader and an update.
#[tokio::test(start_paused = true)]
async fn leader_that_steps_down_is_left_at_once() {
    for (change, why) in [
        (json!({"leader": false}), "the server is not the leader of its cluster"),
        (json!({"connected": false}), "the server has lost the majority of its cluster"),
        (json!({"schema": ["set", []]}), "the server has not joined its cluster yet"),
    ] {
        let (old, new) = (Server::unix(), Server::unix());
        let script = async {
            let mut peer = old.accept().await;
            serve(&mut peer, &member(true), 5).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            peer.expect("transact").await;
            change_row(&mut peer, &change).await;
            peer.closed().await;
            let mut peer = new.accept().await;
            serve(&mut peer, &member(true), 6).await;
            peer
        };
        let mut consumer = Consumer::with(SessionConfig::new(remotes(&[&old, &new]), "D"));
        let client = async {
            consumer.until("synced").await;
            consumer.session.transact(&Transaction::new("D")).unwrap();
            assert_eq!(consumer.until("completed").await, ["completed 1 Unknown"]);
            assert_eq!(disconnection(&mut consumer).await, (why.to_owned(), Duration::ZERO));
            consumer.until("synced").await;
        };
        join!(script, client);
    }
}

/// If there is no other server, asking the same one again at once would be a busy loop. Regression: libovsdb's users,
/// who all choose no pause.
#[tokio::test(start_paused = true)]
async fn only_server_is_retried_after_a_pause() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        serve(&mut peer, &member(true), 5).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        change_row(&mut peer, &json!({"leader": false})).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), (_, retry)) = join!(script, disconnection(&mut consumer));
    assert!(retry >= Duration::from_millis(50), "{retry:?}");
}

/// Regression: Open vSwitch 89b522aee: after a restoration all servers are stale forever.
#[tokio::test(start_paused = true)]
async fn stale_server_is_left_until_the_index_is_reset() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        serve(&mut peer, &member(true), 5).await;
        // The index after the session's own transaction is recorded, too.
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([])).await;
        let request = peer.expect("transact").await;
        assert_eq!(request["params"][0], "_Server");
        peer.reply(&request, &json!([{"rows": [{"index": 9}]}])).await;
        drop(peer);
        let mut peer = server.accept().await;
        describe(&mut peer, &member(true), 8).await;
        peer.closed().await;
        let mut peer = server.accept().await;
        serve(&mut peer, &member(true), 8).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        consumer.session.transact(&Transaction::new("D")).unwrap();
        consumer.until("disconnected").await;
        let (why, _) = disconnection(&mut consumer).await;
        let text = "the server is stale: it has applied the cluster's log up to 8, and 9 was seen before";
        assert_eq!(why, text);
        consumer.session.reset_min_index();
        consumer.until("synced").await;
    };
    join!(script, client);
}

#[tokio::test(start_paused = true)]
async fn server_without_the_database_is_left() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &server_schema(&COLUMNS)).await;
        let _aware = peer.expect("set_db_change_aware").await;
        let request = peer.expect("get_schema").await;
        peer.refuse(&request, &json!({"error": "unknown database", "details": "no"})).await;
        let request = peer.expect("monitor_cond").await;
        let other = json!({"name": "E", "model": "standalone", "schema": "{}"});
        peer.reply(&request, &json!({"Database": {id(50): {"initial": other}}})).await;
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([{"rows": []}])).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), (why, _)) = join!(script, disconnection(&mut consumer));
    assert_eq!(why, "the server does not have the database");
}

/// A server lacks columns, and conditional monitors, which is known only after a request for one.
#[tokio::test(start_paused = true)]
async fn server_database_with_missing_columns_is_understood() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &server_schema(&["name", "schema"])).await;
        peer.send(r#"{"id":2,"error":"unknown method"}"#).await;
        peer.expect("set_db_change_aware").await;
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &usual_schema()).await;
        let request = peer.expect("monitor_cond").await;
        peer.refuse(&request, &json!("unknown method")).await;
        let request = peer.expect("monitor").await;
        assert_eq!(
            request["params"],
            json!(["_Server", "server", {"Database": [{"columns": ["name", "schema"]}]}])
        );
        let other = json!({"new": {"name": "E", "schema": ["set", []]}});
        let ours = json!({"new": {"name": "D", "schema": "{}"}});
        peer.reply(&request, &json!({"Database": {id(50): ours, id(51): other}})).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &snapshot(7, &[])).await;
        let changed = json!({"old": {"schema": "{}"}, "new": {"name": "D", "schema": "{ }"}});
        peer.notify("update", &json!(["server", {"Database": {id(50): changed}}])).await;
        peer.notify("update", &json!(["server", {"Database": {id(50): {"old": {"name": "D"}}}}])).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        assert_eq!(consumer.session.role(), Some(ServerRole::Standalone));
        disconnection(&mut consumer).await
    };
    let ((), (why, _)) = join!(script, client);
    assert_eq!(why, "the server does not have the database");
}

#[tokio::test(start_paused = true)]
async fn lock_is_requested_only_at_the_leader() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        // Not requested at a follower, ...
        serve(&mut peer, &member(false), 5).await;
        // ... but as soon as it becomes the leader.
        change_row(&mut peer, &json!({"leader": true})).await;
        let first = peer.expect("lock").await;
        peer.reply(&first, &json!({"locked": true})).await;
        change_row(&mut peer, &json!({"leader": false})).await;
        let unlock = peer.expect("unlock").await;
        assert_eq!(unlock["params"], json!(["leader"]));
        change_row(&mut peer, &json!({"leader": true})).await;
        let second = peer.expect("lock").await;
        // A late notification of the first request.
        peer.notify("locked", &json!(["leader"])).await;
        peer.reply(&unlock, &json!({})).await;
        peer.reply(&second, &json!({"locked": false})).await;
        peer
    };
    let mut config = SessionConfig::new(server.endpoint().into(), "D");
    config.lock = Some("leader".parse().unwrap());
    config.leader_only = false;
    let mut consumer = Consumer::with(config);
    let client = async {
        let mut events = consumer.until("synced").await;
        for _ in 0..3 {
            events.extend(consumer.until("lock").await);
        }
        events
    };
    let (_peer, events) = join!(script, client);
    let expected =
        "connected, synced whole, role Leader, lock Held(1), role Follower, lock None, role Leader, lock Waiting";
    assert_eq!(events.join(", "), expected);
}

/// Regression: libovsdb, which does not handle schema changes at run time.
#[tokio::test(start_paused = true)]
async fn converted_schema_is_adopted_on_the_same_connection() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        serve(&mut peer, &member(true), 5).await;
        let transact = peer.expect("transact").await;
        peer.notify("monitor_canceled", &json!(["server"])).await;
        peer.notify("monitor_canceled", &json!(["session"])).await;
        peer.refuse(&transact, &json!("canceled")).await;
        let request = peer.expect("get_schema").await;
        assert_eq!(request["params"], json!(["D"]));
        let columns = json!({"n": {"type": "integer"}, "s": {"type": "string"}});
        peer.reply(&request, &schema("2.0.0", &columns)).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!(request["params"][2], json!({"T": [{"columns": ["n", "s"]}]}));
        assert_eq!(since(&request), 0);
        let rows = json!({"T": {id(1): {"initial": {"n": 1}}, id(2): {"initial": {"s": "x"}}}});
        peer.reply(&request, &json!([false, id(8), rows])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        consumer.session.transact(&Transaction::new("D")).unwrap();
        let events = consumer.until("completed").await;
        assert_eq!(events[0], "unsynced");
        assert!(!consumer.session.is_synced(), "{events:?}");
        assert!(consumer.session.transact(&Transaction::new("D")).is_err());
        assert_eq!(consumer.until("synced").await, ["synced whole"]);
        events
    };
    let (_peer, events) = join!(script, client);
    assert!(events[1].contains("canceled"), "{events:?}");
    assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
}

/// A frozen server accepts connections, on a Unix socket too, and sends nothing. It gets more time only if it turns out
/// to be the only one. Regression: libovsdb#389, whose timeout for a slow server never grows.
#[tokio::test(start_paused = true)]
async fn silent_server_is_left_after_a_growing_timeout() {
    let server = Server::unix();
    let script = async {
        let mut waits = Vec::new();
        for _ in 0..5 {
            let peer = server.accept().await;
            let start = Instant::now();
            peer.closed().await;
            waits.push(start.elapsed().as_secs());
        }
        waits
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        for _ in 0..5 {
            assert!(disconnection(&mut consumer).await.0.starts_with("the server was silent for "));
        }
    };
    let (waits, ()) = join!(script, client);
    assert_eq!(waits, [5, 10, 20, 40, 60]);
}

/// A backup of Open vSwitch 3.3 and newer behaves like any other server until a write, and a server becomes a backup
/// without notifying its clients.
#[tokio::test(start_paused = true)]
async fn backup_server_that_refuses_a_write_is_left_at_once() {
    let (old, new) = (Server::unix(), Server::unix());
    let script = async {
        let mut peer = old.accept().await;
        serve(&mut peer, &standalone(), 0).await;
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([])).await;
        let request = peer.expect("transact").await;
        peer.reply(&request, &json!([{"error": "not allowed", "details": "read only mode"}])).await;
        peer.closed().await;
        let mut peer = new.accept().await;
        serve(&mut peer, &standalone(), 0).await;
        peer
    };
    let mut consumer = Consumer::with(SessionConfig::new(remotes(&[&old, &new]), "D"));
    let client = async {
        consumer.until("synced").await;
        consumer.session.transact(&Transaction::new("D")).unwrap();
        consumer.until("completed").await;
        let mut write = Transaction::new("D");
        write.delete("T", []);
        consumer.session.transact(&write).unwrap();
        let refused = consumer.until("completed").await;
        assert!(refused[0].contains("not allowed"), "{refused:?}");
        assert!(!consumer.session.is_synced());
        let why = "the server takes no writes: it is a backup, or read-only".to_owned();
        assert_eq!(disconnection(&mut consumer).await, (why, Duration::ZERO));
        consumer.until("synced").await;
        assert_eq!(consumer.session.remote(), Some(&new.endpoint()));
    };
    join!(script, client);
}

/// Each would be asked for a snapshot without a pause as long as there is something to write.
#[tokio::test(start_paused = true)]
async fn servers_that_all_refuse_writes_are_retried_with_pauses() {
    let servers = [Server::unix(), Server::unix()];
    let backup = |server| async move {
        let server: &Server = server;
        loop {
            let mut peer = server.accept().await;
            serve(&mut peer, &standalone(), 0).await;
            let request = peer.expect("transact").await;
            // A snapshot takes long.
            tokio::time::sleep(Duration::from_secs(2)).await;
            peer.reply(&request, &json!([{"error": "not allowed"}])).await;
            peer.closed().await;
        }
    };
    let mut consumer = Consumer::with(SessionConfig::new(remotes(&[&servers[0], &servers[1]]), "D"));
    let client = async {
        let mut pauses = Vec::new();
        for _ in 0..40 {
            consumer.until("synced").await;
            consumer.session.transact(&Transaction::new("D")).unwrap();
            pauses.push(disconnection(&mut consumer).await.1);
        }
        pauses
    };
    let pauses = tokio::select! {
        pauses = client => pauses,
        _ = async { join!(backup(&servers[0]), backup(&servers[1])) } => unreachable!(),
    };
    assert!(pauses.iter().step_by(2).all(Duration::is_zero), "{pauses:?}");
    let (first, last) = (pauses[1], pauses[39]);
    assert!(first < Duration::from_millis(101) && last >= Duration::from_secs(3), "{pauses:?}");
}

/// Writes to the server's own databases are refused by every server, and so are invalid ones.
#[tokio::test(start_paused = true)]
async fn refused_transaction_of_another_kind_keeps_the_connection() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        serve(&mut peer, &standalone(), 0).await;
        for error in ["not allowed", "constraint violation"] {
            let request = peer.expect("transact").await;
            peer.reply(&request, &json!([{"error": error}])).await;
        }
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("synced").await;
        for database in ["_Server", "D"] {
            let mut write = Transaction::new(database);
            write.delete("T", []);
            consumer.session.transact(&write).unwrap();
            consumer.until("completed").await;
            assert!(consumer.session.is_synced(), "{database}");
        }
    };
    join!(script, client);
}

/// Rule: a connection to a remote that is still listed stays (Open vSwitch's Python client drops it).
#[tokio::test(start_paused = true)]
async fn changed_list_of_remotes_keeps_a_listed_connection() {
    let [a, b, c] = [Server::unix(), Server::unix(), Server::unix()];
    let script = async {
        let mut first = a.accept().await;
        serve(&mut first, &member(true), 5).await;
        let mut second = c.accept().await;
        first.closed().await;
        serve(&mut second, &member(true), 5).await;
        second
    };
    let mut consumer = Consumer::with(SessionConfig::new(remotes(&[&a, &b]), "D"));
    let client = async {
        consumer.until("synced").await;
        consumer.session.set_remotes(remotes(&[&c, &a]));
        assert_eq!(consumer.session.remote(), Some(&a.endpoint()));
        assert!(consumer.session.is_synced());
        consumer.session.set_remotes(remotes(&[&c]));
        let (why, _) = disconnection(&mut consumer).await;
        assert_eq!(why, "the server is no longer among the remotes");
        consumer.until("synced").await;
        assert_eq!(consumer.session.remote(), Some(&c.endpoint()));
    };
    join!(script, client);
}

#[tokio::test(start_paused = true)]
async fn connection_lost_at_any_byte_of_the_whole_exchange_leads_to_the_right_content() {
    break_off_at_any_byte(drop).await;
}

/// Regression: mulgadc/spinifex#456 and every client without a probe: a connection that is half open hangs its users.
/// The server or the network drops everything after any byte, and the connection is never closed.
#[tokio::test(start_paused = true)]
async fn silence_after_any_byte_of_the_whole_exchange_leads_to_the_right_content() {
    // One at a time: all of them would exceed the usual limit of open files.
    let (mut held, mut ends) = (None, 0);
    break_off_at_any_byte(|peer| {
        held = Some(peer);
        ends += 1;
    })
    .await;
    drop(held);
    assert!(ends > 1000);
}

/// Ends the connection this way after each byte that a server sends, and checks the result of the next connection.
async fn break_off_at_any_byte(mut end: impl FnMut(Peer)) {
    let answer = |id: u64, result: &Value| reply(&json!({"id": id}), result);
    let stages: [(&[&str], String); 3] = [
        (
            &["get_schema", "set_db_change_aware", "get_schema"],
            answer(1, &server_schema(&COLUMNS)) + &answer(2, &json!({})) + &answer(3, &usual_schema()),
        ),
        (
            &["monitor_cond", "transact"],
            answer(4, &json!({"Database": {id(50): {"initial": member(true)}}}))
                + &answer(5, &json!([{"rows": [{"index": 5}]}])),
        ),
        (
            &["lock", "monitor_cond_since"],
            answer(6, &json!({"locked": true}))
                + &answer(7, &snapshot(7, &[(1, 1), (2, 2)]))
                + &update(8, &change(2, &json!({"delete": null})))
                + &notification(
                    "update2",
                    &json!(["server", {"Database": {id(50): {"modify": {"leader": false}}}}]),
                ),
        ),
    ];
    let length: usize = stages.iter().map(|(_, text)| text.len()).sum();
    for cut in 0..=length {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let mut rest = cut;
            for (requests, text) in &stages {
                for request in *requests {
                    peer.expect(request).await;
                }
                let now = rest.min(text.len());
                peer.send(&text[..now]).await;
                rest -= now;
                if rest == 0 {
                    break;
                }
            }
            end(peer);
            let mut peer = server.accept().await;
            let schema = describe(&mut peer, &member(true), 6).await;
            peer.reply(&schema, &usual_schema()).await;
            peer.expect("lock").await;
            let request = peer.expect("monitor_cond_since").await;
            let result = match since(&request) {
                0 => snapshot(9, &[(1, 1), (3, 3)]),
                7 => json!([true, id(9), {"T": {id(2): {"delete": null}, id(3): {"insert": {"n": 3}}}}]),
                8 => json!([true, id(9), {"T": {id(3): {"insert": {"n": 3}}}}]),
                other => panic!("{other} is not a transaction, after a cut at {cut}"),
            };
            peer.reply(&request, &result).await;
            peer
        };
        let mut config = SessionConfig::new(server.endpoint().into(), "D");
        config.lock = Some("leader".parse().unwrap());
        let mut consumer = Consumer::with(config);
        let client = async {
            let mut events = consumer.until("disconnected").await;
            events.extend(consumer.until("synced").await);
            events
        };
        let (_peer, events) = join!(script, client);
        assert_eq!(consumer.content(), [(1, 1), (3, 3)].into(), "after a cut at {cut}: {events:?}");
        assert_eq!(consumer.cache.error(), None, "after a cut at {cut}");
    }
}
