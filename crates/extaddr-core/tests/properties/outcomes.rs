//! Every outcome of a transaction, and what is sent after it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use extaddr_core::apply::{Applier, Obstacle, TransactionOutcome};
use extaddr_core::clock::Now;
use extaddr_core::engine::{Engine, ReconcileKey};
use extaddr_core::ownership::Owner;
use extaddr_core::rules::Rules;
use ovn_model::Store;
use ovsdb_protocol::testing::transaction_id;
use ovsdb_protocol::{Batch, Outcome, Transaction, TransactionId, Uuid};
use serde_json::{Value as Json, json, to_value};

use crate::choices::Arrival;
use crate::model::{Database, Value, delta, feed, fresh_store, snapshot};
use crate::transact::execute;

const ROUTER: Uuid = Uuid::from_u128(1);
const SWITCH: Uuid = Uuid::from_u128(2);
const BALANCER: Uuid = Uuid::from_u128(3);
const KEY: &str = "ipv4.address.external";

/// A network whose ports have intents for one address, an applier, and a server in between.
struct Stage {
    database: Database,
    store: Store,
    engine: Engine,
    applier: Applier,
    now: Now,
    sent: u64,
}

/// A transaction under way.
struct Sent {
    id: TransactionId,
    transaction: Transaction,
    ports: BTreeSet<String>,
}

// ===== impl Stage =====

impl Stage {
    fn new(ports: u32) -> Self {
        let mut database = network();
        (0..ports).for_each(|n| add_port(&mut database, n));
        let owner = Owner::default();
        let mut store = fresh_store(&database, &mut Arrival::Sorted);
        let rules = Rules { drain: Duration::ZERO, hold_down: Duration::ZERO, ..Rules::new(owner.clone()) };
        let (mut engine, now) = (Engine::new(rules), Now { instant: Instant::now(), wall: 1_800_000_000 });
        engine.catch_up(&mut store, now);
        Self { database, store, engine, applier: Applier::new(owner.lock()), now, sent: 0 }
    }

    fn send(&mut self) -> Option<Sent> {
        let pending = self.applier.next(&self.store, &self.engine, self.now)?;
        self.sent += 1;
        let id = transaction_id(self.sent);
        let ports = pending.subjects().keys().map(|subject| match subject {
            ReconcileKey::Port(port) => port.to_string(),
            ReconcileKey::Conversion(place) => panic!("there is nothing to convert at {place:?}"),
        });
        let sent = Sent { id, transaction: pending.transaction().clone(), ports: ports.collect() };
        pending.sent(id);
        Some(sent)
    }

    /// The server executes it, and reports the changes before the outcome.
    fn execute(&mut self, sent: &Sent) -> TransactionOutcome {
        match execute(&self.database, &sent.transaction) {
            Ok(after) => {
                self.follow(after);
                self.end(sent, committed(&sent.transaction))
            }
            Err((operation, error)) => {
                let name = if error.contains("already") { "duplicate uuid" } else { "timed out" };
                self.end(sent, refused(&sent.transaction, Some(operation), name))
            }
        }
    }

    /// It ends with this outcome, as far as the client knows.
    fn end(&mut self, sent: &Sent, outcome: Outcome) -> TransactionOutcome {
        let concluded = self.applier.completed(sent.id, outcome, &self.store, &self.engine, self.now);
        let report = concluded.expect("it was on its way");
        assert_eq!(report.subjects.len(), sent.ports.len());
        report.outcome
    }

    /// The database has changed to this.
    fn follow(&mut self, after: Database) {
        let updates = delta(&self.database, &after, false);
        self.database = after;
        feed(&mut self.store, Batch::Delta, &updates);
        self.engine.catch_up(&mut self.store, self.now);
    }

    /// All rows arrive again, after a lost connection.
    fn resync(&mut self) {
        feed(&mut self.store, Batch::Snapshot, &snapshot(&self.database));
        self.engine.catch_up(&mut self.store, self.now);
    }

    fn wait(&mut self, time: Duration) {
        self.now.instant += time;
    }

    /// Executes everything that is to be sent, and returns the number of transactions.
    fn settle(&mut self) -> usize {
        for count in 0..100 {
            let Some(sent) = self.send() else { return count };
            let outcome = self.execute(&sent);
            assert_eq!(outcome, TransactionOutcome::Committed);
        }
        panic!("it goes on and on");
    }

    fn obstacle(&self, port: &str) -> Option<Obstacle> {
        self.applier.obstacle(&self.engine, &Arc::from(port))
    }

    /// The ports with exactly one row each, on the router.
    fn served(&self) -> BTreeSet<String> {
        let router = self.database.row("Logical_Router", ROUTER).unwrap();
        let mut rows: BTreeMap<String, usize> = BTreeMap::new();
        for (uuid, row) in self.database.table("NAT") {
            assert!(router.has("nat", uuid), "{uuid} leaked");
            *rows.entry(row.get("external_ids", "ovn-extaddr:port").unwrap().to_owned()).or_default() += 1;
        }
        assert!(rows.values().all(|count| *count == 1), "doubled: {rows:?}");
        rows.into_keys().collect()
    }

    /// Changes the intent of a port.
    fn ask(&mut self, n: u32, address: Option<&str>) {
        let mut after = self.database.clone();
        after.row_mut("Logical_Switch_Port", port_uuid(n)).unwrap().set("external_ids", KEY, address);
        self.follow(after);
    }
}

// ===== the network =====

fn network() -> Database {
    let mut database = Database::default();
    let [inner, outer, uplink] = [4, 5, 6].map(Uuid::from_u128);
    database.insert(
        "Logical_Switch",
        SWITCH,
        [("name", Value::text("sw")), ("ports", Value::refs([uplink]))],
    );
    database.insert(
        "Logical_Switch_Port",
        uplink,
        [
            ("name", Value::text("uplink")),
            ("type", Value::text("router")),
            ("addresses", Value::texts(["router"])),
            ("options", Value::map([("router-port", "inner")])),
        ],
    );
    database.insert(
        "Logical_Router_Port",
        inner,
        [("name", Value::text("inner")), ("networks", Value::texts(["10.57.0.1/16"]))],
    );
    database.insert(
        "Logical_Router_Port",
        outer,
        [
            ("name", Value::text("outer")),
            ("networks", Value::texts(["203.0.113.2/24"])),
            ("ha_chassis_group", Value::refs([Uuid::from_u128(7)])),
        ],
    );
    database.insert(
        "Load_Balancer",
        BALANCER,
        [("name", Value::text("lb")), ("vips", Value::map([("203.0.113.10:443", "10.57.1.0:443")]))],
    );
    database.insert(
        "Logical_Router",
        ROUTER,
        [
            ("name", Value::text("r")),
            ("ports", Value::refs([inner, outer])),
            ("load_balancer", Value::refs([BALANCER])),
        ],
    );
    database
}

fn port_uuid(n: u32) -> Uuid {
    Uuid::from_u128(1000 + u128::from(n))
}

/// Ports are sent in the order of their names.
fn name(n: u32) -> String {
    format!("p{n:04}")
}

fn names(ports: impl IntoIterator<Item = u32>) -> BTreeSet<String> {
    ports.into_iter().map(name).collect()
}

fn add_port(database: &mut Database, n: u32) {
    let element = format!("0a:00:00:00:{:02x}:{:02x} 10.57.{}.{}", n / 256, n % 256, 1 + n / 256, n % 256);
    let columns = [
        ("name", Value::text(name(n))),
        ("addresses", Value::texts([element])),
        ("external_ids", Value::map([(KEY, "203.0.113.10")])),
    ];
    database.insert("Logical_Switch_Port", port_uuid(n), columns);
    database.row_mut("Logical_Switch", SWITCH).unwrap().link("ports", port_uuid(n), true);
}

// ===== what the server says =====

fn committed(transaction: &Transaction) -> Outcome {
    let results = vec![json!({}); transaction.len()];
    Outcome::from_result(&Json::from(results).to_string(), transaction.len()).unwrap()
}

/// Refused for an operation, or as a whole at the commit.
fn refused(transaction: &Transaction, operation: Option<usize>, error: &str) -> Outcome {
    let mut results = vec![json!({}); operation.unwrap_or(transaction.len())];
    results.push(json!({"error": error, "details": "as the test says"}));
    if operation.is_some() {
        results.resize(transaction.len(), json!(null));
    }
    Outcome::from_result(&Json::from(results).to_string(), transaction.len()).unwrap()
}

/// The first operation of this kind for a port: the insert of its row, or the wait for its intent.
fn operation_for(transaction: &Transaction, op: &str, n: u32) -> usize {
    let json = to_value(transaction).unwrap();
    let wanted = [port_uuid(n).to_string(), format!("\"{}\"", name(n))];
    let operations = &json.as_array().unwrap()[1..];
    let of_port = |text: String| wanted.iter().any(|part| text.contains(part));
    operations.iter().position(|o| o["op"] == op && of_port(o.to_string())).expect("the port is in it")
}

fn is_refused(obstacle: Option<Obstacle>, parts: &[&str]) -> bool {
    matches!(obstacle, Some(Obstacle::Refused(why)) if parts.iter().all(|part| why.contains(part)))
}

const FIRST: Duration = Duration::from_millis(200);
const MINUTE: Duration = Duration::from_secs(60);

// ===== the outcomes =====

#[test]
fn committed_transaction_settles_its_ports() {
    let mut stage = Stage::new(3);
    let sent = stage.send().unwrap();
    assert!(stage.send().is_none(), "one at a time");
    assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
    assert_eq!(stage.served(), names(0..3));
    assert!(stage.send().is_none() && stage.applier.next_deadline().is_none());
    // Its outcome counts once, and that of another transaction does not count.
    let again = stage.applier.completed(sent.id, Outcome::Unknown, &stage.store, &stage.engine, stage.now);
    assert_eq!(again, None);
}

/// Regression: openshift/ovn-kubernetes#717 to #719: a server that reports success, and sends no change. The applier
/// does not wait for an update that may never come, and does not write repeatedly.
#[test]
fn committed_transaction_without_effect_is_retried_ever_less_often() {
    let mut stage = Stage::new(2);
    for attempt in 0..5 {
        let sent = stage.send().unwrap();
        assert_eq!(stage.end(&sent, committed(&sent.transaction)), TransactionOutcome::Committed);
        assert!(stage.send().is_none(), "attempt {attempt}");
        assert!(is_refused(stage.obstacle(&name(1)), &["it was committed and had no effect"]));
        let until = stage.applier.next_deadline().unwrap();
        assert_eq!(until, stage.now.instant + FIRST * (1 << attempt));
        stage.now.instant = until;
    }
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names(0..2));
}

/// A dependency of a decision changed while the transaction was under way.
#[test]
fn failed_precondition_is_decided_again() {
    let mut stage = Stage::new(3);
    let sent = stage.send().unwrap();
    stage.ask(1, None);
    let TransactionOutcome::Refused(why) = stage.execute(&sent) else {
        panic!("it rests on the intent of another time")
    };
    assert!(why.contains("timed out"), "{why}");
    // The present state leads to another decision, so nothing has to wait.
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names([0, 2]));
    assert!((0..3).all(|n| stage.obstacle(&name(n)).is_none()));
}

/// The update that would show the reason does not come: the port waits, longer each time, and others do not.
#[test]
fn failed_precondition_without_a_reason_delays_only_its_port() {
    let mut stage = Stage::new(3);
    let sent = stage.send().unwrap();
    let at = operation_for(&sent.transaction, "wait", 1);
    stage.end(&sent, refused(&sent.transaction, Some(at), "timed out"));
    assert!(is_refused(stage.obstacle(&name(1)), &["timed out"]));
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names([0, 2]));
    assert_eq!(stage.applier.next_deadline(), Some(stage.now.instant + FIRST));
    stage.wait(FIRST);
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names(0..3));
}

/// Neither is caused by a port: everything is sent again, after a moment and while the agent has the lock.
#[test]
fn lost_lock_or_unavailable_database_delays_no_port() {
    for error in ["not owner", "canceled", "database not available", "not allowed", "cluster error"] {
        let mut stage = Stage::new(3);
        let sent = stage.send().unwrap();
        let TransactionOutcome::Refused(why) = stage.end(&sent, refused(&sent.transaction, Some(0), error))
        else {
            panic!("{error}")
        };
        assert!(why.contains(error), "{why}");
        assert!(stage.send().is_none(), "{error}: it would be refused again");
        assert_eq!(stage.applier.next_deadline(), Some(stage.now.instant + FIRST));
        stage.wait(FIRST);
        let sent = stage.send().unwrap();
        assert_eq!(sent.ports, names(0..3), "{error}: all of them");
        assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
        assert_eq!(stage.served(), names(0..3));
    }
}

/// A foreign row has the UUID of one of our rows.
#[test]
fn conflict_delays_only_its_port_ever_longer() {
    let mut stage = Stage::new(5);
    let sent = stage.send().unwrap();
    let at = operation_for(&sent.transaction, "insert", 2);
    stage.end(&sent, refused(&sent.transaction, Some(at), "duplicate uuid"));
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names([0, 1, 3, 4]));
    let mut waits = Vec::new();
    for _ in 0..12 {
        let until = stage.applier.next_deadline().unwrap();
        waits.push(until - stage.now.instant);
        stage.now.instant = until;
        let sent = stage.send().unwrap();
        assert_eq!(sent.ports, names([2]));
        let at = operation_for(&sent.transaction, "insert", 2);
        stage.end(&sent, refused(&sent.transaction, Some(at), "duplicate uuid"));
        assert!(is_refused(stage.obstacle(&name(2)), &["duplicate uuid", &format!("operation {at} ")]));
    }
    let doubled: Vec<_> = (0..12).map(|n| (FIRST * (1 << n)).min(MINUTE)).collect();
    assert_eq!(waits, doubled);
    // A changed intent does not wait because the old one was refused.
    stage.ask(2, None);
    assert!(stage.send().is_none() && stage.obstacle(&name(2)).is_none());
    stage.ask(2, Some("203.0.113.10"));
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names(0..5));
}

/// Rows that are deleted at once while others wait are not deleted more often than others.
#[test]
fn refused_or_ineffective_deletion_is_delayed_ever_longer() {
    for refusing in [true, false] {
        let mut stage = Stage::new(2);
        assert_eq!(stage.settle(), 1);
        stage.ask(1, None);
        for attempt in 0..5 {
            let sent = stage.send().unwrap();
            assert_eq!(sent.ports, names([1]));
            let outcome = match refusing {
                true => refused(&sent.transaction, Some(1), "constraint violation"),
                false => committed(&sent.transaction),
            };
            stage.end(&sent, outcome);
            assert!(stage.send().is_none(), "attempt {attempt}, refusing {refusing}");
            let until = stage.applier.next_deadline().unwrap();
            assert_eq!(until, stage.now.instant + FIRST * (1 << attempt));
            stage.now.instant = until;
        }
        assert_eq!(stage.settle(), 1);
        assert_eq!(stage.served(), names([0]));
    }
}

#[test]
fn permanent_error_reports_operation_and_reason_and_isolates_its_port() {
    let mut stage = Stage::new(4);
    let sent = stage.send().unwrap();
    let at = operation_for(&sent.transaction, "insert", 3);
    let outcome = stage.end(&sent, refused(&sent.transaction, Some(at), "constraint violation"));
    let expected = format!("operation {at} refused: constraint violation: as the test says");
    assert_eq!(outcome, TransactionOutcome::Refused(expected.clone()));
    assert_eq!(stage.obstacle(&name(3)), Some(Obstacle::Refused(expected.into())));
    assert_eq!(stage.applier.take_touched().len(), 4);
    assert_eq!(stage.settle(), 1);
    assert_eq!(stage.served(), names(0..3));
    assert!((0..3).all(|n| stage.obstacle(&name(n)).is_none()));
}

/// The server does not say which port it is: they are divided until it is known.
#[test]
fn refusal_of_a_whole_transaction_is_narrowed_down_to_the_port() {
    for (ports, culprit) in [(1, 0), (2, 1), (9, 4), (100, 77), (MANY, 170)] {
        let mut stage = Stage::new(ports);
        let mut transactions = 0;
        while let Some(sent) = stage.send() {
            transactions += 1;
            if sent.ports.contains(&name(culprit)) {
                stage.end(&sent, refused(&sent.transaction, None, "constraint violation"));
            } else {
                assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
            }
        }
        assert_eq!(stage.served(), names((0..ports).filter(|n| *n != culprit)), "of {ports}");
        assert!(is_refused(stage.obstacle(&name(culprit)), &["transaction refused: constraint violation"]));
        let alone = (0..ports).filter(|n| stage.obstacle(&name(*n)).is_some()).count();
        assert_eq!(alone, 1, "of {ports}");
        // Divided by two each time, starting again whenever a part is committed.
        let halvings = ports.ilog2() + 1;
        assert!(transactions <= halvings * halvings, "{transactions} transactions for {ports} ports");
    }
}

// ===== the unknown one =====

#[test]
fn unknown_transaction_that_was_committed_is_recognised() {
    let mut stage = Stage::new(3);
    let sent = stage.send().unwrap();
    stage.database = execute(&stage.database, &sent.transaction).unwrap();
    assert_eq!(stage.end(&sent, Outcome::Unknown), TransactionOutcome::Unknown);
    stage.resync();
    assert!(stage.send().is_none());
    assert_eq!(stage.served(), names(0..3));
}

#[test]
fn unknown_transaction_that_was_not_committed_is_repeated_unchanged() {
    let mut stage = Stage::new(3);
    let sent = stage.send().unwrap();
    assert_eq!(stage.end(&sent, Outcome::Unknown), TransactionOutcome::Unknown);
    stage.resync();
    let again = stage.send().unwrap();
    assert_eq!(to_value(&again.transaction).unwrap(), to_value(&sent.transaction).unwrap(), "UUIDs included");
    assert_eq!(stage.execute(&again), TransactionOutcome::Committed);
    assert_eq!(stage.served(), names(0..3));
}

/// Regression: ovn-kubernetes#2764, whose repeated transactions doubled rows. The first one was under way all the time
/// and arrives before its repetition, or after it.
#[test]
fn unknown_transaction_that_is_committed_late_doubles_nothing() {
    for repeated_first in [false, true] {
        let mut stage = Stage::new(3);
        let lost = stage.send().unwrap();
        stage.end(&lost, Outcome::Unknown);
        stage.resync();
        let again = stage.send().unwrap();
        if repeated_first {
            assert_eq!(stage.execute(&again), TransactionOutcome::Committed);
            assert!(execute(&stage.database, &lost.transaction).is_err(), "it comes too late to do anything");
        } else {
            let after = execute(&stage.database, &lost.transaction).unwrap();
            stage.follow(after);
            let TransactionOutcome::Refused(why) = stage.execute(&again) else {
                panic!("it is there already")
            };
            assert!(why.contains("duplicate uuid"), "{why}");
        }
        assert!(stage.send().is_none());
        assert_eq!(stage.served(), names(0..3), "{repeated_first}");
        assert!((0..3).all(|n| stage.obstacle(&name(n)).is_none()), "nothing is wrong with anybody");
    }
}

// ===== more than one transaction holds =====

/// More ports than two transactions hold.
const MANY: u32 = 250;

#[test]
fn changes_beyond_the_limit_are_divided_into_transactions() {
    let mut stage = Stage::new(MANY);
    let mut sizes = Vec::new();
    while let Some(sent) = stage.send() {
        sizes.push(sent.ports.len());
        assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
    }
    assert!(sizes.len() > 2 && sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), MANY as usize);
    assert_eq!(stage.served(), names(0..MANY));
}

/// The connection breaks in the middle of the parts, and the interrupted part was committed or not.
#[test]
fn unknown_part_of_a_divided_change_leads_to_the_same_rows() {
    let usual = Stage::new(MANY).settle();
    for broken in 0..usual {
        for happened in [false, true] {
            let mut stage = Stage::new(MANY);
            let mut parts = 0;
            while let Some(sent) = stage.send() {
                if parts == broken {
                    if happened {
                        stage.database = execute(&stage.database, &sent.transaction).unwrap();
                    }
                    assert_eq!(stage.end(&sent, Outcome::Unknown), TransactionOutcome::Unknown);
                    stage.resync();
                } else {
                    assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
                }
                parts += 1;
            }
            assert_eq!(stage.served(), names(0..MANY), "part {broken}, happened: {happened}");
            assert_eq!(parts, if happened { usual } else { usual + 1 });
        }
    }
}

/// One port of many is refused by its row, in one part of several: the others are served without it.
#[test]
fn refused_port_does_not_delay_other_parts() {
    let culprit = MANY / 2;
    let mut stage = Stage::new(MANY);
    let mut transactions = 0;
    while let Some(sent) = stage.send() {
        transactions += 1;
        if sent.ports.contains(&name(culprit)) {
            let at = operation_for(&sent.transaction, "insert", culprit);
            stage.end(&sent, refused(&sent.transaction, Some(at), "duplicate uuid"));
        } else {
            assert_eq!(stage.execute(&sent), TransactionOutcome::Committed);
        }
    }
    assert_eq!(stage.served(), names((0..MANY).filter(|n| *n != culprit)));
    assert!(is_refused(stage.obstacle(&name(culprit)), &["duplicate uuid"]));
    assert_eq!(transactions, Stage::new(MANY).settle() + 1, "the part that it was in goes again");
}
