//! Typed monitors.

use uuid::Uuid;

use super::*;
use crate::Change;
use crate::monitor::RowFilter;

#[derive(Clone, Debug, crate::Table)]
#[ovsdb(table = "Switch")]
struct Switch {
    name: String,
}

#[derive(Clone, Debug, crate::Table)]
#[ovsdb(table = "Router")]
struct Router {
    name: String,
    #[ovsdb(optional)]
    nope: Option<i64>,
}

#[derive(Clone, Debug, crate::Table)]
#[ovsdb(table = "Nowhere")]
struct Nowhere {
    name: String,
}

fn schema() -> Value {
    let table = json!({"columns": {"name": {"type": "string"}}});
    json!({"name": "D", "version": "1.0.0", "tables": {"Switch": table, "Router": table}})
}

fn id(number: u128) -> String {
    Uuid::from_u128(number).to_string()
}

fn row(kind: &str, number: u128, name: &str) -> Value {
    json!({id(number): {kind: {"name": name}}})
}

/// The names before and after each change.
fn names(changes: &[Change<Switch>]) -> Vec<String> {
    let name =
        |row: &Option<Arc<Switch>>| row.as_ref().map_or_else(|| "-".to_owned(), |row| row.name.clone());
    changes.iter().map(|change| format!("{} {}", name(&change.old), name(&change.new))).collect()
}

fn client(server: &Server) -> Client {
    let (client, driver) = Client::connect(config(server));
    tokio::spawn(driver);
    client
}

#[tokio::test(start_paused = true)]
async fn monitored_rows_are_delivered_as_changes_and_as_tables() {
    let server = Server::unix();
    let client = client(&server);
    let script = async {
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        let tables: Vec<_> = request["params"][2].as_object().unwrap().keys().collect();
        assert_eq!(tables, ["Router", "Switch"], "those that were asked for before there was a connection");
        let rows = json!({"Switch": row("initial", 1, "a"), "Router": row("initial", 2, "r")});
        peer.reply(&request, &json!([false, id(7), rows])).await;
        let transact = peer.expect("transact").await;
        for (last, change) in
            [(8, row("modify", 1, "b")), (9, row("modify", 1, "c")), (10, row("insert", 3, "x"))]
        {
            peer.notify("update3", &json!(["session", id(last), {"Switch": change}])).await;
        }
        peer.reply(&transact, &json!([{}])).await;

        drop(peer);
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!(request["params"][3], json!(id(10)));
        let rows = json!({"Switch": row("initial", 3, "x"), "Router": row("initial", 2, "r")});
        peer.reply(&request, &json!([false, id(11), rows])).await;
        peer
    };
    let program = async {
        let (switches, routers) = join!(client.monitor::<Switch>(), client.monitor::<Router>());
        let (mut switches, routers) = (switches.unwrap(), routers.unwrap());
        assert_eq!(names(&switches.next().await.unwrap()), ["- a"]);
        assert_eq!(routers.rows()[0].1.name, "r");
        assert_eq!(client.read(|tables| tables.table::<Router>().unwrap().len()), 1);
        let error = client.monitor::<Switch>().await.unwrap_err();
        assert_eq!(error.to_string(), "the client monitors the table Switch already");

        // The changes of a transaction arrive before its outcome, and are joined if nobody took them in between.
        client.transact(&comment()).await.unwrap();
        assert_eq!(switches.get(Uuid::from_u128(1)).unwrap().name, "c");
        let changes = switches.take_changes();
        assert_eq!(names(&changes), ["a c", "- x"]);

        // After a snapshot, only the real differences.
        assert_eq!(names(&switches.next().await.unwrap()), ["c -"]);
    };
    let (_peer, ()) = join!(script, program);
}

#[tokio::test(start_paused = true)]
async fn table_can_be_added_and_dropped_at_any_time() {
    let server = Server::unix();
    let client = client(&server);
    let script = async {
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, id(1), {"Switch": row("initial", 1, "a")}])).await;
        let cancel = peer.expect("monitor_cancel").await;
        peer.reply(&cancel, &json!({})).await;
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert_eq!(request["params"][2]["Router"][0]["where"], json!([["name", "==", "r"]]));
        let rows = json!({"Switch": row("initial", 1, "a"), "Router": row("initial", 2, "r")});
        peer.reply(&request, &json!([false, id(1), rows])).await;
        // Switches are not monitored any more, but the server does not know that.
        let echo = peer.expect("echo").await;
        let change = json!({"Switch": row("insert", 5, "y"), "Router": row("insert", 6, "r")});
        peer.notify("update3", &json!(["session1", id(2), change])).await;
        peer.reply(&echo, &json!([])).await;

        drop(peer);
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        assert!(request["params"][2]["Switch"].is_null());
        assert_eq!(request["params"][3], json!(id(0)));
        peer.reply(&request, &json!([false, id(2), {"Router": row("initial", 6, "r")}])).await;
        let change = peer.expect("monitor_cond_change").await;
        assert_eq!(change["params"][2], json!({"Router": [{"where": [true]}]}));
        peer.notify("update3", &json!(["session", id(2), {"Router": row("insert", 7, "s")}])).await;
        peer.reply(&change, &json!({})).await;
        peer
    };
    let program = async {
        let mut switches = client.monitor::<Switch>().await.unwrap();
        assert_eq!(names(&switches.next().await.unwrap()), ["- a"]);
        let only = RowFilter::Any(vec![Router::COLUMNS.name.eq("r")]);
        let mut routers = client.monitor_rows::<Router>(only).await.unwrap();
        assert_eq!(routers.next().await.unwrap().len(), 1);
        assert!(switches.take_changes().is_empty(), "it is as it was");
        drop(switches);
        client.echo().await.unwrap();
        assert_eq!(routers.next().await.unwrap().len(), 1);
        assert_eq!(routers.next().await.unwrap().len(), 1, "row 2 is gone with the connection");
        let nope = RowFilter::Any(vec![Router::COLUMNS.nope.eq(1)]);
        let error = routers.set_condition(nope).await.unwrap_err();
        assert_eq!(error.to_string(), "the column Router.nope is not monitored");
        routers.set_condition(RowFilter::All).await.unwrap();
        assert_eq!(routers.rows().len(), 2);
    };
    let (_peer, ()) = join!(script, program);
}

/// Found by a reading: it was ready until the next call failed.
#[tokio::test(start_paused = true)]
async fn client_is_not_ready_while_a_converted_schema_is_adopted() {
    let server = Server::unix();
    let mut client = client(&server);
    let rows = json!([false, id(1), {"Switch": row("initial", 1, "a")}]);
    let script = async {
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &rows).await;
        peer
    };
    let (mut peer, monitor) = join!(script, client.monitor::<Switch>());
    let _monitor = monitor.unwrap();
    assert!(client.status().is_ready);
    peer.notify("monitor_canceled", &json!(["session"])).await;
    while client.status_changed().await.unwrap().is_ready {}
    let script = async {
        let request = peer.expect("get_schema").await;
        peer.reply(&request, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &rows).await;
    };
    join!(script, async { client.ready().await.unwrap() });
}

/// A table that no server has must not block the client otherwise.
#[tokio::test(start_paused = true)]
async fn impossible_monitor_fails_and_leaves_the_client_usable() {
    let server = Server::unix();
    let client = client(&server);
    let script = async {
        handshake_with(&server, &schema()).await.closed().await;
        let mut peer = handshake_with(&server, &schema()).await;
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
        peer
    };
    let program = async {
        let invalid = RowFilter::Any(vec![Switch::COLUMNS.name.eq("\0")]);
        assert!(client.monitor_rows::<Switch>(invalid).await.unwrap_err().is_invalid_request());
        let error = client.clone().fail_fast().monitor::<Nowhere>().await.unwrap_err();
        assert!(error.is_unavailable() && error.to_string().contains("Nowhere"), "{error}");
        client.echo().await.unwrap();
    };
    let (_peer, ()) = join!(script, program);
}

#[tokio::test(start_paused = true)]
async fn monitor_ends_with_the_driver() {
    let server = Server::unix();
    let (client, driver) = Client::connect(config(&server));
    let running = tokio::spawn(driver);
    let script = async {
        let mut peer = handshake_with(&server, &schema()).await;
        let request = peer.expect("monitor_cond_since").await;
        peer.reply(&request, &json!([false, id(1), {}])).await;
        peer
    };
    let (monitor, peer) = join!(client.monitor::<Switch>(), script);
    let mut switches = monitor.unwrap();
    // The monitor alone keeps the driver running.
    drop(client);
    yield_now().await;
    assert!(!running.is_finished());
    running.abort();
    assert_eq!(switches.next().await.unwrap_err().to_string(), "the driver of the client has ended");
    drop(peer);
}
