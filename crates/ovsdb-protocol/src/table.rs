//! Typed rows, declared with `#[derive(Table)]`.

mod column;
mod condition;
mod field;
mod index;
mod map;
mod mutation;
mod original;
mod rare;
mod read;
mod requests;
mod row;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use uuid::Uuid;

use crate::cursor::{DatumReader, DecodeError};
use crate::schema::ColumnType;
use crate::value::AtomicType;

pub use column::{AtomValue, Column, apply_scalar, toggle_sorted};
pub use condition::{TypedCondition, TypedRowFilter};
pub use field::{Field, IntoColumn, KeyField, PairsField};
pub use index::{HashKeys, Index, IndexedField, hash_keys};
pub use map::{KeyColumn, PairsColumn};
pub use mutation::TypedMutation;
pub use original::{Original, OriginalText, is_rendering};
pub use rare::Rare;
pub use read::{ReadRow, read_row};
pub use requests::{Missing, TableLayout, monitor_requests};
pub use row::{TableOperations, TypedRow};
pub use schema::declared_schema;

/// The columns of a row type, in the order of their declaration. Derived together with [`Table`], or alone for a group
/// of columns that another row type holds with `#[ovsdb(flatten)]`.
///
/// A column is named by its index in [`ColumnGroup::COLUMNS`].
pub trait ColumnGroup: Sized {
    /// The state that reading a column may change besides the row: `()` unless the declaration names a type. A store
    /// that refers to rows by handles looks the handles up there.
    type Context: ?Sized;

    /// The declared columns. No two have the same name.
    const COLUMNS: &'static [ColumnSpec];

    /// Returns a row with a default value in every column.
    fn with_defaults() -> Self;

    /// Returns the index of a column.
    fn column_index(name: &str) -> Option<usize>;

    /// Applies the difference in `value` to a column (ovsdb-server(7), `update2`). As the difference from an empty set
    /// or map is the set or map itself, this also reads whole values into a row of defaults.
    ///
    /// # Errors
    /// The value cannot be read ([`ColumnError::Unreadable`]) and the column has an unspecified value, or the value is
    /// invalid ([`ColumnError::Invalid`]) and the column holds what was understood of it.
    fn apply(
        &mut self,
        column: usize,
        value: &mut DatumReader<'_, '_>,
        context: &mut Self::Context,
    ) -> Result<(), ColumnError>;

    /// Gives a column its default value.
    fn reset(&mut self, column: usize);

    /// Returns the columns in which two rows differ.
    fn changed(&self, other: &Self) -> ColumnSet;
}

/// The row type of a table of an OVSDB database: a struct with `#[derive(Table)]`.
///
/// The struct's attribute is `#[ovsdb(table = "NAME", ...)]`, with
///
/// - `load_stage = N`: the stage of a snapshot that brings the rows, see [`TableSpec::load_stage`];
/// - `since = "RELEASE"`: the first release that is known to have all required columns, for messages;
/// - `optional`: the whole table may be absent; `absent = "CONSEQUENCE"` says what is lost then;
/// - `context = "TYPE"`: see [`ColumnGroup::Context`].
///
/// The attribute of a group, a struct with `#[derive(ColumnGroup)]`, has `context`, and `row = "TYPE"`: the row type that
/// holds the group, in whose conditions, mutations and rows to write its columns are named.
///
/// A field is a column of the same name, of a type that implements [`Column`], unless its attribute says otherwise:
///
/// - `column = "NAME"`: the column's name, if it is not a Rust identifier;
/// - `key = "COLUMN:KEY"`: the value of one key of a map of strings, of a type that implements [`KeyColumn`]. All keys of
///   a column are fields of the same struct, the row or a group;
/// - `prefix = "COLUMN:PREFIX"`: the pairs whose keys have the prefix, of a type that implements [`PairsColumn`];
/// - `optional`: the column may be absent; it has its default then. `since = "RELEASE"` and `absent = "CONSEQUENCE"`
///   state for messages which release introduced it and what is lost without it;
/// - `index`: rows are found by the value, in [`TableCache::find`](crate::TableCache::find); see [`IndexedField`] for
///   the types that it can have. Not for fields of a group;
/// - `uuid`: the row's `_uuid`;
/// - `flatten`: a group of further columns, a type that implements [`ColumnGroup`];
/// - `skip`: not a column. The field has its default in a new row and is kept when the row changes.
///
/// The derive also adds `Self::COLUMNS`, a constant with a [`Field`], [`KeyField`] or [`PairsField`] for each field, by which
/// conditions, mutations and rows name the columns, and with an index `Self::INDEXES` with an [`Index`] for each of these.
///
/// ```
/// use ovsdb_protocol::{Table, Uuid};
///
/// /// An Open vSwitch bridge.
/// #[derive(Clone, Debug, Table)]
/// #[ovsdb(table = "Bridge")]
/// struct Bridge {
///     #[ovsdb(uuid)]
///     uuid: Uuid,
///     #[ovsdb(index)]
///     name: String,
///     ports: Vec<Uuid>,
///     datapath_type: String,
///     #[ovsdb(key = "other_config:hwaddr")]
///     hwaddr: Option<String>,
///     #[ovsdb(optional, since = "3.3", absent = "bridges cannot be limited")]
///     mcast_limit: Option<i64>,
/// }
///
/// assert_eq!(Bridge::TABLE.name, "Bridge");
/// let condition = Bridge::COLUMNS.name.eq("br-int");
/// # let _ = condition;
/// ```
pub trait Table: ColumnGroup + 'static {
    /// The declaration of the table.
    const TABLE: TableSpec;

    /// The declared indexes.
    const INDEXES: &'static [HashKeys<Self>] = &[];

    /// Returns a row with a default value in every column and this `_uuid`, if the type has a place for it.
    fn with_uuid(uuid: Uuid) -> Self;
}

/// The declaration of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// The table's name.
    pub name: &'static str,
    /// The columns. Several fields of one struct may be parts of one column.
    pub columns: &'static [ColumnSpec],
    /// The stage of a snapshot that brings the table: those of stage 0 come first. A session requests one stage after
    /// the other, and decodes one while the server renders the next; see
    /// [`MonitorRequest::load_stage`](crate::MonitorRequest::load_stage).
    pub load_stage: u8,
    /// Whether a server may lack the table.
    pub is_optional: bool,
    /// The first release that is known to have all required columns; empty if the declaration does not say.
    pub since: &'static str,
    /// The consequence of a missing table; empty if the declaration does not say.
    pub absent: &'static str,
}

/// The declaration of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// The column's name.
    pub name: &'static str,
    /// The type of its values.
    pub kind: ColumnKind,
    /// The keys that are read, of a map that is read in part.
    pub keys: &'static [&'static str],
    /// The prefixes of further keys that are read.
    pub prefixes: &'static [&'static str],
    /// The words that are understood, for a column of an enumeration: see [`AtomValue::VALUES`]. Empty for other columns.
    pub values: &'static [&'static str],
    /// Whether a server may lack the column.
    pub is_optional: bool,
    /// The release that introduced it; empty if the declaration does not say.
    pub since: &'static str,
    /// The consequence if it is missing; empty if the declaration does not say.
    pub absent: &'static str,
}

impl ColumnSpec {
    /// Returns the declaration of a column of one string, with nothing else declared.
    pub(crate) const fn string(name: &'static str) -> Self {
        Self {
            name,
            kind: ColumnKind::Scalar(AtomicType::String),
            keys: &[],
            prefixes: &[],
            values: &[],
            is_optional: false,
            since: "",
            absent: "",
        }
    }
}

/// The type of a column as a field expects it: like [`ColumnType`], without constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Exactly one atom.
    Scalar(AtomicType),
    /// One atom or none.
    Optional(AtomicType),
    /// Any number of atoms.
    Set(AtomicType),
    /// Any number of pairs.
    Map(AtomicType, AtomicType),
}

/// A set of columns of one row type.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ColumnSet(u64);

/// The error of a value that was not read, or only in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ColumnError {
    /// The text is not a value of the column's type.
    #[error("{0}")]
    Unreadable(DecodeError),
    /// The value is not valid for the program. The part that was understood is kept.
    #[error("{0}")]
    Invalid(String),
}

// ===== impl TableSpec =====

impl TableSpec {
    /// Returns a column.
    pub fn column(&self, name: &str) -> Option<&'static ColumnSpec> {
        self.columns.iter().find(|column| column.name == name)
    }
}

// ===== impl ColumnKind =====

impl ColumnKind {
    /// Returns true if a field of this kind can hold every value of a column of type `column`.
    pub fn fits(self, column: &ColumnType) -> bool {
        let key = |atomic| column.key.atomic == atomic;
        match (self, &column.value) {
            (Self::Scalar(atomic) | Self::Optional(atomic), None) => column.max_is_one() && key(atomic),
            (Self::Set(atomic), None) => key(atomic),
            (Self::Map(atomic, of_value), Some(value)) => key(atomic) && value.atomic == of_value,
            _ => false,
        }
    }

    /// Returns true if a difference of such a column lists the changes, rather than the new value.
    pub fn is_collection(self) -> bool {
        matches!(self, Self::Set(_) | Self::Map(..))
    }
}

impl fmt::Display for ColumnKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scalar(atomic) => write!(f, "{atomic}"),
            Self::Optional(atomic) => write!(f, "optional {atomic}"),
            Self::Set(atomic) => write!(f, "set of {atomic}"),
            Self::Map(key, value) => write!(f, "map of {key} to {value}"),
        }
    }
}

// ===== impl ColumnSet =====

impl ColumnSet {
    /// The greatest number of columns that a row type may have.
    pub const MAX_COLUMNS: usize = u64::BITS as usize;

    /// The empty set.
    pub const EMPTY: Self = Self(0);

    /// Adds a column.
    pub fn insert(&mut self, column: usize) {
        self.0 |= 1 << column;
    }

    /// Returns the set with a column added if `is_member`.
    #[must_use]
    pub const fn with(self, column: usize, is_member: bool) -> Self {
        Self(self.0 | (is_member as u64) << column)
    }

    /// Returns true if the column is in the set.
    pub const fn contains(self, column: usize) -> bool {
        self.0 >> column & 1 == 1
    }

    /// Returns true for the empty set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the set of the columns in either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the set with every index `by` greater: the columns of a flattened group among all.
    #[must_use]
    pub const fn shifted(self, by: usize) -> Self {
        Self(self.0 << by)
    }

    /// Iterates over the columns in the order of their declaration.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..Self::MAX_COLUMNS).filter(move |column| self.contains(*column))
    }
}

impl fmt::Debug for ColumnSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<usize> for ColumnSet {
    fn from_iter<I: IntoIterator<Item = usize>>(columns: I) -> Self {
        let mut set = Self::EMPTY;
        columns.into_iter().for_each(|column| set.insert(column));
        set
    }
}

// ===== impl ColumnError =====

impl From<DecodeError> for ColumnError {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(error)
    }
}

/// Joins the columns of a row type with those of its groups, for the derive.
///
/// # Panics
/// At compile time: two columns have the same name, or there are too many.
#[doc(hidden)]
pub const fn join_columns<const N: usize>(groups: &[&[ColumnSpec]]) -> [ColumnSpec; N] {
    assert!(N <= ColumnSet::MAX_COLUMNS, "too many columns");
    let mut joined = [ColumnSpec::string(""); N];
    let (mut length, mut group) = (0, 0);
    while group < groups.len() {
        let mut column = 0;
        while column < groups[group].len() {
            joined[length] = groups[group][column];
            let mut earlier = 0;
            while earlier < length {
                assert!(
                    !same_text(joined[earlier].name, joined[length].name),
                    "a column is declared twice; are keys of one map in several structs?"
                );
                earlier += 1;
            }
            length += 1;
            column += 1;
        }
        group += 1;
    }
    joined
}

const fn same_text(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    at == a.len() && at == b.len()
}
