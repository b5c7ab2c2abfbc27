//! Values of the database that were not understood.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::table::{ColumnError, ColumnSet, TableSpec};

/// A value that was not understood. What it would have said counts as absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The table's name.
    pub table: &'static str,
    /// The row.
    pub uuid: Uuid,
    /// The column's name.
    pub column: &'static str,
    /// What is wrong, for a human.
    pub message: String,
}

/// How many problems are kept with their messages; of the others only their places are known.
const MAX_LISTED: usize = 1000;

/// The values that are not understood at present, of all tables.
#[derive(Debug, Default)]
pub struct Problems {
    by_row: BTreeMap<(Uuid, &'static str), RowProblems>,
    listed: usize,
    count: usize,
}

/// The problems of one row.
#[derive(Debug, Default)]
struct RowProblems {
    /// The columns that have one.
    columns: ColumnSet,
    /// The columns whose content is unknown, because a difference or the whole of it could not be read.
    unknown: ColumnSet,
    /// Those that are listed.
    listed: BTreeMap<usize, Problem>,
}

/// What a reading of a row's columns found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// The columns that were read.
    pub(crate) read: ColumnSet,
    /// What was wrong with some of them.
    pub(crate) errors: Vec<(usize, ColumnError)>,
}

// ===== impl Problems =====

impl Problems {
    /// Returns the problems; a bounded number of them, see [`Problems::unlisted`].
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.by_row.values().flat_map(|row| row.listed.values())
    }

    /// Returns how many problems there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Returns true if there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Returns how many problems there are beyond those of [`Problems::iter`].
    pub fn unlisted(&self) -> usize {
        self.count - self.listed
    }

    /// Returns true if a row has a problem.
    pub fn has_row(&self, table: &TableSpec, uuid: Uuid) -> bool {
        !self.by_row.is_empty() && self.by_row.contains_key(&(uuid, table.name))
    }

    /// Returns the columns of a row whose content is unknown.
    pub(crate) fn unknown(&self, table: &TableSpec, uuid: Uuid) -> ColumnSet {
        self.by_row.get(&(uuid, table.name)).map_or(ColumnSet::EMPTY, |row| row.unknown)
    }

    /// Takes over what a reading of a row found: of all its columns if `is_whole`, or else of those that it read.
    /// Returns whether the row has a problem now.
    pub(crate) fn settle(
        &mut self,
        table: &TableSpec,
        uuid: Uuid,
        is_whole: bool,
        findings: Findings,
    ) -> bool {
        let key = (uuid, table.name);
        let mut row = self.by_row.remove(&key).unwrap_or_default();
        let mut before = std::mem::take(&mut row.listed);
        self.count -= row.columns.iter().count();
        self.listed -= before.len();
        let settled = if is_whole { row.columns } else { findings.read };
        let keep =
            |set: ColumnSet| set.iter().filter(|column| !settled.contains(*column)).collect::<ColumnSet>();
        (row.columns, row.unknown) = (keep(row.columns), keep(row.unknown));
        for column in row.columns.iter() {
            row.listed.extend(before.remove(&column).map(|problem| (column, problem)));
        }
        self.listed += row.listed.len();
        for (column, error) in findings.errors {
            row.columns.insert(column);
            if let ColumnError::Unreadable(_) = error {
                row.unknown.insert(column);
            }
            let problem = Problem {
                table: table.name,
                uuid,
                column: table.columns[column].name,
                message: error.to_string(),
            };
            // A problem is logged once, however often its value is read.
            let is_known = before.get(&column) == Some(&problem);
            if is_known || self.listed < MAX_LISTED {
                if !is_known {
                    let Problem { table, uuid, column, message } = &problem;
                    tracing::warn!(table, %uuid, column, message, "value not understood");
                }
                self.listed += usize::from(row.listed.insert(column, problem).is_none());
            }
        }
        self.count += row.columns.iter().count();
        let has_problem = !row.columns.is_empty();
        if has_problem {
            self.by_row.insert(key, row);
        }
        has_problem
    }

    /// Forgets a row.
    pub fn forget(&mut self, table: &TableSpec, uuid: Uuid) {
        self.settle(table, uuid, true, Findings::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::AtomicType;
    use crate::table::{ColumnKind, ColumnSpec};

    const fn column(name: &'static str) -> ColumnSpec {
        let kind = ColumnKind::Scalar(AtomicType::String);
        ColumnSpec { name, kind, keys: &[], is_optional: false, since: "", absent: "" }
    }

    const TABLE: TableSpec = TableSpec {
        name: "T",
        columns: &[column("a"), column("b"), column("c")],
        load_stage: 0,
        is_optional: false,
        since: "",
        absent: "",
    };

    fn settle(
        problems: &mut Problems,
        uuid: u128,
        is_whole: bool,
        columns: &[(usize, Option<&str>)],
    ) -> bool {
        let errors = columns
            .iter()
            .filter_map(|(column, message)| Some((*column, ColumnError::Invalid((*message)?.to_owned()))));
        let read = columns.iter().map(|(column, _)| *column).collect();
        problems.settle(&TABLE, Uuid::from_u128(uuid), is_whole, Findings { read, errors: errors.collect() })
    }

    #[test]
    fn a_problem_lasts_until_its_column_is_read_again() {
        let mut problems = Problems::default();
        assert!(!settle(&mut problems, 1, true, &[(0, None)]));
        assert!(settle(&mut problems, 1, true, &[(0, Some("x")), (1, Some("y"))]));
        assert!(settle(&mut problems, 1, false, &[(2, None)]));
        assert!(settle(&mut problems, 1, false, &[(0, None)]));
        let found: Vec<_> = problems.iter().map(|p| (p.column, &*p.message)).collect();
        assert_eq!(found, [("b", "y")]);
        assert!(settle(&mut problems, 1, false, &[(1, Some("z"))]));
        assert_eq!(problems.iter().map(|p| &*p.message).collect::<Vec<_>>(), ["z"]);
        assert!(!settle(&mut problems, 1, true, &[]));
        assert!(problems.is_empty());
    }

    #[test]
    fn the_list_is_bounded_and_the_rest_counted() {
        let mut problems = Problems::default();
        for uuid in 0..1010 {
            assert!(settle(&mut problems, uuid, true, &[(0, Some("x"))]));
        }
        assert_eq!((problems.iter().count(), problems.unlisted()), (1000, 10));
        (1000..1005).for_each(|uuid| problems.forget(&TABLE, Uuid::from_u128(uuid)));
        assert!(!settle(&mut problems, 1005, false, &[(0, None)]));
        assert!(!settle(&mut problems, 0, false, &[(0, None)]));
        assert_eq!((problems.iter().count(), problems.unlisted()), (999, 4));
    }

    #[test]
    fn unreadable_columns_are_unknown_until_they_are_read_as_a_whole() {
        let mut problems = Problems::default();
        let error = crate::cursor::DecodeError { at: 0, expected: "x" };
        let findings = Findings { read: [0].into_iter().collect(), errors: vec![(0, error.into())] };
        problems.settle(&TABLE, Uuid::nil(), true, findings);
        assert!(problems.unknown(&TABLE, Uuid::nil()).contains(0));
        settle(&mut problems, 0, true, &[(0, Some("not understood"))]);
        assert!(problems.unknown(&TABLE, Uuid::nil()).is_empty());
    }
}
