//! Random rows of a table with a field of every kind.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;
use crate::testing::{difference, row, typed_row};

fn layout() -> TableLayout {
    monitor_requests([&All::TABLE], &schema(SCHEMA)).unwrap().1[0]
}

/// Rows that the schema permits: without the columns that it lacks, and with at most one word.
fn rows() -> impl Strategy<Value = Row> {
    let row = row(&All::TABLE).prop_map(|row| {
        let schema = schema(SCHEMA);
        row.into_iter().filter(|(column, _)| schema.column("All", column).is_some()).collect::<Row>()
    });
    row.prop_filter("at most one word", |row| row.get("words").is_none_or(|words| words.len() <= 1))
}

fn text(row: &Row) -> String {
    serde_json::to_string(row).unwrap()
}

proptest! {
    #[test]
    fn difference_applied_to_the_old_row_yields_the_new_row(old in rows(), new in rows()) {
        let mut problems = Problems::default();
        let [mut changed, mut fresh] = [Uuid::nil(); 2].map(All::with_uuid);
        read(&mut changed, &text(&old), false, &mut problems);
        let before = changed.clone();
        read(&mut changed, &text(&difference(&All::TABLE, layout(), &old, &new)), true, &mut problems);
        read(&mut fresh, &text(&new), false, &mut problems);
        prop_assert_eq!(&changed, &fresh);
        prop_assert!(problems.is_empty(), "{problems:?}");
        let changed_columns = before.changed(&changed);
        for (index, column) in All::TABLE.columns.iter().enumerate() {
            // A field may ignore a change, such as that of a map's key that is not read.
            let has_changed = layout().present.contains(index) && old.get(column.name) != new.get(column.name);
            prop_assert!(has_changed || !changed_columns.contains(index), "{}", column.name);
        }
    }

    #[test]
    fn generated_row_satisfies_the_table_declaration(row in typed_row::<All>()) {
        // An enumeration is drawn from its words, since any other text would be a problem.
        prop_assert!(All::TABLE.column("type").unwrap().values.contains(&row.kind.as_str()));
        prop_assert!(row.pairs.keys().all(|key| key.starts_with("x-")));
    }
}

/// The keys of a map that the declaration names are drawn.
#[test]
fn generated_rows_cover_declared_map_keys() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let rows: Vec<_> =
        (0..100).map(|_| typed_row::<All>().new_tree(&mut runner).unwrap().current()).collect();
    assert!(rows.iter().any(|row| row.chassis.is_some()) && rows.iter().any(|row| row.chassis.is_none()));
    assert!(
        rows.iter().any(|row| !row.pairs.is_empty()) && rows.iter().any(|row| row.stateless.is_present())
    );
    assert!(rows.iter().any(|row| row.rare.get().is_some()) && rows.iter().any(|row| row.kind == Kind::Both));
}
