//! Endpoints of servers: the active connection methods of ovsdb(7).

mod destination;
mod remotes;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

pub use destination::Destination;
pub use remotes::Remotes;

/// The port that IANA assigned to OVSDB, the default of an endpoint.
const DEFAULT_PORT: u16 = 6640;

/// One place where a server listens, written as ovsdb(7) does: `unix:FILE`, `tcp:HOST[:PORT]` or
/// `ssl:HOST[:PORT]`.
///
/// Any host may be in brackets, and an IPv6 address has to be. It may have a zone: `tcp:[fe80::1%eth0]:6641`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// TCP without encryption. The host is a name or an address without brackets.
    Tcp(String, u16),
    /// TLS over TCP, by a [`TlsConfig`](crate::TlsConfig).
    Ssl(String, u16),
}

/// A text that is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is not a valid database endpoint: {why}")]
pub struct InvalidEndpoint {
    text: String,
    why: &'static str,
}

// ===== impl Endpoint =====

impl Endpoint {
    /// Returns true if a silent peer at this endpoint may be dead. A Unix socket reports the end of its peer.
    pub fn needs_probe(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// Returns the host as it was written, without brackets, and the port.
    pub(crate) fn host(&self) -> Option<(&str, u16)> {
        match self {
            Self::Unix(_) => None,
            Self::Tcp(host, port) | Self::Ssl(host, port) => Some((host, *port)),
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let text = text.trim();
        let invalid = |why| InvalidEndpoint::new(text, why);
        let (method, rest) = text
            .split_once(':')
            .ok_or_else(|| invalid("it needs a method, as in unix:FILE or tcp:HOST:PORT"))?;
        match method {
            "unix" if rest.is_empty() => Err(invalid("it needs a file, as in unix:/run/ovn/ovnnb_db.sock")),
            "unix" => Ok(Self::Unix(Path::new(rest).to_path_buf())),
            "tcp" | "ssl" => {
                let (host, port) = host_and_port(rest).map_err(invalid)?;
                Ok(if method == "tcp" { Self::Tcp(host, port) } else { Self::Ssl(host, port) })
            }
            "punix" | "ptcp" | "pssl" => Err(invalid("that is a method to listen; drop the p")),
            _ => Err(invalid("the method is none of unix, tcp and ssl")),
        }
    }
}

/// Splits at the last colon outside brackets, as `inet_parse_tokens__` of Open vSwitch does.
fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let mut open = false;
    let mut colons = text.char_indices().filter(|(_, c)| {
        open = *c == '[' || open && *c != ']';
        *c == ':' && !open
    });
    let colon = colons.next().map(|(place, _)| place);
    if colons.next().is_some() {
        return Err("an IPv6 address needs brackets");
    }
    if open {
        return Err("the bracket is not closed");
    }
    let (host, port) = match colon {
        Some(colon) => (&text[..colon], unbracketed(&text[colon + 1..])),
        None => (text, ""),
    };
    let host = host_name(unbracketed(host))?;
    let port = match port {
        "" => DEFAULT_PORT,
        port => port.parse().ok().filter(|port| *port != 0).ok_or("the port is not from 1 to 65535")?,
    };
    Ok((host, port))
}

fn unbracketed(text: &str) -> &str {
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text)
}

fn host_name(host: &str) -> Result<String, &'static str> {
    if host.is_empty() {
        return Err("it needs a host");
    }
    if host.contains(['[', ']']) {
        return Err("only a colon and a port may follow the bracket");
    }
    if host.contains([' ', '\t', ',', '/']) {
        return Err("the host is neither a name nor an address");
    }
    if host.contains(':') {
        let (address, zone) = host.split_once('%').unwrap_or((host, ""));
        let address: Ipv6Addr = address.parse().map_err(|_| "the host is not an IPv6 address")?;
        return Ok(if zone.is_empty() { address.to_string() } else { format!("{address}%{zone}") });
    }
    Ok(host.to_owned())
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (method, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Ssl(host, port) => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{method}:[{host}]:{port}")
        } else {
            write!(f, "{method}:{host}:{port}")
        }
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(address: SocketAddr) -> Self {
        let host = match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            other => IpAddr::to_string(&other.ip()),
        };
        Self::Tcp(host, address.port())
    }
}

// ===== impl InvalidEndpoint =====

impl InvalidEndpoint {
    fn new(text: impl Into<String>, why: &'static str) -> Self {
        Self { text: text.into(), why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_text_is_parsed_and_rendered() {
        for (text, canonical) in [
            ("unix:/run/ovn/ovnnb_db.sock", "unix:/run/ovn/ovnnb_db.sock"),
            ("unix:/run/with,comma", "unix:/run/with,comma"),
            ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6641"),
            ("tcp:[127.0.0.1]:6641", "tcp:127.0.0.1:6641"),
            ("ssl:[10.0.0.10]", "ssl:10.0.0.10:6640"),
            ("tcp:[127.0.0.1]:[6641]", "tcp:127.0.0.1:6641"),
            ("tcp:[db.example.org]:6641", "tcp:db.example.org:6641"),
            ("tcp:db.example.org", "tcp:db.example.org:6640"),
            ("tcp:db.example.org:", "tcp:db.example.org:6640"),
            ("tcp:[::1]", "tcp:[::1]:6640"),
            ("tcp:[2001:DB8:0::1]:1", "tcp:[2001:db8::1]:1"),
            ("tcp:[::ffff:192.0.2.1]:1", "tcp:[::ffff:192.0.2.1]:1"),
            ("tcp:[fe80::1%eth0]:6641", "tcp:[fe80::1%eth0]:6641"),
            ("tcp:[fe80::1%2]", "tcp:[fe80::1%2]:6640"),
            ("tcp:[fe80::1%]:6641", "tcp:[fe80::1]:6641"),
            ("ssl:[2001:db8::1]:6641", "ssl:[2001:db8::1]:6641"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), canonical);
            assert_eq!(canonical.parse::<Endpoint>().unwrap(), endpoint);
        }
    }

    #[test]
    fn malformed_endpoint_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "needs a method"),
            ("/run/x.sock", "needs a method"),
            ("unix:", "needs a file"),
            ("punix:/x", "drop the p"),
            ("http:x", "none of unix, tcp and ssl"),
            ("tcp:", "needs a host"),
            ("tcp::1", "needs a host"),
            ("tcp:[]:1", "needs a host"),
            ("tcp:a:0", "1 to 65535"),
            ("tcp:a:70000", "1 to 65535"),
            ("tcp:a:1,", "1 to 65535"),
            ("tcp:::1", "needs brackets"),
            ("tcp:2001:db8::1:6641", "needs brackets"),
            ("tcp:[::1", "not closed"),
            ("tcp:[::1]x", "may follow"),
            ("tcp:[::1]x:1", "may follow"),
            ("tcp:[::1::2]:1", "not an IPv6 address"),
            ("tcp:[a:b]:1", "not an IPv6 address"),
            ("tcp:a b:1", "neither a name nor an address"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
