//! Connections to the destinations of endpoints.

use std::io;

use tokio::net::UnixStream;

use crate::endpoint::{Destination, Endpoint};
use crate::error::Error;
use crate::transport::{DialTimeouts, Stream, dial_tcp, within};
use crate::tls::TlsConfig;

impl Destination {
    /// Connects. The files of `tls` are read each time.
    pub(crate) async fn dial(&self, tls: &TlsConfig, timeouts: DialTimeouts) -> Result<Stream, Error> {
        match (self.endpoint(), self.address()) {
            (Endpoint::Unix(path), _) => {
                Ok(Box::pin(within(timeouts.connect, UnixStream::connect(path)).await?))
            }
            (Endpoint::Tcp(..), Some(address)) => Ok(Box::pin(dial_tcp(address, timeouts).await?)),
            (Endpoint::Ssl(host, _), Some(address)) => tls.dial(host, address, timeouts).await,
            (_, None) => Err(io::Error::from(io::ErrorKind::NotFound).into()),
        }
    }
}
