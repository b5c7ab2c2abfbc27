//! One address of an endpoint.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use super::Endpoint;

/// An endpoint with one of the addresses of its host's name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    endpoint: Endpoint,
    address: Option<SocketAddr>,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn endpoint_without_a_host_name_is_one_destination() {
        for text in ["unix:/run/db.sock", "tcp:192.0.2.1:6641", "ssl:[2001:db8::1]:6641"] {
            let endpoint: Endpoint = text.parse().unwrap();
            let destinations = endpoint.resolve().await.unwrap();
            assert_eq!(destinations.len(), 1);
            assert_eq!(destinations[0].to_string(), text);
            assert_eq!(destinations[0].address().is_some(), !text.starts_with("unix"));
        }
    }

    #[tokio::test]
    async fn resolved_destination_is_shown_with_name_and_address() {
        let endpoint: Endpoint = "tcp:localhost:6641".parse().unwrap();
        for destination in endpoint.resolve().await.unwrap() {
            let address = destination.address().unwrap();
            assert!(address.ip().is_loopback() && address.port() == 6641, "{address}");
            assert_eq!(destination.to_string(), format!("tcp:localhost:6641 ({})", address.ip()));
        }
    }

    /// A zone has become a number when the connection is made.
    #[tokio::test]
    async fn zone_of_an_ipv6_address_is_resolved() {
        let endpoint: Endpoint = "tcp:[fe80::1%1]:6641".parse().unwrap();
        let destinations = endpoint.resolve().await.unwrap();
        let [Destination { address: Some(SocketAddr::V6(address)), .. }] = destinations[..] else {
            panic!("{destinations:?}")
        };
        assert_eq!((address.scope_id(), address.port()), (1, 6641));
    }
}
