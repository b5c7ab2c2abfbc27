//! A replica that declares no rows, or changes its declaration.

use super::*;
use crate::monitor::MonitorRequests;
use crate::replica::{ApplyError, Batch, SchemaMismatch};
use crate::row::RowUpdate;

/// A replica of some tables.
struct Chosen {
    tables: Vec<&'static str>,
    mirror: Cache,
}

impl Replica for Chosen {
    fn declare(&mut self, schema: &DatabaseSchema) -> Result<MonitorRequests, SchemaMismatch> {
        let mut schema = schema.clone();
        schema.tables.retain(|name, _| self.tables.contains(&&**name));
        self.mirror.declare(&schema)
    }

    fn begin(&mut self, batch: Batch) {
        self.mirror.begin(batch);
    }

    fn apply(&mut self, update: RowUpdate<'_>) -> Result<(), ApplyError> {
        self.mirror.apply(update)
    }

    fn commit(&mut self) {
        self.mirror.commit();
    }
}

struct Consumer {
    session: Session,
    replica: Chosen,
}

impl Consumer {
    fn new(server: &Server, tables: &[&'static str]) -> Self {
        let session = Session::new(SessionConfig::new(server.endpoint().into(), "D"));
        Self { session, replica: Chosen { tables: tables.to_vec(), mirror: Cache::everything() } }
    }

    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            let event =
                timeout(TIMEOUT, self.session.next(&mut self.replica)).await.expect("nothing happens");
            seen.push(abridged(&event));
            if seen.last().is_some_and(|text| text.starts_with(last)) {
                return seen;
            }
        }
    }

    fn content(&self) -> Vec<(&str, u128)> {
        let cache = &self.replica.mirror;
        let rows = |table| cache.rows(table).map(move |(uuid, _)| (table, uuid.as_u128()));
        ["T", "U"].into_iter().flat_map(rows).collect()
    }
}

fn two_tables() -> Value {
    let table = json!({"columns": {"n": {"type": "integer"}}});
    json!({"name": "D", "version": "1.0.0", "tables": {"T": table, "U": table}})
}

async fn handshake(peer: &mut Peer) {
    let request = ask_schema(peer).await;
    peer.reply(&request, &two_tables()).await;
}

fn tables(monitor: &Value) -> Vec<&str> {
    monitor["params"][2].as_object().unwrap().keys().map(String::as_str).collect()
}

fn one(kind: &str, table: &str, uuid: u128) -> Value {
    json!({table: {id(uuid): {kind: {}}}})
}

#[tokio::test(start_paused = true)]
async fn replica_without_tables_is_synced_without_a_monitor() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        let transact = peer.expect("transact").await;
        peer.reply(&transact, &json!([{}])).await;
        // It declares a table.
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &two_tables()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!((&request["params"][1], tables(&request)), (&json!("session"), vec!["U"]));
        peer.reply(&request, &json!([false, id(1), one("initial", "U", 1)])).await;
        // And no table again.
        assert_eq!(peer.expect("monitor_cancel").await["params"], json!(["session"]));
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &two_tables()).await;
        peer
    };
    let mut consumer = Consumer::new(&server, &[]);
    let client = async {
        consumer.session.redeclare().unwrap();
        assert_eq!(consumer.until("synced").await, ["connected", "synced whole"]);
        let mut transaction = Transaction::new("D");
        transaction.comment("why");
        consumer.session.transact(&transaction).unwrap();
        consumer.until("completed").await;
        consumer.replica.tables = vec!["U"];
        consumer.session.redeclare().unwrap();
        assert!(!consumer.session.is_synced());
        consumer.session.redeclare().unwrap();
        assert_eq!(consumer.until("synced").await, ["unsynced", "synced whole"]);
        assert_eq!(consumer.content(), [("U", 1)]);
        consumer.replica.tables.clear();
        consumer.session.redeclare().unwrap();
        assert_eq!(consumer.until("synced").await, ["unsynced", "synced whole"]);
        assert_eq!(consumer.content(), []);
        assert_eq!(consumer.replica.mirror.take_deltas(), []);
    };
    join!(script, client);
}

/// Rule: requests are answered in order, so that updates of a monitor may arrive until its cancellation is answered,
/// and none after.
#[tokio::test(start_paused = true)]
async fn update_of_a_cancelled_monitor_is_dropped() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, id(1), one("initial", "T", 1)])).await;
        let transact = peer.expect("transact").await;
        let cancel = peer.expect("monitor_cancel").await;
        let schema = peer.expect("get_schema").await;
        // An update sent before the monitor was cancelled, with the changes of the transaction.
        peer.send(&update(2, &one("insert", "T", 2))).await;
        peer.reply(&transact, &json!([{}])).await;
        peer.reply(&cancel, &json!({})).await;
        peer.reply(&schema, &two_tables()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!((&request["params"][1], since(&request)), (&json!("session1"), 0));
        assert_eq!(tables(&request), ["T", "U"]);
        let mut rows = one("initial", "T", 2);
        rows["U"] = one("initial", "U", 3)["U"].clone();
        peer.reply(&request, &json!([false, id(2), rows])).await;
        peer.notify("update3", &json!(["session1", id(3), one("insert", "U", 4)])).await;
        // Updates after the answer to the cancellation are ignored.
        peer.send(&update(4, &one("insert", "T", 5))).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server, &["T"]);
    let client = async {
        consumer.until("synced").await;
        let mut transaction = Transaction::new("D");
        transaction.comment("why");
        consumer.session.transact(&transaction).unwrap();
        consumer.replica.tables.push("U");
        consumer.session.redeclare().unwrap();
        let events = consumer.until("completed").await;
        assert_eq!(
            events,
            ["unsynced", "synced whole", "completed 1 Committed(Results([Empty]))"],
            "not before its rows are here"
        );
        assert_eq!(consumer.content(), [("T", 2), ("U", 3)]);
        let deltas = consumer.replica.mirror.take_deltas();
        assert_eq!(deltas.len(), 2, "{deltas:?}");
        assert_eq!(consumer.until("updated").await, ["updated"]);
        assert_eq!(consumer.content(), [("T", 2), ("U", 3), ("U", 4)]);
        let lost = consumer.until("disconnected").await.pop().unwrap();
        assert!(lost.contains("there is no monitor \"session\""), "{lost}");
    };
    join!(script, client);
}

/// A declaration may change while the rows of the previous one arrive, or before.
#[tokio::test(start_paused = true)]
async fn rows_for_the_previous_declaration_are_dropped() {
    for cut in 0..3 {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            handshake(&mut peer).await;
            let request = peer.expect("monitor_cond_since").await;
            let text = reply(
                &request,
                &json!([false, id(1), {"T": {
                id(1): {"initial": {}}, id(2): {"initial": {}}}}]),
            );
            let (first, rest) = text.split_at([0, 60, text.len() - 5][cut]);
            peer.send(first).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            peer.send(rest).await;
            let cancel = peer.expect("monitor_cancel").await;
            peer.reply(&cancel, &json!({})).await;
            let schema = peer.expect("get_schema").await;
            peer.reply(&schema, &two_tables()).await;
            let request = peer.expect("monitor_cond_since").await;
            peer.reply(&request, &json!([false, id(1), one("initial", "U", 3)])).await;
            peer
        };
        let mut consumer = Consumer::new(&server, &["T"]);
        let client = async {
            consumer.until("connected").await;
            let waited = timeout(Duration::from_secs(1), consumer.until("synced")).await;
            assert!(waited.is_err(), "the rows are not complete");
            consumer.replica.tables = vec!["U"];
            consumer.session.redeclare().unwrap();
            assert_eq!(consumer.until("synced").await, ["synced whole"]);
            assert_eq!(consumer.content(), [("U", 3)]);
        };
        join!(script, client);
    }
}

/// A server with only an older method also refuses the newer one of the previous declaration.
#[tokio::test(start_paused = true)]
async fn refusal_of_the_previous_declaration_is_dropped() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        let refused = peer.expect("monitor_cond_since").await;
        let cancel = peer.expect("monitor_cancel").await;
        let schema = peer.expect("get_schema").await;
        peer.refuse(&refused, &json!("unknown method")).await;
        peer.refuse(&cancel, &json!({"error": "unknown monitor"})).await;
        peer.reply(&schema, &two_tables()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.refuse(&request, &json!("unknown method")).await;
        let request = peer.expect("monitor_cond").await;
        assert_eq!(request["params"][1], json!("session1"));
        peer.reply(&request, &one("initial", "U", 3)).await;
        peer.notify("update2", &json!(["session1", one("insert", "U", 4)])).await;
        peer
    };
    let mut consumer = Consumer::new(&server, &["T"]);
    let client = async {
        consumer.until("connected").await;
        let waited = timeout(Duration::from_secs(1), consumer.until("synced")).await;
        assert!(waited.is_err(), "nothing was answered");
        consumer.replica.tables = vec!["U"];
        consumer.session.redeclare().unwrap();
        consumer.until("updated").await;
        assert_eq!(consumer.content(), [("U", 3), ("U", 4)]);
    };
    join!(script, client);
}

/// A replica may have replaced its copy of a table while there was no connection, or before it was asked.
#[tokio::test(start_paused = true)]
async fn declaration_that_was_repeated_before_the_rows_is_not_resumed() {
    for is_connected in [false, true] {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            handshake(&mut peer).await;
            let request = peer.expect("monitor_cond_since").await;
            peer.reply(&request, &json!([false, id(7), one("initial", "T", 1)])).await;
            drop(peer);
            let mut peer = server.accept().await;
            handshake(&mut peer).await;
            let request = peer.expect("monitor_cond_since").await;
            assert_eq!(since(&request), 0);
            peer.reply(&request, &json!([false, id(7), one("initial", "T", 1)])).await;
            peer
        };
        let mut consumer = Consumer::new(&server, &["T"]);
        let client = async {
            consumer.until("disconnected").await;
            if is_connected {
                consumer.until("connected").await;
            }
            consumer.replica.mirror = Cache::everything();
            consumer.session.redeclare().unwrap();
            assert_eq!(consumer.until("synced").await.last().unwrap(), "synced whole");
            assert_eq!(consumer.content(), [("T", 1)]);
        };
        join!(script, client);
    }
}

#[tokio::test(start_paused = true)]
async fn declaration_beyond_the_limit_of_requests_changes_nothing() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, id(1), {}])).await;
        peer
    };
    let mut consumer = Consumer::new(&server, &["T"]);
    let (mut peer, _) = join!(script, consumer.until("synced"));
    for _ in 0..1023 {
        consumer.session.request("echo", &[(); 0]).unwrap();
    }
    assert!(consumer.session.redeclare().unwrap_err().is_busy());
    assert!(consumer.session.is_synced());
    let script = async {
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
        peer.notify("update3", &json!(["session", id(2), one("insert", "T", 1)])).await;
    };
    join!(script, consumer.until("updated"));
    consumer.session.redeclare().unwrap();
    assert!(!consumer.session.is_synced());
}
