//! The declared tables, which are all that is read from the Northbound database.
//!
//! To add a column, add a field to one of these; see CONTRIBUTING.md.

mod load_balancer;
mod load_balancer_group;
mod nat;
mod nb_global;
mod port_addresses;
mod router;
mod router_port;
mod switch;
mod switch_port;

pub use load_balancer::{LoadBalancer, Protocol};
pub use load_balancer_group::Group;
pub use nat::{BothExternalIps, ExternalIps, Nat, NatKind};
pub use nb_global::NbGlobal;
pub use port_addresses::PortAddresses;
pub use router::Router;
pub use router_port::RouterPort;
pub use switch::Switch;
pub(crate) use switch_port::PortExtras;
pub use switch_port::{Port, PortKind};
