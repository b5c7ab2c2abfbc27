//! JSON of requests, with an error that explains what is wrong with one.

use serde::Serialize;

use crate::encode::to_json;
use crate::error::Error;

/// Writes the JSON of a part of a request, which `what` names in the error.
///
/// # Errors
/// As [`to_json`].
pub(crate) fn request_json(what: &'static str, value: &(impl Serialize + ?Sized)) -> Result<String, Error> {
    to_json(value).map_err(|e| Error::invalid_request(what, e))
}
