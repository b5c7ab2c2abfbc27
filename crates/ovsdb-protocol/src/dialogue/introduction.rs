//! What the server says of itself: its `_Server` database.

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Call, Dialogue, SERVER_MONITOR, json, send};
use crate::decoder::Decoder;
use crate::error::Error;
use crate::exchange::Exchange;
use crate::greeting::{Greeting, SERVER};
use crate::monitor::MonitorMethod;
use crate::outcome::{DatabaseError, Outcome};
use crate::schema::DatabaseSchema;
use crate::value::Datum;

impl Dialogue {
    /// Asks the server what it says of itself.
    pub(super) fn ask_server(
        &mut self,
        schema: &DatabaseSchema,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        let Some(requests) = Greeting::requests(schema, &self.database) else {
            self.heard.greeting.absent();
            return Ok(());
        };
        self.heard.server_requests = requests;
        self.monitor_server(MonitorMethod::Cond, exchange, decoder)?;
        self.heard.index_request = Greeting::index_request(schema, &self.database);
        self.ask_index(exchange)?;
        if !self.heard.asking_index {
            self.heard.greeting.index_told(None);
        }
        Ok(())
    }

    pub(super) fn monitor_server(
        &mut self,
        method: MonitorMethod,
        exchange: &mut Exchange<Call>,
        decoder: &mut Decoder,
    ) -> Result<(), Error> {
        let params = method
            .params(SERVER, SERVER_MONITOR, &self.heard.server_requests, Uuid::nil(), false)
            .map_err(|e| Error::invalid_request("monitor request", e))?;
        let id = send(exchange, method.name(), &params, Call::ServerMonitor(method))?;
        decoder.expect_rows(id, method);
        self.heard.server_monitor = Some(id);
        Ok(())
    }

    pub(super) fn ask_index(&mut self, exchange: &mut Exchange<Call>) -> Result<(), Error> {
        if let (false, Some(request)) = (self.heard.asking_index, &self.heard.index_request) {
            send(exchange, "transact", &json("question", request)?, Call::ServerIndex)?;
            self.heard.asking_index = true;
        }
        Ok(())
    }

    /// A server that cannot tell has an index of which nothing is known.
    pub(super) fn index_answered(&mut self, result: Result<Box<RawValue>, DatabaseError>) {
        self.heard.asking_index = false;
        let outcome = result.ok().and_then(|result| Outcome::from_result(result.get(), 1).ok());
        let index = match &outcome {
            Some(Outcome::Committed(results)) => results.rows(0).and_then(|rows| {
                let index = rows.first()?.get("index").and_then(Datum::as_integer)?;
                u64::try_from(index).ok()
            }),
            _ => None,
        };
        self.heard.greeting.index_told(index);
    }
}
