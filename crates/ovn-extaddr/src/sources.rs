//! The connections to CMSes that are sources of intents: configuration ([`cms`]), HTTP and events, and the task of each
//! source, [`watcher`].

mod api;
pub mod cms;
mod events;
mod stream;
pub mod watcher;
