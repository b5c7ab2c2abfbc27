//! Where a server listens: the active connection methods of ovsdb(7).

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;

use tokio::io::{self, AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::tls::TlsConfig;

/// The port that IANA gave to OVSDB, used where an endpoint names none.
const DEFAULT_PORT: u16 = 6640;

/// One place where a server listens, written as ovsdb(7) does: `unix:FILE`, `tcp:HOST[:PORT]` or
/// `ssl:HOST[:PORT]`, an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A Unix domain socket.
    Unix(PathBuf),
    /// TCP without encryption. The host is a name or an address without brackets.
    Tcp(String, u16),
    /// TLS over TCP, by a [`TlsConfig`].
    Ssl(String, u16),
}

/// One or more endpoints of the same database, written with commas between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remotes(Vec<Endpoint>);

/// Text that is no endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint {
    text: String,
    why: &'static str,
}

/// A byte stream to a server.
pub(crate) type Stream = Pin<Box<dyn ReadWrite>>;

/// What a byte stream can do.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

// ===== impl Endpoint =====

impl Endpoint {
    /// Returns whether a silent peer at this endpoint may be a dead one. A Unix socket tells when
    /// its peer is gone.
    pub fn needs_probe(&self) -> bool {
        !matches!(self, Self::Unix(_))
    }

    /// Connects. Host names are resolved, and the files of `tls` read, anew each time.
    pub(crate) async fn dial(&self, tls: &TlsConfig) -> io::Result<Stream> {
        match self {
            Self::Unix(path) => Ok(Box::pin(UnixStream::connect(path).await?)),
            Self::Tcp(host, port) => Ok(Box::pin(dial_tcp(host, *port).await?)),
            Self::Ssl(host, port) => tls.dial(host, *port).await,
        }
    }
}

pub(crate) async fn dial_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    // Requests are small and each waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let text = text.trim();
        let invalid = |why| InvalidEndpoint { text: text.to_owned(), why };
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

fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the bracket is not closed")?;
        let address = host.split('%').next().unwrap_or_default();
        address.parse::<Ipv6Addr>().map_err(|_| "no IPv6 address in the brackets")?;
        match port.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if port.is_empty() => (host, None),
            None => return Err("only a colon and a port may follow the bracket"),
        }
    } else {
        match text.split_once(':') {
            Some((_, port)) if port.contains(':') => return Err("an IPv6 address needs brackets"),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    if host.is_empty() {
        return Err("it needs a host");
    }
    let port = match port {
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or("the port is not from 1 to 65535")?,
        None => DEFAULT_PORT,
    };
    Ok((host.to_owned(), port))
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
        Self::Tcp(address.ip().to_string(), address.port())
    }
}

// ===== impl Remotes =====

impl Remotes {
    /// Returns the endpoints, at least one.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.0
    }
}

impl From<Endpoint> for Remotes {
    fn from(endpoint: Endpoint) -> Self {
        Self(vec![endpoint])
    }
}

impl FromStr for Remotes {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Remotes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, endpoint) in self.0.iter().enumerate() {
            write!(f, "{}{endpoint}", if n > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

// ===== impl InvalidEndpoint =====

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no database endpoint: {}", self.text, self.why)
    }
}

impl std::error::Error for InvalidEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_and_written() {
        for (text, canonical) in [
            ("unix:/run/ovn/ovnnb_db.sock", "unix:/run/ovn/ovnnb_db.sock"),
            ("tcp:127.0.0.1:6641", "tcp:127.0.0.1:6641"),
            ("tcp:db.example.org", "tcp:db.example.org:6640"),
            ("tcp:[::1]", "tcp:[::1]:6640"),
            ("tcp:[fe80::1%eth0]:6641", "tcp:[fe80::1%eth0]:6641"),
            ("ssl:[2001:db8::1]:6641", "ssl:[2001:db8::1]:6641"),
            ("tcp:a:1, tcp:b:2,unix:c", "tcp:a:1,tcp:b:2,unix:c"),
        ] {
            let remotes: Remotes = text.parse().unwrap();
            assert_eq!(remotes.to_string(), canonical);
            assert_eq!(canonical.parse::<Remotes>().unwrap(), remotes);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("", "needs a method"),
            ("/run/x.sock", "needs a method"),
            ("unix:", "needs a file"),
            ("punix:/x", "drop the p"),
            ("http:x", "none of unix, tcp and ssl"),
            ("tcp:", "needs a host"),
            ("tcp::1", "needs a host"),
            ("tcp:a:0", "1 to 65535"),
            ("tcp:a:70000", "1 to 65535"),
            ("tcp:::1", "needs brackets"),
            ("tcp:[::1", "not closed"),
            ("tcp:[::1]x", "may follow"),
            ("tcp:[a]:1", "no IPv6 address"),
            ("unix:a,", "needs a method"),
        ] {
            let error = text.parse::<Remotes>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
