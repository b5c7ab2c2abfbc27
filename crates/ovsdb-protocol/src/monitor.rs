//! Monitor requests (RFC 7047 §4.1.5; ovsdb-server(7) for `monitor_cond` and `monitor_cond_since`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::transact::Condition;

/// What to monitor of each table.
pub type MonitorRequests = BTreeMap<String, MonitorRequest>;

/// Which columns and rows of a table to monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorRequest {
    columns: Vec<String>,
    rows: Rows,
}

/// Which rows of a table to monitor.
///
/// On the wire several clauses mean *any of them* and no clause means *all rows*, other than in a
/// transaction, where several mean *all of them*. These variants leave no room for the mistake.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rows {
    /// All rows.
    All,
    /// Rows for which at least one condition holds; none where the list is empty.
    Any(Vec<Condition>),
}

/// The generations of the monitor method, newest first: the order in which they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitorMethod {
    /// `monitor_cond_since`, Open vSwitch 2.12 and newer: resumes from a transaction id.
    CondSince,
    /// `monitor_cond`, Open vSwitch 2.6 and newer.
    Cond,
    /// `monitor` of RFC 7047: conditions are not available, all rows arrive.
    Plain,
}

// ===== impl MonitorRequest =====

impl MonitorRequest {
    /// Monitors these columns of all rows.
    pub fn columns<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Rows::All }
    }

    /// Monitors only some rows.
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }
}

/// `<monitor-request>`; [`MonitorMethod::Plain`] knows no `where`.
struct Wire<'a>(&'a MonitorRequest, MonitorMethod);

impl Serialize for Wire<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Clause<'a> {
            Never([bool; 1]),
            Any(&'a [Condition]),
        }
        #[derive(Serialize)]
        struct Request<'a> {
            columns: &'a [String],
            #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
            rows: Option<Clause<'a>>,
        }
        let rows = match &self.0.rows {
            _ if self.1 == MonitorMethod::Plain => None,
            Rows::All => None,
            Rows::Any(none) if none.is_empty() => Some(Clause::Never([false])),
            Rows::Any(conditions) => Some(Clause::Any(conditions)),
        };
        [Request { columns: &self.0.columns, rows }].serialize(serializer)
    }
}

// ===== impl MonitorMethod =====

impl MonitorMethod {
    /// Returns the method's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::CondSince => "monitor_cond_since",
            Self::Cond => "monitor_cond",
            Self::Plain => "monitor",
        }
    }

    /// Returns the method to try on a server that does not know this one.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// Returns the request's `params`.
    pub(crate) fn params(
        self,
        database: &str,
        monitor: &str,
        requests: &MonitorRequests,
        since: Uuid,
    ) -> serde_json::Result<String> {
        let requests: BTreeMap<_, _> = requests.iter().map(|(table, r)| (table, Wire(r, self))).collect();
        match self {
            Self::CondSince => serde_json::to_string(&(database, monitor, requests, since.to_string())),
            _ => serde_json::to_string(&(database, monitor, requests)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transact::Function;
    use crate::value::Datum;

    fn params(method: MonitorMethod, rows: Rows) -> String {
        let requests = [("T".to_owned(), MonitorRequest::columns(["a", "b"]).rows(rows))].into();
        method.params("D", "m", &requests, Uuid::nil()).unwrap()
    }

    /// Rule: conditions of a monitor are alternatives, and none at all are all rows, where those of an operation must
    /// all hold.
    #[test]
    fn no_row_is_not_all_rows() {
        assert_eq!(params(MonitorMethod::Cond, Rows::All), r#"["D","m",{"T":[{"columns":["a","b"]}]}]"#);
        assert_eq!(
            params(MonitorMethod::Cond, Rows::Any(vec![])),
            r#"["D","m",{"T":[{"columns":["a","b"],"where":[false]}]}]"#
        );
        let named = Condition::new("name", Function::Equal, Datum::scalar("x"));
        assert_eq!(
            params(MonitorMethod::CondSince, Rows::Any(vec![named.clone()])),
            r#"["D","m",{"T":[{"columns":["a","b"],"where":[["name","==","x"]]}]},"00000000-0000-0000-0000-000000000000"]"#
        );
        assert_eq!(
            params(MonitorMethod::Plain, Rows::Any(vec![named])),
            r#"["D","m",{"T":[{"columns":["a","b"]}]}]"#
        );
    }

    #[test]
    fn methods_fall_back_to_the_oldest() {
        let mut method = MonitorMethod::CondSince;
        let mut names = vec![method.name()];
        while let Some(older) = method.fallback() {
            method = older;
            names.push(method.name());
        }
        assert_eq!(names, ["monitor_cond_since", "monitor_cond", "monitor"]);
    }
}
