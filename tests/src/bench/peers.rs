use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::Value;

use super::usage::Usage;
use crate::command::{isolated, start_error};
use crate::ovsdb_server::installed_schema;

/// A table and its columns.
type Selection = (String, Vec<String>);

/// Other clients that read the same tables and columns and keep them.
#[derive(Debug)]
pub(super) struct Peers {
    selections: Vec<Selection>,
    /// A Python that has `ovs.db.idl`, and the program for it.
    python: Option<(PathBuf, PathBuf)>,
}

impl Peers {
    /// Peers that read the tables and columns of a monitor request.
    pub(super) fn new(request: &Value, python: Option<&(PathBuf, PathBuf)>) -> Result<Self> {
        let tables = request["params"][2].as_object().context("a monitor request without tables")?;
        let columns = |request: &Value| -> Option<Vec<String>> {
            let columns = request[0]["columns"].as_array()?.iter();
            Some(columns.filter_map(|name| name.as_str().map(str::to_owned)).collect())
        };
        let selections = tables.iter().map(|(table, request)| {
            Ok((table.clone(), columns(request).context("a monitor request without columns")?))
        });
        Ok(Self { selections: selections.collect::<Result<_>>()?, python: python.cloned() })
    }

    /// The IDL in C: `ovn-nbctl` searches every table for a missing row, so that it prints nothing.
    pub(super) fn nbctl(&self, remote: &str, dir: &Path) -> Result<(Duration, Usage)> {
        let mut command = isolated("ovn-nbctl", dir);
        command.arg(format!("--db={remote}")).args(["--timeout=300", "-vtimeval:off"]);
        for (table, columns) in &self.selections {
            let key = columns.iter().find(|name| *name == "name" || *name == "external_ip");
            let key = key.map_or("external_ids:key", String::as_str);
            command.args(["--", &format!("--columns={}", columns.join(",")), "find", table]);
            command.arg(format!("{key}=nowhere"));
        }
        measured(command)
    }

    /// The IDL in Python, if there is one.
    pub(super) fn python(&self, remote: &str, dir: &Path) -> Option<Result<(Duration, Usage)>> {
        let (python, program) = self.python.as_ref()?;
        let measured = || {
            let mut command = isolated(python, dir);
            command.arg(program).arg(remote).arg(installed_schema("ovn-nb.ovsschema")?);
            command.args(
                self.selections.iter().map(|(table, columns)| format!("{table}={}", columns.join(","))),
            );
            measured(command)
        };
        Some(measured())
    }
}

/// Runs a program to its end.
fn measured(mut command: Command) -> Result<(Duration, Usage)> {
    let name = command.get_program().display().to_string();
    let start = Instant::now();
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    Usage::until_end(child.map_err(|error| start_error(&command, error))?, start).context(name)
}
