//! Monitor requests (RFC 7047 section 4.1.5; ovsdb-server(7) for `monitor_cond` and `monitor_cond_since`).

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use crate::encode::{EncodeError, to_json};
use crate::schema::{DatabaseSchema, TableSchema};
use crate::transact::Condition;

/// The columns and rows to monitor, by table.
pub type MonitorRequests = BTreeMap<String, MonitorRequest>;

/// The columns, rows and events of a table to monitor.
#[derive(Clone, Debug, PartialEq)]
pub struct MonitorRequest {
    columns: Vec<String>,
    rows: RowFilter,
    select: MonitorSelect,
    load_stage: u8,
}

/// The rows of a table to monitor.
///
/// On the wire several clauses mean *any of them* and no clause means *all rows*, unlike in a transaction, where
/// several mean *all of them*. These variants exclude this mistake.
///
/// `C` is the type of the conditions; of those on a declared table it is
/// [`TypedCondition`](crate::TypedCondition).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RowFilter<C = Condition> {
    /// All rows.
    All,
    /// Rows for which at least one condition holds; none if the list is empty.
    Any(Vec<C>),
}

/// The events of a table to monitor, RFC 7047 section 4.1.5 `<monitor-select>`. All by default.
///
/// A [`Replica`](crate::Replica) of the table's content needs all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct MonitorSelect {
    /// The rows that exist at the beginning.
    pub initial: bool,
    /// Rows that are inserted.
    pub insert: bool,
    /// Rows that are deleted.
    pub delete: bool,
    /// Rows whose columns change.
    pub modify: bool,
}

/// The generations of the monitor method, newest first: the order in which a session tries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitorMethod {
    /// `monitor_cond_since`, Open vSwitch 2.12 and newer: resumes from a transaction id.
    CondSince,
    /// `monitor_cond`, Open vSwitch 2.6 and newer.
    Cond,
    /// `monitor` of RFC 7047: conditions are not available, all rows arrive.
    Plain,
}

// ===== impl MonitorSelect =====

impl Default for MonitorSelect {
    fn default() -> Self {
        Self { initial: true, insert: true, delete: true, modify: true }
    }
}

// ===== impl MonitorRequest =====

impl MonitorRequest {
    /// Creates a request to monitor these columns of all rows.
    pub fn columns<C: Into<String>>(columns: impl IntoIterator<Item = C>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: RowFilter::All,
            select: MonitorSelect::default(),
            load_stage: 0,
        }
    }

    /// Monitors only some rows. The columns of the conditions are monitored too: ovsdb-server crashes if a condition is
    /// on another column and changes later, as it does between load stages.
    #[must_use]
    pub fn rows(mut self, rows: RowFilter) -> Self {
        self.rows = rows;
        self
    }

    /// Monitors only some events.
    #[must_use]
    pub fn select(mut self, select: MonitorSelect) -> Self {
        self.select = select;
        self
    }

    /// Loads the table's rows in this stage of a snapshot; stage 0, the default, is the first.
    ///
    /// ovsdb-server renders a whole reply before it sends the first byte, and serves no other client meanwhile. A
    /// [`Session`](crate::Session) requests the stages one after the other, by `monitor_cond_change`, so that it
    /// decodes one while the server renders the next, and other clients are served in between. It is still one monitor,
    /// whose updates are whole transactions.
    #[must_use]
    pub fn load_stage(mut self, stage: u8) -> Self {
        self.load_stage = stage;
        self
    }

    /// Monitors the columns of another request, too: for two replicas that one monitor feeds. Rows, events and stage stay.
    #[must_use]
    pub fn with_columns_of(mut self, other: &Self) -> Self {
        for column in other.columns.iter().map(String::as_str).chain(other.rows.columns()) {
            if !self.has_column(column) {
                self.columns.push(column.to_owned());
            }
        }
        self
    }

    /// Returns true if a column is monitored, for its values or for a condition on it.
    pub(crate) fn has_column(&self, column: &str) -> bool {
        self.columns.iter().map(String::as_str).chain(self.rows.columns()).any(|known| known == column)
    }

    /// Removes columns that the table lacks, and conditions on them.
    fn conform(mut self, table: &TableSchema) -> Self {
        let has = |column: &str| table.column(column).is_some();
        self.columns.retain(|column| has(column));
        if let RowFilter::Any(conditions) = &mut self.rows {
            conditions.retain(|condition| condition.column().is_none_or(has));
        }
        self
    }

    fn wire(&self, method: MonitorMethod, stages: bool) -> Wire<'_> {
        let rows = match self.rows {
            _ if method == MonitorMethod::Plain => None,
            _ if stages && self.load_stage > 0 => Some(Clause::All([false])),
            RowFilter::All => None,
            RowFilter::Any(_) => Some(self.rows.clause()),
        };
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in self.columns.iter().map(String::as_str).chain(self.rows.columns()) {
            // A column that is named twice is an error.
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
        let select = Some(self.select).filter(|select| *select != MonitorSelect::default());
        Wire { columns, rows, select }
    }
}

/// Removes from requests what the server lacks, because it would refuse them as a whole.
///
/// A condition on a column that the table lacks holds for no row, as in Open vSwitch's client library: if it is the only
/// one, no row is monitored.
pub(crate) fn conform(requests: MonitorRequests, schema: &DatabaseSchema) -> MonitorRequests {
    let conformed = requests.into_iter().filter_map(|(name, request)| {
        let request = request.conform(schema.table(&name)?);
        Some((name, request))
    });
    conformed.collect()
}

/// `<monitor-request>`; [`MonitorMethod::Plain`] knows no `where`.
#[derive(Serialize)]
struct Wire<'a> {
    columns: Vec<&'a str>,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    rows: Option<Clause<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    select: Option<MonitorSelect>,
}

/// The conditions of `<monitor-request>` and `<monitor-cond-update>`.
#[derive(Serialize)]
#[serde(untagged)]
enum Clause<'a> {
    All([bool; 1]),
    Any(&'a [Condition]),
}

// ===== impl RowFilter =====

impl RowFilter {
    fn clause(&self) -> Clause<'_> {
        match self {
            Self::All => Clause::All([true]),
            Self::Any(none) if none.is_empty() => Clause::All([false]),
            Self::Any(conditions) => Clause::Any(conditions),
        }
    }

    /// Iterates over the columns of the conditions.
    fn columns(&self) -> impl Iterator<Item = &str> {
        let conditions = match self {
            Self::All => [].as_slice(),
            Self::Any(conditions) => conditions,
        };
        conditions.iter().filter_map(Condition::column)
    }
}

/// `<monitor-cond-update>` without a change of columns, which ovsdb-server does not support.
#[derive(Serialize)]
struct Change<'a> {
    #[serde(rename = "where")]
    rows: Clause<'a>,
}

/// Returns the `params` of the `monitor_cond_change` request for other rows of a table; `monitor` is JSON text.
pub(crate) fn condition_change(monitor: &str, table: &str, rows: &RowFilter) -> Result<String, EncodeError> {
    let change = to_json(&BTreeMap::from([(table, [Change { rows: rows.clause() }])]))?;
    Ok(format!("[{monitor},{monitor},{change}]"))
}

/// Returns the `params` of the `monitor_cond_change` requests for the load stages after the first, one each.
pub(crate) fn later_stages(monitor: &str, requests: &MonitorRequests) -> Result<Vec<String>, EncodeError> {
    let mut stages = BTreeMap::<_, BTreeMap<_, _>>::new();
    for (table, request) in requests.iter().filter(|(_, request)| request.load_stage > 0) {
        stages.entry(request.load_stage).or_default().insert(table, [Change { rows: request.rows.clause() }]);
    }
    stages.values().map(|tables| to_json(&(monitor, monitor, tables))).collect()
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

    /// Returns the method to try if the server does not know this one.
    pub fn fallback(self) -> Option<Self> {
        match self {
            Self::CondSince => Some(Self::Cond),
            Self::Cond => Some(Self::Plain),
            Self::Plain => None,
        }
    }

    /// Returns the `params` of the request; if `stages`, only for the first [load stage](MonitorRequest::load_stage).
    pub(crate) fn params(
        self,
        database: &str,
        monitor: &str,
        requests: &MonitorRequests,
        since: Uuid,
        stages: bool,
    ) -> Result<String, EncodeError> {
        let requests: BTreeMap<_, _> =
            requests.iter().map(|(table, request)| (table, [request.wire(self, stages)])).collect();
        match self {
            Self::CondSince => to_json(&(database, monitor, requests, since.to_string())),
            _ => to_json(&(database, monitor, requests)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transact::Function;
    use crate::value::Datum;

    fn params(method: MonitorMethod, rows: RowFilter) -> String {
        let requests = [("T".to_owned(), MonitorRequest::columns(["a", "b"]).rows(rows))].into();
        method.params("D", "m", &requests, Uuid::nil(), false).unwrap()
    }

    /// Rule: conditions of a monitor are alternatives, and no condition means all rows, whereas those of an operation
    /// must all hold.
    #[test]
    fn empty_row_filter_selects_no_rows() {
        assert_eq!(params(MonitorMethod::Cond, RowFilter::All), r#"["D","m",{"T":[{"columns":["a","b"]}]}]"#);
        assert_eq!(
            params(MonitorMethod::Cond, RowFilter::Any(vec![])),
            r#"["D","m",{"T":[{"columns":["a","b"],"where":[false]}]}]"#
        );
        let named = Condition::new("name", Function::Equal, Datum::scalar("x"));
        assert_eq!(
            params(MonitorMethod::CondSince, RowFilter::Any(vec![named.clone()])),
            r#"["D","m",{"T":[{"columns":["a","b","name"],"where":[["name","==","x"]]}]},"00000000-0000-0000-0000-000000000000"]"#
        );
        assert_eq!(
            params(MonitorMethod::Plain, RowFilter::Any(vec![named])),
            r#"["D","m",{"T":[{"columns":["a","b","name"]}]}]"#
        );
    }

    #[test]
    fn merged_requests_name_each_column_once() {
        let condition = Condition::new("c", Function::Equal, Datum::scalar("x"));
        let other = MonitorRequest::columns(["b", "d"]).rows(RowFilter::Any(vec![condition]));
        let joined = MonitorRequest::columns(["a", "b"]).load_stage(2).with_columns_of(&other);
        assert_eq!(joined, MonitorRequest::columns(["a", "b", "d", "c"]).load_stage(2));
    }

    #[test]
    fn later_load_stages_select_no_rows_until_requested() {
        let none = MonitorRequest::columns(["a"]).rows(RowFilter::Any(Vec::new()));
        let requests = [
            ("A".to_owned(), MonitorRequest::columns(["a"]).load_stage(2)),
            ("B".to_owned(), MonitorRequest::columns(["a"])),
            ("C".to_owned(), none.load_stage(2)),
            ("D".to_owned(), MonitorRequest::columns(["a"]).load_stage(1)),
        ]
        .into();
        assert_eq!(
            MonitorMethod::CondSince.params("D", "m", &requests, Uuid::nil(), true).unwrap(),
            r#"["D","m",{"A":[{"columns":["a"],"where":[false]}],"B":[{"columns":["a"]}],"C":[{"columns":["a"],"where":[false]}],"D":[{"columns":["a"],"where":[false]}]},"00000000-0000-0000-0000-000000000000"]"#
        );
        assert_eq!(
            later_stages("m", &requests).unwrap(),
            [
                r#"["m","m",{"D":[{"where":[true]}]}]"#,
                r#"["m","m",{"A":[{"where":[true]}],"C":[{"where":[false]}]}]"#,
            ]
        );
    }

    #[test]
    fn monitor_method_falls_back_to_the_oldest() {
        let mut method = MonitorMethod::CondSince;
        let mut names = vec![method.name()];
        while let Some(older) = method.fallback() {
            method = older;
            names.push(method.name());
        }
        assert_eq!(names, ["monitor_cond_since", "monitor_cond", "monitor"]);
    }

    /// ovsdb-server 3.1 and 3.7 crash if `monitor_cond_change` adds a condition on a column that is not monitored.
    #[test]
    fn columns_of_all_conditions_are_monitored_from_the_first_request() {
        let any = RowFilter::Any(vec![
            Condition::eq("b", 1),
            Condition::eq("c", 1),
            Condition::uuid(Uuid::nil()),
            Condition::includes("c", 2),
            Condition::Boolean(true),
        ]);
        let request = MonitorRequest::columns(["a", "b", "a"]).rows(any).load_stage(1);
        let requests = [("T".to_owned(), request)].into();
        let first = MonitorMethod::CondSince.params("D", "m", &requests, Uuid::nil(), true).unwrap();
        assert!(first.contains(r#"{"T":[{"columns":["a","b","c","_uuid"],"where":[false]}]}"#), "{first}");
        let later = later_stages("m", &requests).unwrap();
        assert!(later[0].ends_with(r#"["c","includes",2],true]}]}]"#), "{later:?}");
    }

    #[test]
    fn tables_and_columns_that_the_server_lacks_are_omitted() {
        let schema = DatabaseSchema::parse(
            r#"{"name":"D","tables":{"T":{"columns":{"a":{"type":"string"}}},"U":{"columns":{"a":{"type":"string"}}}}}"#,
        );
        let any = |conditions| MonitorRequest::columns(["a", "new"]).rows(RowFilter::Any(conditions));
        let requests = [
            (
                "T".to_owned(),
                any(vec![Condition::eq("new", 1), Condition::eq("a", "x"), Condition::Boolean(false)]),
            ),
            ("U".to_owned(), any(vec![Condition::eq("new", 1)])),
            ("V".to_owned(), MonitorRequest::columns(["a"])),
        ];
        let conformed = conform(requests.into(), &schema.unwrap());
        let columns = || MonitorRequest::columns(["a"]);
        let known = vec![Condition::eq("a", "x"), Condition::Boolean(false)];
        let expected = [
            ("T".to_owned(), columns().rows(RowFilter::Any(known))),
            ("U".to_owned(), columns().rows(RowFilter::Any(vec![]))),
        ];
        assert_eq!(conformed, expected.into());
    }

    #[test]
    fn select_member_is_sent_only_on_request() {
        let select = MonitorSelect { initial: false, ..MonitorSelect::default() };
        let requests = [("T".to_owned(), MonitorRequest::columns(["a"]).select(select))].into();
        assert_eq!(
            MonitorMethod::Plain.params("D", "m", &requests, Uuid::nil(), false).unwrap(),
            r#"["D","m",{"T":[{"columns":["a"],"select":{"initial":false,"insert":true,"delete":true,"modify":true}}]}]"#
        );
    }

    #[test]
    fn condition_at_which_the_server_hangs_up_is_refused() {
        let request = MonitorRequest::columns(["a"]).rows(RowFilter::Any(vec![Condition::eq("a", "x\0")]));
        let requests = [("T".to_owned(), request.load_stage(1))].into();
        for method in [MonitorMethod::CondSince, MonitorMethod::Cond] {
            assert!(method.params("D", "m", &requests, Uuid::nil(), false).is_err());
        }
        assert!(later_stages("m", &requests).is_err());
    }
}
