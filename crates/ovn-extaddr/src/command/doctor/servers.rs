//! The database's servers, each by itself, and the holder of the lock.

use std::time::{Duration, Instant};

use ovsdb_protocol::{Client, Destination, Endpoint, Error, LockStatus, ServerRole, ServerUnusable};
use tokio::time::timeout;

use super::{Finding, Level};
use crate::access;
use crate::reach::{Found, ask, resolve};
use crate::settings::Settings;

/// The advice if no better one is known.
const CURE: &str = "see whether the server runs and listens there, and what it logs";

/// Checks every server. Returns whether one has the database and can be read.
pub(super) async fn look(settings: &Settings, limit: Duration, findings: &mut Vec<Finding>) -> bool {
    let (mut reached, mut read_only, mut leader) = (false, false, None);
    for remote in settings.remotes.endpoints() {
        let destinations = match resolve(remote, limit).await {
            Ok(destinations) => destinations,
            Err(error) => {
                let message = format!("{remote}: {error:#}");
                findings.push(Finding::new("connection", Level::Problem, message, cure(remote, &error)));
                continue;
            }
        };
        for destination in destinations {
            let (finding, found) = server(&destination, settings, limit).await;
            findings.push(finding);
            let Some(found) = found else { continue };
            reached = true;
            match found {
                Found { is_read_only: true, .. } => read_only = true,
                Found { client, role: ServerRole::Standalone | ServerRole::Leader, .. } => {
                    leader = Some(client)
                }
                Found { .. } => {}
            }
        }
    }
    match leader {
        Some(client) => findings.push(lock(&client, settings, limit).await),
        None if read_only => findings.push(Finding::new(
            "leader",
            Level::Problem,
            "none of these servers takes writes, and no agent can do anything",
            "name the active server in db, too, or make one of these it: ovs-appctl -t SERVER \
             ovsdb-server/disconnect-active-ovsdb-server",
        )),
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

/// Checks one server.
async fn server(destination: &Destination, settings: &Settings, limit: Duration) -> (Finding, Option<Found>) {
    let start = Instant::now();
    match timeout(limit, ask(destination, settings, limit)).await {
        Err(_) => {
            let message = format!("{destination}: it is silent for {limit:?}");
            (Finding::new("connection", Level::Problem, message, CURE), None)
        }
        Ok(Err(error)) => {
            let message = format!("{destination}: {error:#}");
            (Finding::new("connection", Level::Problem, message, cure(destination.endpoint(), &error)), None)
        }
        Ok(Ok(found)) => {
            let took = start.elapsed().as_millis();
            let read_only =
                if found.is_read_only { ", which takes no writes: a backup, or read-only" } else { "" };
            let message = format!("{destination}: {}{read_only}, in {took} ms", words(found.role));
            (Finding::good("connection", message), Some(found))
        }
    }
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

/// Requests the lock and gives it back at once: there is no other way to find out whether somebody has it.
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
            format!("no agent of owner {owner} is active: nothing is written or restored"),
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
