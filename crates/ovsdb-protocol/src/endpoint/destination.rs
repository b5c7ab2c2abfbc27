//! One address of an endpoint, and the connection to it.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;

use super::Endpoint;
use crate::error::Error;
use crate::tls::TlsConfig;

/// An endpoint with one of the addresses of its host's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    endpoint: Endpoint,
    address: Option<SocketAddr>,
}

/// How long connecting to a server may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DialTimeouts {
    /// Until the connection is accepted, which the kernel does on behalf of a busy server.
    pub(crate) connect: Duration,
    /// Until a TLS handshake is done, which a busy server may delay. When the CA's certificate is bootstrapped, this
    /// applies to each of the two handshakes.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no handshake"))]
    pub(crate) handshake: Duration,
}

/// A byte stream to a server.
pub(crate) type Stream = Pin<Box<dyn ReadWrite>>;

/// The operations of a byte stream.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> ReadWrite for T {}

// ===== impl Endpoint =====

impl Endpoint {
    /// Looks up the addresses of the host, in the order of the resolver, without duplicates. A socket and a literal
    /// address are one destination, without a look-up.
    ///
    /// # Errors
    /// The name has no address, or no name server answers.
    pub async fn resolve(&self) -> io::Result<Vec<Destination>> {
        if let Some(only) = self.literal() {
            return Ok(vec![only]);
        }
        let mut destinations = Vec::new();
        for address in lookup_host(self.host().unwrap_or_default()).await? {
            let destination = Destination { endpoint: self.clone(), address: Some(address) };
            if !destinations.contains(&destination) {
                destinations.push(destination);
            }
        }
        if destinations.is_empty() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
        }
        Ok(destinations)
    }

    /// Returns the destination of an endpoint for which no resolver is needed.
    pub(crate) fn literal(&self) -> Option<Destination> {
        let address = match self.host() {
            None => None,
            Some((host, port)) => Some(SocketAddr::new(host.parse::<IpAddr>().ok()?, port)),
        };
        Some(Destination { endpoint: self.clone(), address })
    }
}

// ===== impl Destination =====

impl Destination {
    #[cfg(test)]
    pub(crate) fn new(endpoint: Endpoint, address: SocketAddr) -> Self {
        Self { endpoint, address: Some(address) }
    }

    /// Returns the endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Returns the address; a socket has none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Connects. The files of `tls` are read each time.
    pub(crate) async fn dial(&self, tls: &TlsConfig, timeouts: DialTimeouts) -> Result<Stream, Error> {
        match (&self.endpoint, self.address) {
            (Endpoint::Unix(path), _) => {
                Ok(Box::pin(within(timeouts.connect, UnixStream::connect(path)).await?))
            }
            (Endpoint::Tcp(..), Some(address)) => Ok(Box::pin(dial_tcp(address, timeouts).await?)),
            (Endpoint::Ssl(host, _), Some(address)) => tls.dial(host, address, timeouts).await,
            (_, None) => Err(io::Error::from(io::ErrorKind::NotFound).into()),
        }
    }
}

impl fmt::Display for Destination {
    /// Writes the endpoint, and the address if the endpoint does not contain it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.endpoint)?;
        match self.address {
            Some(address) if self.endpoint.literal().is_none() => write!(f, " ({})", address.ip()),
            _ => Ok(()),
        }
    }
}

pub(crate) async fn dial_tcp(address: SocketAddr, timeouts: DialTimeouts) -> io::Result<TcpStream> {
    let stream = within(timeouts.connect, TcpStream::connect(address)).await?;
    // Requests are small and each waits for its answer.
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn within<T>(limit: Duration, connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(limit, connecting)
        .await
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "the attempt to connect timed out")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_needs_no_resolver_is_one_destination() {
        for text in ["unix:/run/db.sock", "tcp:192.0.2.1:6641", "ssl:[2001:db8::1]:6641"] {
            let endpoint: Endpoint = text.parse().unwrap();
            let destinations = endpoint.resolve().await.unwrap();
            assert_eq!(destinations.len(), 1);
            assert_eq!(destinations[0].to_string(), text);
            assert_eq!(destinations[0].address().is_some(), !text.starts_with("unix"));
        }
    }

    #[tokio::test]
    async fn a_name_is_shown_with_the_address_that_it_has() {
        let endpoint: Endpoint = "tcp:localhost:6641".parse().unwrap();
        for destination in endpoint.resolve().await.unwrap() {
            let address = destination.address().unwrap();
            assert!(address.ip().is_loopback() && address.port() == 6641, "{address}");
            assert_eq!(destination.to_string(), format!("tcp:localhost:6641 ({})", address.ip()));
        }
    }

    /// A zone has become a number when the connection is made.
    #[tokio::test]
    async fn the_zone_of_an_address_is_resolved() {
        let endpoint: Endpoint = "tcp:[fe80::1%1]:6641".parse().unwrap();
        let destinations = endpoint.resolve().await.unwrap();
        let [Destination { address: Some(SocketAddr::V6(address)), .. }] = destinations[..] else {
            panic!("{destinations:?}")
        };
        assert_eq!((address.scope_id(), address.port()), (1, 6641));
    }
}
