//! The present role of the agent, for people and machines.

/// The roles of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is not known yet which agent writes.
    Starting,
    /// This agent writes.
    Active,
    /// Another agent of the owner writes.
    Standby,
    /// This agent does not write because it was paused.
    Paused,
    /// This agent never writes.
    DryRun,
}

impl Role {
    /// All of them.
    pub(crate) const ALL: [Self; 5] =
        [Self::Starting, Self::Active, Self::Standby, Self::Paused, Self::DryRun];

    /// Returns the word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Paused => "paused",
            Self::DryRun => "dry-run",
        }
    }
}
