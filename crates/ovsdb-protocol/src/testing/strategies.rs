//! Strategies of `proptest` for values and rows, which follow from the declaration of a table.

use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::problem::Problems;
use crate::row::Columns;
use crate::table::{ColumnKind, ColumnSpec, ReadRow, Table, TableLayout, TableSpec, read_row};
use crate::value::AtomicType;
use crate::value::{Atom, Datum, Row};

/// The greatest number of elements or pairs in a drawn value.
const MAX_ELEMENTS: usize = 4;

/// The number of rows that drawn references are to.
const MAX_ROWS: u128 = 6;

/// Draws a value of a column of this kind.
///
/// The values are few, so that equal ones are frequent: UUIDs are those of the numbers from 0 to 5.
pub fn values(kind: ColumnKind) -> BoxedStrategy<Datum> {
    match kind {
        ColumnKind::Scalar(atomic) => atoms(atomic).prop_map(Datum::scalar).boxed(),
        ColumnKind::Optional(atomic) => prop::option::of(atoms(atomic)).prop_map(Datum::optional).boxed(),
        ColumnKind::Set(atomic) => btree_set(atoms(atomic), 0..=MAX_ELEMENTS).prop_map(Datum::Set).boxed(),
        ColumnKind::Map(key, value) => {
            btree_map(atoms(key), atoms(value), 0..=MAX_ELEMENTS).prop_map(Datum::Map).boxed()
        }
    }
}

/// Draws a value of a declared column: one that the field understands, if the declaration says so. For a map, the keys
/// that are read are among the drawn ones.
pub fn column_values(column: &ColumnSpec) -> BoxedStrategy<Datum> {
    let words = || select(column.values).prop_map(Atom::from).boxed();
    match column.kind {
        ColumnKind::Scalar(_) if !column.values.is_empty() => words().prop_map(Datum::scalar).boxed(),
        ColumnKind::Optional(_) if !column.values.is_empty() => {
            prop::option::of(words()).prop_map(Datum::optional).boxed()
        }
        ColumnKind::Set(_) if !column.values.is_empty() => {
            btree_set(words(), 0..=MAX_ELEMENTS.min(column.values.len())).prop_map(Datum::Set).boxed()
        }
        ColumnKind::Map(AtomicType::String, value)
            if !(column.keys.is_empty() && column.prefixes.is_empty()) =>
        {
            let keys = column.keys.iter().map(|key| (*key).to_owned());
            let prefixed =
                column.prefixes.iter().flat_map(|prefix| ["a", "b"].map(|rest| format!("{prefix}{rest}")));
            let keys: Vec<String> = keys.chain(prefixed).chain(["other".to_owned()]).collect();
            btree_map(select(keys).prop_map(Atom::from), atoms(value), 0..=MAX_ELEMENTS)
                .prop_map(Datum::Map)
                .boxed()
        }
        kind => values(kind),
    }
}

/// Draws a row with every column that is declared for a table.
pub fn row(table: &TableSpec) -> BoxedStrategy<Row> {
    let columns: Vec<_> =
        table.columns.iter().map(|column| (Just(column.name.to_owned()), column_values(column))).collect();
    columns.prop_map(|columns| columns.into_iter().collect()).boxed()
}

/// Draws a row of type `T`, with one of the UUIDs that drawn references have.
pub fn typed_row<T>() -> BoxedStrategy<T>
where
    T: Table<Context = ()> + std::fmt::Debug,
{
    (uuids(), row(&T::TABLE)).prop_map(|(uuid, row)| read(uuid, &row)).boxed()
}

/// Reads a row as if it had arrived from a server.
fn read<T: Table<Context = ()>>(uuid: Uuid, row: &Row) -> T {
    let text = serde_json::to_string(row).expect("a drawn row has JSON");
    let read = ReadRow { uuid, columns: Columns::new(&text), is_difference: false, had_problem: false };
    let mut row = T::with_uuid(uuid);
    read_row(&mut row, read, TableLayout::default(), &mut (), &mut Problems::default())
        .expect("a drawn row is well-formed");
    row
}

fn uuids() -> impl Strategy<Value = Uuid> {
    (0..MAX_ROWS).prop_map(Uuid::from_u128)
}

fn atoms(atomic: AtomicType) -> BoxedStrategy<Atom> {
    match atomic {
        AtomicType::Integer => prop_oneof![
            8 => (-1_i64..4).prop_map(Atom::from),
            1 => select(vec![i64::MIN, i64::MAX, 1 << 53]).prop_map(Atom::from),
        ]
        .boxed(),
        AtomicType::Real => select(vec![0.0, 1.0, -2.5, 1e300, 1e-300]).prop_map(Atom::from).boxed(),
        AtomicType::Boolean => any::<bool>().prop_map(Atom::from).boxed(),
        AtomicType::String => prop_oneof![
            8 => select(vec!["", "a", "b", "true", "10.0.0.1"]).prop_map(Atom::from),
            1 => select(vec!["\"\\/\n", "\u{1}\u{7f}", "é€😀"]).prop_map(Atom::from),
        ]
        .boxed(),
        AtomicType::Uuid => uuids().prop_map(Atom::from).boxed(),
    }
}
