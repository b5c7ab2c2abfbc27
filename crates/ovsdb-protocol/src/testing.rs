//! Rows and outcomes without a connection, for tests and benchmarks of consumers. Only with the feature `testing`.

mod difference;
#[cfg(feature = "client")]
mod replay;
mod strategies;

pub use difference::difference;
#[cfg(feature = "client")]
pub use replay::replay;
pub use strategies::{column_values, row, typed_row, values};

use crate::transact::TransactionId;

/// Creates an id of a transaction without a session, for code that waits for its outcome.
pub fn transaction_id(number: u64) -> TransactionId {
    TransactionId(number)
}
