use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use serde_json::json;

use super::raw::Raw;

/// Observes insertions and deletions of NAT rows as a third party, by its own monitor, whose updates it only counts.
#[derive(Debug)]
pub(super) struct Observer {
    raw: Raw,
    inserted: Counter,
    deleted: Counter,
}

/// Counts how often a word occurs in a stream.
#[derive(Debug)]
pub(super) struct Counter {
    word: &'static [u8],
    pub(super) count: usize,
    /// The end of the received data, shorter than the word.
    tail: Vec<u8>,
}

impl Observer {
    /// Starts to observe; existing rows do not count.
    pub(super) fn open(socket: &Path) -> Result<Self> {
        let request = json!({"id": 1, "method": "monitor_cond", "params": ["OVN_Northbound", "bench", {
            "NAT": [{"columns": ["external_ip"], "select": {"initial": false}}],
        }]});
        let mut raw = Raw::connect(socket)?;
        raw.call(request.to_string().as_bytes())?;
        Ok(Self { raw, inserted: Counter::new(b"\"insert\":"), deleted: Counter::new(b"\"delete\":") })
    }

    /// Waits until `count` more rows were inserted, and returns the time.
    pub(super) fn inserted(&mut self, count: usize) -> Result<Instant> {
        self.wait(count, |observer| &mut observer.inserted)
    }

    /// Waits until `count` more rows were deleted, and returns the time.
    pub(super) fn deleted(&mut self, count: usize) -> Result<Instant> {
        self.wait(count, |observer| &mut observer.deleted)
    }

    fn wait(&mut self, count: usize, which: impl Fn(&mut Self) -> &mut Counter) -> Result<Instant> {
        while which(self).count < count {
            let read = self.raw.read()?;
            self.inserted.feed(read);
            self.deleted.feed(read);
        }
        let now = Instant::now();
        which(self).count -= count;
        Ok(now)
    }
}

impl Counter {
    pub(super) fn new(word: &'static [u8]) -> Self {
        Self { word, count: 0, tail: Vec::new() }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(bytes);
        self.count += self.tail.windows(self.word.len()).filter(|window| *window == self.word).count();
        let old = (self.tail.len() + 1).saturating_sub(self.word.len());
        self.tail.drain(..old);
    }
}
