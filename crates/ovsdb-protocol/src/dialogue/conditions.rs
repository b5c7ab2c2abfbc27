//! Changes of which rows are monitored.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Call, Dialogue, View, send};
use crate::error::{Error, Kind};
use crate::exchange::Exchange;
use crate::monitor::{MonitorRequest, MonitorRequests, RowFilter, condition_change};
use crate::outcome::DatabaseError;
use crate::session::{ConditionId, SessionEvent};
use crate::transact::Condition;

/// A change that has not taken effect yet.
#[derive(Debug)]
pub(super) struct ConditionChange {
    id: ConditionId,
    table: String,
    /// What to go back to if the server refuses.
    request: MonitorRequest,
    overridden: Option<RowFilter>,
}

impl Dialogue {
    /// Asks for other rows of a table. The caller checked that the replica is in step.
    pub(crate) fn set_condition(
        &mut self,
        table: &str,
        rows: RowFilter,
        exchange: &mut Exchange<Call>,
    ) -> Result<ConditionId, Error> {
        let monitor = &self.heard.monitor;
        let asked = self.heard.asked.as_mut().ok_or(Kind::Closed(None))?;
        let request = asked.view.requests.get(table).ok_or_else(|| Kind::NotMonitored(table.to_owned()))?;
        if let RowFilter::Any(conditions) = &rows {
            // ovsdb-server may crash where a column comes into a monitor by its conditions.
            let mut columns = conditions.iter().filter_map(Condition::column);
            if let Some(column) = columns.find(|column| !request.has_column(column)) {
                return Err(Kind::ColumnNotMonitored(format!("{table}.{column}")).into());
            }
        }
        let id = ConditionId(self.next_id);
        let params =
            condition_change(monitor, table, &rows).map_err(|e| Error::invalid_request("condition", e))?;
        send(exchange, "monitor_cond_change", &params, Call::Condition(id))?;
        self.next_id += 1;
        let request = request.clone();
        self.position = None;
        replace_rows(&mut Arc::make_mut(&mut asked.view).requests, table, &rows);
        let overridden = self.conditions.insert(table.to_owned(), rows);
        self.changing.push_back(ConditionChange { id, table: table.to_owned(), request, overridden });
        Ok(id)
    }

    /// Takes note of other rows of a table, to be asked for the next time that any are.
    pub(crate) fn preset_condition(&mut self, table: &str, rows: RowFilter) {
        match rows {
            RowFilter::All => drop(self.conditions.remove(table)),
            rows => drop(self.conditions.insert(table.to_owned(), rows)),
        }
    }

    /// Applies the conditions that the caller has set to what the replica declares.
    pub(super) fn override_conditions(&self, requests: &mut MonitorRequests) {
        for (table, rows) in &self.conditions {
            replace_rows(requests, table, rows);
        }
    }

    /// The server answered the request for other rows; it sent them before that.
    pub(super) fn condition_answered(
        &mut self,
        id: ConditionId,
        result: Result<Box<RawValue>, DatabaseError>,
    ) {
        // Where the monitor is gone, the next one has the new conditions from its beginning.
        let place = self.changing.iter().position(|change| change.id == id);
        let Some(change) = place.filter(|_| self.heard.synced).and_then(|place| self.changing.remove(place))
        else {
            return;
        };
        let result = result.map(drop).map_err(|error| {
            self.withdraw(change);
            Error::from(error)
        });
        self.settle();
        self.events.push_back(SessionEvent::ConditionChanged { id, result });
    }

    /// All conditions are those of the monitor whose rows are here.
    pub(super) fn conditions_hold(&mut self) {
        let changing = self.changing.drain(..);
        self.events.extend(
            changing.map(|ConditionChange { id, .. }| SessionEvent::ConditionChanged { id, result: Ok(()) }),
        );
        self.settle();
    }

    /// The server keeps to the conditions from before a change.
    fn withdraw(&mut self, change: ConditionChange) {
        let ConditionChange { table, request, overridden, .. } = change;
        // A later change that is refused, too, goes back to the same.
        if let Some(later) = self.changing.iter_mut().find(|later| later.table == table) {
            later.request = request;
            later.overridden = overridden;
            return;
        }
        match overridden {
            Some(rows) => drop(self.conditions.insert(table.clone(), rows)),
            None => drop(self.conditions.remove(&table)),
        }
        if let Some(asked) = &mut self.heard.asked {
            let View { requests, .. } = Arc::make_mut(&mut asked.view);
            requests.insert(table, request);
        }
    }
}

fn replace_rows(requests: &mut MonitorRequests, table: &str, rows: &RowFilter) {
    if let Some((table, request)) = requests.remove_entry(table) {
        requests.insert(table, request.rows(rows.clone()));
    }
}
