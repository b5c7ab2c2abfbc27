//! The database's servers, each by itself, and who has the lock.

use std::time::{Duration, Instant};

use ovsdb_protocol::{Client, Endpoint, Error, LockStatus, ServerRole, ServerUnusable};
use tokio::time::timeout;

use super::{Finding, Level};
use crate::access;
use crate::command::reach::ask;
use crate::settings::Settings;

/// What to do where nothing better is known.
const CURE: &str = "see whether the server runs and listens there, and what it logs";

/// Looks at every server. Returns whether one has the database, and can tell of it.
pub(super) async fn look(settings: &Settings, limit: Duration, findings: &mut Vec<Finding>) -> bool {
    let (mut reached, mut leader) = (false, None);
    for remote in settings.remotes.endpoints() {
        let start = Instant::now();
        match timeout(limit, ask(remote, settings, limit)).await {
            Err(_) => findings.push(Finding::new(
                "connection",
                Level::Problem,
                format!("{remote}: it is silent for {limit:?}"),
                CURE,
            )),
            Ok(Err(error)) => findings.push(Finding::new(
                "connection",
                Level::Problem,
                format!("{remote}: {error:#}"),
                cure(remote, &error),
            )),
            Ok(Ok((client, role))) => {
                reached = true;
                let took = start.elapsed().as_millis();
                findings
                    .push(Finding::good("connection", format!("{remote}: {}, in {took} ms", words(role))));
                if matches!(role, ServerRole::Standalone | ServerRole::Leader) {
                    leader = Some(client);
                }
            }
        }
    }
    match leader {
        Some(client) => findings.push(lock(&client, settings, limit).await),
        None if reached => findings.push(Finding::new(
            "leader",
            Level::Problem,
            "none of these servers leads its cluster, and no agent writes to another",
            "name all members of the cluster in db, or wait for its election",
        )),
        None => {}
    }
    reached
}

fn words(role: ServerRole) -> &'static str {
    match role {
        ServerRole::Standalone => "a server without a cluster",
        ServerRole::Leader => "the leader of its cluster",
        ServerRole::Follower => "a follower in its cluster",
        ServerRole::Relay => "a relay",
    }
}

fn cure(remote: &Endpoint, error: &Error) -> String {
    match error.as_server_unusable() {
        Some(ServerUnusable::Disconnected(_) | ServerUnusable::NoSchema(_)) => {
            "see that a majority of its members runs and reaches each other: ovs-appctl cluster/status OVN_Northbound"
                .to_owned()
        }
        Some(ServerUnusable::OtherCluster { .. }) => "see cluster-id in the configuration".to_owned(),
        _ => access::hint(remote, error).unwrap_or_else(|| CURE.to_owned()),
    }
}

/// Asks for the lock and gives it back at once: nobody tells otherwise who has it.
async fn lock(client: &Client, settings: &Settings, limit: Duration) -> Finding {
    let owner = &settings.rules.owner;
    let asked = async {
        let lock = client.lock(&owner.lock()).await?;
        let is_free = lock.status() != LockStatus::Waiting;
        lock.release().await?;
        Ok::<_, Error>(is_free)
    };
    match timeout(limit, asked).await {
        Ok(Ok(false)) => Finding::good("lock", format!("an agent of owner {owner} is active")),
        Ok(Ok(true)) => Finding::new(
            "lock",
            Level::Warning,
            format!("no agent of owner {owner} is active: nothing is written or healed"),
            "start one: systemctl start ovn-extaddr, or ovn-extaddr run",
        ),
        Ok(Err(error)) => {
            Finding::new("lock", Level::Warning, format!("{error:#}"), "see what the server logs")
        }
        Err(_) => Finding::new(
            "lock",
            Level::Warning,
            format!("the server does not say within {limit:?} who has it"),
            "see what the server logs",
        ),
    }
}
