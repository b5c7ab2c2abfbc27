//! Rows of which there may be many, read into little more than their texts: logical flows and bindings of ports.

use anyhow::{Context, bail};
use extaddr_core::verify::Flow;
use ovsdb_protocol::{Client, Condition, DatabaseSchema, Datum, Transaction, Uuid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::reach::{Deadline, LONG_ANSWER};

/// The columns read of a flow.
const COLUMNS: [&str; 6] =
    ["logical_datapath", "logical_dp_group", "priority", "match", "actions", "external_ids"];

/// A logical flow.
#[derive(Debug, Deserialize)]
pub(crate) struct LogicalFlow {
    #[serde(default, deserialize_with = "reference")]
    pub(crate) logical_datapath: Option<Uuid>,
    #[serde(default, deserialize_with = "reference")]
    pub(crate) logical_dp_group: Option<Uuid>,
    priority: i64,
    #[serde(rename = "match")]
    matching: Box<str>,
    actions: Box<str>,
    external_ids: Ids,
}

/// The `external_ids` of a flow.
#[derive(Debug)]
struct Ids {
    stage: Box<str>,
    hint: Option<Box<str>>,
}

/// The binding of a port.
#[derive(Debug, Deserialize)]
pub(crate) struct Bound {
    pub(crate) logical_port: Box<str>,
    #[serde(default, deserialize_with = "reference")]
    pub(crate) chassis: Option<Uuid>,
    /// Servers may lack the column, and a port a value.
    #[serde(default, deserialize_with = "truth")]
    pub(crate) up: Option<bool>,
}

/// The result of the operation. Both kinds in one: to distinguish them first, all rows would have to be buffered in
/// another form.
#[derive(Deserialize)]
struct Answer<T> {
    #[serde(default = "Vec::new")]
    rows: Vec<T>,
    error: Option<String>,
    details: Option<String>,
}

/// Reads the flows that meet these conditions.
///
/// # Errors
/// As [`rows`].
pub(crate) async fn read(
    client: &Client,
    schema: &DatabaseSchema,
    deadline: Deadline,
    conditions: Vec<Condition>,
) -> anyhow::Result<Vec<LogicalFlow>> {
    rows(client, schema, deadline, ("Logical_Flow", &COLUMNS), conditions).await
}

/// Reads the rows of a table that meet these conditions.
///
/// # Errors
/// The server refuses, does not answer in time, or the connection is lost.
pub(crate) async fn rows<T: DeserializeOwned>(
    client: &Client,
    schema: &DatabaseSchema,
    deadline: Deadline,
    (table, columns): (&str, &[&str]),
    conditions: Vec<Condition>,
) -> anyhow::Result<Vec<T>> {
    let mut transaction = Transaction::new(&*schema.name);
    let columns = columns.iter().copied().filter(|column| schema.column(table, column).is_some());
    transaction.select_columns(table, conditions, columns);
    let answered = deadline.await_or(Some(LONG_ANSWER), client.request("transact", &transaction)).await;
    let answers: Vec<Answer<T>> =
        answered.with_context(|| format!("{} does not answer in time", schema.name))??;
    match answers.into_iter().next() {
        Some(Answer { rows, error: None, .. }) => Ok(rows),
        Some(Answer { error: Some(error), details, .. }) => {
            bail!("{} refused the request: {error}: {}", schema.name, details.unwrap_or_default())
        }
        None => bail!("{} refused the request", schema.name),
    }
}

impl LogicalFlow {
    pub(crate) fn stage(&self) -> &str {
        &self.external_ids.stage
    }

    pub(crate) fn flow(&self) -> Flow {
        Flow {
            priority: self.priority,
            matching: self.matching.clone(),
            actions: self.actions.clone(),
            hint: self.external_ids.hint.clone(),
        }
    }
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = Datum::deserialize(deserializer)?;
        let get = |key: &str| ids.get(key).and_then(|value| value.as_str());
        Ok(Self {
            stage: get("stage-name").unwrap_or_default().into(),
            hint: get("stage-hint").map(Into::into),
        })
    }
}

fn reference<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    Ok(Datum::deserialize(deserializer)?.as_uuid())
}

fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Datum::deserialize(deserializer)?.as_bool())
}
