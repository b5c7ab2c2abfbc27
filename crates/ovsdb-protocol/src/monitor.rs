//! Monitor requests (RFC 7047 §4.1.5; ovsdb-server(7) for `monitor_cond` and `monitor_cond_since`).

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::transact::Condition;

/// What to monitor of each table.
pub type MonitorRequests = BTreeMap<String, MonitorRequest>;

/// Which columns and rows of a table to monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorRequest {
    columns: Vec<String>,
    rows: Rows,
    part: u8,
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
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Rows::All, part: 0 }
    }

    /// Monitors only some rows.
    #[must_use]
    pub fn rows(mut self, rows: Rows) -> Self {
        self.rows = rows;
        self
    }

    /// Lets the table's rows come in this part of a snapshot; in the first, which is part 0, without.
    ///
    /// ovsdb-server renders a reply as a whole before it sends the first byte, and does nothing else meanwhile. A
    /// [`Session`](crate::Session) asks for one part after the other, by `monitor_cond_change`, so that it takes in
    /// the one while the server renders the next, and others are served in between. What there is to do after the last
    /// byte is only the last part. The monitor stays one, and its updates whole transactions.
    #[must_use]
    pub fn part(mut self, part: u8) -> Self {
        self.part = part;
        self
    }

    fn wire(&self, method: MonitorMethod, parts: bool) -> Wire<'_> {
        let rows = match self.rows {
            _ if method == MonitorMethod::Plain => None,
            _ if parts && self.part > 0 => Some(Clause::All([false])),
            Rows::All => None,
            Rows::Any(_) => Some(self.rows.clause()),
        };
        Wire { columns: &self.columns, rows }
    }
}

/// `<monitor-request>`; [`MonitorMethod::Plain`] knows no `where`.
#[derive(Serialize)]
struct Wire<'a> {
    columns: &'a [String],
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    rows: Option<Clause<'a>>,
}

/// The conditions of `<monitor-request>` and `<monitor-cond-update>`.
#[derive(Serialize)]
#[serde(untagged)]
enum Clause<'a> {
    All([bool; 1]),
    Any(&'a [Condition]),
}

// ===== impl Rows =====

impl Rows {
    fn clause(&self) -> Clause<'_> {
        match self {
            Self::All => Clause::All([true]),
            Self::Any(none) if none.is_empty() => Clause::All([false]),
            Self::Any(conditions) => Clause::Any(conditions),
        }
    }
}

/// `<monitor-cond-update>` without a change of columns, which ovsdb-server does not take.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(rename = "where")]
    rows: Clause<'a>,
}

/// Returns the `params` of the `monitor_cond_change` request for other rows of a table; `monitor` is JSON text.
pub(crate) fn condition_change(monitor: &str, table: &str, rows: &Rows) -> serde_json::Result<String> {
    let change = serde_json::to_string(&BTreeMap::from([(table, [Change { rows: rows.clause() }])]))?;
    Ok(format!("[{monitor},{monitor},{change}]"))
}

/// Returns the `params` of the `monitor_cond_change` requests that bring one part of a snapshot each, but for the
/// first.
pub(crate) fn later_parts(monitor: &str, requests: &MonitorRequests) -> serde_json::Result<Vec<String>> {
    let mut parts = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (table, request) in requests.iter().filter(|(_, request)| request.part > 0) {
        parts.entry(request.part).or_default().insert(table, [Change { rows: request.rows.clause() }]);
    }
    parts.values().map(|tables| serde_json::to_string(&(monitor, monitor, tables))).collect()
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

    /// Returns the request's `params`; `parts`, if it is for no more than the first [part](MonitorRequest::part).
    pub(crate) fn params(
        self,
        database: &str,
        monitor: &str,
        requests: &MonitorRequests,
        since: Uuid,
        parts: bool,
    ) -> serde_json::Result<String> {
        let requests: BTreeMap<_, _> =
            requests.iter().map(|(table, request)| (table, [request.wire(self, parts)])).collect();
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
        method.params("D", "m", &requests, Uuid::nil(), false).unwrap()
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
    fn later_parts_are_shut_out_until_they_are_asked_for() {
        let none = MonitorRequest::columns(["a"]).rows(Rows::Any(Vec::new()));
        let requests = [
            ("A".to_owned(), MonitorRequest::columns(["a"]).part(2)),
            ("B".to_owned(), MonitorRequest::columns(["a"])),
            ("C".to_owned(), none.part(2)),
            ("D".to_owned(), MonitorRequest::columns(["a"]).part(1)),
        ]
        .into();
        assert_eq!(
            MonitorMethod::CondSince.params("D", "m", &requests, Uuid::nil(), true).unwrap(),
            r#"["D","m",{"A":[{"columns":["a"],"where":[false]}],"B":[{"columns":["a"]}],"C":[{"columns":["a"],"where":[false]}],"D":[{"columns":["a"],"where":[false]}]},"00000000-0000-0000-0000-000000000000"]"#
        );
        assert_eq!(
            later_parts("m", &requests).unwrap(),
            [
                r#"["m","m",{"D":[{"where":[true]}]}]"#,
                r#"["m","m",{"A":[{"where":[true]}],"C":[{"where":[false]}]}]"#,
            ]
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
