//! Completion of names from the database, for the tabulator key: nothing if the database does not answer at once.

use std::collections::BTreeSet;
use std::env;
use std::ffi::{OsStr, OsString};
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches};
use clap_complete::CompletionCandidate;
use extaddr_core::DATABASE;
use ovsdb_protocol::{Outcome, Transaction};
use tokio::time::timeout;

use super::Cli;
use crate::observe::{Lookup, Progress};
use crate::reach::{Deadline, database};
use crate::settings::{Options, Settings};

/// The time that a completion may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The maximum number of candidates: more are of no use, and shells ask before they show so many.
const MAX_CANDIDATES: usize = 500;

/// The part of that time that CMSes may take; afterwards the names in the database are offered alone.
const SOURCES_TIMEOUT: Duration = Duration::from_secs(1);

/// Offers the ports of instances, by their display names.
pub(super) fn ports(current: &OsStr) -> Vec<CompletionCandidate> {
    let text = current.to_string_lossy();
    let names = block_on(async {
        let lookup = Lookup::open(&settings()?, SOURCES_TIMEOUT, Progress::hidden()).await.ok()?;
        Some(lookup.names().completions(&text))
    });
    candidates(names.into_iter().flatten())
}

/// Offers the routers.
pub(super) fn routers(current: &OsStr) -> Vec<CompletionCandidate> {
    let prefix = current.to_string_lossy();
    let names = block_on(router_names());
    candidates(names.into_iter().flatten().filter(|name| name.starts_with(&*prefix)))
}

fn candidates(names: impl IntoIterator<Item = String>) -> Vec<CompletionCandidate> {
    // A shell reads one name per line, and shows it on a terminal.
    let names = names.into_iter().filter(|name| !name.contains(char::is_control));
    names.take(MAX_CANDIDATES).map(CompletionCandidate::new).collect()
}

fn block_on<T>(future: impl Future<Output = Option<T>>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
    let found = runtime.block_on(async { timeout(TIMEOUT, future).await.ok()? });
    // A look-up of a host name cannot be cancelled, and is not waited for.
    runtime.shutdown_background();
    found
}

async fn router_names() -> Option<BTreeSet<String>> {
    let settings = settings()?;
    let client = database(&settings, Deadline::from_settings(&settings)).await.ok()?;
    let mut transaction = Transaction::new(DATABASE);
    let found = transaction.select_columns("Logical_Router", [], ["name"]);
    let Ok(Outcome::Committed(results)) = client.transact(&transaction).await else { return None };
    let rows = results.rows(found)?.iter();
    Some(rows.filter_map(|row| Some(row.get("name")?.as_str()?.to_owned())).collect())
}

fn settings() -> Option<Settings> {
    let mut settings = options()?.resolve().ok()?;
    settings.timeout.get_or_insert(TIMEOUT);
    Some(settings)
}

/// Returns the options on the line so far, so that the same database is read as by the command.
fn options() -> Option<Options> {
    // The shell passes: program -- words of the line.
    let mut words: Vec<OsString> = env::args_os().skip_while(|word| word != "--").skip(1).collect();
    // The last word is incomplete. It must not make the others invalid if it needs a value.
    words.pop();
    let matches = Cli::command().ignore_errors(true).try_get_matches_from(words).ok()?;
    let deepest = matches.subcommand().map_or(&matches, |(_, inner)| inner);
    Options::from_arg_matches(deepest).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_reads_the_global_options_of_any_command() {
        let command = Cli::command();
        let matches = command
            .ignore_errors(true)
            .try_get_matches_from(["ovn-extaddr", "explain", "--db", "tcp:127.0.0.1:1", "--owner", "me"])
            .unwrap();
        let (_, inner) = matches.subcommand().unwrap();
        assert!(format!("{:?}", Options::from_arg_matches(inner).unwrap()).contains("127.0.0.1"));
    }
}
