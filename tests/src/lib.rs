//! Real servers, real networks and the real agent, for tests.
//!
//! ```text
//! OvsdbServer   one ovsdb-server in its own directory: restart it, dump it, write raw transactions to it
//! Ovn           two of those and an ovn-northd: nbctl, sbctl, logical flows
//! Tracer        an ovn-trace: what becomes of a packet by the Southbound's logical flows
//! Northbound    either of a server and a Cluster, to write to
//! Net           an Incus-shaped network there: instances, forwards, annotations
//! Agent         the ovn-extaddr binary as a daemon; Cli is the same binary for one-shot commands
//! CmsApi        the API of Incus and LXD, scripted: slow, cut, huge, wrong
//! NotifySocket  the service manager's end of sd_notify(3)
//! Clock         the time that servers and agents live by, where a test is to put it forward
//! Machine       this system booted once more by a real systemd, on an overlay that is thrown away
//! Browser       a real one without a screen, by its DevTools protocol
//! generate      databases of any size, as files
//! bench         what scripts/bench measures
//! eventually    waits for something to become true and says what was last seen if it does not
//! ```
//!
//! Nothing here shares code with the agent, so that an error there cannot hide itself: the harness speaks OVSDB through
//! its own few lines of JSON-RPC and through OVN's programs.
//!
//! Every server and every agent has its own temporary directory and ends with the value that started it, so tests run
//! in parallel and never use an OVN that is installed on the machine. A program that is not installed is an error that
//! names `scripts/setup`; nothing is ever skipped. With `OVN_EXTADDR_TESTS_KEEP=1` in the environment the directories,
//! with all logs, stay for a look.

mod agent;
pub mod bench;
mod browser;
mod built;
mod clock;
mod cluster;
mod cms_api;
mod command;
mod container;
mod dir;
pub mod generate;
pub mod lab;
mod machine;
mod net;
mod northbound;
mod notify;
mod ovn;
mod ovsdb_server;
mod pki;
mod process;
mod proxy;
mod row;
mod rpc;
mod snapshot;
mod trace;
mod wait;

pub use agent::{Agent, AgentBuilder, Cli, PROMPT};
pub use browser::{Browser, View};
pub use built::built;
pub use clock::Clock;
pub use cluster::{Cluster, Member, Relay, TlsServer};
pub use cms_api::{CmsApi, Fault, cms_instance};
pub use command::Output;
pub use machine::Machine;
pub use net::{Addressing, DefaultTarget, Instance, Nat, Net, NetBuilder, Protocol};
pub use northbound::Northbound;
pub use notify::NotifySocket;
pub use ovn::Ovn;
pub use ovsdb_server::OvsdbServer;
pub use pki::{Authority, Certified, Pki};
pub use process::Daemon;
pub use proxy::Proxy;
pub use row::{json_map, json_set, map_column, set_column, uuid_ref};
pub use snapshot::{Row, Snapshot};
pub use trace::Tracer;
pub use wait::{Settled, eventually};
