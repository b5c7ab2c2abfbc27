//! The argument that names a port, and the port that it means.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;
use extaddr_core::DATABASE;
use extaddr_core::names::Meaning;
use ovsdb_protocol::{Client, Condition, Datum, Transaction};

use super::complete;
use super::style::clean;
use crate::observe::{Lookup, Progress, SOURCES_TIMEOUT};
use crate::reach::{Deadline, commit};
use crate::settings::Settings;

/// The name of a port, completed from the database.
#[derive(Clone, Debug, Args)]
pub(super) struct PortName {
    /// The name of the `Logical_Switch_Port`, or what people call it: `web1` or `web1/eth0` of Incus and LXD, with the
    /// project `shop:web1/eth0`; Neutron's name of the port; `namespace/pod`.
    #[arg(value_name = "PORT", add = ArgValueCompleter::new(complete::ports))]
    port: String,
}

/// Returns the port that a text means.
///
/// # Errors
/// It is not exactly one port.
pub(super) fn only_port(meaning: Meaning, text: &str) -> anyhow::Result<String> {
    // Text from the database must not control the terminal.
    meaning.port(text).map_err(|error| anyhow::Error::msg(clean(&error).into_owned()))
}

/// Checks that a text does not mean several ports, one of which may be missing.
///
/// # Errors
/// It does.
pub(super) fn refuse_several(meaning: &Meaning, text: &str) -> anyhow::Result<()> {
    match meaning {
        Meaning::Several(_) => only_port(meaning.clone(), text).map(drop),
        _ => Ok(()),
    }
}

impl PortName {
    pub(super) fn as_str(&self) -> &str {
        &self.port
    }

    /// Finds what is meant. Display names are only read if no port has the name.
    ///
    /// # Errors
    /// The database cannot be read in time.
    pub(super) async fn meaning(
        &self,
        settings: &Settings,
        client: &Client,
        deadline: Deadline,
    ) -> anyhow::Result<Meaning> {
        let mut transaction = Transaction::new(DATABASE);
        let named = Condition::eq("name", Datum::scalar(&*self.port));
        let found = transaction.select_columns("Logical_Switch_Port", [named], ["name"]);
        let results = commit(client, deadline, &transaction).await?;
        if results.rows(found).is_some_and(|rows| !rows.is_empty()) {
            return Ok(Meaning::Port(self.port.clone()));
        }
        let lookup = deadline
            .await_or(None, Lookup::open(settings, SOURCES_TIMEOUT, Progress::on_terminal()))
            .await??;
        Ok(match lookup.names().find(&self.port) {
            Meaning::Unknown(guess) if !lookup.silent().is_empty() => {
                let silent = lookup.silent().join(" and ");
                Meaning::Unknown(format!("{guess}; {silent} cannot be read, and may know it"))
            }
            meaning => meaning,
        })
    }
}
