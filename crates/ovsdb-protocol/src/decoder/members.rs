//! The members of a JSON-RPC message.

use serde_json::value::RawValue;

use crate::jsonrpc::message::Message;
use crate::outcome::DatabaseError;

/// The names of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Id,
    Method,
    Params,
    Result,
    Error,
}

/// The members of the current message seen so far, as JSON text.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) id: Option<String>,
    pub(super) method: Option<String>,
    pub(super) params: Option<String>,
    pub(super) result: Option<String>,
    pub(super) error: Option<String>,
    /// Whether the result came before the id, which determines whether it has rows.
    pub(super) early_result: bool,
    /// Whether the parameters came before the method, which determines the same.
    pub(super) early_params: bool,
}

// ===== impl Member =====

impl Member {
    /// Returns the member of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "method" => Self::Method,
            "params" => Self::Params,
            "result" => Self::Result,
            "error" => Self::Error,
            _ => return None,
        })
    }
}

// ===== impl Members =====

impl Members {
    /// Returns the place for the text of a member.
    pub(super) fn slot(&mut self, member: Member) -> &mut Option<String> {
        match member {
            Member::Id => &mut self.id,
            Member::Method => &mut self.method,
            Member::Params => &mut self.params,
            Member::Result => &mut self.result,
            Member::Error => &mut self.error,
        }
    }

    /// Returns true if the message has rows, which was not known when they arrived.
    pub(super) fn hides_rows(&self, expected: bool) -> bool {
        let update = matches!(self.method.as_deref(), Some("\"update\"" | "\"update2\"" | "\"update3\""));
        let result = expected && self.result.as_deref().is_some_and(|result| result != "null");
        // When the reordered message is read again, nothing is early, so that this ends.
        self.early_params && update || self.early_result && result
    }

    /// Returns the message's text with its members in the order that ovsdb-server writes.
    pub(super) fn reordered(&self) -> String {
        let mut text = String::from("{");
        let members = [
            ("id", &self.id),
            ("method", &self.method),
            ("params", &self.params),
            ("result", &self.result),
            ("error", &self.error),
        ];
        for (name, value) in members {
            if let Some(value) = value {
                let comma = if text.len() > 1 { "," } else { "" };
                text.push_str(&format!("{comma}\"{name}\":{value}"));
            }
        }
        text.push('}');
        text
    }

    /// Returns the message.
    pub(super) fn message(self) -> Result<Message, &'static str> {
        let raw = |text: String| RawValue::from_string(text).map_err(|_| "valid JSON");
        let present = |text: Option<String>| text.filter(|text| text != "null");
        let id = present(self.id).map(raw).transpose()?;
        if let Some(method) = self.method {
            let method = serde_json::from_str(&method).map_err(|_| "a method's name")?;
            let params = raw(self.params.ok_or("params")?)?;
            return Ok(match id {
                Some(id) => Message::Request { id, method, params },
                None => Message::Notification { method, params },
            });
        }
        let id = id.ok_or("a method or an id")?;
        let result = match (present(self.error), self.result) {
            (Some(error), _) => Err(DatabaseError::parse(&error).map_err(|_| "a valid error")?),
            (None, Some(result)) => Ok(raw(result)?),
            (None, None) => return Err("a result or an error"),
        };
        Ok(Message::Reply { id, result })
    }
}
