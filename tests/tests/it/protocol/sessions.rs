use anyhow::{Context, Result, bail};
use ovn_extaddr_tests::{Addressing, Net, OvsdbServer};
use ovsdb_protocol::{
    Cache, ErrorClass, LockStatus, Outcome, Row, Session, SessionConfig, SessionEvent, Transaction,
};
use serde_json::json;

use super::Follower;
use crate::schema::{another, convert};

const NB: &str = "OVN_Northbound";

fn insert(name: &str) -> Transaction {
    let mut transaction = Transaction::new(NB);
    transaction.insert("Address_Set", Row::new().with("name", name));
    transaction
}

/// Regression: go-ovn#147, go-ovn#148 and openshift/ovn-kubernetes#620, which miss rows that were deleted meanwhile,
/// and libovsdb, which adds every row a second time.
#[tokio::test]
async fn session_survives_a_restart_of_its_server() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let mut net = Net::builder(1).create(&server)?;
    let instances = net.add_instances(20, Addressing::Static)?;
    for remote in [server.remote(), server.tcp_remote()] {
        let mut follower = Follower::connect(&remote)?;
        follower.catch_up(&server).await?;
        let rows = follower.copy.len();
        assert_eq!(follower.told, [rows, 0, 0]);

        // The session is not awaited, so that it misses all of this.
        server.kill9()?;
        server.start()?;
        net.remove_instance(&net_port(&follower)?)?;
        net.annotate_router("address.external", Some(&remote))?;
        net.add_instance(Addressing::Static)?;

        let mut lost = 0;
        loop {
            match follower.next().await? {
                SessionEvent::Disconnected { .. } => lost += 1,
                SessionEvent::Synced { .. } => break,
                _ => {}
            }
        }
        assert!(lost > 0);
        follower.catch_up(&server).await?;
        // A port more and a port less; their switch and the router changed.
        assert_eq!(follower.told, [rows + 1, 2, 1]);
    }
    assert_eq!(instances.len(), 20);
    Ok(())
}

/// The name of an instance's port that is still there.
fn net_port(follower: &Follower) -> Result<String> {
    let ports = follower.cache.rows("Logical_Switch_Port");
    let mut names = ports.filter_map(|(_, row)| Some(row.get("name")?.as_str()?.to_owned()));
    names.find(|name| name.contains("-instance-")).context("no port of an instance")
}

/// Rule: the changes of the client's own transaction are reported before its reply.
#[tokio::test]
async fn update_of_an_own_transaction_precedes_its_reply() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    let mut follower = Follower::new(&server)?;
    follower.synced().await?;
    for name in ["a", "b", "a"] {
        let id = follower.session.transact(&insert(name))?;
        let outcome = loop {
            if let SessionEvent::Completed { id: completed, outcome } = follower.next().await? {
                assert_eq!(completed, id);
                break outcome;
            }
        };
        match outcome {
            Outcome::Committed(results) => {
                let uuid = results.uuid(0).context("an insert")?;
                assert!(follower.cache.get("Address_Set", &uuid).is_some(), "{name}");
            }
            Outcome::Refused(refusal) => assert_eq!(refusal.class(), ErrorClass::Conflict, "{refusal:?}"),
            Outcome::Unknown => bail!("{name} is unknown"),
        }
    }
    assert_eq!(follower.told, [2, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn lock_passes_to_the_next_session() -> Result<()> {
    let mut server = OvsdbServer::northbound()?;
    let locked = || -> Result<Follower> {
        let mut config = SessionConfig::new(server.remote().parse()?, NB);
        config.lock = Some("leader".parse()?);
        Ok(Follower::with(Session::new(config), Cache::everything()))
    };
    let (mut one, mut two) = (locked()?, locked()?);
    one.synced().await?;
    two.synced().await?;
    assert_eq!(one.session.lock_status(), LockStatus::Held(1));
    assert_eq!(two.session.lock_status(), LockStatus::Waiting);

    // From one to the other and back. A client whose lock was stolen is in the queue, even if it had stolen it.
    two.session.steal_lock()?;
    assert_eq!(next_lock(&mut two).await?, LockStatus::Held(1));
    assert_eq!(next_lock(&mut one).await?, LockStatus::Waiting);
    one.session.steal_lock()?;
    assert_eq!(next_lock(&mut one).await?, LockStatus::Held(2));
    assert_eq!(next_lock(&mut two).await?, LockStatus::Waiting);

    drop(one);
    assert_eq!(next_lock(&mut two).await?, LockStatus::Held(2));
    server.restart()?;
    assert_eq!(next_lock(&mut two).await?, LockStatus::None);
    assert_eq!(next_lock(&mut two).await?, LockStatus::Held(3));
    Ok(())
}

async fn next_lock(follower: &mut Follower) -> Result<LockStatus> {
    loop {
        if let SessionEvent::Lock(status) = follower.next().await? {
            return Ok(status);
        }
    }
}

/// Rule: a standalone server does not report a conversion in `_Server`; `get_schema` shows it.
#[tokio::test]
async fn converted_schema_of_a_standalone_server_is_adopted() -> Result<()> {
    let server = OvsdbServer::northbound()?;
    server.transact(vec![json!({"op": "insert", "table": "Address_Set", "row": {"name": "a"}})])?;
    let mut follower = Follower::new(&server)?;
    follower.catch_up(&server).await?;

    convert(&server.remote(), server.dir(), another)?;

    follower.synced().await?;
    follower.catch_up(&server).await?;
    assert_eq!(follower.told, [1, 1, 0], "the row has a column more");
    assert!(!follower.cache.tables().any(|table| table == "Static_MAC_Binding"));
    Ok(())
}
