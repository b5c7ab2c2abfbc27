//! The states of an intent.

use serde::{Serialize, Serializer};

/// Where an intent stands. Reports, metrics and the log use these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, clap::ValueEnum)]
pub enum State {
    /// The override is in the database.
    Active,
    /// It is wanted and valid, and not committed yet.
    Pending,
    /// Something is missing that may come.
    Waiting,
    /// It cannot be granted.
    Rejected,
    /// A foreign row, or another port's, is in the place.
    Conflict,
    /// A foreign row fulfils it already.
    Foreign,
    /// We put it there, and somebody keeps removing it.
    Contested,
    /// The override is gone, and its address finishes connections.
    Draining,
}

impl State {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Active,
        Self::Pending,
        Self::Waiting,
        Self::Rejected,
        Self::Conflict,
        Self::Foreign,
        Self::Contested,
        Self::Draining,
    ];

    /// Returns the word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Rejected => "rejected",
            Self::Conflict => "conflict",
            Self::Foreign => "foreign",
            Self::Contested => "contested",
            Self::Draining => "draining",
        }
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
