//! The query of a list: the requested intents, and links with the same query. Pure.

use std::sync::Arc;

use extaddr_core::pages::{Filter, Walk};
use extaddr_core::state::State;
use form_urlencoded::Serializer;

/// The default number of ports on a page.
const LIMIT: usize = 100;

/// The maximum number of ports on a page.
const MAX_LIMIT: usize = 1000;

/// The maximum length of a text to search for, in bytes.
const MAX_TEXT: usize = 256;

/// The maximum length of the name of a port, in bytes.
const MAX_NAME: usize = 1024;

/// The requested intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Query {
    pub(super) states: Vec<State>,
    pub(super) text: String,
    after: Option<String>,
    limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self { states: Vec::new(), text: String::new(), after: None, limit: LIMIT }
    }
}

impl Query {
    /// Reads the query of a target.
    ///
    /// # Errors
    /// It is invalid; the text says what is valid.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut found = Self::default();
        let (mut text, mut after, mut limit) = (None, None, None);
        let once = |key: &str, slot: &mut Option<String>, value: String, most: usize| match slot {
            Some(_) => Err(format!("{key} is there more than once")),
            None if value.len() > most => Err(format!("{key} is longer than {most} bytes")),
            None => {
                *slot = Some(value);
                Ok(())
            }
        };
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "state" if value.is_empty() => {}
                "state" => {
                    let state = State::ALL.iter().find(|state| state.name() == value);
                    let known = || State::ALL.iter().map(|state| state.name()).collect::<Vec<_>>().join(", ");
                    let state = state.ok_or_else(|| format!("state {value:?} is none of {}", known()))?;
                    if !found.states.contains(state) {
                        found.states.push(*state);
                    }
                }
                "q" => once("q", &mut text, value.into_owned(), MAX_TEXT)?,
                "after" => once("after", &mut after, value.into_owned(), MAX_NAME)?,
                "limit" => once("limit", &mut limit, value.into_owned(), MAX_TEXT)?,
                key => return Err(format!("unknown parameter {key:?}; known are state, q, after and limit")),
            }
        }
        found.states.sort_unstable();
        text.unwrap_or_default().trim().clone_into(&mut found.text);
        found.after = after;
        if let Some(limit) = limit {
            let number = limit.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit));
            found.limit = number.ok_or_else(|| format!("limit {limit:?} is not from 1 to {MAX_LIMIT}"))?;
        }
        Ok(found)
    }

    /// Returns the walk that finds them.
    pub(super) fn walk(&self) -> Walk {
        let filter = Filter::new(self.states.clone(), &self.text);
        Walk::new(filter, self.after.as_deref().map(Arc::from), self.limit)
    }

    /// Returns whether it is the first page.
    pub(super) fn is_first(&self) -> bool {
        self.after.is_none()
    }

    /// Returns the same query from the first page on.
    pub(super) fn first(&self) -> Self {
        Self { after: None, ..self.clone() }
    }

    /// Returns the same query from after a port on.
    pub(super) fn after(&self, port: &str) -> Self {
        Self { after: Some(port.to_owned()), ..self.clone() }
    }

    /// Returns the same query for one state, or all, from the first page on.
    pub(super) fn in_state(&self, state: Option<State>) -> Self {
        Self { states: state.into_iter().collect(), ..self.first() }
    }

    /// Appends it to a path.
    pub(super) fn link(&self, path: &str) -> String {
        let mut pairs = Serializer::new(String::new());
        for state in &self.states {
            pairs.append_pair("state", state.name());
        }
        if !self.text.is_empty() {
            pairs.append_pair("q", &self.text);
        }
        if self.limit != LIMIT {
            pairs.append_pair("limit", &self.limit.to_string());
        }
        if let Some(after) = &self.after {
            pairs.append_pair("after", after);
        }
        let query = pairs.finish();
        if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_string_is_parsed_and_rendered() {
        for (query, link) in [
            ("", "/"),
            ("q=&state=", "/"),
            ("q=web1", "/?q=web1"),
            ("q=+web%201%2feth0+", "/?q=web+1%2Feth0"),
            ("state=rejected&state=active&state=active", "/?state=active&state=rejected"),
            ("limit=100", "/"),
            ("limit=7&q=a%26b&after=p%3Fx", "/?q=a%26b&limit=7&after=p%3Fx"),
            ("after=", "/?after="),
            ("q=%3Cscript%3E%22", "/?q=%3Cscript%3E%22"),
            ("q=%ff", "/?q=%EF%BF%BD"),
        ] {
            let parsed = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
            assert_eq!(parsed.link("/"), link, "{query}");
            let again = link.split_once('?').map_or("", |(_, query)| query);
            assert_eq!(Query::parse(again), Ok(parsed), "{link}");
        }
    }

    #[test]
    fn invalid_query_parameter_is_refused_by_name() {
        let long = format!("q={}", "a".repeat(257));
        for (query, part) in [
            ("state=ready", "state \"ready\" is none of active"),
            ("q=1&q=2", "q is there more than once"),
            ("limit=0", "limit \"0\" is not from 1 to 1000"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=1e9", "limit"),
            ("page=2", "unknown parameter \"page\""),
            (&*long, "q is longer than 256 bytes"),
        ] {
            let error = Query::parse(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }

    #[test]
    fn links_keep_the_other_query_parameters() {
        let query = Query::parse("q=web&state=active&after=b").unwrap();
        assert_eq!(query.in_state(Some(State::Rejected)).link("/"), "/?state=rejected&q=web");
        assert_eq!(query.in_state(None).link("/"), "/?q=web");
        assert_eq!(query.after("c").link("/"), "/?state=active&q=web&after=c");
        assert!(query.first().is_first() && !query.is_first());
    }
}
