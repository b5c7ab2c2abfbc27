//! `ovn-extaddr set` and `ovn-extaddr unset`

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use extaddr_core::DATABASE;
use extaddr_core::change::RowChange;
use extaddr_core::engine::ReconcileKey;
use extaddr_core::names::Meaning;
use extaddr_core::ownership::Role;
use extaddr_core::reason::Code;
use extaddr_core::sources::nic::Nic;
use extaddr_core::state::State;
use extaddr_core::wanted;
use ovn_model::{Family, keys};
use ovsdb_protocol::{Client, Condition, Datum, ErrorClass, Mutation, Mutator, Outcome, Table, Transaction};
use tokio::time::sleep;

use crate::command::output::print;
use crate::command::port::{PortName, only_port};
use crate::command::style::{Palette, clean};
use crate::command::verify;
use crate::observe::Observer;
use crate::reach::{self, Deadline, commit};
use crate::settings::Settings;

/// The pause before a transaction is repeated that a server cannot execute at the moment.
const PAUSE: Duration = Duration::from_secs(1);

/// Sets intents.
#[derive(Debug, Args)]
pub(super) struct Set {
    #[command(flatten)]
    port: PortName,

    #[command(flatten)]
    wanted: WantedAddresses,

    /// Keep the intent in the database rather than at the port, so that it outlives the port; the port need not be there.
    #[arg(long)]
    keep: bool,

    /// Wait until the rows are there: in the database's southbound side, or on all hypervisors.
    ///
    /// As `ovn-nbctl --wait`, it waits through a restart of the server, and without --timeout for ever.
    #[arg(long, value_enum, default_value_t = Wait::None)]
    wait: Wait,

    /// Wait until `verify` finds that the data plane does it, or say what is missing after --timeout, else a minute.
    #[arg(long)]
    verify: bool,
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
        match wanted::parse(text, family) {
            Ok(Some(wanted)) => Ok(Self(wanted.to_string())),
            Ok(None) => Ok(Self("none".to_owned())),
            Err(_) => Err(format!("expected an {family} address, auto or none")),
        }
    }
}

/// The progress of ovn-northd and the hypervisors.
#[derive(Clone, Debug, Table)]
#[ovsdb(table = "NB_Global")]
struct NbGlobal {
    sb_cfg: i64,
    hv_cfg: i64,
}

impl Set {
    pub(super) async fn run(self, settings: Settings, palette: Palette) -> anyhow::Result<ExitCode> {
        let deadline = Deadline::from_settings(&settings);
        let client = reach::database(&settings, deadline).await?;
        let (port, guess) = match self.port.meaning(&settings, &client, deadline).await? {
            Meaning::Unknown(guess) if self.keep => (self.port.as_str().to_owned(), guess),
            Meaning::Absent { port: Some(port), .. } if self.keep => (port, String::new()),
            meaning => (only_port(meaning, self.port.as_str())?, String::new()),
        };
        let port = port.as_str();
        let wanted = [
            (Family::V4, self.wanted.ipv4.map(|value| value.0)),
            (Family::V6, self.wanted.ipv6.map(|value| value.0)),
        ];
        let wanted: Vec<_> =
            wanted.into_iter().filter_map(|(family, value)| Some((family, value?))).collect();
        let on_port: Vec<_> = wanted.iter().map(|(family, _)| keys::port_key(*family)).collect();
        let mut change = IntentChange::default();
        // An insertion into a map does not change an existing key.
        change.on_port.push(Mutation::delete("external_ids", Datum::set(on_port.iter().copied())));
        if self.keep {
            // The port's own keys would take precedence.
            let kept: Vec<_> = wanted.iter().map(|(family, _)| keys::kept_key(*family, port)).collect();
            change.kept.push(Mutation::delete("external_ids", Datum::set(kept.iter().map(String::as_str))));
            let pairs = kept.iter().zip(&wanted).map(|(key, (_, value))| (key.as_str(), value.as_str()));
            change.kept.push(Mutation::insert("external_ids", Datum::map(pairs)));
        } else {
            let pairs = on_port.iter().zip(&wanted).map(|(key, (_, value))| (*key, value.as_str()));
            change.on_port.push(Mutation::insert("external_ids", Datum::map(pairs)));
        }
        // Checked before anything is changed: the port's own intent would be gone otherwise.
        if self.keep && !has_global_row(&client, deadline).await? {
            bail!("table NB_Global has no row to keep the intent in: `ovn-nbctl init` makes it");
        }
        let found = change.write(&client, deadline, port).await?;
        let mut hint = None;
        match found.port {
            None if self.keep => {
                eprintln!(
                    "ovn-extaddr: there is no port {port} now{}; the intent waits for it",
                    clean(&guess)
                );
            }
            None => bail!("there is no port {port} now: with --keep, the intent waits for it"),
            Some(row) => {
                row.warn(port);
                hint = row.hint(port, &settings).filter(|_| !self.keep);
                if hint.is_none() && wanted.iter().any(|(_, value)| value != "none") {
                    hint = row.beside_neutron();
                }
            }
        }
        let mut status = match self.wait {
            Wait::None => ExitCode::SUCCESS,
            wait => {
                let families: Vec<_> = wanted.iter().map(|(family, _)| *family).collect();
                let done = arrival(&client, &settings, port, &families, wait);
                deadline.await_or(None, done).await.with_context(|| {
                    let limit = settings.timeout.unwrap_or_default();
                    format!("the intent is set, but has no effect after {limit:?}: see `ovn-extaddr doctor`")
                })??
            }
        };
        if self.verify && status == ExitCode::SUCCESS {
            let families: Vec<_> = wanted.iter().map(|(family, _)| *family).collect();
            let is_wanted = wanted.iter().any(|(_, value)| value != "none");
            status = verify::wait(&settings, deadline, port, &families, is_wanted, palette).await?;
        }
        if let Some(hint) = hint {
            eprintln!("ovn-extaddr: {hint}");
        }
        Ok(status)
    }
}

impl Unset {
    pub(super) async fn run(self, settings: Settings) -> anyhow::Result<ExitCode> {
        let deadline = Deadline::from_settings(&settings);
        let client = reach::database(&settings, deadline).await?;
        let meaning = self.port.meaning(&settings, &client, deadline).await?;
        let port = only_port(meaning, self.port.as_str())?;
        let port = port.as_str();
        let both = self.ipv4 == self.ipv6;
        let families = [(Family::V4, self.ipv4), (Family::V6, self.ipv6)];
        let families = families.into_iter().filter(|(_, chosen)| both || *chosen).map(|(family, _)| family);
        let families: Vec<_> = families.collect();
        let kept: Vec<_> = families.iter().map(|family| keys::kept_key(*family, port)).collect();
        let on_port = Datum::set(families.iter().map(|family| keys::port_key(*family)));
        let change = IntentChange {
            on_port: vec![Mutation::delete("external_ids", on_port)],
            kept: vec![Mutation::delete("external_ids", Datum::set(kept.iter().map(String::as_str)))],
        };
        let found = change.write(&client, deadline, port).await?;
        let was_kept = kept.iter().any(|key| found.kept.contains(key));
        match found.port {
            None if !was_kept => bail!("there is no port {port}, and nothing is kept for it"),
            Some(row) => row.warn(port),
            None => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Returns whether the database has the row in which intents are kept.
async fn has_global_row(client: &Client, deadline: Deadline) -> anyhow::Result<bool> {
    let mut transaction = Transaction::new(DATABASE);
    let found = transaction.select_columns("NB_Global", [], ["_uuid"]);
    let results = commit(client, deadline, &transaction).await?;
    Ok(results.rows(found).is_some_and(|rows| !rows.is_empty()))
}

/// Changes of the `external_ids` with the intents for a port: its own, and the database's.
#[derive(Debug, Default)]
struct IntentChange {
    on_port: Vec<Mutation>,
    kept: Vec<Mutation>,
}

/// The state before a change.
#[derive(Debug)]
struct Found {
    port: Option<PortRow>,
    /// The keys of the database with kept intents for any port.
    kept: BTreeSet<String>,
}

#[derive(Debug)]
struct PortRow {
    kind: String,
    vendor: Option<String>,
    is_pod: bool,
    is_neutrons: bool,
}

impl IntentChange {
    async fn write(self, client: &Client, deadline: Deadline, port: &str) -> anyhow::Result<Found> {
        let named = Condition::eq("name", Datum::scalar(port));
        let mut transaction = Transaction::new(DATABASE);
        let found =
            transaction.select_columns("Logical_Switch_Port", [named.clone()], ["type", "external_ids"]);
        transaction.mutate("Logical_Switch_Port", [named], self.on_port);
        let kept = (!self.kept.is_empty()).then(|| {
            let kept = transaction.select_columns("NB_Global", [], ["external_ids"]);
            transaction.mutate("NB_Global", [], self.kept);
            kept
        });
        transaction.comment(format!("ovn-extaddr: intent of {port}"));
        let results = commit(client, deadline, &transaction).await?;
        let rows = results.rows(found).unwrap_or_default();
        let port = rows.first().map(|row| {
            let noted = |key: &str| row.get("external_ids")?.get(key)?.as_str();
            PortRow {
                kind: row.get("type").and_then(Datum::as_str).unwrap_or_default().to_owned(),
                vendor: noted("vendor").map(str::to_owned),
                is_pod: noted("pod") == Some("true"),
                is_neutrons: noted("neutron:port_name").is_some(),
            }
        });
        let rows = kept.and_then(|kept| results.rows(kept)).unwrap_or_default();
        let ids = rows.iter().filter_map(|row| row.get("external_ids")).flat_map(Datum::pairs);
        Ok(Found { port, kept: ids.filter_map(|(key, _)| Some(key.as_str()?.to_owned())).collect() })
    }
}

impl PortRow {
    /// Warns of effects of an intent that its user may not expect.
    fn warn(&self, port: &str) {
        if !self.kind.is_empty() {
            eprintln!(
                "ovn-extaddr: port {port} is of type {}: only ports of instances get an address",
                self.kind
            );
        }
    }

    /// Returns a hint if the CMS is known to delete an intent at the port.
    fn hint(&self, port: &str, settings: &Settings) -> Option<String> {
        let nic = Nic::from_port_name(port);
        let (cms, what) = match (&nic, self.vendor.as_deref()) {
            (Some(nic), _) => (nic.kind.title(), "deletes a port, on most releases, when its instance stops"),
            (None, Some("kube-ovn")) => ("kube-ovn", "writes a port from scratch when its pod changes"),
            _ if self.is_pod => ("OVN-Kubernetes", "deletes a port with its pod"),
            _ => return None,
        };
        let asked = nic.filter(|nic| settings.cms.iter().any(|cms| cms.kind == nic.kind)).map(|nic| {
            let Nic { kind, device, .. } = nic;
            format!(
                ", and so does user.{device}.ipv4.address.external (or ipv6) of the instance in {}",
                kind.title()
            )
        });
        Some(format!(
            "{cms} {what}, and the intent goes with it: with --keep it stays{}",
            asked.unwrap_or_default()
        ))
    }

    /// Describes the effects of an override on other things that Neutron manages.
    fn beside_neutron(&self) -> Option<String> {
        self.is_neutrons.then(|| {
            "beside an override, each edit of the port's router in Neutron makes its gateway port again: `ovn-extaddr explain` says more".to_owned()
        })
    }
}

/// Waits for the agent, then for OVN, as `ovn-nbctl --wait` does.
async fn arrival(
    client: &Client,
    settings: &Settings,
    port: &str,
    families: &[Family],
    wait: Wait,
) -> anyhow::Result<ExitCode> {
    let mut observer = Observer::open(settings).await?;
    let port: Arc<str> = port.into();
    let entries = loop {
        let mut entries = observer.entries(&port);
        entries.retain(|entry| families.iter().any(|family| family.to_string() == entry.family));
        // What a CMS wants that cannot be read stays unknown.
        let pending = entries
            .iter()
            .any(|entry| entry.state == State::Pending && entry.reason != Some(Code::SourceUnreachable));
        if !pending && !is_unfinished(&observer, &port, families) {
            break entries;
        }
        observer.followed().await;
    };
    let mut status = ExitCode::SUCCESS;
    for entry in &entries {
        let (shown, message) = (clean(entry.shown()), clean(&entry.message));
        print(&format!("{shown} {}: {}: {message}\n", entry.family, entry.state.name()))?;
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
    let results = loop {
        match client.transact(&transaction).await? {
            Outcome::Committed(results) => break results,
            Outcome::Refused(refusal) => match refusal.class() {
                ErrorClass::Unavailable | ErrorClass::Canceled => sleep(PAUSE).await,
                _ => return Err(anyhow::Error::new(refusal.error).context("the database refused")),
            },
            // It does no harm to add twice.
            Outcome::Unknown => {}
        }
    };
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

/// Returns whether the agent has overrides of these families to write or to delete. Drain rows are not waited for.
fn is_unfinished(observer: &Observer, port: &Arc<str>, families: &[Family]) -> bool {
    let (store, engine) = (&observer.store, &observer.engine);
    engine.changes(store, &ReconcileKey::Port(Arc::clone(port))).iter().any(|change| {
        let external = match change {
            RowChange::Insert(row) | RowChange::Update(_, row) if !row.is_drain() => Some(row.external),
            RowChange::Delete(id, _) => store
                .nat(*id)
                .filter(|nat| engine.owner().role(nat) != Some(Role::Drain))
                .and_then(|nat| nat.external_ip()),
            _ => None,
        };
        external.is_some_and(|address| families.contains(&Family::from(address)))
    })
}
