//! The argument that names a port.

use clap::Args;
use clap_complete::engine::ArgValueCompleter;

use super::complete;

/// The name of a port, completed from the database.
#[derive(Clone, Debug, Args)]
pub(super) struct PortName {
    /// The name of the `Logical_Switch_Port`.
    #[arg(value_name = "PORT", add = ArgValueCompleter::new(complete::ports))]
    port: String,
}

impl PortName {
    pub(super) fn as_str(&self) -> &str {
        &self.port
    }
}
