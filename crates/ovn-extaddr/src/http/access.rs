//! Access to the status page.

use std::fmt;
use std::net::IpAddr;

use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use serde::Deserialize;

use super::listen::Listen;

/// The configuration key `status-page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StatusPage {
    /// Nobody.
    #[default]
    Off,
    /// This machine: the listener must be on a loopback address or a Unix socket.
    Local,
    /// Everybody who reaches the listener.
    Any,
}

/// The reason why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The request names another host: possibly a site that makes a browser read the page.
    Name(String),
    /// The request names no host, or several.
    Nameless,
}

// ===== impl StatusPage =====

impl StatusPage {
    /// Returns the word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Local => "local",
            Self::Any => "any",
        }
    }

    /// Checks whether the page may be offered where the metrics are.
    ///
    /// # Errors
    /// It may not be; the text says what to do about it.
    pub(crate) fn check(self, metrics: Option<&Listen>) -> Result<(), String> {
        let at_home = "set metrics to a loopback address such as \"127.0.0.1:9477\", or to \"unix:PATH\"";
        match (self, metrics) {
            (Self::Off, _) | (_, Some(Listen::Unix(_))) | (Self::Any, Some(_)) => Ok(()),
            (Self::Local, Some(Listen::Tcp(address))) if is_loopback(address.ip()) => Ok(()),
            (Self::Local, Some(place)) => Err(format!(
                "the page has no authentication, and others may reach {place}, where metrics are offered: {at_home}; \
                 status-page = \"any\" shows it to all of them"
            )),
            (Self::Local | Self::Any, None) => {
                Err(format!("the page is where metrics are offered, and they are off: {at_home}"))
            }
        }
    }

    /// Checks whether a request may see the page. If the page is for this machine only, the host name of a TCP request
    /// must be one that cannot belong to another machine: otherwise a site in a browser could point its own name to
    /// this machine and read the page (DNS rebinding).
    pub(crate) fn admits(self, is_tcp: bool, headers: &HeaderMap) -> Result<(), Refusal> {
        if self != Self::Local || !is_tcp {
            return Ok(());
        }
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return Err(Refusal::Nameless) };
        let refused = || Refusal::Name(String::from_utf8_lossy(host.as_bytes()).into_owned());
        let authority: Authority = host.as_bytes().try_into().map_err(|_| refused())?;
        if is_fixed(authority.host()) { Ok(()) } else { Err(refused()) }
    }
}

// ===== impl Refusal =====

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(
                f,
                "this page is not for {name}: use 127.0.0.1, [::1] or localhost, or have the proxy send such a Host header"
            ),
            Self::Nameless => f.write_str("the request needs one Host header"),
        }
    }
}

/// Returns whether a host is an address, or the name that means this machine everywhere.
fn is_fixed(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    host.eq_ignore_ascii_case("localhost")
        || bare.map_or_else(|| host.parse::<IpAddr>().is_ok(), |bare| bare.parse::<IpAddr>().is_ok())
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_page_is_allowed_only_on_loopback_and_unix_sockets() {
        use StatusPage::{Any, Local, Off};
        for (page, metrics, allowed) in [
            (Off, None, true),
            (Off, Some("0.0.0.0:9477"), true),
            (Local, Some("127.0.0.1:9477"), true),
            (Local, Some("127.8.9.10:9477"), true),
            (Local, Some("[::1]:9477"), true),
            (Local, Some("[::ffff:127.0.0.1]:9477"), true),
            (Local, Some("unix:/run/m.sock"), true),
            (Local, Some("0.0.0.0:9477"), false),
            (Local, Some("[::]:9477"), false),
            (Local, Some("192.0.2.1:9477"), false),
            (Local, None, false),
            (Any, Some("0.0.0.0:9477"), true),
            (Any, Some("unix:/run/m.sock"), true),
            (Any, None, false),
        ] {
            let metrics: Option<Listen> = metrics.map(|text| text.parse().unwrap());
            assert_eq!(page.check(metrics.as_ref()).is_ok(), allowed, "{page:?} at {metrics:?}");
        }
    }

    #[test]
    fn local_page_admits_only_loopback_host_headers() {
        let admits = |page: StatusPage, is_tcp: bool, hosts: &[&str]| {
            let mut headers = HeaderMap::new();
            for host in hosts {
                headers.append(HOST, host.parse().unwrap());
            }
            page.admits(is_tcp, &headers).is_ok()
        };
        for (host, admitted) in [
            ("127.0.0.1:9477", true),
            ("127.0.0.1", true),
            ("[::1]:9477", true),
            ("localhost", true),
            ("LocalHost:9477", true),
            ("192.0.2.7:9477", true),
            ("example.org", false),
            ("127.0.0.1.example.org", false),
            ("localhost.example.org:9477", false),
            ("localhost:9477:1", false),
            ("[::1", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(admits(StatusPage::Local, true, &[host]), admitted, "{host}");
            assert!(admits(StatusPage::Local, false, &[host]) && admits(StatusPage::Any, true, &[host]));
        }
        assert!(!admits(StatusPage::Local, true, &[]));
        assert!(!admits(StatusPage::Local, true, &["localhost", "localhost"]));
    }
}
