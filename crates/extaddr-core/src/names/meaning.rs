//! The port that a text means, and the error where it means none or several.

/// Ports that an error lists.
const MAX_LISTED: usize = 10;

/// What a text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The port of this name.
    Port(String),
    /// Several ports, sorted.
    Several(Vec<Match>),
    /// An instance without a port: most are stopped.
    Absent {
        /// What people call it, or the NIC.
        name: String,
        /// The name that its port has when there is one, if the database tells.
        port: Option<String>,
    },
    /// Nothing; what to add to a message: a guess, or nothing.
    Unknown(String),
}

/// One of several ports that a text may mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// What people call it.
    pub name: Option<String>,
    /// Its own name.
    pub port: String,
    /// The name of its switch.
    pub switch: Option<String>,
}

impl Meaning {
    /// Returns the name of the port.
    ///
    /// # Errors
    /// It is not one port; the error says which there are, or what may have been meant.
    pub fn port(self, text: &str) -> Result<String, String> {
        match self {
            Self::Port(port) => Ok(port),
            Self::Several(ports) => {
                let listed: Vec<_> = ports.iter().take(MAX_LISTED).map(Match::to_string).collect();
                let rest = match ports.len().saturating_sub(MAX_LISTED) {
                    0 => String::new(),
                    rest => format!(" and {rest} more"),
                };
                Err(format!(
                    "{text} may be any of {} ports, name one: {}{rest}",
                    ports.len(),
                    listed.join(", ")
                ))
            }
            Self::Absent { name, .. } => Err(format!(
                "instance {name} has no port {text} in OVN: start the instance, or see which NICs it has"
            )),
            Self::Unknown(guess) => Err(format!("there is no port {text} in the Northbound database{guess}")),
        }
    }
}

/// As errors list it: `shop:web1/eth0 (port P on switch S)`.
impl std::fmt::Display for Match {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, port, switch } = self;
        let switch = switch.as_deref().map_or_else(String::new, |switch| format!("on switch {switch}"));
        match name {
            Some(name) => {
                write!(f, "{name} (port {port}{}{switch})", if switch.is_empty() { "" } else { " " })
            }
            None if switch.is_empty() => f.write_str(port),
            None => write!(f, "{port} ({switch})"),
        }
    }
}
