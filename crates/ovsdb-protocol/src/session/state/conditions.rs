//! Changes of the conditions on the rows to monitor.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{Call, SessionState, View, send_for_caller};
use crate::error::{Error, Kind};
use crate::jsonrpc::JsonRpc;
use crate::monitor::{MonitorRequest, MonitorRequests, RowFilter, condition_change};
use crate::outcome::DatabaseError;
use crate::session::{ConditionId, SessionEvent};
use crate::transact::Condition;

/// A change that has not taken effect yet.
#[derive(Debug)]
pub(super) struct ConditionChange {
    id: ConditionId,
    table: String,
    /// The previous request, which still holds if the server refuses.
    request: MonitorRequest,
    overridden: Option<RowFilter>,
}

impl SessionState {
    /// Requests other rows of a table. The caller has checked that the replica is synchronised.
    pub(crate) fn set_condition(
        &mut self,
        table: &str,
        rows: RowFilter,
        rpc: &mut JsonRpc<Call>,
    ) -> Result<ConditionId, Error> {
        let monitor = self.connection.monitor.id();
        let requested = self.connection.requested.as_mut().ok_or(Kind::Closed(None))?;
        let request =
            requested.view.requests.get(table).ok_or_else(|| Kind::NotMonitored(table.to_owned()))?;
        if let RowFilter::Any(conditions) = &rows {
            // ovsdb-server may crash if a condition brings a column into a monitor.
            let mut columns = conditions.iter().filter_map(Condition::column);
            if let Some(column) = columns.find(|column| !request.has_column(column)) {
                return Err(Kind::ColumnNotMonitored(format!("{table}.{column}")).into());
            }
        }
        let id = ConditionId(self.next_id);
        let params =
            condition_change(monitor, table, &rows).map_err(|e| Error::invalid_request("condition", e))?;
        send_for_caller(rpc, "monitor_cond_change", &params, Call::Condition(id))?;
        self.next_id += 1;
        let request = request.clone();
        self.resume_point = None;
        replace_rows(&mut Arc::make_mut(&mut requested.view).requests, table, &rows);
        let overridden = self.conditions.insert(table.to_owned(), rows);
        self.changing.push_back(ConditionChange { id, table: table.to_owned(), request, overridden });
        Ok(id)
    }

    /// Sets the rows of a table to request the next time.
    pub(crate) fn preset_condition(&mut self, table: &str, rows: RowFilter) {
        match rows {
            RowFilter::All => drop(self.conditions.remove(table)),
            rows => drop(self.conditions.insert(table.to_owned(), rows)),
        }
    }

    /// Replaces the conditions that the replica declares by those that the caller set.
    pub(super) fn override_conditions(&self, requests: &mut MonitorRequests) {
        for (table, rows) in &self.conditions {
            replace_rows(requests, table, rows);
        }
    }

    /// Handles the reply to a change of conditions; the server sends the rows before it.
    pub(super) fn condition_answered(
        &mut self,
        id: ConditionId,
        result: Result<Box<RawValue>, DatabaseError>,
    ) {
        // If the monitor was cancelled, the next one has the new conditions from its beginning.
        let place = self.changing.iter().position(|change| change.id == id);
        let Some(change) =
            place.filter(|_| self.connection.synced).and_then(|place| self.changing.remove(place))
        else {
            return;
        };
        let result = result.map(drop).map_err(|error| {
            self.revert(change);
            Error::from(error)
        });
        self.update_resume_point();
        self.events.push_back(SessionEvent::ConditionChanged { id, result });
    }

    /// Completes all changes of conditions: a new monitor has them.
    pub(super) fn complete_conditions(&mut self) {
        let changing = self.changing.drain(..);
        self.events.extend(
            changing.map(|ConditionChange { id, .. }| SessionEvent::ConditionChanged { id, result: Ok(()) }),
        );
        self.update_resume_point();
    }

    /// Reverts a change that the server refused.
    fn revert(&mut self, change: ConditionChange) {
        let ConditionChange { table, request, overridden, .. } = change;
        // A later change that is refused too reverts to the same.
        if let Some(later) = self.changing.iter_mut().find(|later| later.table == table) {
            later.request = request;
            later.overridden = overridden;
            return;
        }
        match overridden {
            Some(rows) => drop(self.conditions.insert(table.clone(), rows)),
            None => drop(self.conditions.remove(&table)),
        }
        if let Some(requested) = &mut self.connection.requested {
            let View { requests, .. } = Arc::make_mut(&mut requested.view);
            requests.insert(table, request);
        }
    }
}

fn replace_rows(requests: &mut MonitorRequests, table: &str, rows: &RowFilter) {
    if let Some((table, request)) = requests.remove_entry(table) {
        requests.insert(table, request.rows(rows.clone()));
    }
}
