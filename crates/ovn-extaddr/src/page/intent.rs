//! An intent as pages show it.

use extaddr_core::explain::Check;
use extaddr_core::reason::Code;
use extaddr_core::report::Entry;
use extaddr_core::state::State;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::render::visible;

/// The escaped characters of a name in a path: nothing in it may end the path or be taken for a part of it.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// A state with its style. The word has the meaning; the colour and the sign repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Badge {
    pub(super) word: &'static str,
    /// The class of the style sheet.
    pub(super) tone: &'static str,
    pub(super) sign: &'static str,
    pub(super) description: &'static str,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) href: String,
    /// The display name of the port, or its name.
    pub(super) shown: String,
    /// Its name, if the display name is another.
    pub(super) port: Option<String>,
    pub(super) family: &'static str,
    pub(super) internal: String,
    pub(super) external: Option<String>,
    pub(super) wanted: String,
    pub(super) router: String,
    pub(super) badge: Badge,
    pub(super) reason: Option<&'static str>,
    pub(super) message: String,
}

// ===== impl Badge =====

impl From<State> for Badge {
    fn from(state: State) -> Self {
        let (tone, sign) = match state {
            State::Active | State::Foreign => ("good", "✓"),
            State::Pending | State::Draining => ("moving", "→"),
            State::Waiting => ("idle", "…"),
            State::Rejected | State::Conflict | State::Contested => ("bad", "✕"),
        };
        Self { word: state.name(), tone, sign, description: state.description() }
    }
}

// ===== impl Row =====

impl Row {
    pub(super) fn new(entry: &Entry) -> Self {
        Self {
            href: port_link(&entry.port),
            shown: visible(entry.shown()).into_owned(),
            port: entry.name.as_ref().map(|_| visible(&entry.port).into_owned()),
            family: family(entry),
            internal: Check::list(&entry.internal),
            external: entry.external.map(|address| address.to_string()),
            wanted: visible(&entry.wanted).into_owned(),
            router: visible(entry.router.as_deref().unwrap_or_default()).into_owned(),
            badge: Badge::from(entry.state),
            reason: entry.reason.map(Code::name),
            message: visible(&entry.message).into_owned(),
        }
    }
}

/// Returns the family's usual notation.
pub(super) fn family(entry: &Entry) -> &'static str {
    if entry.family == "ipv6" { "IPv6" } else { "IPv4" }
}

/// Returns the path of a port's page.
pub(super) fn port_link(port: &str) -> String {
    // A browser interprets these as path steps even when escaped; the query of the list finds them.
    if port.split('/').any(|part| part == "." || part == "..") || port.contains("//") || port.starts_with('/')
    {
        return format!("/?q={}", utf8_percent_encode(port, NON_ALPHANUMERIC));
    }
    format!("/port/{}", utf8_percent_encode(port, ESCAPED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_names_in_links_are_percent_encoded() {
        for (port, link) in [
            ("incus-net2-instance-a-eth0", "/port/incus-net2-instance-a-eth0"),
            ("ns/pod", "/port/ns/pod"),
            ("a b?c#d%e", "/port/a%20b%3Fc%23d%25e"),
            ("\"><script>", "/port/%22%3E%3Cscript%3E"),
            ("tür", "/port/t%C3%BCr"),
            ("..", "/?q=%2E%2E"),
            ("a//b", "/?q=a%2F%2Fb"),
        ] {
            assert_eq!(port_link(port), link, "{port}");
        }
    }
}
