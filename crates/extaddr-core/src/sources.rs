//! CMSes as sources of intents: what Incus and LXD say of their instances' NICs.
//!
//! NICs and what is asked for them ([`nic`]), what the API sends ([`instance`], [`listing`], [`event`]), what to read after an
//! event ([`agenda`]), and what is known so far ([`requests`]).

use serde::Deserialize;

pub mod agenda;
pub mod event;
pub mod instance;
pub mod listing;
pub mod nic;
pub mod requests;
mod roster;

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
