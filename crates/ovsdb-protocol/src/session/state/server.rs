//! The `_Server` database of the server: its monitor and the index.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Call, SERVER_MONITOR, SessionState, send};
use crate::decoder::Decoder;
use crate::request::request_json;
use crate::error::Error;
use crate::jsonrpc::JsonRpc;
use crate::monitor::{MonitorMethod, MonitorRequests};
use crate::outcome::{DatabaseError, Outcome};
use crate::schema::DatabaseSchema;
use crate::server::{ServerDatabase, ServerRole};
use crate::session::server_monitor::{SERVER, ServerMonitor};
use crate::transact::Transaction;
use crate::value::Datum;

/// The check of the server by its `_Server` database on one connection.
#[derive(Debug, Default)]
pub(super) struct ServerCheck {
    pub(super) monitor: ServerMonitor,
    /// The server's role and `_Server` row, once it is known to be usable.
    pub(super) usable: Option<(ServerRole, Option<ServerDatabase>)>,
    /// The id of the monitor request whose reply has the rows.
    pub(super) request: Option<u64>,
    requests: MonitorRequests,
    /// The request for the index, if `_Server` has that column.
    index_request: Option<Transaction>,
    is_index_pending: bool,
}

impl SessionState {
    /// Monitors the server's `_Server` database.
    pub(super) fn request_server(
        &mut self,
        schema: &DatabaseSchema,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        let Some(requests) = ServerMonitor::requests(schema, &self.database) else {
            self.connection.server.monitor.set_unsupported();
            return Ok(());
        };
        self.connection.server.requests = requests;
        self.monitor_server(MonitorMethod::Cond, rpc, decoder)?;
        self.connection.server.index_request = ServerMonitor::index_request(schema, &self.database);
        self.request_index(rpc)?;
        if !self.connection.server.is_index_pending {
            self.connection.server.monitor.set_index(None);
        }
        Ok(())
    }

    pub(super) fn monitor_server(
        &mut self,
        method: MonitorMethod,
        rpc: &mut JsonRpc<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        let params = method
            .params(SERVER, SERVER_MONITOR, &self.connection.server.requests, Uuid::nil(), false)
            .map_err(|e| Error::invalid_request("monitor request", e))?;
        let id = send(rpc, method.name(), &params, Call::ServerMonitor(method))?;
        decoder.expect_rows(id, method);
        self.connection.server.request = Some(id);
        Ok(())
    }

    pub(super) fn request_index(&mut self, rpc: &mut JsonRpc<Call>) -> Result<(), Error> {
        if let (false, Some(request)) = (self.connection.server.is_index_pending, &self.connection.server.index_request) {
            send(rpc, "transact", &request_json("select", request)?, Call::ServerIndex)?;
            self.connection.server.is_index_pending = true;
        }
        Ok(())
    }

    /// Handles the reply with the index. It is unknown if the server refused.
    pub(super) fn index_answered(&mut self, result: Result<Box<RawValue>, DatabaseError>) {
        self.connection.server.is_index_pending = false;
        let outcome = result.ok().and_then(|result| Outcome::from_result(result.get(), 1).ok());
        let index = match &outcome {
            Some(Outcome::Committed(results)) => results.rows(0).and_then(|rows| {
                let index = rows.first()?.get("index").and_then(Datum::as_integer)?;
                u64::try_from(index).ok()
            }),
            _ => None,
        };
        self.connection.server.monitor.set_index(index);
    }
}
