//! Differences as a server sends them.

use crate::diff::diff;
use crate::schema::Max;
use crate::table::{TableLayout, TableSpec};
use crate::value::Row;

/// Computes what a server with this layout sends about a row that changed from `old` to `new`: the `modify` of `update2`
/// (ovsdb-server(7), section 4.1.14). Only columns that both rows have are compared.
pub fn difference(table: &TableSpec, layout: TableLayout, old: &Row, new: &Row) -> Row {
    let columns = layout.present.iter().filter_map(|index| {
        let column = &table.columns[index];
        let mut column_type = column.kind.column_type();
        if layout.replaced.contains(index) {
            column_type.max = Max::Limited(1);
        }
        let difference = diff(old.get(column.name)?, new.get(column.name)?, &column_type)?;
        Some((column.name, difference))
    });
    columns.collect()
}
