//! `ovn-extaddr set` and `ovn-extaddr unset`

use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ovn_model::{Family, keys};
use ovsdb_protocol::{Client, Condition, Datum, Mutation, Mutator, Outcome, Results, Table, Transaction};

use crate::DATABASE;
use crate::command::output::print;
use crate::command::port::PortName;
use crate::command::reach::{self, Deadline};
use crate::engine::Subject;
use crate::intent;
use crate::observe::Observer;
use crate::ownership::Role;
use crate::plan::RowChange;
use crate::report;
use crate::settings::Settings;
use crate::state::State;
use crate::suggest::did_you_mean;

/// How long the server may take for a transaction, unless --timeout says otherwise.
const ANSWER: Duration = Duration::from_secs(30);

/// Sets intents.
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    port: PortName,

    #[command(flatten)]
    wanted: WantedAddresses,

    /// Wait until the rows are there: in the database's southbound side, or on all hypervisors.
    ///
    /// As `ovn-nbctl --wait`, it waits through a restart of the server, and without --timeout for ever.
    #[arg(long, value_enum, default_value_t = Wait::None)]
    wait: Wait,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct WantedAddresses {
    /// The external IPv4 address, `auto`, or `none`.
    #[arg(long, value_name = "ADDRESS")]
    ipv4: Option<Value<4>>,

    /// The external IPv6 address, `auto`, or `none`.
    #[arg(long, value_name = "ADDRESS")]
    ipv6: Option<Value<6>>,
}

/// Withdraws intents.
#[derive(Debug, Args)]
pub(super) struct Unset {
    #[command(flatten)]
    port: PortName,

    /// Withdraw only the one for IPv4.
    #[arg(long)]
    ipv4: bool,

    /// Withdraw only the one for IPv6.
    #[arg(long)]
    ipv6: bool,
}

/// How far to wait for the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wait {
    /// Not at all.
    None,
    /// Until ovn-northd has the rows in the Southbound database.
    Sb,
    /// Until every hypervisor has them.
    Hv,
}

/// The value of an intent in canonical text, checked against its family.
#[derive(Clone, Debug)]
struct Value<const VERSION: u8>(String);

impl<const VERSION: u8> FromStr for Value<VERSION> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let family = if VERSION == 4 { Family::V4 } else { Family::V6 };
        match intent::parse(text, family) {
            Ok(Some(wanted)) => Ok(Self(wanted.to_string())),
            Ok(None) => Ok(Self("none".to_owned())),
            Err(_) => Err(format!("expected an {family} address, auto or none")),
        }
    }
}

/// How far ovn-northd and the hypervisors are.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NB_Global")]
struct NbGlobal {
    sb_cfg: i64,
    hv_cfg: i64,
}

impl Set {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let deadline = Deadline::of(&settings);
        let client = reach::database(&settings, deadline).await?;
        let wanted = [
            (keys::PORT_IPV4, self.wanted.ipv4.map(|value| value.0)),
            (keys::PORT_IPV6, self.wanted.ipv6.map(|value| value.0)),
        ];
        let wanted: Vec<_> = wanted.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
        write(&client, deadline, self.port.as_str(), |mutations| {
            // A map's insertion leaves a key alone that is there already.
            let old = Datum::set(wanted.iter().map(|(key, _)| *key));
            let new = Datum::map(wanted.iter().map(|(key, value)| (*key, value.as_str())));
            mutations.push(Mutation::delete("external_ids", old));
            mutations.push(Mutation::insert("external_ids", new));
        })
        .await?;
        match self.wait {
            Wait::None => Ok(ExitCode::SUCCESS),
            wait => {
                let families: Vec<_> = Family::ALL
                    .into_iter()
                    .filter(|family| wanted.iter().any(|(key, _)| *key == keys::port_key(*family)))
                    .collect();
                let done = arrival(&client, deadline, &settings, self.port.as_str(), &families, wait);
                deadline.await_or(None, done).await.with_context(|| {
                    let limit = settings.timeout.unwrap_or_default();
                    format!("the intent is set, but has no effect after {limit:?}: see `ovn-extaddr doctor`")
                })?
            }
        }
    }
}

impl Unset {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let deadline = Deadline::of(&settings);
        let client = reach::database(&settings, deadline).await?;
        let both = self.ipv4 == self.ipv6;
        let keys = [(keys::PORT_IPV4, self.ipv4), (keys::PORT_IPV6, self.ipv6)];
        let keys = keys.into_iter().filter(|(_, chosen)| both || *chosen).map(|(key, _)| key);
        let keys = Datum::set(keys);
        write(&client, deadline, self.port.as_str(), |mutations| {
            mutations.push(Mutation::delete("external_ids", keys))
        })
        .await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Changes the `external_ids` of a port.
async fn write(
    client: &Client,
    deadline: Deadline,
    port: &str,
    change: impl FnOnce(&mut Vec<Mutation>),
) -> anyhow::Result<()> {
    let mut mutations = Vec::new();
    change(&mut mutations);
    let named = Condition::eq("name", Datum::scalar(port));
    let mut transaction = Transaction::new(DATABASE);
    let found = transaction.select_columns("Logical_Switch_Port", [named.clone()], ["type"]);
    let changed = transaction.mutate("Logical_Switch_Port", [named], mutations);
    transaction.comment(format!("ovn-extaddr: intent of {port}"));
    let results = commit(client, deadline, &transaction).await?;
    if results.count(changed) != Some(1) {
        let names = port_names(client, deadline).await?;
        let guess = did_you_mean(port, names.iter().map(String::as_str));
        bail!("there is no port {port} in the Northbound database{guess}");
    }
    let kind = results.rows(found).and_then(|rows| rows.first()?.get("type")?.as_str()).unwrap_or_default();
    if !kind.is_empty() {
        eprintln!("ovn-extaddr: port {port} is of type {kind}: only ports of instances get an address");
    }
    Ok(())
}

/// Returns the names of all ports.
async fn port_names(client: &Client, deadline: Deadline) -> anyhow::Result<Vec<String>> {
    let mut transaction = Transaction::new(DATABASE);
    let found = transaction.select_columns("Logical_Switch_Port", [], ["name"]);
    let results = commit(client, deadline, &transaction).await?;
    let rows = results.rows(found).unwrap_or_default().iter();
    Ok(rows.filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect())
}

async fn commit(client: &Client, deadline: Deadline, transaction: &Transaction) -> anyhow::Result<Results> {
    let answered = deadline.await_or(Some(ANSWER), client.transact(transaction)).await;
    match answered
        .context("the server does not answer: look with `ovn-extaddr list` whether it was done")??
    {
        Outcome::Committed(results) => Ok(results),
        Outcome::Refused(refusal) => Err(anyhow::Error::new(refusal.error).context("the database refused")),
        Outcome::Unknown => {
            bail!("the connection was lost: look with `ovn-extaddr list` whether it was done")
        }
    }
}

/// Waits for the agent, then for OVN, as `ovn-nbctl --wait` does.
async fn arrival(
    client: &Client,
    deadline: Deadline,
    settings: &Settings,
    port: &str,
    families: &[Family],
    wait: Wait,
) -> anyhow::Result<ExitCode> {
    let mut observer = Observer::open(settings).await?;
    let port: Arc<str> = port.into();
    let entries = loop {
        let mut entries = report::entries(&observer.store, &observer.engine, &port, None);
        entries.retain(|entry| families.iter().any(|family| family.to_string() == entry.family));
        let pending = entries.iter().any(|entry| entry.state == State::Pending);
        if !pending && !is_unfinished(&observer, &port, families) {
            break entries;
        }
        observer.changed().await?;
    };
    let mut status = ExitCode::SUCCESS;
    for entry in &entries {
        print(&format!("{} {}: {}: {}\n", entry.port, entry.family, entry.state.name(), entry.message))?;
        if !matches!(entry.state, State::Active | State::Foreign | State::Draining) {
            status = ExitCode::FAILURE;
        }
    }
    let mut transaction = Transaction::new(DATABASE);
    transaction.mutate(
        "NB_Global",
        [],
        [Mutation { column: "nb_cfg".into(), mutator: Mutator::Add, value: Datum::scalar(1i64) }],
    );
    let selected = transaction.select_columns("NB_Global", [], ["nb_cfg"]);
    let results = commit(client, deadline, &transaction).await?;
    let rows = results.rows(selected).unwrap_or_default();
    let target =
        rows.first().and_then(|row| row.get("nb_cfg")?.as_integer()).context("there is no nb_cfg")?;
    let mut progress = client.monitor::<NbGlobal>().await?;
    let reached = |global: &NbGlobal| if wait == Wait::Hv { global.hv_cfg } else { global.sb_cfg };
    while !progress.rows().iter().any(|(_, global)| reached(global) >= target) {
        progress.next().await?;
    }
    Ok(status)
}

/// Returns whether the agent has overrides of these families to write or to take away. What it does
/// about connections that finish, nobody waits for.
fn is_unfinished(observer: &Observer, port: &Arc<str>, families: &[Family]) -> bool {
    let (store, engine) = (&observer.store, &observer.engine);
    engine.changes(store, &Subject::Port(Arc::clone(port))).iter().any(|change| {
        let external = match change {
            RowChange::Insert(row) | RowChange::Update(_, row) if !row.is_drain() => Some(row.external),
            RowChange::Delete(id, _) => store
                .nat(*id)
                .filter(|nat| engine.owner().role(nat) != Some(Role::Drain))
                .and_then(|nat| nat.external_ip()),
            _ => None,
        };
        external.is_some_and(|address| families.contains(&Family::of(address)))
    })
}
