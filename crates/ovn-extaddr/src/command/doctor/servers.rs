//! The database's servers, each by itself, and who has the lock.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ovsdb_protocol::{Client, Condition, Datum, Endpoint, Outcome, Row, Transaction, connect_with};
use tokio::time::timeout;

use super::{Finding, Level};
use crate::settings::Settings;
use crate::{DATABASE, access};

/// Looks at every server. Returns whether one has the database.
pub(super) async fn look(settings: &Settings, limit: Duration, findings: &mut Vec<Finding>) -> bool {
    let (mut reached, mut leader) = (false, None);
    for remote in settings.remotes.endpoints() {
        let start = Instant::now();
        let found = timeout(limit, ask(remote, settings)).await;
        match found.unwrap_or_else(|_| Err(anyhow::anyhow!("it is silent for {limit:?}"))) {
            Err(error) => findings.push(Finding::new(
                "connection",
                Level::Problem,
                format!("{remote}: {error:#}"),
                "see whether the server runs and listens there, and what it logs",
            )),
            Ok((client, role)) => {
                reached = true;
                let took = start.elapsed().as_millis();
                findings
                    .push(Finding::good("connection", format!("{remote}: {}, in {took} ms", role.words())));
                if role.leads() {
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

/// What a server is.
enum Role {
    Standalone,
    Leader,
    Follower,
    Relay,
    Disconnected,
}

impl Role {
    fn of(row: Option<&Row>) -> Self {
        // Servers before Open vSwitch 2.9 say nothing, and have no clusters.
        let Some(row) = row else { return Self::Standalone };
        let is = |column| row.get(column).and_then(Datum::as_bool).unwrap_or(false);
        match row.get("model").and_then(Datum::as_str) {
            Some("clustered" | "relay") if !is("connected") => Self::Disconnected,
            Some("clustered") if is("leader") => Self::Leader,
            Some("clustered") => Self::Follower,
            Some("relay") => Self::Relay,
            _ => Self::Standalone,
        }
    }

    fn leads(&self) -> bool {
        matches!(self, Self::Standalone | Self::Leader)
    }

    fn words(&self) -> &'static str {
        match self {
            Self::Standalone => "a server without a cluster",
            Self::Leader => "the leader of its cluster",
            Self::Follower => "a follower in its cluster",
            Self::Relay => "a relay",
            Self::Disconnected => "cut off from its cluster",
        }
    }
}

async fn ask(remote: &Endpoint, settings: &Settings) -> anyhow::Result<(Client, Role)> {
    let connected = connect_with(remote, &settings.tls).await;
    let (client, _, mut connection) = connected.map_err(|error| match access::hint(remote, &error) {
        Some(hint) => anyhow::Error::new(error).context(hint),
        None => error.into(),
    })?;
    tokio::spawn(async move { connection.run().await });
    let databases = client.list_dbs().await?;
    if !databases.iter().any(|name| name == DATABASE) {
        bail!("it has no {DATABASE}, only {}", databases.join(", "));
    }
    if !databases.iter().any(|name| name == "_Server") {
        return Ok((client, Role::Standalone));
    }
    let mut transaction = Transaction::new("_Server");
    let named = Condition::eq("name", Datum::scalar(DATABASE));
    let found = transaction.select_columns("Database", [named], ["model", "leader", "connected"]);
    let outcome = client.transact(&transaction).await.context("cannot ask it what it is")?;
    let Outcome::Committed(results) = outcome else { bail!("it does not tell what it is") };
    let role = Role::of(results.rows(found).and_then(|rows| rows.first()));
    Ok((client, role))
}

/// Asks for the lock and gives it back at once: nobody tells otherwise who has it.
async fn lock(client: &Client, settings: &Settings, limit: Duration) -> Finding {
    let owner = &settings.rules.owner;
    let asked = async {
        let free = client.lock(&owner.lock()).await?;
        client.unlock(&owner.lock()).await?;
        Ok::<_, ovsdb_protocol::Error>(free)
    };
    match timeout(limit, asked).await {
        Ok(Ok(false)) => Finding::good("lock", format!("an agent of owner {owner} is active")),
        Ok(Ok(true)) => Finding::new(
            "lock",
            Level::Warning,
            format!("no agent of owner {owner} is active: nothing is written or healed"),
            "start one: systemctl start ovn-extaddr, or ovn-extaddr run",
        ),
        Ok(Err(error)) => Finding::new("lock", Level::Warning, error.to_string(), "see what the server logs"),
        Err(_) => Finding::new(
            "lock",
            Level::Warning,
            format!("the server does not say within {limit:?} who has it"),
            "see what the server logs",
        ),
    }
}
