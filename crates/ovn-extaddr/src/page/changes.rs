//! Recent changes, read from the end of the audit file.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::render::visible;

/// The length of the end of the file that is read, in bytes. A longer transaction is not shown.
const MAX_TAIL: u64 = 256 << 10;

/// The maximum number of lines that are read: most transactions have two.
const MAX_LINES: usize = 40;

/// The maximum number of transactions that are shown.
const MAX_TRANSACTIONS: usize = 20;

/// The maximum number of changes of a transaction that are shown one by one.
const MAX_CHANGES: usize = 5;

/// A transaction and its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recent {
    pub(super) time: String,
    /// `committed`, `refused`, `unknown`, `not-sent`, or `sending` if the outcome is not in the file.
    pub(super) outcome: String,
    pub(super) error: Option<String>,
    pub(super) changes: Vec<RecentChange>,
    /// The number of its further changes.
    pub(super) more: usize,
}

/// A change of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RecentChange {
    pub(super) action: String,
    /// The port and the addresses, or the load balancer.
    pub(super) what: String,
    pub(super) router: String,
    pub(super) why: String,
}

/// The shown parts of a line of the file.
#[derive(Deserialize)]
struct Line {
    time: String,
    transaction: String,
    event: String,
    error: Option<String>,
    #[serde(default)]
    changes: Vec<ChangeJson>,
}

#[derive(Deserialize)]
struct ChangeJson {
    action: String,
    port: Option<String>,
    router: Option<String>,
    from: Option<ContentJson>,
    to: Option<ContentJson>,
    load_balancer: Option<String>,
    vip: Option<String>,
    why: Option<String>,
}

#[derive(Deserialize)]
struct ContentJson {
    external_ip: String,
    logical_ip: String,
}

/// Reads the last transactions, the newest first. It blocks.
///
/// # Errors
/// The file cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Vec<Recent>> {
    // Other kinds of files, such as a pipe, do not keep what was written to them.
    if !fs::metadata(path)?.is_file() {
        return Ok(Vec::new());
    }
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(MAX_TAIL);
    file.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut tail)?;
    let tail = String::from_utf8_lossy(&tail);
    // The first line is incomplete.
    let lines = if start == 0 { &*tail } else { tail.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(recent(lines))
}

/// Returns the last transactions of the file's last lines, the newest first. A line with other content is skipped.
fn recent(lines: &str) -> Vec<Recent> {
    let mut ended = BTreeMap::new();
    let mut found = Vec::new();
    for line in lines.lines().rev().take(MAX_LINES) {
        let Ok(Line { time, transaction, event, error, changes }) = serde_json::from_str(line) else {
            continue;
        };
        if event != "sending" {
            ended.insert(transaction, (event, error));
            continue;
        }
        if found.len() == MAX_TRANSACTIONS {
            break;
        }
        let (outcome, error) = ended.remove(&transaction).unwrap_or((event, None));
        let more = changes.len().saturating_sub(MAX_CHANGES);
        let changes = changes.into_iter().take(MAX_CHANGES).map(RecentChange::from).collect();
        let error = error.map(|error| visible(&error).into_owned());
        found.push(Recent { time, outcome, error, changes, more });
    }
    found
}

impl From<ChangeJson> for RecentChange {
    fn from(change: ChangeJson) -> Self {
        let ChangeJson { action, port, router, from, to, load_balancer, vip, why } = change;
        let content = to.or(from).map(|content| format!("{} as {}", content.logical_ip, content.external_ip));
        let parts = [port, content, load_balancer.map(|name| format!("load balancer {name}")), vip];
        let what: Vec<_> = parts.into_iter().flatten().collect();
        Self {
            action,
            what: visible(&what.join(" ")).into_owned(),
            router: visible(&router.unwrap_or_default()).into_owned(),
            why: visible(&why.unwrap_or_default()).into_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use serde_json::json;

    use super::*;

    fn sending(transaction: u32, ports: usize) -> String {
        let change = |port| {
            json!({"action": "insert", "port": format!("p{port}"), "router": "R", "nat": null, "from": null,
                "to": {"role": "egress", "external_ip": "203.0.113.10", "logical_ip": "10.57.0.11", "port_range": null},
                "load_balancer": null, "vip": null, "why": "annotation asks for auto"})
        };
        let changes: Vec<_> = (0..ports).map(change).collect();
        let line = json!({"time": format!("T{transaction}"), "transaction": transaction.to_string(),
            "event": "sending", "owner": "o", "changes": changes});
        format!("{line}\n")
    }

    fn outcome(transaction: u32, event: &str, error: Option<&str>) -> String {
        let mut line = json!({"time": "later", "transaction": transaction.to_string(), "event": event});
        if let Some(error) = error {
            line["error"] = error.into();
        }
        format!("{line}\n")
    }

    /// Time, outcome and numbers of changes shown and not shown.
    fn said(lines: &str) -> Vec<String> {
        let said = recent(lines).into_iter().map(|found| {
            let error = found.error.map(|error| format!(" ({error})")).unwrap_or_default();
            format!("{} {}{error} {}+{}", found.time, found.outcome, found.changes.len(), found.more)
        });
        said.collect()
    }

    #[test]
    fn transactions_are_listed_newest_first_with_their_outcome() {
        let text = [
            sending(1, 1),
            outcome(1, "committed", None),
            "nonsense\n".to_owned(),
            sending(2, 7),
            outcome(2, "refused", Some("no\u{1b}")),
            sending(3, 1),
        ]
        .concat();
        assert_eq!(said(&text), ["T3 sending 1+0", "T2 refused (no\\u{1b}) 5+2", "T1 committed 1+0"]);
        let change = &recent(&text)[0].changes[0];
        assert_eq!((change.action.as_str(), change.router.as_str()), ("insert", "R"));
        assert_eq!(change.what, "p0 10.57.0.11 as 203.0.113.10");
        assert!(said("").is_empty() && said("{}\n[1]\n\n").is_empty());
    }

    #[test]
    fn only_the_end_of_a_long_audit_file_is_read() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for number in 0..2000 {
            file.write_all(sending(number, 1).as_bytes()).unwrap();
            file.write_all(outcome(number, "committed", None).as_bytes()).unwrap();
        }
        assert!(file.path().metadata().unwrap().len() > MAX_TAIL);
        let found = read(file.path()).unwrap();
        assert_eq!(found.len(), MAX_TRANSACTIONS);
        assert!(found.iter().all(|found| found.outcome == "committed"));
        assert_eq!((found[0].time.as_str(), found[19].time.as_str()), ("T1999", "T1980"));
        assert!(read(Path::new("/no/such")).is_err());
        assert!(read(Path::new("/dev/null")).unwrap().is_empty());
    }
}
