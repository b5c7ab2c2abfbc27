//! The inputs of a decision.

use ovn_model::{Family, Port, Store};

use crate::rules::Rules;
use crate::sources::requests::Requests;
use crate::topology::Reach;

/// The inputs of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The database.
    pub store: &'a Store,
    /// The operator's settings.
    pub rules: &'a Rules,
    /// The intents of CMSes.
    pub requests: &'a Requests,
    /// The reach of the port's switch.
    pub reach: &'a Reach,
    /// The port.
    pub port: &'a Port,
    /// The address family.
    pub family: Family,
}
