//! CMSes as sources of intents: what Incus and LXD say of their instances' NICs.
//!
//! Pure: [`nic`], what the API sends ([`instance`], [`listing`], [`event`]), what to read after an event
//! ([`agenda`]), and what is known so far ([`requests`]). IO: `stream`, `api` and `events`, and the task of each source,
//! [`watcher`].

use serde::Deserialize;

pub mod agenda;
mod api;
pub mod cms;
pub mod event;
mod events;
pub mod instance;
pub mod listing;
pub mod nic;
pub mod requests;
mod roster;
mod stream;
pub mod watcher;

/// A CMS whose API is understood. LXD's is that of which Incus's was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Incus.
    Incus,
    /// LXD.
    Lxd,
}

impl Kind {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Incus, Self::Lxd];

    /// Returns the word for it in the configuration and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Incus => "incus",
            Self::Lxd => "lxd",
        }
    }

    /// Returns what its users call it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Incus => "Incus",
            Self::Lxd => "LXD",
        }
    }
}
