//! Sessions against RAFT clusters and relays.

use anyhow::{Context, Result, bail};
use ovn_extaddr_tests::{Cluster, Northbound, Relay, Snapshot};
use ovsdb_protocol::{
    Cache, LockStatus, Outcome, Row, ServerRole, ServerUnusable, Session, SessionConfig, SessionEvent,
    StorageModel, Transaction,
};
use serde_json::{Value, json};

use crate::protocol::Follower;
use crate::schema::{another, convert};

const NB: &str = "OVN_Northbound";

fn follower(remotes: &str, change: impl FnOnce(&mut SessionConfig)) -> Result<Follower> {
    let mut config = SessionConfig::new(remotes.parse()?, NB);
    change(&mut config);
    Ok(Follower::with(Session::new(config), Cache::everything()))
}

/// Inserts rows in several transactions: ovsdb-server keeps at most as much history as present data.
fn fill(cluster: &Cluster, from: usize) -> Result<()> {
    let set = |name: String| json!({"op": "insert", "table": "Address_Set", "row": {"name": name}});
    for n in from..from + 10 {
        cluster.transact((0..10).map(|k| set(format!("set{n}x{k}"))).collect::<Vec<Value>>())?;
    }
    Ok(())
}

fn insert(name: &str) -> Transaction {
    let mut transaction = Transaction::new(NB);
    transaction.insert("Address_Set", Row::new().with("name", name));
    transaction
}

async fn committed(follower: &mut Follower, transaction: &Transaction) -> Result<()> {
    let id = follower.session.transact(transaction)?;
    loop {
        match follower.next().await? {
            SessionEvent::Completed { id: completed, outcome: Outcome::Committed(_) } if completed == id => {
                return Ok(());
            }
            SessionEvent::Completed { outcome, .. } => bail!("{outcome:?}"),
            _ => {}
        }
    }
}

/// Continues until a server is left or was never used, and returns the reason.
async fn left(follower: &mut Follower) -> Result<ServerUnusable> {
    loop {
        if let SessionEvent::Disconnected { error, .. } = follower.next().await? {
            return error.as_server_unusable().cloned().with_context(|| error.to_string());
        }
    }
}

async fn locked(follower: &mut Follower) -> Result<LockStatus> {
    loop {
        if let SessionEvent::Lock(status) = follower.next().await? {
            return Ok(status);
        }
    }
}

/// Continues until the session is connected to this member.
async fn reach(follower: &mut Follower, remote: &str) -> Result<()> {
    let remote = remote.parse()?;
    while follower.session.remote() != Some(&remote) || !follower.session.is_synced() {
        follower.next().await?;
    }
    Ok(())
}

/// Regression: kube-ovn#7519 and kube-ovn#7497, whose caches never recover from a new leader.
#[tokio::test]
async fn session_follows_the_leader() -> Result<()> {
    for size in [3, 5] {
        let mut cluster = Cluster::northbound(size)?;
        fill(&cluster, 0)?;
        let mut session = follower(&cluster.remotes(), |_| {})?;
        session.reach(&cluster.snapshot()?).await?;
        assert_eq!(session.session.role(), Some(ServerRole::Leader));

        let mut rows = 100;
        for round in 1..=2 {
            let new = cluster.transfer_leadership()?;
            fill(&cluster, 10 * round)?;
            rows += 100;
            let remote = cluster.member(new).remote();
            reach(&mut session, &remote).await?;
            session.reach(&cluster.snapshot()?).await?;
            assert_eq!(session.told, [rows, 0, 0], "no row twice, none deleted");
        }

        let leader = cluster.leader()?;
        cluster.member(leader).kill9()?;
        let new = cluster.leader()?;
        fill(&cluster, 30)?;
        committed_somewhere(&mut session).await?;
        let remote = cluster.member(new).remote();
        reach(&mut session, &remote).await?;
        session.reach(&cluster.snapshot()?).await?;
        assert_eq!(session.told, [rows + 101, 0, 0]);
        assert_eq!(session.cache.error(), None);
        cluster.member(leader).restart()?;
        cluster.check()?;
    }
    Ok(())
}

/// Commits a row as soon as there is a leader to commit it.
async fn committed_somewhere(follower: &mut Follower) -> Result<()> {
    // The loss of the connection to the dead leader has to be detected first.
    while !matches!(follower.next().await?, SessionEvent::Disconnected { .. }) {}
    while !follower.session.is_synced() {
        follower.next().await?;
    }
    committed(follower, &insert("after")).await
}

/// Regression: libovsdb#250 and libovsdb#283; every client that forgets the id of a reply pays with the whole database here.
#[tokio::test]
async fn new_leader_sends_only_the_differences() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    fill(&cluster, 0)?;
    let mut session = follower(&cluster.remotes(), |_| {})?;
    session.reach(&cluster.snapshot()?).await?;
    assert_eq!(session.session.received().1, 100);

    // The first reply, an update, and the reply of a resumption name the transaction to resume from.
    for name in ["a", "b", "c"] {
        let new = cluster.transfer_leadership()?;
        cluster.transact(vec![json!({"op": "insert", "table": "Address_Set", "row": {"name": name}})])?;
        let remote = cluster.member(new).remote();
        loop {
            if let SessionEvent::Synced { resumed } = session.next().await? {
                assert!(resumed, "{name}");
                break;
            }
        }
        reach(&mut session, &remote).await?;
        session.reach(&cluster.snapshot()?).await?;
        assert!(session.session.received().1 <= 1, "{} rows", session.session.received().1);
    }
    assert_eq!(session.told, [103, 0, 0]);
    Ok(())
}

#[tokio::test]
async fn follower_is_used_where_any_server_is_allowed() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    fill(&cluster, 0)?;
    let leader = cluster.leader()?;
    let remote = cluster.member((leader + 1) % 3).remote();
    let mut strict = follower(&remote, |_| {})?;
    assert_eq!(left(&mut strict).await?, ServerUnusable::NotLeader);

    let mut session = follower(&remote, |config| {
        config.leader_only = false;
        config.lock = Some(ovsdb_protocol::LockName::sanitized("ovn_extaddr"));
    })?;
    session.reach(&cluster.snapshot()?).await?;
    let server = session.session.server().context("it describes itself")?;
    assert_eq!((server.model, server.leader, server.connected), (StorageModel::Clustered, false, true));
    assert!(server.cluster_id.is_some() && server.server_id.is_some() && server.index.is_some());
    let cluster_id = server.cluster_id;
    committed(&mut session, &insert("through the follower")).await?;
    session.reach(&cluster.snapshot()?).await?;
    assert_eq!(session.session.lock_status(), LockStatus::None, "a lock of a follower excludes nobody");

    // It is requested on the same connection once it is meaningful.
    cluster.member(leader).kill9()?;
    let new = cluster.leader()?;
    if cluster.member(new).remote() == remote {
        assert_eq!(locked(&mut session).await?, LockStatus::Held(1));
    }

    let all = cluster.remotes();
    let mut pinned = follower(&all, |config| config.cluster_id = cluster_id)?;
    pinned.synced().await?;
    let other = ovsdb_protocol::Uuid::from_u128(1);
    let remote = cluster.member(new).remote();
    let mut pinned = follower(&remote, |config| config.cluster_id = Some(other))?;
    let why = ServerUnusable::OtherCluster { found: cluster_id, wanted: other };
    assert_eq!(left(&mut pinned).await?, why);
    Ok(())
}

/// Regression: libovsdb, which treats a relay as a leader.
#[tokio::test]
async fn relay_is_not_taken_for_a_leader() -> Result<()> {
    let cluster = Cluster::northbound(3)?;
    fill(&cluster, 0)?;
    let mut relay = Relay::start(&cluster.remotes())?;
    let remote = relay.server().remote();
    let mut strict = follower(&remote, |_| {})?;
    let why = loop {
        let SessionEvent::Disconnected { error, .. } = strict.next().await? else { continue };
        match error.as_server_unusable() {
            // At first it may not have data from its source, and when it gets data, it breaks connections.
            None | Some(ServerUnusable::NoSchema(StorageModel::Relay)) => {}
            Some(why) => break why.clone(),
        }
    };
    assert_eq!(why, ServerUnusable::Relay);

    let mut session = follower(&remote, |config| {
        config.leader_only = false;
        config.lock = Some(ovsdb_protocol::LockName::sanitized("ovn_extaddr"));
    })?;
    session.reach(&cluster.snapshot()?).await?;
    assert_eq!(session.session.role(), Some(ServerRole::Relay));
    assert_eq!(session.session.lock_status(), LockStatus::None);

    let mut orphan = Relay::start("unix:/nowhere")?;
    let mut session = follower(&orphan.server().remote(), |config| config.leader_only = false)?;
    assert_eq!(left(&mut session).await?, ServerUnusable::NoSchema(StorageModel::Relay));
    Ok(())
}

/// Rule: each server process has its own locks, of which those at the leader count.
#[tokio::test]
async fn lock_is_requested_anew_at_the_new_leader() -> Result<()> {
    let cluster = Cluster::northbound(3)?;
    let remotes = cluster.remotes();
    let with_lock = || follower(&remotes, |config| config.lock = "leader".parse().ok());
    let (mut one, mut two) = (with_lock()?, with_lock()?);
    assert_eq!(locked(&mut one).await?, LockStatus::Held(1));
    assert_eq!(locked(&mut two).await?, LockStatus::Waiting);
    cluster.transfer_leadership()?;
    assert_eq!(locked(&mut two).await?, LockStatus::None);
    assert_eq!(locked(&mut two).await?, LockStatus::Held(1));
    assert_eq!(locked(&mut one).await?, LockStatus::None);
    assert_eq!(locked(&mut one).await?, LockStatus::Waiting);
    drop(two);
    assert_eq!(locked(&mut one).await?, LockStatus::Held(2), "another epoch");
    Ok(())
}

#[tokio::test]
async fn frozen_leader_is_left() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    fill(&cluster, 0)?;
    let mut session = follower(&cluster.tcp_remotes(), |config| {
        config.probe = Some(std::time::Duration::from_secs(3));
        config.connect_timeout = std::time::Duration::from_secs(3);
    })?;
    session.reach(&cluster.snapshot()?).await?;
    let old = cluster.leader()?;
    cluster.member(old).daemon().signal("STOP")?;
    let new = cluster.leader_but(Some(old))?;
    let remote = cluster.member(new).tcp_remote();
    reach(&mut session, &remote).await?;
    committed(&mut session, &insert("after")).await?;
    let dump = cluster.member(new).snapshot()?;
    session.reach(&dump).await?;

    // When it continues it has to learn that it does not lead any more, and nobody may follow it meanwhile.
    cluster.member(old).daemon().signal("CONT")?;
    committed(&mut session, &insert("awake")).await?;
    assert_eq!(session.session.remote(), Some(&remote.parse()?));
    Ok(())
}

/// Regression: libovsdb#472 and libovsdb#497, whose `Connected()` reports something else.
#[tokio::test]
async fn leader_without_its_majority_is_left() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    let mut session = follower(&cluster.remotes(), |_| {})?;
    session.synced().await?;
    let leader = cluster.leader()?;
    for n in (0..3).filter(|n| *n != leader) {
        cluster.member(n).kill9()?;
    }
    let why = left(&mut session).await?;
    assert!(matches!(why, ServerUnusable::Disconnected(_) | ServerUnusable::NotLeader), "{why:?}");
    assert!(!session.session.is_synced());
    for n in (0..3).filter(|n| *n != leader) {
        cluster.member(n).restart()?;
    }
    session.synced().await?;
    Ok(())
}

/// Regression: libovsdb#235 and ovn-org/ovn#70: a schema that changes while a client runs.
#[tokio::test]
async fn session_survives_a_schema_conversion_of_its_cluster() -> Result<()> {
    let mut cluster = Cluster::northbound(3)?;
    fill(&cluster, 0)?;
    let mut session = follower(&cluster.remotes(), |_| {})?;
    session.reach(&cluster.snapshot()?).await?;

    let leader = cluster.leader()?;
    convert(&cluster.member(leader).remote(), cluster.dir(), another)?;

    loop {
        match session.next().await? {
            SessionEvent::Synced { .. } => break,
            SessionEvent::Disconnected { error, .. } => bail!("the connection should survive: {error}"),
            _ => {}
        }
    }
    let dump: Snapshot = cluster.snapshot()?;
    session.reach(&dump).await?;
    assert_eq!(session.told, [100, 100, 0], "every row has a column more");
    committed(&mut session, &insert("after")).await
}
