use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::raw::{Raw, transaction};
use super::tap::Tap;
use crate::agent::Cli;
use crate::generate::{Estate, Member};
use crate::ovsdb_server::OvsdbServer;
use crate::row::{json_map, json_set, uuid_ref};

/// A server with a generated database.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) server: OvsdbServer,
    pub(super) estate: Estate,
}

/// The key of an instance's intent.
const KEY: &str = "ipv4.address.external";

impl Ground {
    /// Generates the database and starts a server with it.
    pub(super) fn open(estate: Estate) -> Result<Self> {
        let server = OvsdbServer::with_file("OVN_Northbound", |file| estate.write(file))?;
        Ok(Self { server, estate })
    }

    pub(super) fn remote(&self) -> String {
        self.server.remote()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.server.socket()
    }

    pub(super) fn connect(&self) -> Result<Raw> {
        Raw::connect(&self.socket())
    }

    /// Waits until the server has handled all earlier events, such as the end of connections.
    pub(super) fn calm(&self) -> Result<()> {
        self.connect()?.call(&transaction(Vec::new())).map(drop)
    }

    /// The first `each` instances of every network except the crowded one.
    pub(super) fn members(&self, each: u32) -> Vec<Member> {
        let networks = 0..self.estate.networks;
        networks.flat_map(|network| (0..each).map(move |n| self.estate.member(network, n))).collect()
    }

    /// The exact monitor request of the agent, except that it is for all rows at once.
    pub(super) fn monitor_request() -> Result<Value> {
        let ground = Self::open(Estate { networks: 1, instances: 1, forwards: 1, asking: 0, crowd: 0 })?;
        let tap = Tap::open(&ground.socket())?;
        Cli::new(tap.remote())?.run(&["plan"])?.success()?;
        let asks = |message: &Value| {
            message["method"] == "monitor_cond_since" && message["params"][0] == "OVN_Northbound"
        };
        let mut request =
            tap.heard()?.into_iter().find(asks).context("the agent has sent no monitor request")?;
        let tables = request["params"][2].as_object_mut().context("the monitor request has no tables")?;
        for table in tables.values_mut().filter_map(|table| table[0].as_object_mut()) {
            table.remove("where");
        }
        Ok(request)
    }
}

/// A transaction that sets the intents of instances.
pub(super) fn asking(members: &[Member]) -> Vec<u8> {
    let ask = |member: &Member| {
        let wish = json_map([(KEY, member.external.to_string())]);
        mutate("Logical_Switch_Port", &member.uuid, &json!(["external_ids", "insert", wish]))
    };
    transaction(members.iter().map(ask).collect())
}

/// A transaction that withdraws them.
pub(super) fn withdrawing(members: &[Member]) -> Vec<u8> {
    let withdraw = |member: &Member| {
        mutate(
            "Logical_Switch_Port",
            &member.uuid,
            &json!(["external_ids", "delete", json_set([json!(KEY)])]),
        )
    };
    transaction(members.iter().map(withdraw).collect())
}

/// By UUID: the server searches for anything else row by row.
fn mutate(table: &str, uuid: &str, mutation: &Value) -> Value {
    json!({"op": "mutate", "table": table, "where": [["_uuid", "==", uuid_ref(uuid)]], "mutations": [mutation]})
}

/// The transactions of an agent, to be sent again by a client without any computation.
#[derive(Debug)]
pub(super) struct Recording {
    lock: Vec<u8>,
    /// The transactions that insert rows, and those that undo them.
    pub(super) writes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Recording {
    /// Selects them from all messages of an agent.
    pub(super) fn new(messages: &[Value]) -> Result<Self> {
        let lock = messages.iter().find(|message| message["method"] == "lock");
        let operations = |message: &Value| message["params"].as_array().cloned().unwrap_or_default();
        let inserts = |message: &&Value| {
            let inserts = |operation: &Value| operation["op"] == "insert" && operation["table"] == "NAT";
            message["method"] == "transact" && operations(message).iter().any(inserts)
        };
        let write = |message: &Value| {
            (
                message.to_string().into_bytes(),
                transaction(operations(message).iter().filter_map(undo).collect()),
            )
        };
        let writes: Vec<_> = messages.iter().filter(inserts).map(write).collect();
        ensure!(!writes.is_empty(), "the agent has written nothing");
        let lock = lock.context("the agent has not asked for a lock")?.to_string().into_bytes();
        Ok(Self { lock, writes })
    }

    /// A connection with the lock that the transactions assert.
    pub(super) fn connect(&self, ground: &Ground) -> Result<Raw> {
        let mut raw = ground.connect()?;
        let reply = raw.call(&self.lock)?;
        ensure!(reply["result"]["locked"] == true, "the lock is not to be had: {reply}");
        Ok(raw)
    }
}

/// Removes the inserted references from a router's set: the rows are deleted with the last reference.
fn undo(operation: &Value) -> Option<Value> {
    let is_insert = |mutation: &&Value| mutation[0] == "nat" && mutation[1] == "insert";
    let mutation = operation["mutations"].as_array()?.iter().find(is_insert)?;
    let mut undone = operation.clone();
    undone["mutations"] = json!([["nat", "delete", mutation[2]]]);
    Some(undone)
}
