//! `[[cms]]` of the configuration: a CMS, and the place of its API.

use std::fmt;
use std::path::PathBuf;

use extaddr_core::policy::Glob;
use extaddr_core::sources::Kind;
use serde::Deserialize;

/// The default port of the API.
const DEFAULT_PORT: u16 = 8443;

/// A CMS that is a source of intents.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "CmsText")]
pub struct Cms {
    /// Its kind.
    pub kind: Kind,
    /// The place of its API.
    pub place: Place,
    /// The projects that count, by their names.
    pub projects: Vec<Glob>,
    /// Whether the CMS's own option also counts.
    pub native: bool,
}

/// The place of an API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP port, with TLS.
    Https {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
        /// Files for TLS.
        tls: TlsFiles,
    },
}

/// The files by which both sides authenticate each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, which the CMS trusts.
    pub certificate: PathBuf,
    /// Its private key.
    pub private_key: PathBuf,
    /// The certificate that the server must show, and no other.
    pub server_certificate: PathBuf,
}

/// `[[cms]]` as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CmsText {
    kind: Kind,
    url: Option<String>,
    projects: Option<Vec<Glob>>,
    #[serde(default)]
    native: bool,
    certificate: Option<PathBuf>,
    private_key: Option<PathBuf>,
    server_certificate: Option<PathBuf>,
}

impl Cms {
    /// Returns whether a project counts.
    pub fn includes_project(&self, project: &str) -> bool {
        self.projects.iter().any(|glob| glob.matches(project))
    }
}

/// As it is named in messages: `Incus at unix:/var/lib/incus/unix.socket`.
impl fmt::Display for Cms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.kind.title(), self.place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Https { host, port, .. } if host.contains(':') => write!(f, "https://[{host}]:{port}"),
            Self::Https { host, port, .. } => write!(f, "https://{host}:{port}"),
        }
    }
}

impl TryFrom<CmsText> for Cms {
    type Error = String;

    fn try_from(text: CmsText) -> Result<Self, String> {
        let CmsText { kind, url, projects, native, certificate, private_key, server_certificate } = text;
        let url = url.unwrap_or_else(|| format!("unix:/var/lib/{}/unix.socket", kind.name()));
        let place = if let Some(path) = url.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(format!("\"{url}\": unix: wants an absolute path after it"));
            }
            if certificate.is_some() || private_key.is_some() || server_certificate.is_some() {
                return Err(format!("\"{url}\" needs no certificates: they are for https://"));
            }
            Place::Unix(path.into())
        } else if let Some(rest) = url.strip_prefix("https://") {
            let (host, port) =
                host_and_port(rest).ok_or_else(|| format!("\"{url}\" is not https://HOST:PORT"))?;
            let needed = "https:// needs certificate and private-key, which the CMS trusts, and server-certificate, the certificate of the server itself";
            match (certificate, private_key, server_certificate) {
                (Some(certificate), Some(private_key), Some(server_certificate)) => {
                    let tls = TlsFiles { certificate, private_key, server_certificate };
                    Place::Https { host, port, tls }
                }
                _ => return Err(needed.to_owned()),
            }
        } else {
            return Err(format!("\"{url}\" is neither unix:PATH nor https://HOST:PORT"));
        };
        let projects = projects.unwrap_or_else(|| vec!["*".to_owned().into()]);
        if projects.is_empty() {
            return Err("projects = [] selects nothing: omit it for all projects".to_owned());
        }
        Ok(Self { kind, place, projects, native })
    }
}

/// Splits `HOST`, `HOST:PORT`, `[ADDRESS]` or `[ADDRESS]:PORT`, with or without a final slash.
fn host_and_port(text: &str) -> Option<(String, u16)> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port = match port {
        "" => DEFAULT_PORT,
        port => port.strip_prefix(':')?.parse().ok().filter(|port| *port > 0)?,
    };
    let is_host = !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    is_host.then(|| (host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TLS: &str = "certificate = \"/c\"\nprivate-key = \"/k\"\nserver-certificate = \"/s\"";

    fn place(text: &str) -> Result<String, String> {
        let cms: Result<Cms, _> = toml::from_str(text);
        cms.map(|cms| cms.to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn cms_url_defaults_to_the_local_unix_socket() {
        for (text, expected) in [
            ("kind = \"incus\"".to_owned(), "Incus at unix:/var/lib/incus/unix.socket"),
            ("kind = \"lxd\"".to_owned(), "LXD at unix:/var/lib/lxd/unix.socket"),
            ("kind = \"lxd\"\nurl = \"unix:/snap/x\"".to_owned(), "LXD at unix:/snap/x"),
            (format!("kind = \"incus\"\nurl = \"https://h\"\n{TLS}"), "Incus at https://h:8443"),
            (format!("kind = \"incus\"\nurl = \"https://h:1/\"\n{TLS}"), "Incus at https://h:1"),
            (format!("kind = \"incus\"\nurl = \"https://[::1]:9\"\n{TLS}"), "Incus at https://[::1]:9"),
        ] {
            assert_eq!(place(&text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn invalid_source_is_refused_with_the_reason() {
        for (text, part) in [
            (String::new(), "missing field `kind`"),
            ("kind = \"nova\"".to_owned(), "unknown variant `nova`"),
            ("kind = \"incus\"\nurl = \"http://h\"".to_owned(), "neither unix:PATH nor https://HOST:PORT"),
            ("kind = \"incus\"\nurl = \"unix:socket\"".to_owned(), "absolute path"),
            ("kind = \"incus\"\nurl = \"https://h\"".to_owned(), "server-certificate"),
            (format!("kind = \"incus\"\n{TLS}"), "needs no certificates"),
            ("kind = \"incus\"\nprojects = []".to_owned(), "selects nothing"),
            ("kind = \"incus\"\nproject = \"a\"".to_owned(), "unknown field `project`"),
        ] {
            let error = place(&text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        for url in [
            "https://",
            "https://h:0",
            "https://h:x",
            "https://h:1:2",
            "https://[::1",
            "https://a/b",
            "https://u@h",
        ] {
            let error = place(&format!("kind = \"incus\"\nurl = \"{url}\"\n{TLS}")).unwrap_err();
            assert!(error.contains("is not https://HOST:PORT"), "{url}: {error}");
        }
    }

    #[test]
    fn projects_are_selected_by_name_patterns() {
        let cms: Cms = toml::from_str("kind = \"incus\"\nprojects = [\"default\", \"shop-*\"]").unwrap();
        assert!(
            cms.includes_project("default")
                && cms.includes_project("shop-1")
                && !cms.includes_project("other")
        );
        let cms: Cms = toml::from_str("kind = \"incus\"").unwrap();
        assert!(cms.includes_project("other") && !cms.native);
    }
}
