mod conditions;
mod connections;
mod declarations;
mod dialling;
mod hours;
mod locks;
mod monitors;
mod parts;
mod requests;
mod servers;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::join;
use tokio::task::yield_now;
use tokio::time::timeout;
use uuid::Uuid;

use super::connection::SNAPSHOT_PROBE;
use super::*;
use crate::cache::{Cache, Selection};
use crate::endpoint::Remotes;
use crate::monitor::RowFilter;
use crate::scripted::{Peer, Server, notification, reply};
use crate::transact::{Condition, Transaction};
use crate::value::{Datum, Row};

/// Longer than any scenario, with a clock that jumps.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// Rows of the only table, by number: what is in its column `n`.
type Content = BTreeMap<u128, i64>;

/// A session with its replica, and a copy that gets only the deltas.
struct Consumer {
    session: Session,
    cache: Cache,
    copy: BTreeMap<Uuid, Arc<Row>>,
}

// ===== impl Consumer =====

impl Consumer {
    fn new(server: &Server) -> Self {
        Self::with(SessionConfig::new(server.endpoint().into(), "D"))
    }

    /// A consumer that requests the lock `leader`.
    fn locking(server: &Server) -> Self {
        let mut config = SessionConfig::new(server.endpoint().into(), "D");
        config.lock = Some("leader".parse().unwrap());
        Self::with(config)
    }

    fn with(config: SessionConfig) -> Self {
        Self { session: Session::new(config), cache: Cache::everything(), copy: BTreeMap::new() }
    }

    async fn next(&mut self) -> SessionEvent {
        let event = timeout(TIMEOUT, self.session.next(&mut self.cache)).await.expect("nothing happens");
        self.replay();
        event
    }

    fn replay(&mut self) {
        for delta in self.cache.take_deltas() {
            assert_eq!(self.copy.get(&delta.uuid), delta.old.as_ref(), "a delta starts from what is there");
            assert_ne!(delta.old, delta.new, "a delta changes something");
            match delta.new {
                Some(row) => drop(self.copy.insert(delta.uuid, row)),
                None => drop(self.copy.remove(&delta.uuid)),
            }
        }
    }

    /// Continues until an event of this kind, and returns all events up to it, abridged.
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

    /// Returns the next events, abridged, however long each takes.
    async fn at_leisure(&mut self, count: usize) -> Vec<String> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(abridged(&self.session.next(&mut self.cache).await));
        }
        self.replay();
        events
    }

    /// The content, which the deltas must have led to as well.
    fn content(&self) -> Content {
        let rows: BTreeMap<_, _> = self.cache.rows("T").map(|(uuid, row)| (uuid, Arc::clone(row))).collect();
        assert_eq!(self.copy, rows);
        let n = |row: &Row| row.get("n").and_then(Datum::as_integer).unwrap();
        rows.into_iter().map(|(uuid, row)| (uuid.as_u128(), n(&row))).collect()
    }
}

fn abridged(event: &SessionEvent) -> String {
    match event {
        SessionEvent::Connected(_) => "connected".to_owned(),
        SessionEvent::Synced { resumed: true } => "synced by differences".to_owned(),
        SessionEvent::Synced { resumed: false } => "synced whole".to_owned(),
        SessionEvent::Unsynced => "unsynced".to_owned(),
        SessionEvent::RoleChanged(role) => format!("role {role:?}"),
        SessionEvent::Updated => "updated".to_owned(),
        SessionEvent::Lock(status) => format!("lock {status:?}"),
        SessionEvent::Completed { id, outcome } => format!("completed {} {outcome:?}", id.0),
        SessionEvent::Replied { result: Ok(result), .. } => format!("replied {result}"),
        SessionEvent::Replied { result: Err(error), .. } => format!("replied: {error:#}"),
        SessionEvent::ConditionChanged { result: Ok(()), .. } => "condition changed".to_owned(),
        SessionEvent::ConditionChanged { result: Err(error), .. } => format!("condition: {error:#}"),
        SessionEvent::Disconnected { error, .. } => format!("disconnected: {error:#}"),
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
async fn handshake(peer: &mut Peer) -> Value {
    let request = ask_schema(peer).await;
    peer.reply(&request, &usual_schema()).await;
    peer.expect("monitor_cond_since").await
}

/// Grants the lock or not, and answers until the replica, which stays empty, is synchronised.
async fn handshake_with_lock(peer: &mut Peer, locked: bool) {
    let schema = ask_schema(peer).await;
    let lock = peer.expect("lock").await;
    assert_eq!(lock["params"], json!(["leader"]));
    peer.reply(&lock, &json!({"locked": locked})).await;
    peer.reply(&schema, &usual_schema()).await;
    let request = peer.expect("monitor_cond_since").await;
    peer.reply(&request, &snapshot(0, &[])).await;
}

/// Answers up to the request for the schema as an old server without `_Server`, and returns that.
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

/// The transaction after which a monitor is to start.
fn since(monitor: &Value) -> u128 {
    monitor["params"][3].as_str().unwrap().parse::<Uuid>().unwrap().as_u128()
}
