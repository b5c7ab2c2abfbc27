use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};

use anyhow::{Context, Result};
use serde_json::{Deserializer, Value};

use crate::row::set_column;

/// A row's columns by name, without `_uuid`.
pub type Row = BTreeMap<String, Value>;

/// The content of a database: two of them are equal if the databases have the same content.
///
/// Its text has one line per row, in order of table and UUID, and suits a comparison of before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Rows by table, then by UUID. Tables without rows are included.
    pub tables: BTreeMap<String, BTreeMap<String, Row>>,
}

impl Snapshot {
    /// Reads the output of `ovsdb-client --format=json dump`.
    pub(crate) fn parse(dump: &str) -> Result<Self> {
        let mut tables = BTreeMap::new();
        for table in Deserializer::from_str(dump).into_iter::<Value>() {
            let table = table.context("the dump is not JSON")?;
            let caption = table["caption"].as_str().context("a table without a caption")?;
            let headings = table["headings"].as_array().context("a table without headings")?;
            let mut rows = BTreeMap::new();
            for cells in table["data"].as_array().context("a table without data")? {
                let cells = cells.as_array().context("a row that is not an array")?;
                let mut row: Row = headings
                    .iter()
                    .zip(cells)
                    .map(|(heading, cell)| (heading.as_str().unwrap_or_default().to_owned(), cell.clone()))
                    .collect();
                let uuid = row.remove("_uuid").and_then(|uuid| set_column(&uuid).pop());
                let uuid = uuid.as_ref().and_then(Value::as_str).context("a row without a UUID")?;
                rows.insert(uuid.to_owned(), row);
            }
            tables.insert(caption.trim_end_matches(" table").to_owned(), rows);
        }
        Ok(Self { tables })
    }

    /// The rows of a table; none if there is no such table.
    pub fn rows(&self, table: &str) -> impl Iterator<Item = (&str, &Row)> {
        self.tables.get(table).into_iter().flatten().map(|(uuid, row)| (uuid.as_str(), row))
    }

    /// Forgets whole tables (`NB_Global`) and single columns (`Logical_Switch_Port.up`): content that others keep
    /// changing.
    #[must_use]
    pub fn without(mut self, what: &[&str]) -> Self {
        for name in what {
            match name.split_once('.') {
                None => drop(self.tables.remove(*name)),
                Some((table, column)) => {
                    for row in self.tables.get_mut(table).into_iter().flat_map(BTreeMap::values_mut) {
                        row.remove(column);
                    }
                }
            }
        }
        self
    }
}

impl Display for Snapshot {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for (table, rows) in &self.tables {
            for (uuid, row) in rows {
                write!(out, "{table} {uuid}")?;
                for (column, value) in row {
                    write!(out, " {column}={value}")?;
                }
                writeln!(out)?;
            }
        }
        Ok(())
    }
}
