mod hours;
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::join;
use tokio::task::yield_now;
use uuid::Uuid;

use super::*;
use crate::mirror::{Mirror, Selection};
use crate::scripted::{Peer, Server, notification, reply};
use crate::value::{Datum, Row};

/// Longer than any scenario; the clock jumps.
const PATIENCE: Duration = Duration::from_secs(3600);

/// Rows of the only table, by number: what is in its column `n`.
type Content = BTreeMap<u128, i64>;

/// A session with its replica, and a copy that knows nothing but the deltas.
struct Consumer {
    session: Session,
    mirror: Mirror,
    copy: BTreeMap<Uuid, Arc<Row>>,
}

// ===== impl Consumer =====

impl Consumer {
    fn new(server: &Server) -> Self {
        Self::with(SessionConfig::new(server.endpoint().into(), "D"))
    }

    fn with(config: SessionConfig) -> Self {
        Self { session: Session::new(config), mirror: Mirror::of_everything(), copy: BTreeMap::new() }
    }

    async fn next(&mut self) -> SessionEvent {
        let event = timeout(PATIENCE, self.session.next(&mut self.mirror)).await.expect("nothing happens");
        self.replay();
        event
    }

    fn replay(&mut self) {
        for delta in self.mirror.take_deltas() {
            assert_eq!(self.copy.get(&delta.uuid), delta.old.as_ref(), "a delta starts from what is there");
            assert_ne!(delta.old, delta.new, "a delta changes something");
            match delta.new {
                Some(row) => drop(self.copy.insert(delta.uuid, row)),
                None => drop(self.copy.remove(&delta.uuid)),
            }
        }
    }

    /// Goes on until an event is of this kind, and returns all events up to it, abridged.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let text = abridged(&self.next().await);
            let found = text.starts_with(last);
            seen.push(text);
            if found {
                return seen;
            }
        }
    }

    /// The content, which the deltas must have led to as well.
    fn content(&self) -> Content {
        let rows: BTreeMap<_, _> =
            self.mirror.cache().rows("T").map(|(uuid, row)| (uuid, Arc::clone(row))).collect();
        assert_eq!(self.copy, rows);
        let n = |row: &Row| row.get("n").and_then(Datum::as_integer).unwrap();
        rows.into_iter().map(|(uuid, row)| (uuid.as_u128(), n(&row))).collect()
    }
}

fn abridged(event: &SessionEvent) -> String {
    match event {
        SessionEvent::Connected(_) => "connected".to_owned(),
        SessionEvent::Synced { resumed: true } => "synced by differences".to_owned(),
        SessionEvent::Synced { resumed: false } => "synced anew".to_owned(),
        SessionEvent::Updated => "updated".to_owned(),
        SessionEvent::Lock(status) => format!("lock {status:?}"),
        SessionEvent::Completed { id, outcome } => format!("completed {} {outcome:?}", id.0),
        SessionEvent::Disconnected { error, .. } => format!("disconnected: {error}"),
    }
}

// ===== what the server says =====

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

fn schema(version: &str, columns: &Value) -> Value {
    json!({"name": "D", "version": version, "tables": {"T": {"columns": columns}}})
}

fn usual_schema() -> Value {
    schema("1.0.0", &json!({"n": {"type": "integer"}}))
}

/// The rows as `initial` or `insert`, without defaults.
fn rows(kind: &str, content: &[(u128, i64)]) -> Value {
    let row = |n: i64| if n == 0 { json!({}) } else { json!({"n": n}) };
    let rows: serde_json::Map<_, _> =
        content.iter().map(|(uuid, n)| (id(*uuid), json!({kind: row(*n)}))).collect();
    json!({"T": rows})
}

fn snapshot(last: u128, content: &[(u128, i64)]) -> Value {
    json!([false, id(last), rows("initial", content)])
}

fn update(last: u128, tables: &Value) -> String {
    notification("update3", &json!(["session", id(last), tables]))
}

fn change(uuid: u128, change: &Value) -> Value {
    json!({"T": {id(uuid): change}})
}

/// Answers up to the request for a monitor, and returns that.
async fn greet(peer: &mut Peer) -> Value {
    let request = ask_schema(peer).await;
    peer.reply(&request, &usual_schema()).await;
    peer.expect("monitor_cond_since").await
}

/// Answers up to the request for the schema as an old server does, which does not describe itself, and returns that.
async fn ask_schema(peer: &mut Peer) -> Value {
    let request = peer.expect("get_schema").await;
    assert_eq!(request["params"], json!(["_Server"]));
    peer.send(OLD_SERVER).await;
    assert_eq!(peer.expect("set_db_change_aware").await["params"], json!([true]));
    let request = peer.expect("get_schema").await;
    assert_eq!(request["params"], json!(["D"]));
    request
}

/// The answer of an old server to the first two requests of a connection.
const OLD_SERVER: &str =
    r#"{"id":1,"error":{"error":"unknown database","details":"no"}}{"id":2,"error":"unknown method"}"#;

/// After which transaction a monitor is to start.
fn since(monitor: &Value) -> u128 {
    monitor["params"][3].as_str().unwrap().parse::<Uuid>().unwrap().as_u128()
}

// ===== monitors =====

/// Rule: an old server knows neither `monitor_cond_since` nor `monitor_cond`, nor itself.
#[tokio::test(start_paused = true)]
async fn methods_fall_back_to_the_oldest() {
    for unknown in 0..3 {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let mut request = greet(&mut peer).await;
            for older in ["monitor_cond", "monitor"].iter().take(unknown) {
                peer.refuse(&request, &json!("unknown method")).await;
                request = peer.expect(older).await;
                assert_eq!(request["params"], json!(["D", "session", {"T": [{"columns": ["n"]}]}]));
            }
            let (first, old) = (rows("initial", &[(1, 1)]), json!({"old": {"n": 1}, "new": {"n": 2}}));
            match unknown {
                0 => {
                    peer.reply(&request, &json!([false, id(0), first])).await;
                    peer.send(&update(0, &change(1, &json!({"modify": {"n": 2}})))).await;
                }
                1 => {
                    peer.reply(&request, &first).await;
                    let tables = change(1, &json!({"modify": {"n": 2}}));
                    peer.notify("update2", &json!(["session", tables])).await;
                }
                _ => {
                    peer.reply(&request, &change(1, &json!({"new": {"n": 1}}))).await;
                    peer.notify("update", &json!(["session", change(1, &old)])).await;
                }
            }
            peer
        };
        let mut consumer = Consumer::new(&server);
        let (_peer, events) = join!(script, consumer.until("updated"));
        assert_eq!(events, ["connected", "synced anew", "updated"]);
        assert_eq!(consumer.content(), [(1, 2)].into());
        assert_eq!(consumer.mirror.inconsistency(), None);
    }
}

/// Regression: Open vSwitch's Python client, which is stuck for ever where a monitor is refused in other words.
#[tokio::test(start_paused = true)]
async fn another_error_than_an_unknown_method_is_no_reason_to_fall_back() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.refuse(&request, &json!({"error": "syntax error", "details": "no"})).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert!(events[1].contains("the server answered: syntax error: no"), "{events:?}");
}

/// Regression: ovs-issues#298 and libovsdb, which forget the id of a reply whose `found` is false and later apply
/// differences to the wrong rows.
#[tokio::test(start_paused = true)]
async fn the_last_transaction_is_taken_from_every_reply_and_update() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &snapshot(7, &[(1, 1)])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 7, "from a reply whose found is false");
        peer.reply(&request, &json!([true, id(8), change(1, &json!({"modify": {"n": 2}}))])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 8, "from a reply whose found is true");
        peer.reply(&request, &json!([true, id(8), {}])).await;
        peer.send(&update(9, &change(2, &json!({"insert": {}})))).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 9, "from an update");
        // It has forgotten 9; another row has taken the place of row 1.
        peer.reply(&request, &snapshot(20, &[(2, 0), (3, 3)])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 20, "from a snapshot in place of differences");
        peer.reply(&request, &json!([true, id(20), {}])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut synced = Vec::new();
        for _ in 0..5 {
            synced.extend(consumer.until("synced").await.pop());
        }
        synced
    };
    let (_peer, synced) = join!(script, client);
    let [anew, differences] = ["synced anew", "synced by differences"];
    assert_eq!(synced, [anew, differences, differences, anew, differences]);
    assert_eq!(consumer.content(), [(2, 0), (3, 3)].into());
}

/// Regression: libovsdb#267, libovsdb#457, libovsdb#464, libovsdb#488, ovn-kubernetes#2666, ovn-kubernetes#2719 and
/// ovn-kubernetes#6738: deadlocks and panics where a server hangs up.
#[tokio::test(start_paused = true)]
async fn a_cut_at_any_byte_leads_to_the_right_content() {
    let before = [(1, 1), (2, 2), (3, 0)];
    let delta = json!({"T": {
        id(1): {"delete": null},
        id(2): {"modify": {"n": 22}},
        id(4): {"insert": {"n": 4}},
    }});
    let after = [(2, 22), (4, 4), (5, 5)];
    // The ids of requests are 1 to 4 on every connection.
    let greeting = OLD_SERVER.to_owned() + &reply(&json!({"id": 3}), &usual_schema());
    let first = reply(&json!({"id": 4}), &snapshot(7, &before));
    let second = update(8, &delta);
    // From the tables' first byte on, the rows here are those of no transaction.
    let torn = greeting.len() + first.len() + second.find("{\"T\"").unwrap() + 1;
    let whole = format!("{greeting}{first}{second}");

    for cut in 0..=whole.len() {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            for request in ["get_schema", "set_db_change_aware", "get_schema"] {
                peer.expect(request).await;
            }
            peer.send(&whole[..cut.min(greeting.len())]).await;
            if cut >= greeting.len() {
                peer.expect("monitor_cond_since").await;
                peer.send(&whole[greeting.len()..cut]).await;
            }
            drop(peer);

            let mut peer = server.accept().await;
            let request = greet(&mut peer).await;
            let known = match cut {
                _ if cut == whole.len() => 8,
                _ if cut >= torn => 0,
                _ if cut >= greeting.len() + first.len() => 7,
                _ => 0,
            };
            assert_eq!(since(&request), known, "after a cut at {cut} of {}", whole.len());
            let answer = match known {
                0 => snapshot(9, &after),
                7 => json!([true, id(9), {"T": {
                    id(1): {"delete": null},
                    id(2): {"modify": {"n": 22}},
                    id(3): {"delete": null},
                    id(4): {"insert": {"n": 4}},
                    id(5): {"insert": {"n": 5}},
                }}]),
                _ => json!([true, id(9), {"T": {
                    id(3): {"delete": null},
                    id(5): {"insert": {"n": 5}},
                }}]),
            };
            peer.reply(&request, &answer).await;
            peer
        };
        let mut consumer = Consumer::new(&server);
        let client = async {
            let mut events = consumer.until("disconnected").await;
            events.extend(consumer.until("synced").await);
            events
        };
        let (_peer, events) = join!(script, client);
        assert_eq!(consumer.content(), after.into(), "after a cut at {cut}: {events:?}");
        assert_eq!(consumer.mirror.inconsistency(), None, "after a cut at {cut}");
    }
}

/// Rule: differences hold for the same conditions, columns and schema only (Open vSwitch ae25f8c8f, c1691ccea,
/// 1daced2cd).
#[tokio::test(start_paused = true)]
async fn another_schema_is_not_resumed() {
    let [n, s] = [json!({"type": "integer"}), json!({"type": "string"})];
    let schemas = [
        schema("1.0.0", &json!({"n": n})),
        // The mere version, a column, and the type of a column under the same version.
        schema("1.0.1", &json!({"n": n})),
        schema("1.0.1", &json!({"n": n, "s": s})),
        schema("1.0.1", &json!({"n": n, "s": {"type": {"key": "string", "min": 0}}})),
    ];
    let server = Server::unix();
    let script = async {
        let mut last: Option<Peer> = None;
        for schema in &schemas {
            drop(last.take());
            let mut peer = server.accept().await;
            let request = ask_schema(&mut peer).await;
            peer.reply(&request, schema).await;
            let request = peer.expect("monitor_cond_since").await;
            assert_eq!(since(&request), 0, "{schema}");
            peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
            last = Some(peer);
        }
        last
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        for n in 0..schemas.len() {
            assert_eq!(consumer.until("synced").await.pop().unwrap(), "synced anew");
            let columns =
                consumer.copy[&Uuid::from_u128(1)].iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
            assert_eq!(columns, if n < 2 { "n" } else { "n s" });
        }
    };
    join!(script, client);
    assert_eq!(consumer.content(), [(1, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn a_schema_that_lacks_too_much_is_refused_and_tried_again() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = ask_schema(&mut peer).await;
        peer.reply(&request, &json!({"name": "D", "version": "1.0.0", "tables": {}})).await;
        peer.closed().await;
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    consumer.mirror = Mirror::new([Selection::table("T").required(["n"])]);
    let (_peer, events) = join!(script, consumer.until("synced"));
    assert_eq!(
        events,
        ["connected", "disconnected: the database has no table T", "connected", "synced anew"]
    );
}

/// Regression: kube-ovn#2621 and kube-ovn#4519, "cache inconsistent" for ever: libovsdb does not look at errors of
/// update3.
#[tokio::test(start_paused = true)]
async fn a_contradiction_fetches_everything_as_a_difference() {
    let contradictions = [
        change(9, &json!({"modify": {"n": 2}})),
        change(9, &json!({"delete": null})),
        change(1, &json!({"insert": {"n": 2}})),
        change(1, &json!({"modify": {"n": "x"}})),
        json!({"U": {}, "V": {id(1): {"insert": {}}}}),
    ];
    for contradiction in contradictions {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let request = greet(&mut peer).await;
            peer.reply(&request, &snapshot(7, &[(1, 1), (2, 2)])).await;
            peer.send(&update(8, &contradiction)).await;
            peer.closed().await;
            let mut peer = server.accept().await;
            let request = greet(&mut peer).await;
            assert_eq!(since(&request), 0);
            peer.reply(&request, &snapshot(9, &[(1, 1), (3, 3)])).await;
            peer
        };
        let mut consumer = Consumer::new(&server);
        let client = async {
            consumer.until("synced").await;
            let before = consumer.copy.clone();
            let lost = consumer.until("disconnected").await.pop().unwrap();
            assert!(lost.contains("contradict"), "{lost}");
            assert_eq!(consumer.copy, before, "nothing of the batch is seen");
            assert_eq!(consumer.until("synced").await.pop().unwrap(), "synced anew");
            assert!(
                Arc::ptr_eq(&before[&Uuid::from_u128(1)], &consumer.copy[&Uuid::from_u128(1)]),
                "an equal row stays"
            );
        };
        let (_peer, ()) = join!(script, client);
        assert_eq!(consumer.content(), [(1, 1), (3, 3)].into());
    }
}

/// Rule: an update is a difference to what its monitor was answered, and nothing else.
#[tokio::test(start_paused = true)]
async fn an_update_for_no_monitor_is_an_error() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        greet(&mut peer).await;
        // Before the reply to the monitor request, there is nothing that it could be a difference to.
        peer.send(&update(7, &json!({}))).await;
        peer.closed().await;
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &snapshot(7, &[])).await;
        peer.notify("update3", &json!(["other", id(8), {}])).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        for monitor in ["session", "other"] {
            let lost = consumer.until("disconnected").await.pop().unwrap();
            assert!(lost.contains(&format!("there is no monitor \"{monitor}\"")), "{lost}");
        }
    };
    join!(script, client);
}

// ===== transactions and locks =====

#[tokio::test(start_paused = true)]
async fn a_transaction_at_a_cut_is_unknown_once() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let answered = peer.expect("transact").await;
        assert_eq!(answered["params"], json!(["D", {"op": "comment", "comment": "one"}]));
        peer.expect("transact").await;
        peer.expect("transact").await;
        peer.reply(&answered, &json!([{}])).await;
        drop(peer);

        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        // The first one's reply is none: that tells nothing either.
        let request = peer.expect("transact").await;
        peer.expect("transact").await;
        peer.reply(&request, &json!([{}, {}, {}])).await;
        peer.closed().await;

        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
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
        "synced anew",
        "completed 4 Unknown",
        "completed 5 Unknown",
        "disconnected: the server's transaction result is malformed",
        "connected",
        "synced anew",
        "completed 6 Refused",
    ];
    assert_eq!(events.len(), expected.len(), "{events:#?}");
    for (event, expected) in events.iter().zip(expected) {
        assert!(event.starts_with(expected), "{event} is not {expected}");
    }
}

/// Rule: a lock ends with its connection, and who was robbed of it stays in the queue.
#[tokio::test(start_paused = true)]
async fn a_lock_is_asked_for_on_every_connection() {
    let server = Server::unix();
    let greet = async |locked: bool| {
        let mut peer = server.accept().await;
        let schema = ask_schema(&mut peer).await;
        let lock = peer.expect("lock").await;
        assert_eq!(lock["params"], json!(["leader"]));
        peer.reply(&lock, &json!({"locked": locked})).await;
        peer.reply(&schema, &usual_schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &snapshot(0, &[])).await;
        peer
    };
    let script = async {
        let mut peer = greet(true).await;
        peer.notify("stolen", &json!(["leader"])).await;
        peer.notify("locked", &json!(["another"])).await;
        peer.notify("locked", &json!(["leader"])).await;
        drop(peer);
        drop(greet(false).await);
        greet(true).await
    };
    let mut config = SessionConfig::new(server.endpoint().into(), "D");
    config.lock = Some("leader".parse().unwrap());
    let mut consumer = Consumer::with(config);
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
async fn a_lock_that_is_not_wanted_is_given_back() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let schema = ask_schema(&mut peer).await;
        let lock = peer.expect("lock").await;
        peer.reply(&lock, &json!({"locked": true})).await;
        peer.reply(&schema, &usual_schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let unlock = peer.expect("unlock").await;
        assert_eq!(unlock["params"], json!(["leader"]));
        peer.reply(&unlock, &json!({})).await;
        // A late word of the lock that was given back says nothing.
        peer.notify("locked", &json!(["leader"])).await;
        let lock = peer.expect("lock").await;
        peer.reply(&lock, &json!({"locked": true})).await;
        peer
    };
    let mut config = SessionConfig::new(server.endpoint().into(), "D");
    config.lock = Some("leader".parse().unwrap());
    let mut consumer = Consumer::with(config);
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

/// A backup of a standalone server refuses locks, with a mere string.
/// Rule: a server that cannot be written refuses locks by a mere string.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_the_lock_is_left() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let schema = ask_schema(&mut peer).await;
        let lock = peer.expect("lock").await;
        peer.refuse(&lock, &json!("lock is not allowed")).await;
        peer.reply(&schema, &usual_schema()).await;
        peer.closed().await;
    };
    let mut config = SessionConfig::new(server.endpoint().into(), "D");
    config.lock = Some("leader".parse().unwrap());
    let mut consumer = Consumer::with(config);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert_eq!(events, ["connected", "disconnected: the server answered: lock is not allowed"]);
}

// ===== connections =====

/// Regression: henrybarreto/ovsdb, whose writer waits for its reader. ovsdb-server reads nothing from a client that has
/// not taken what it was sent, so that both would wait for ever.
#[tokio::test(start_paused = true)]
async fn both_sides_may_have_much_to_say_at_once() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(7, &[])).await;
        // The head of it: our side has begun, and it is more than the socket holds.
        peer.unheard().await;
        let content: Vec<_> = (1..40_000).map(|number| (number, 1)).collect();
        peer.send(&update(8, &rows("insert", &content))).await;
        let transact = peer.expect("transact").await;
        peer.reply(&transact, &json!([{}])).await;
        (peer, transact)
    };
    let mut consumer = Consumer::new(&server);
    let long = "x".repeat(4 << 20);
    let client = async {
        consumer.until("synced").await;
        let mut transaction = Transaction::new("D");
        transaction.comment(long.as_str());
        consumer.session.transact(&transaction).unwrap();
        consumer.until("completed").await
    };
    let ((_peer, transact), events) = join!(script, client);
    assert_eq!(events, ["updated", "completed 1 Committed(Results([Empty]))"]);
    assert_eq!(transact["params"][1]["comment"], long.as_str());
    assert_eq!(consumer.content().len(), 39_999);
}

/// Rule: back-off starts over after a connection that lasted, not after one that was made.
#[tokio::test(start_paused = true)]
async fn back_off_grows_until_a_connection_lasts() {
    let server = Server::unix();
    let waits = async |consumer: &mut Consumer, count| {
        let mut waits = Vec::new();
        while waits.len() < count {
            if let SessionEvent::Disconnected { retry, .. } = consumer.next().await {
                waits.push(retry.as_millis());
            }
        }
        waits
    };
    let script = async {
        for _ in 0..9 {
            drop(server.accept().await);
        }
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(peer);
    };
    let mut consumer = Consumer::new(&server);
    let ((), waits) = join!(script, waits(&mut consumer, 10));
    for (wait, nominal) in waits.iter().zip([100, 125, 156, 195, 244, 305, 381, 476, 596, 100]) {
        assert!((nominal / 2..=nominal).contains(wait), "{wait} ms in {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn remotes_are_tried_in_turn_before_a_pause() {
    let server = Server::unix();
    let gone = [Server::unix().endpoint(), Server::unix().endpoint()];
    let text = format!("{},{},{}", gone[0], gone[1], server.endpoint());
    let mut consumer = Consumer::with(SessionConfig::new(text.parse().unwrap(), "D"));
    let script = async {
        drop(server.accept().await);
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(peer);
        server.accept().await
    };
    let client = async {
        let mut tried = Vec::new();
        let mut connections = 0;
        while connections < 3 {
            match consumer.next().await {
                SessionEvent::Disconnected { remote, retry, .. } => {
                    tried.push((remote, retry.is_zero()));
                }
                SessionEvent::Connected(_) => connections += 1,
                _ => {}
            }
        }
        tried
    };
    let (_peer, tried) = join!(script, client);
    let round = |zero| [(gone[0].clone(), true), (gone[1].clone(), true), (server.endpoint(), zero)];
    // The last of a round is followed by a pause; one that was in use for a while is not, as there are others.
    assert_eq!(tried[..6], [round(false), round(true)].concat());
    assert_eq!(tried[6..], [(gone[0].clone(), true), (gone[1].clone(), false)]);
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_given_up() {
    let server = Server::tcp().await;
    let script = async {
        // Before the snapshot it may take its time.
        let mut peer = server.accept().await;
        let start = Instant::now();
        greet(&mut peer).await;
        peer.expect("echo").await;
        peer.closed().await;
        let early = start.elapsed();

        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let start = Instant::now();
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
        let echo = peer.expect("echo").await;
        assert_eq!((&echo["id"], &echo["params"]), (&json!("echo"), &json!([])));
        peer.closed().await;
        (early, start.elapsed())
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut events = consumer.until("disconnected").await;
        events.extend(consumer.until("disconnected").await);
        events
    };
    let ((early, late), events) = join!(script, client);
    assert_eq!(early.as_secs(), 2 * SNAPSHOT_PROBE.as_secs());
    assert_eq!(late.as_secs(), 5 + 5 + 5);
    assert!(events.last().unwrap().ends_with("the server was silent for 10s"), "{events:?}");
}

/// Rule: every byte received is a sign of life (lib/reconnect.c).
#[tokio::test(start_paused = true)]
async fn a_slow_server_is_not_given_up() {
    let server = Server::tcp().await;
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        let text = reply(&request, &snapshot(7, &[(1, 1)]));
        // One byte in 50 seconds, then, as an update, one in four.
        for byte in text.chars() {
            tokio::time::sleep(Duration::from_secs(50)).await;
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        for byte in update(8, &change(2, &json!({"insert": {}}))).chars() {
            tokio::time::sleep(Duration::from_secs(4)).await;
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut events = Vec::new();
        while events.len() < 3 {
            events.push(abridged(&consumer.session.next(&mut consumer.mirror).await));
        }
        consumer.replay();
        events
    };
    let (_peer, events) = join!(script, client);
    assert_eq!(events, ["connected", "synced anew", "updated"]);
    assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
}

/// Regression: ovn-heater#200, where snapshots take longer than the server's probes.
#[tokio::test(start_paused = true)]
async fn the_server_is_answered_in_the_middle_of_a_snapshot() {
    let server = Server::unix();
    let content: Vec<_> = (1..10_000).map(|number| (number, 1)).collect();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        let text = reply(&request, &snapshot(7, &content));
        let (first, rest) = text.split_at(text.len() / 2);
        peer.send(r#"{"id":"echo","method":"echo","params":[1]}"#).await;
        peer.send(first).await;
        let answer = peer.receive().await.unwrap();
        assert_eq!(answer, json!({"id": "echo", "result": [1], "error": null}));
        peer.send(rest).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    join!(script, consumer.until("synced"));
    assert_eq!(consumer.content(), content.into_iter().collect());
    let (bytes, rows) = consumer.session.received();
    assert!(bytes > 500_000 && rows == 9_999, "{bytes} bytes, {rows} rows");
}

#[tokio::test(start_paused = true)]
async fn several_messages_may_come_at_once() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        let first = reply(&request, &snapshot(7, &[(1, 1)]));
        let second = update(8, &change(2, &json!({"insert": {}})));
        let third = update(9, &change(1, &json!({"delete": null})));
        peer.send(&format!("{first}{second} \n {third}")).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("updated").await;
        assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
        consumer.until("updated").await;
    };
    let (_peer, ()) = join!(script, client);
    assert_eq!(consumer.content(), [(2, 0)].into());
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_a_connection_and_is_no_busy_loop() {
    let server = Server::unix();
    let script = async {
        for _ in 0..3 {
            let mut peer = server.accept().await;
            ask_schema(&mut peer).await;
            peer.send("HTTP/1.1 400 Bad Request\r\n").await;
            peer.closed().await;
        }
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        peer.send(&reply(&request, &snapshot(7, &[(1, 1)])).replace("initial", "sometime")).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let start = Instant::now();
    let client = async {
        for _ in 0..3 {
            let lost = consumer.until("disconnected").await.pop().unwrap();
            let text = "the server does not speak OVSDB: expected a JSON object at byte ";
            assert!(lost.starts_with(&format!("disconnected: {text}")), "{lost}");
        }
        let lost = consumer.until("disconnected").await.pop().unwrap();
        assert!(lost.contains("expected a known kind of row update at byte "), "{lost}");
    };
    join!(script, client);
    // At least half of 100, 125 and 156 ms.
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert_eq!(consumer.content(), Content::new());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_next_is_dropped() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = greet(&mut peer).await;
        let mut text = reply(&request, &snapshot(7, &[(1, 1)]));
        text += &update(8, &change(1, &json!({"modify": {"n": 2}})));
        text += &update(9, &change(2, &json!({"insert": {}})));
        for byte in text.chars() {
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
            yield_now().await;
        }
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut events = Vec::new();
        while events.iter().filter(|event| *event == "updated").count() < 2 {
            tokio::select! {
                biased;
                event = consumer.session.next(&mut consumer.mirror) => events.push(abridged(&event)),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
                () = yield_now() => {}
            }
            consumer.replay();
        }
        events
    };
    let (_peer, events) = join!(script, client);
    assert_eq!(events, ["connected", "synced anew", "updated", "updated"]);
    assert_eq!(consumer.content(), [(1, 2), (2, 0)].into());
}
