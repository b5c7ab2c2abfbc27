//! A list of endpoints, and the cluster that it may pin.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use uuid::Uuid;

use super::{Endpoint, InvalidEndpoint};

/// One or more endpoints of the same database, separated by commas. `cid:UUID` among them is the id of the cluster that
/// their servers must belong to, as in ovsdb(7).
///
/// A comma is a separator only before the start of an endpoint: letters and a colon. Any other comma is part of a
/// file's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remotes {
    endpoints: Vec<Endpoint>,
    cluster_id: Option<Uuid>,
}

impl Remotes {
    /// Returns the endpoints, at least one.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Returns the cluster that the servers must belong to, if the list names one.
    pub fn cluster_id(&self) -> Option<Uuid> {
        self.cluster_id
    }

    /// Interprets relative names of sockets as names in this directory.
    #[must_use]
    pub fn relative_to(mut self, directory: &Path) -> Self {
        for endpoint in &mut self.endpoints {
            if let Endpoint::Unix(path) = endpoint {
                // An absolute name stays unchanged.
                *path = directory.join(&*path);
            }
        }
        self
    }
}

impl From<Endpoint> for Remotes {
    fn from(endpoint: Endpoint) -> Self {
        Self { endpoints: vec![endpoint], cluster_id: None }
    }
}

impl FromStr for Remotes {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let (mut endpoints, mut cluster_id) = (Vec::new(), None);
        for part in parts(text) {
            let Some(id) = part.strip_prefix("cid:") else {
                endpoints.push(part.parse()?);
                continue;
            };
            let id = id.parse().map_err(|_| {
                InvalidEndpoint::new(
                    part,
                    "cid: needs the id of a cluster, as ovs-appctl cluster/cid prints it",
                )
            })?;
            if cluster_id.is_some_and(|other| other != id) {
                return Err(InvalidEndpoint::new(part, "the list names another cluster, too"));
            }
            cluster_id = Some(id);
        }
        if endpoints.is_empty() {
            let why = if cluster_id.is_some() { "it names a cluster and no server" } else { "it is empty" };
            return Err(InvalidEndpoint::new(text, why));
        }
        Ok(Self { endpoints, cluster_id })
    }
}

/// Splits a list into its parts, as `ovsdb_session_parse_remote` of Open vSwitch does.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text.trim()).filter(|text| !text.is_empty());
    std::iter::from_fn(move || {
        let text = rest?;
        let comma = text.match_indices(',').map(|(place, _)| place).find(|place| begins(&text[place + 1..]));
        rest = comma.map(|comma| &text[comma + 1..]);
        Some(text[..comma.unwrap_or(text.len())].trim())
    })
}

/// Returns whether a text starts like an endpoint.
fn begins(text: &str) -> bool {
    let text = text.trim_start();
    let letters = text.bytes().take_while(u8::is_ascii_lowercase).count();
    letters > 0 && text[letters..].starts_with(':')
}

impl fmt::Display for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, endpoint) in self.endpoints.iter().enumerate() {
            write!(f, "{}{endpoint}", if n > 0 { "," } else { "" })?;
        }
        self.cluster_id.map_or(Ok(()), |id| write!(f, ",cid:{id}"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "5ed7e0c8-4f8e-4b8a-9d3f-0c7b3b7b0a11";

    #[test]
    fn list_of_remotes_is_parsed_and_rendered() {
        for (text, canonical) in [
            ("tcp:a:1, tcp:b:2,unix:c", "tcp:a:1,tcp:b:2,unix:c"),
            (" tcp:a:1 ,\ttcp:[b]:2 ", "tcp:a:1,tcp:b:2"),
            ("unix:/a,b,tcp:[::1]:2", "unix:/a,b,tcp:[::1]:2"),
            ("unix:a,", "unix:a,"),
            ("unix:/a,1:b,-tcp:c,unix:d", "unix:/a,1:b,-tcp:c,unix:d"),
            (
                "tcp:a:1,cid:5ed7e0c8-4f8e-4b8a-9d3f-0c7b3b7b0a11",
                "tcp:a:1,cid:5ed7e0c8-4f8e-4b8a-9d3f-0c7b3b7b0a11",
            ),
            (
                "cid:5ED7E0C8-4f8e-4b8a-9d3f-0c7b3b7b0a11, tcp:a:1",
                "tcp:a:1,cid:5ed7e0c8-4f8e-4b8a-9d3f-0c7b3b7b0a11",
            ),
        ] {
            let remotes: Remotes = text.parse().unwrap();
            assert_eq!(remotes.to_string(), canonical);
            assert_eq!(canonical.parse::<Remotes>().unwrap(), remotes);
            assert_eq!(remotes.cluster_id().is_some(), text.contains("cid"));
        }
    }

    #[test]
    fn malformed_list_of_remotes_is_refused_with_the_reason() {
        let twice = format!("cid:{ID},tcp:a:1,cid:{}", Uuid::nil());
        let alone = format!("cid:{ID}");
        for (text, why) in [
            ("", "empty"),
            (" ", "empty"),
            (&*alone, "no server"),
            (&*twice, "another cluster"),
            ("tcp:a:1,cid:x", "needs the id of a cluster"),
            ("tcp:a:1,,tcp:b:2", "1 to 65535"),
            ("tcp:a:1,http:b", "none of unix, tcp and ssl"),
        ] {
            let error = text.parse::<Remotes>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn relative_socket_names_are_resolved_in_a_directory() {
        let remotes: Remotes = "unix:a.sock,unix:/b.sock,tcp:c:1".parse().unwrap();
        let remotes = remotes.relative_to(Path::new("/run/ovn"));
        assert_eq!(remotes.to_string(), "unix:/run/ovn/a.sock,unix:/b.sock,tcp:c:1");
    }

    proptest! {
        #[test]
        fn rendered_list_of_remotes_is_parsed_to_itself(text in "([a-z]{0,4}:|[,:%\\[\\]. 0-9a-f/]){0,12}") {
            if let Ok(remotes) = text.parse::<Remotes>() {
                prop_assert_eq!(remotes.to_string().parse::<Remotes>(), Ok(remotes));
            }
        }
    }
}
