//! Rows and outcomes without a connection, for tests and benchmarks of consumers. Only with the feature `testing`.

mod difference;
mod strategies;

pub use difference::difference;
pub use strategies::{column_values, row, typed_row, values};

use crate::decoder::{Decoder, Frame};
use crate::error::{Error, Kind};
use crate::monitor::MonitorMethod;
use crate::replica::{Batch, Replica};
use crate::scan::Limits;
use crate::session::TransactionId;

/// Names a transaction of no session, for what waits for its outcome.
pub fn transaction_id(number: u64) -> TransactionId {
    TransactionId(number)
}

/// Gives a replica the rows in `bytes`, which are the reply to a `monitor_cond_since` request with the id 0 and the
/// updates after it, as if they arrived in pieces of `chunk` bytes. Returns the number of rows.
///
/// The replica has declared what it wants.
///
/// # Errors
/// The bytes are not the protocol, or contradict the replica.
pub fn replay(bytes: &[u8], chunk: usize, replica: &mut impl Replica) -> Result<u64, Error> {
    let mut decoder = Decoder::new(Limits::default());
    decoder.expect_rows(0, MonitorMethod::CondSince);
    let mut rows = 0;
    for piece in bytes.chunks(chunk.max(1)) {
        decoder.buffer().extend_from_slice(piece);
        while let Some(frame) = decoder.next()? {
            match frame {
                Frame::Message(_) => {}
                Frame::RowsBegin(head) => {
                    replica.begin(if head.found { Batch::Delta } else { Batch::Snapshot });
                }
                Frame::Row(update) => {
                    rows += 1;
                    replica.apply(update).map_err(Kind::ApplyError)?;
                }
                Frame::RowsEnd(_) => replica.commit(),
            }
        }
    }
    Ok(rows)
}
