//! The audit file: a line of JSON before each transaction is sent, and one when its outcome is known.
//!
//! The file is only ever appended to. The first line is written before the transaction goes out, so that no change of
//! the database is missing from the file even if the agent is killed; a transaction without a second line may or may
//! not have been committed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process;
use std::time::SystemTime;

use extaddr_core::apply::TransactionOutcome;
use extaddr_core::difference::PlannedChange;
use serde::Serialize;

use crate::clock::rfc3339;

/// The audit file.
#[derive(Debug)]
pub(crate) struct Audit {
    path: PathBuf,
    file: File,
    /// The id that distinguishes the transactions of one process from those of another.
    run: String,
    count: u64,
    /// Whether the last line of the file is not complete.
    is_torn: bool,
}

/// A change and its reason.
#[derive(Debug, Serialize)]
pub(crate) struct Because {
    #[serde(flatten)]
    pub(crate) change: PlannedChange,
    pub(crate) why: String,
}

/// The agent, the database, and the changes.
#[derive(Debug, Serialize)]
pub(crate) struct Sent<'a> {
    pub(crate) owner: &'a str,
    pub(crate) server: String,
    pub(crate) lock_epoch: u64,
    pub(crate) changes: Vec<Because>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    time: String,
    transaction: String,
    event: &'a str,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

// ===== impl Audit =====

impl Audit {
    /// Opens the file, and creates it if it does not exist.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let run = format!("{}-{}", process::id(), rfc3339(SystemTime::now()));
        let (file, is_torn) = open(path)?;
        Ok(Self { file, is_torn, path: path.to_owned(), run, count: 0 })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens another file, in which a transaction under way keeps its number.
    pub(crate) fn moved(&self, path: &Path) -> io::Result<Self> {
        let (file, is_torn) = open(path)?;
        Ok(Self { file, is_torn, path: path.to_owned(), run: self.run.clone(), count: self.count })
    }

    /// Reopens the file by its name: logrotate has moved the old one.
    pub(crate) fn reopen(&mut self) -> io::Result<()> {
        (self.file, self.is_torn) = open(&self.path)?;
        Ok(())
    }

    /// Records a transaction that is about to be sent.
    pub(crate) fn sending(&mut self, sent: &Sent<'_>) -> io::Result<()> {
        self.count += 1;
        self.write("sending", sent)
    }

    /// Records the outcome of the transaction that was sent last.
    pub(crate) fn concluded(&mut self, outcome: &TransactionOutcome) -> io::Result<()> {
        let (event, error) = match outcome {
            TransactionOutcome::Committed => ("committed", None),
            TransactionOutcome::Refused(error) => ("refused", Some(error.as_str())),
            TransactionOutcome::Unknown => ("unknown", Some("the connection broke before the answer")),
        };
        self.write(event, Outcome { error })
    }

    /// Records that the transaction was not sent.
    pub(crate) fn not_sent(&mut self, error: &str) -> io::Result<()> {
        self.write("not-sent", Outcome { error: Some(error) })
    }

    fn write(&mut self, event: &str, rest: impl Serialize) -> io::Result<()> {
        let transaction = format!("{}-{}", self.run, self.count);
        let line = Line { time: rfc3339(SystemTime::now()), transaction, event, rest };
        let mut text = Vec::from(if self.is_torn { "\n" } else { "" });
        serde_json::to_writer(&mut text, &line)?;
        text.push(b'\n');
        // In one write, so that lines of several writers do not mix.
        let written = self.file.write_all(&text);
        self.is_torn = written.is_err();
        written
    }
}

/// Opens the file, and returns whether its last line is not complete.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let file = OpenOptions::new().append(true).create(true).mode(0o640).open(path)?;
    let is_torn = last_byte(path, &file.metadata()?).is_some_and(|byte| byte != b'\n');
    Ok((file, is_torn))
}

/// Returns the last byte of a file, if it is one and can be read.
fn last_byte(path: &Path, metadata: &Metadata) -> Option<u8> {
    let mut byte = [0];
    let at = metadata.len().checked_sub(1).filter(|_| metadata.is_file())?;
    File::open(path).ok()?.read_exact_at(&mut byte, at).ok()?;
    Some(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by a reading: an outcome after a reload had another transaction's number, and the line after an incomplete one
    /// was joined to it.
    #[test]
    fn audit_lines_stay_whole_and_keep_their_number_in_another_file() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("1"), directory.path().join("2"));
        let mut audit = Audit::open(&one).unwrap();
        let sent = Sent { owner: "o", server: "unix:/s".to_owned(), lock_epoch: 1, changes: Vec::new() };
        audit.sending(&sent).unwrap();
        std::fs::write(&two, "{\"time\":").unwrap();
        let mut audit = audit.moved(&two).unwrap();
        audit.concluded(&TransactionOutcome::Committed).unwrap();
        let last = |path: &Path| -> serde_json::Value {
            serde_json::from_str(std::fs::read_to_string(path).unwrap().lines().last().unwrap()).unwrap()
        };
        assert_eq!(last(&one)["transaction"], last(&two)["transaction"]);
    }

    #[test]
    fn audit_lines_are_json_and_follow_log_rotation() {
        let path = std::env::temp_dir().join(format!("ovn-extaddr-audit-{}", process::id()));
        let moved = path.with_extension("1");
        let mut audit = Audit::open(&path).unwrap();
        let sent = Sent { owner: "o", server: "unix:/s".to_owned(), lock_epoch: 1, changes: Vec::new() };
        audit.sending(&sent).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        audit.concluded(&TransactionOutcome::Committed).unwrap();
        audit.reopen().unwrap();
        audit.sending(&sent).unwrap();
        audit.concluded(&TransactionOutcome::Refused("no".to_owned())).unwrap();
        let read = |path: &Path| -> Vec<serde_json::Value> {
            let text = std::fs::read_to_string(path).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let (first, second) = (read(&moved), read(&path));
        std::fs::remove_file(&moved).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!((first.len(), second.len()), (2, 2));
        assert_eq!(first[0]["transaction"], first[1]["transaction"]);
        assert_ne!(first[0]["transaction"], second[0]["transaction"]);
        assert_eq!((&first[1]["event"], &second[1]["error"]), (&"committed".into(), &"no".into()));
    }
}
