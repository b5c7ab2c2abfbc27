//! The states of an intent.

use crate::words::words;

words! {
    /// The state of an intent. Reports, metrics and the log use these words.
    State {
        /// The override is in the database.
        Active "active",
        /// It is wanted and valid, and not committed yet.
        Pending "pending",
        /// Something is missing that may come.
        Waiting "waiting",
        /// It cannot be granted.
        Rejected "rejected",
        /// A foreign row, or another port's, is in the place.
        Conflict "conflict",
        /// A foreign row fulfils it already.
        Foreign "foreign",
        /// It was written, and somebody keeps removing it.
        Contested "contested",
        /// The override is gone, and its address finishes connections.
        Draining "draining",
    }
}
