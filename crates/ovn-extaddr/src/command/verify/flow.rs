//! Logical flows as a server sends them, read without their other columns: there may be many.

use anyhow::{Context, bail};
use extaddr_core::verify::Flow;
use ovsdb_protocol::{Client, Condition, DatabaseSchema, Datum, Transaction, Uuid};
use serde::{Deserialize, Deserializer};

use crate::command::reach::{Deadline, LONG_ANSWER};

const TABLE: &str = "Logical_Flow";

/// What is read.
const COLUMNS: [&str; 6] =
    ["logical_datapath", "logical_dp_group", "priority", "match", "actions", "external_ids"];

/// A flow, and where it is.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) datapath: Option<Uuid>,
    pub(super) group: Option<Uuid>,
    pub(super) stage: Box<str>,
    pub(super) flow: Flow,
}

/// A row of the reply.
#[derive(Deserialize)]
struct Columns {
    #[serde(default, deserialize_with = "reference")]
    logical_datapath: Option<Uuid>,
    #[serde(default, deserialize_with = "reference")]
    logical_dp_group: Option<Uuid>,
    priority: i64,
    #[serde(rename = "match")]
    matching: Box<str>,
    actions: Box<str>,
    external_ids: Ids,
}

/// What is known of a flow by its `external_ids`.
struct Ids {
    stage: Box<str>,
    hint: Option<Box<str>>,
}

/// The result of the operation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Result {
    Rows { rows: Vec<Placed> },
    Refused { error: String, details: Option<String> },
}

/// Reads the flows that meet these conditions.
///
/// # Errors
/// The server refuses, does not answer in time, or the connection is lost.
pub(super) async fn read(
    client: &Client,
    schema: &DatabaseSchema,
    deadline: Deadline,
    conditions: Vec<Condition>,
) -> anyhow::Result<Vec<Placed>> {
    let mut transaction = Transaction::new(&*schema.name);
    let columns = COLUMNS.into_iter().filter(|column| schema.column(TABLE, column).is_some());
    transaction.select_columns(TABLE, conditions, columns);
    let answered = deadline.await_or(Some(LONG_ANSWER), client.request("transact", &transaction)).await;
    let results: Vec<Result> =
        answered.with_context(|| format!("{} does not answer in time", schema.name))??;
    match results.into_iter().next() {
        Some(Result::Rows { rows }) => Ok(rows),
        Some(Result::Refused { error, details }) => {
            bail!("{} does not tell: {error}: {}", schema.name, details.unwrap_or_default())
        }
        None => bail!("{} does not tell", schema.name),
    }
}

impl<'de> Deserialize<'de> for Placed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let columns = Columns::deserialize(deserializer)?;
        Ok(Self {
            datapath: columns.logical_datapath,
            group: columns.logical_dp_group,
            stage: columns.external_ids.stage,
            flow: Flow {
                priority: columns.priority,
                matching: columns.matching,
                actions: columns.actions,
                hint: columns.external_ids.hint,
            },
        })
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let ids = Datum::deserialize(deserializer)?;
        let get = |key: &str| ids.get(key).and_then(|value| value.as_str());
        Ok(Self {
            stage: get("stage-name").unwrap_or_default().into(),
            hint: get("stage-hint").map(Into::into),
        })
    }
}

fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Uuid>, D::Error> {
    Ok(Datum::deserialize(deserializer)?.as_uuid())
}
