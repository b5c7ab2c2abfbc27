//! The page of a port: its intents, each with a picture of the way, the steps, and the problems.

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use extaddr_core::explain::Check;
use extaddr_core::reason::Code;

use super::api;
use super::error::Format;
use super::intent::{Badge, family};
use super::picture::{Orientation, Picture};
use super::render::{html, visible};
use crate::explanation::{ExplainedIntent, Explanation};
use crate::http::HttpState;

#[derive(Template)]
#[template(path = "port.html")]
struct PortPage {
    shown: String,
    port: Option<String>,
    intents: Vec<Intent>,
}

struct Intent {
    family: &'static str,
    badge: Badge,
    reason: Option<(&'static str, &'static str)>,
    message: String,
    facts: Vec<(&'static str, String)>,
    steps: Vec<Step>,
    /// The same way for wide screens and for narrow ones.
    pictures: [Picture; 2],
}

struct Step {
    name: String,
    detail: String,
    is_hazard: bool,
}

pub(super) async fn show(
    State(state): State<HttpState>,
    name: Result<Path<String>, PathRejection>,
) -> Response {
    match api::explained(&state, name).await {
        Ok(explanation) => html(&PortPage::new(&explanation)),
        Err(error) => error.answer(Format::Html),
    }
}

// ===== impl PortPage =====

impl PortPage {
    fn new(explanation: &Explanation) -> Self {
        let Explanation { port, name, intents } = explanation;
        Self {
            shown: visible(name.as_ref().unwrap_or(port)).into_owned(),
            port: name.as_ref().map(|_| visible(port).into_owned()),
            intents: intents.iter().enumerate().map(|(number, intent)| Intent::new(number, intent)).collect(),
        }
    }
}

// ===== impl Intent =====

impl Intent {
    fn new(number: usize, intent: &ExplainedIntent) -> Self {
        let ExplainedIntent { checks, entry } = intent;
        let pictures = [Orientation::Across, Orientation::Down]
            .map(|orientation| Picture::new(entry, orientation, &format!("{number}-{}", orientation.name())));
        let facts = [
            ("Asked for", Some(format!("{} ({})", entry.wanted, entry.source))),
            ("Internal address", Some(Check::list(&entry.internal))),
            ("External address", entry.external.map(|address| address.to_string())),
            ("Switch", entry.switch.clone()),
            ("Router", entry.router.clone()),
            ("Gateway port", entry.gateway_port.clone()),
            ("Source ports", entry.port_range.clone()),
            ("NAT rows", Some(Check::list(&entry.nat))),
        ];
        let facts = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let facts = facts.filter(|(_, value)| !value.is_empty());
        let step = |check: &Check| Step {
            name: check.step.to_owned(),
            detail: visible(&check.detail).into_owned(),
            is_hazard: check.hazard,
        };
        Self {
            family: family(entry),
            badge: Badge::from(entry.state),
            reason: entry.reason.map(|code| (code.name(), Code::description(code))),
            message: visible(&entry.message).into_owned(),
            facts: facts.map(|(name, value)| (name, visible(&value).into_owned())).collect(),
            steps: checks.iter().map(step).collect(),
            pictures,
        }
    }
}
