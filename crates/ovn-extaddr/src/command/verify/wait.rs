//! Waiting until an override is verified, for `set --verify`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use extaddr_core::state::State;
use extaddr_core::verify::Outcome;
use ovn_model::Family;
use tokio::time::{Instant, timeout_at};

use super::{Verified, look, subjects, tree};
use crate::command::output::print;
use crate::command::style::Palette;
use crate::observe::Observer;
use crate::reach::Deadline;
use crate::settings::Settings;
use crate::southbound::{Databases, Sessions};

/// The time to wait unless `--timeout` says otherwise.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The pause between two verifications, besides the time that one takes.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until no intent for a port in these families fails any more, or waiting does not help; prints the last findings.
///
/// # Errors
/// A database cannot be read, or no intent for the port is in force although one `is_wanted`.
pub(in crate::command) async fn wait(
    settings: &Settings,
    deadline: Deadline,
    port: &str,
    families: &[Family],
    is_wanted: bool,
    palette: Palette,
) -> anyhow::Result<ExitCode> {
    let mut found = None;
    let verified = until_verified(settings, deadline, port, families, is_wanted, &mut found);
    let is_verified = match deadline.await_or(Some(TIMEOUT), verified).await {
        Ok(ended) => ended?,
        Err(_) => false,
    };
    let Some(found) = found else { bail!("the intent is set, but no database says in time what came of it") };
    print(&found.iter().map(|verified| tree(verified, palette)).collect::<String>())?;
    Ok(if is_verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Verifies repeatedly, and stores the last findings. Returns whether nothing fails. It does not wait for failures that
/// need action.
async fn until_verified(
    settings: &Settings,
    deadline: Deadline,
    port: &str,
    families: &[Family],
    is_wanted: bool,
    found: &mut Option<Vec<Verified>>,
) -> anyhow::Result<bool> {
    let databases = Databases::open(Sessions::new(settings), deadline).await?;
    let mut observer = Observer::open(settings).await?;
    let port: Arc<str> = port.into();
    loop {
        let start = Instant::now();
        let mut entries = observer.entries(&port);
        entries.retain(|entry| families.iter().any(|family| family.to_string() == entry.family));
        if entries.is_empty() && is_wanted {
            bail!(
                "no intent for port {port} is in force: it was withdrawn, the port deleted, or its CMS has none: see `ovn-extaddr explain {port}`"
            );
        }
        // A former row may work correctly until the agent changes it.
        let is_pending = entries.iter().any(|entry| matches!(entry.state, State::Pending | State::Contested));
        let is_refused = !is_pending && entries.iter().all(|entry| entry.state != State::Active);
        let verified = look(&databases, subjects(&observer, entries)).await?;
        let has_failed = verified.iter().any(|verified| verified.outcome == Outcome::Failed);
        *found = Some(verified);
        if is_refused || !has_failed && !is_pending {
            return Ok(!has_failed);
        }
        // A verification takes longer in databases with many flows.
        let end = Instant::now() + PAUSE + start.elapsed();
        while timeout_at(end, observer.followed()).await.is_ok() {}
    }
}
