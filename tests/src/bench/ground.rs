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

/// The key by which an instance asks for an address.
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

    /// Waits until the server has dealt with all that happened before, such as the end of connections.
    pub(super) fn calm(&self) -> Result<()> {
        self.connect()?.call(&transaction(Vec::new())).map(drop)
    }

    /// The first `each` instances of every network but the crowded one.
    pub(super) fn members(&self, each: u32) -> Vec<Member> {
        let networks = 0..self.estate.networks;
        networks.flat_map(|network| (0..each).map(move |n| self.estate.member(network, n))).collect()
    }

    /// The monitor request of the agent, word for word, but for all rows at once.
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

/// A transaction by which instances ask for their addresses.
pub(super) fn asking(members: &[Member]) -> Vec<u8> {
    let ask = |member: &Member| {
        let wish = json_map([(KEY, member.external.to_string())]);
        mutate("Logical_Switch_Port", &member.uuid, &json!(["external_ids", "insert", wish]))
    };
    transaction(members.iter().map(ask).collect())
}

/// A transaction by which they do so no more.
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

/// By UUID: the server looks for anything else row by row.
fn mutate(table: &str, uuid: &str, mutation: &Value) -> Value {
    json!({"op": "mutate", "table": table, "where": [["_uuid", "==", uuid_ref(uuid)]], "mutations": [mutation]})
}

/// What an agent wrote, to be written again by a client that does not have to think about it.
#[derive(Debug)]
pub(super) struct Recording {
    lock: Vec<u8>,
    /// The transactions that insert rows, and those that undo them.
    pub(super) writes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Recording {
    /// Picks from all that an agent said.
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

    /// A connection that has the lock on which the transactions insist.
    pub(super) fn connect(&self, ground: &Ground) -> Result<Raw> {
        let mut raw = ground.connect()?;
        let reply = raw.call(&self.lock)?;
        ensure!(reply["result"]["locked"] == true, "the lock is not to be had: {reply}");
        Ok(raw)
    }
}

/// Takes out of a router's set what was put into it: the rows go with the last reference to them.
fn undo(operation: &Value) -> Option<Value> {
    let is_insert = |mutation: &&Value| mutation[0] == "nat" && mutation[1] == "insert";
    let mutation = operation["mutations"].as_array()?.iter().find(is_insert)?;
    let mut undone = operation.clone();
    undone["mutations"] = json!([["nat", "delete", mutation[2]]]);
    Some(undone)
}
