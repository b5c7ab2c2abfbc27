//! The port that a text means, and the error if it means none or several.

/// The maximum number of ports that an error lists.
const MAX_LISTED: usize = 10;

/// The meaning of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The port of this name.
    Port(String),
    /// Several ports, sorted.
    Several(Vec<Match>),
    /// An instance without a port: most are stopped.
    Absent {
        /// Its display name, or that of the NIC.
        name: String,
        /// The name of its port when there is one, if the database contains it.
        port: Option<String>,
    },
    /// Nothing. The text is added to a message: a guess, or empty.
    Unknown(String),
}

/// One of several ports that a text may mean.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Match {
    /// Its display name.
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
    /// It is not exactly one port; the error lists the candidates, or guesses what was meant.
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
