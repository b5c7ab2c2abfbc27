//! Rows from recorded bytes.

use crate::decoder::{Decoder, Frame};
use crate::error::{Error, Kind};
use crate::monitor::MonitorMethod;
use crate::replica::{Batch, Replica};
use crate::scan::Limits;

/// Applies the rows in `bytes` to a replica: the reply to a `monitor_cond_since` request with the id 0, and the updates after
/// it, as if they arrived in pieces of `chunk` bytes. Returns the number of rows. Call [`Replica::declare`] before.
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
