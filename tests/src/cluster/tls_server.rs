use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::Member;
use crate::command::{isolated, run};
use crate::dir::Dir;
use crate::ovsdb_server::installed_schema;
use crate::pki::Certified;
use crate::wait::eventually;

const READY: Duration = Duration::from_secs(20);

/// A standalone ovsdb-server with a Northbound database, which listens with TLS as well.
#[derive(Debug)]
pub struct TlsServer {
    server: Member,
    port: u16,
    _dir: Dir,
}

impl TlsServer {
    /// Starts a server that shows this certificate and requires client certificates that `ca_cert` has signed. It also
    /// sends `peer_ca_cert`, if given, for clients to bootstrap from.
    pub fn start(own: &Certified, ca_cert: &Path, peer_ca_cert: Option<&Path>) -> Result<Self> {
        let dir = Dir::new("tls")?;
        let file = dir.path().join("db");
        let mut create = isolated("ovsdb-tool", dir.path());
        create.arg("create").arg(&file).arg(installed_schema("ovn-nb.ovsschema")?);
        run(create)?;
        let mut arguments = arguments(own, ca_cert);
        arguments.extend(peer_ca_cert.map(|file| format!("--peer-ca-cert={}", file.display())));
        arguments.push(file.display().to_string());
        let server = Member::start(dir.path(), "tls", &arguments)?;
        let port = listen(&server)?;
        Ok(Self { server, port, _dir: dir })
    }

    /// The TLS port, as the OVN tools' `--db` takes it.
    pub fn remote(&self) -> String {
        format!("ssl:127.0.0.1:{}", self.port)
    }

    /// The server, which listens without TLS, too.
    pub fn server(&mut self) -> &mut Member {
        &mut self.server
    }

    /// Breaks all connections, so that clients have to connect again.
    pub fn reconnect(&self) -> Result<()> {
        self.server.appctl(&["ovsdb-server/reconnect"]).map(drop)
    }
}

/// The arguments for a server that shows this certificate and requires client certificates that `ca_cert` has signed.
pub(super) fn arguments(own: &Certified, ca_cert: &Path) -> Vec<String> {
    vec![
        format!("--private-key={}", own.private_key.display()),
        format!("--certificate={}", own.certificate.display()),
        format!("--ca-cert={}", ca_cert.display()),
    ]
}

/// Makes a server listen with TLS, and returns the port.
pub(super) fn listen(server: &Member) -> Result<u16> {
    // Its log does not distinguish this port from the other.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let listen = format!("pssl:{port}:127.0.0.1");
    // A server opens the control socket last, and the new remote some time after it.
    eventually(READY, "the server listens with TLS", || {
        server.appctl(&["ovsdb-server/add-remote", &listen])?;
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
    })?;
    Ok(port)
}
