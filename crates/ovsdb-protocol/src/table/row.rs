//! Typed rows to write, and operations on typed tables.

use std::marker::PhantomData;

use uuid::Uuid;

use super::{Field, IntoColumn, KeyField, PairsField, Table, TypedCondition, TypedMutation};
use crate::transact::{Condition, Mutation, Transaction, Until};
use crate::value::{Datum, Row};

/// Some columns of a row of type `T`, to insert or to update with.
///
/// ```
/// # use ovsdb_protocol::{Table, Transaction, TypedRow, Uuid};
/// # #[derive(Clone, Debug, Table)]
/// # #[ovsdb(table = "Logical_Switch")]
/// # struct Switch { name: String, ports: Vec<Uuid> }
/// let mut transaction = Transaction::new("OVN_Northbound");
/// let row = TypedRow::new().with(Switch::COLUMNS.name, "ls0");
/// transaction.on::<Switch>().insert(row);
/// ```
#[derive(Debug)]
pub struct TypedRow<T> {
    row: Row,
    table: PhantomData<fn() -> T>,
}

/// A builder of operations on one table: see [`Transaction::on`]. Each method returns the operation's index.
#[derive(Debug)]
pub struct TableOperations<'t, T> {
    transaction: &'t mut Transaction,
    table: PhantomData<fn() -> T>,
}

// ===== impl TypedRow =====

impl<T> TypedRow<T> {
    /// Creates a row without columns.
    pub fn new() -> Self {
        Self { row: Row::new(), table: PhantomData }
    }

    /// Sets a column.
    #[must_use]
    pub fn with<V>(mut self, field: Field<T, V>, value: impl IntoColumn<V>) -> Self {
        self.row.insert(field.name(), value.into_column());
        self
    }

    /// Sets a key of a map. In an update, the map consists of the keys that are set so.
    #[must_use]
    pub fn with_key(mut self, field: KeyField<T>, value: &str) -> Self {
        self.add_pairs(field.column(), [(field.key(), value)]);
        self
    }

    /// Sets pairs of a map, by their full keys. In an update, the map consists of the keys that are set so.
    #[must_use]
    pub fn with_pairs<'p>(
        mut self,
        field: PairsField<T>,
        pairs: impl IntoIterator<Item = (&'p str, &'p str)>,
    ) -> Self {
        self.add_pairs(field.column(), pairs);
        self
    }

    /// Returns the columns without their types.
    pub fn into_row(self) -> Row {
        self.row
    }

    fn add_pairs<'p>(&mut self, column: &str, pairs: impl IntoIterator<Item = (&'p str, &'p str)>) {
        let mut map = match self.row.remove(column) {
            Some(Datum::Map(map)) => map,
            _ => Default::default(),
        };
        map.extend(pairs.into_iter().map(|(key, value)| (key.into(), value.into())));
        self.row.insert(column, Datum::Map(map));
    }
}

impl<T> Default for TypedRow<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> From<TypedRow<T>> for Row {
    fn from(row: TypedRow<T>) -> Self {
        row.row
    }
}

// ===== impl TableOperations =====

impl Transaction {
    /// Returns a builder that appends operations on the table of `T`. Others, such as [`select`](Self::select), are
    /// appended without types; one transaction may have both.
    pub fn on<T: Table>(&mut self) -> TableOperations<'_, T> {
        TableOperations { transaction: self, table: PhantomData }
    }
}

impl<T: Table> TableOperations<'_, T> {
    /// See [`Transaction::insert`].
    pub fn insert(&mut self, row: TypedRow<T>) -> usize {
        self.transaction.insert(T::TABLE.name, row.row)
    }

    /// See [`Transaction::insert_named`]. The name is referred to by
    /// [`Atom::NamedUuid`](crate::Atom::NamedUuid), as in `Datum::set([Atom::NamedUuid("p0".into())])`, which is a value for a
    /// column of any type. [`insert_as`](Self::insert_as) keeps the types.
    #[doc(alias = "named-uuid")]
    pub fn insert_named(&mut self, name: impl Into<String>, row: TypedRow<T>) -> usize {
        self.transaction.insert_named(T::TABLE.name, name, row.row)
    }

    /// See [`Transaction::insert_as`]. Rows that refer to each other can so be inserted together: their UUIDs are known.
    pub fn insert_as(&mut self, uuid: Uuid, row: TypedRow<T>) -> usize {
        self.transaction.insert_as(T::TABLE.name, uuid, row.row)
    }

    /// See [`Transaction::update`].
    pub fn update(
        &mut self,
        conditions: impl IntoIterator<Item = TypedCondition<T>>,
        row: TypedRow<T>,
    ) -> usize {
        self.transaction.update(T::TABLE.name, untyped(conditions), row.row)
    }

    /// See [`Transaction::mutate`].
    pub fn mutate(
        &mut self,
        conditions: impl IntoIterator<Item = TypedCondition<T>>,
        mutations: impl IntoIterator<Item = TypedMutation<T>>,
    ) -> usize {
        let mutations = mutations.into_iter().map(Mutation::from);
        self.transaction.mutate(T::TABLE.name, untyped(conditions), mutations)
    }

    /// See [`Transaction::delete`].
    pub fn delete(&mut self, conditions: impl IntoIterator<Item = TypedCondition<T>>) -> usize {
        self.transaction.delete(T::TABLE.name, untyped(conditions))
    }

    /// See [`Transaction::require`]; the columns are those of the first row. Without rows, it requires that none meets the
    /// conditions, or with [`Until::NotEqual`] that some does.
    ///
    /// ```
    /// # use ovsdb_protocol::{Table, Transaction, TypedCondition, TypedRow, Until, Uuid};
    /// # #[derive(Clone, Debug, Table)]
    /// # #[ovsdb(table = "Logical_Switch")]
    /// # struct Switch { name: String }
    /// # fn program(transaction: &mut Transaction, uuid: Uuid) {
    /// let same = TypedRow::new().with(Switch::COLUMNS.name, "ls0");
    /// transaction.on::<Switch>().require([TypedCondition::uuid(uuid)], Until::Equal, [same]);
    /// # }
    /// ```
    #[doc(alias = "wait")]
    pub fn require(
        &mut self,
        conditions: impl IntoIterator<Item = TypedCondition<T>>,
        until: Until,
        rows: impl IntoIterator<Item = TypedRow<T>>,
    ) -> usize {
        let rows: Vec<_> = rows.into_iter().map(TypedRow::into_row).collect();
        let columns: Vec<_> =
            rows.iter().take(1).flat_map(Row::iter).map(|(name, _)| name.to_owned()).collect();
        self.transaction.require(T::TABLE.name, untyped(conditions), columns, until, rows)
    }
}

fn untyped<T>(conditions: impl IntoIterator<Item = TypedCondition<T>>) -> impl Iterator<Item = Condition> {
    conditions.into_iter().map(Condition::from)
}
