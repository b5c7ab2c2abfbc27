//! The states of an intent.

use crate::words::words;

/// Declares the states: the documentation, which is also the help text of `list --state`, the name and the word.
macro_rules! states {
    ($($(#[doc = $doc:literal])+ $name:ident $word:literal;)+) => {
        /// The state of an intent. Reports, metrics and the log use these words.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum State {
            $($(#[doc = $doc])+ $name,)+
        }

        words!(State: $($(#[doc = $doc])+ $name $word,)+);
    };
}

states! {
    /// The override is in the database.
    Active "active";
    /// It is wanted and valid, and not committed yet.
    Pending "pending";
    /// Something is missing that may come.
    Waiting "waiting";
    /// It cannot be granted.
    Rejected "rejected";
    /// A foreign row, or another port's, is in the place.
    Conflict "conflict";
    /// A foreign row fulfils it already.
    Foreign "foreign";
    /// We put it there, and somebody keeps removing it.
    Contested "contested";
    /// The override is gone, and its address finishes connections.
    Draining "draining";
}
