//! Choices from a seed.

use fastrand::Rng;
use ovsdb_protocol::Uuid;

use crate::model::Database;

/// A source of choices.
#[derive(Clone, Debug)]
pub(crate) struct Choices(Rng);

/// The order and the notation in which updates arrive.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    /// By table and row, as differences.
    Sorted,
    /// In any order and notation, sometimes as a snapshot.
    Random(Choices),
}

impl Choices {
    /// Returns the choices of a seed, always the same.
    pub(crate) fn with_seed(seed: u64) -> Self {
        Self(Rng::with_seed(seed))
    }

    /// Returns other choices that follow from these.
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.u64(..n)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub(crate) fn pick<'t, T>(&mut self, list: &'t [T]) -> &'t T {
        &list[self.below(list.len() as u64) as usize]
    }

    pub(crate) fn text<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        texts[self.below(texts.len() as u64) as usize]
    }

    pub(crate) fn some<'t>(&mut self, texts: &[&'t str], most: u64) -> Vec<&'t str> {
        (0..self.below(most + 1)).map(|_| self.text(texts)).collect()
    }

    pub(crate) fn row(&mut self, database: &Database, table: &'static str) -> Option<Uuid> {
        let rows: Vec<_> = database.table(table).map(|(uuid, _)| uuid).collect();
        (!rows.is_empty()).then(|| *self.pick(&rows))
    }
}

impl Arrival {
    /// Returns true once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        if let Self::Random(choices) = self { choices.one_in(n) } else { false }
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        let Self::Random(choices) = self else { return };
        choices.0.shuffle(list);
    }
}
