//! Shrinking of a failing case: everything that the failure does not need is removed, from whole steps down to single
//! elements of columns.

use ovsdb_protocol::Uuid;
use proptest::strategy::ValueTree;

use super::{Case, Edit, Settings, Step};
use crate::choices::Arrival;
use crate::model::{Kind, Row, Value, kind};

/// A case that fails, and a smaller one that is tried.
#[derive(Debug)]
pub(crate) struct Shrinking {
    failing: Case,
    tried: Case,
    cuts: Vec<Cut>,
    /// The next of the cuts.
    next: usize,
    /// Whether it was applied to the case that is tried.
    is_cut: bool,
    /// Whether one of this round led to a smaller case.
    shrank: bool,
}

/// A part that a case may omit.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// This many steps from one on.
    Steps(usize, usize),
    /// An edit of a step.
    Edit(usize, usize),
    /// A row of the network, and all references to it.
    Row(&'static str, Uuid),
    /// The order of arrival.
    Arrival,
    /// The configuration, from the start or of a step.
    Settings(Option<usize>),
    /// A setting of it.
    Setting(Option<usize>, usize),
    /// An element of a column of the network.
    Part(&'static str, Uuid, &'static str, usize),
    /// An element of a column of a row that is inserted.
    InsertedPart(usize, usize, &'static str, usize),
}

impl Shrinking {
    pub(super) fn new(case: Case) -> Self {
        Self { cuts: cuts(&case), tried: case.clone(), failing: case, next: 0, is_cut: false, shrank: false }
    }

    /// Tries the next cut; none is left if no cut of a whole round led to a smaller case.
    fn advance(&mut self) -> bool {
        loop {
            if let Some(cut) = self.cuts.get(self.next) {
                self.tried = self.failing.clone();
                cut.apply(&mut self.tried);
                self.is_cut = true;
                return true;
            }
            if !std::mem::take(&mut self.shrank) {
                self.tried = self.failing.clone();
                self.is_cut = false;
                return false;
            }
            (self.cuts, self.next) = (cuts(&self.failing), 0);
        }
    }
}

impl ValueTree for Shrinking {
    type Value = Case;

    fn current(&self) -> Case {
        self.tried.clone()
    }

    fn simplify(&mut self) -> bool {
        // The smaller case fails, too, and the parts after the cut now have other positions.
        if self.is_cut {
            self.failing = self.tried.clone();
            self.shrank = true;
            self.cuts = cuts(&self.failing);
        }
        self.advance()
    }

    fn complicate(&mut self) -> bool {
        self.next += 1;
        self.advance()
    }
}

/// Lists the parts that a case may omit, the largest first.
fn cuts(case: &Case) -> Vec<Cut> {
    let mut cuts = Vec::new();
    let mut length = case.steps.len();
    while length > 0 {
        cuts.extend((0..=case.steps.len() - length).rev().map(|from| Cut::Steps(from, length)));
        length /= 2;
    }
    for (n, step) in case.steps.iter().enumerate() {
        match step {
            Step::Edits(edits) => cuts.extend((0..edits.len()).rev().map(|at| Cut::Edit(n, at))),
            Step::Configure(settings) if settings.len() > 0 => cuts.push(Cut::Settings(Some(n))),
            Step::Configure(_) | Step::Settle | Step::Pass(_) | Step::Restart => {}
        }
    }
    if matches!(case.arrival, Arrival::Random(_)) {
        cuts.push(Cut::Arrival);
    }
    if case.settings.len() > 0 {
        cuts.push(Cut::Settings(None));
    }
    cuts.extend(case.start.rows.keys().map(|(table, uuid)| Cut::Row(table, *uuid)));
    cuts.extend((0..case.settings.len()).map(|at| Cut::Setting(None, at)));
    for ((table, uuid), row) in &case.start.rows {
        cuts.extend(parts(row).map(|(column, part)| Cut::Part(table, *uuid, column, part)));
    }
    for (n, step) in case.steps.iter().enumerate() {
        match step {
            Step::Configure(settings) => {
                cuts.extend((0..settings.len()).map(|at| Cut::Setting(Some(n), at)));
            }
            Step::Edits(edits) => {
                for (at, edit) in edits.iter().enumerate() {
                    if let Edit::Insert(_, row) = edit {
                        cuts.extend(parts(row).map(|(column, part)| Cut::InsertedPart(n, at, column, part)));
                    }
                }
            }
            Step::Settle | Step::Pass(_) | Step::Restart => {}
        }
    }
    cuts
}

/// The elements of a row's columns. Names are not included: without its name, a row would be a different one.
fn parts(row: &Row) -> impl Iterator<Item = (&'static str, usize)> {
    let columns = row.0.iter().filter(|(column, value)| **column != "name" && **value != Value::text(""));
    columns.flat_map(|(column, value)| (0..value.parts().len()).rev().map(move |part| (*column, part)))
}

fn cut_part(table: &str, row: &mut Row, column: &str, part: usize) {
    let Some(value) = row.0.get_mut(column) else { return };
    match kind(table, column) {
        // A required text becomes empty.
        Kind::Text => *value = Value::text(""),
        Kind::Maybe | Kind::MaybeFlag | Kind::Set | Kind::Map => {
            if let Some(part) = value.parts().get(part) {
                value.toggle(part, false);
            }
        }
    }
}

impl Cut {
    fn apply(self, case: &mut Case) {
        match self {
            Self::Steps(from, length) => drop(case.steps.drain(from..from + length)),
            Self::Edit(step, at) => {
                if let Step::Edits(edits) = &mut case.steps[step] {
                    edits.remove(at);
                }
            }
            Self::Row(table, uuid) => {
                case.start.rows.remove(&(table, uuid));
                for row in case.start.rows.values_mut() {
                    row.0.values_mut().for_each(|value| value.forget(uuid));
                }
            }
            Self::Arrival => case.arrival = Arrival::Sorted,
            Self::Settings(step) => *settings_mut(case, step) = Settings::default(),
            Self::Setting(step, at) => settings_mut(case, step).remove(at),
            Self::Part(table, uuid, column, part) => {
                if let Some(row) = case.start.row_mut(table, uuid) {
                    cut_part(table, row, column, part);
                }
            }
            Self::InsertedPart(step, at, column, part) => {
                if let Step::Edits(edits) = &mut case.steps[step]
                    && let Edit::Insert((table, _), row) = &mut edits[at]
                {
                    cut_part(table, row, column, part);
                }
            }
        }
    }
}

fn settings_mut(case: &mut Case, step: Option<usize>) -> &mut Settings {
    match step.map(|step| &mut case.steps[step]) {
        Some(Step::Configure(settings)) => settings,
        _ => &mut case.settings,
    }
}
