//! CMSes as sources of intents: the NICs of Incus's and LXD's instances.
//!
//! NICs and their ports ([`nic`]), the messages of the API ([`instance`], [`listing`], [`event`]), what to read after
//! an event ([`agenda`]) or after a listing ([`known`]), and the intents known so far ([`requests`]).

use serde::Deserialize;

pub mod agenda;
pub mod event;
pub mod instance;
pub mod known;
pub mod listing;
pub mod nic;
pub mod requests;
mod roster;

/// A CMS whose API is understood. Incus's API was derived from LXD's.
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

    /// Returns its product name.
    pub fn title(self) -> &'static str {
        match self {
            Self::Incus => "Incus",
            Self::Lxd => "LXD",
        }
    }
}
