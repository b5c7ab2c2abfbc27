//! The first page: the agent's status, the intents, and recent changes.

use askama::Template;
use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use extaddr_core::pages::Page;
use extaddr_core::state::State;
use tokio::task::spawn_blocking;

use super::api::walk;
use super::changes::{self, Recent};
use super::error::{Format, HttpError};
use super::intent::{Badge, Row};
use super::query::Query;
use super::render::{html, visible};
use crate::http::HttpState;
use crate::http::state_query::StateQuery;
use crate::status::Status;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    owner: String,
    version: &'static str,
    uptime: String,
    /// Conditions that need attention.
    alarms: Vec<(&'static str, String)>,
    facts: Vec<(&'static str, Vec<String>)>,
    text: String,
    /// The selected states, for the form.
    states: Vec<&'static str>,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    found: String,
    first: Option<String>,
    next: Option<String>,
    changes: Changes,
}

/// A link to the intents in a state.
struct Tab {
    href: String,
    badge: Option<Badge>,
    count: usize,
    is_current: bool,
}

/// Recent changes, as far as they are known.
enum Changes {
    NoAudit,
    Unreadable(String),
    Known(Vec<Recent>),
}

pub(super) async fn show(Shared(state): Shared<HttpState>, uri: Uri) -> Response {
    match page(&state, &uri).await {
        Ok(page) => html(&page),
        Err(error) => error.answer(Format::Html),
    }
}

async fn page(state: &HttpState, uri: &Uri) -> Result<HomePage, HttpError> {
    let query = Query::parse(uri.query().unwrap_or_default()).map_err(HttpError::query)?;
    let page = walk(&state.queries, query.walk()).await?;
    let status = state.queries.ask(StateQuery::Status).await?;
    let changes = match status.audit.clone() {
        None => Changes::NoAudit,
        Some(path) => {
            let shown = path.display().to_string();
            match spawn_blocking(move || changes::read(&path)).await {
                Ok(Ok(changes)) => Changes::Known(changes),
                Ok(Err(error)) => Changes::Unreadable(format!("{shown}: {error}")),
                Err(error) => Changes::Unreadable(format!("{shown}: {error}")),
            }
        }
    };
    Ok(HomePage::new(&query, page, &status, changes))
}

// ===== impl HomePage =====

impl HomePage {
    fn new(query: &Query, page: Page, status: &Status, changes: Changes) -> Self {
        let Page { entries, next, counts, absent } = page;
        let counts = counts.map_or_else(
            || {
                let mut all: Vec<_> = status.intents.iter().map(|(_, count)| *count).collect();
                // The agent counts decisions; missing ports have none.
                if let Some(waiting) = all.get_mut(State::Waiting as usize) {
                    *waiting += absent;
                }
                all
            },
            Vec::from,
        );
        let total = counts.iter().sum();
        let all = Tab {
            href: query.in_state(None).link("/"),
            badge: None,
            count: total,
            is_current: query.states.is_empty(),
        };
        let of_state = |(state, count): (&State, &usize)| Tab {
            href: query.in_state(Some(*state)).link("/"),
            badge: Some(Badge::from(*state)),
            count: *count,
            is_current: query.states.contains(state),
        };
        let wanted = State::ALL.iter().zip(&counts);
        let wanted = wanted.filter(|(state, _)| query.states.is_empty() || query.states.contains(state));
        let found = wanted.map(|(_, count)| count).sum();
        let tabs = State::ALL
            .iter()
            .zip(&counts)
            .filter(|(state, count)| **count > 0 || query.states.contains(state));
        Self {
            owner: status.owner.clone(),
            version: status.version,
            uptime: duration(status.uptime),
            alarms: alarms(status),
            facts: facts(status),
            text: visible(&query.text).into_owned(),
            states: query.states.iter().map(|state| state.name()).collect(),
            tabs: std::iter::once(all).chain(tabs.map(of_state)).collect(),
            found: said(found, entries.len(), query),
            rows: entries.iter().map(Row::new).collect(),
            first: (!query.is_first()).then(|| query.first().link("/")),
            next: next.map(|next| query.after(&next).link("/")),
            changes,
        }
    }
}

/// Returns the text with the number of intents, and how many of them are on the page.
fn said(found: usize, shown: usize, query: &Query) -> String {
    let matching = if query.states.is_empty() && query.text.is_empty() { "" } else { " match" };
    match (found, shown) {
        (1, 1) => format!("1 intent{}", if matching.is_empty() { "" } else { " matches" }),
        (found, shown) if found == shown => format!("{found} intents{matching}"),
        (found, shown) => format!("{found} intents{matching}, {shown} of them on this page"),
    }
}

fn alarms(status: &Status) -> Vec<(&'static str, String)> {
    let mut alarms = Vec::new();
    if !status.database.synced {
        let why = status.database.error.as_ref().map_or_else(String::new, |error| format!(": {error}"));
        alarms.push((
            "Database",
            format!("the copy is not synchronised with the database, and may be old{why}"),
        ));
    }
    if let Some(error) = &status.configuration.error {
        alarms.push((
            "Configuration",
            format!("the files are not in force, but what was read before: {error}"),
        ));
    }
    alarms.into_iter().map(|(name, text)| (name, visible(&text).into_owned())).collect()
}

fn facts(status: &Status) -> Vec<(&'static str, Vec<String>)> {
    let server = status.database.server.map_or_else(String::new, |server| format!(", {server}"));
    let commit = status.last_commit.as_ref().map_or_else(|| "none yet".to_owned(), ToString::to_string);
    let mut facts = vec![
        ("Role", vec![status.role.to_owned()]),
        ("Database", vec![format!("{}{server}", status.database.sentence())]),
        ("Lock", vec![format!("{} ({})", status.lock.name, status.lock.sentence())]),
        ("To change", vec![status.to_change.to_string()]),
        ("Last commit", vec![commit]),
        ("Verification", vec![status.verification.clone().unwrap_or_else(|| "off".to_owned())]),
    ];
    if let Some(refusal) = &status.last_refusal {
        facts.push(("Last refusal", vec![refusal.to_string()]));
    }
    if !status.sources.is_empty() {
        facts.push(("Sources", status.sources.clone()));
    }
    facts
        .into_iter()
        .map(|(name, lines)| (name, lines.iter().map(|line| visible(line).into_owned()).collect()))
        .collect()
}

/// Renders seconds in their two largest units.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_formatted_in_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3599, "59 min"),
            (3600, "1 h 0 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(duration(seconds), text);
        }
    }

    #[test]
    fn number_of_intents_is_phrased_by_query_and_page() {
        let all = Query::default();
        let some = Query::parse("q=a").unwrap();
        for (found, shown, query, text) in [
            (0, 0, &all, "0 intents"),
            (1, 1, &all, "1 intent"),
            (1, 1, &some, "1 intent matches"),
            (200, 100, &all, "200 intents, 100 of them on this page"),
            (2, 2, &some, "2 intents match"),
        ] {
            assert_eq!(said(found, shown, query), text);
        }
    }
}
