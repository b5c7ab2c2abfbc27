//! A CMS over the network: TLS, with which both sides authenticate.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Authority, Certified, Cli, Pki, eventually};
use ovsdb_protocol::rustls::crypto::aws_lc_rs::default_provider;
use ovsdb_protocol::rustls::pki_types::pem::PemObject;
use ovsdb_protocol::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ovsdb_protocol::rustls::server::WebPkiClientVerifier;
use ovsdb_protocol::rustls::{RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::{ONE, Stage};
use crate::fixture::SOON;

/// A TLS proxy before the socket of a CMS, which only accepts clients whose certificate this CA has signed.
fn listen(server: &Certified, clients: &Path, socket: PathBuf) -> Result<SocketAddr> {
    let provider = Arc::new(default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(clients)?)?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&server.certificate)?],
            PrivateKeyDer::from_pem_file(&server.private_key)?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        runtime.block_on(async move {
            let Ok(listener) = TcpListener::from_std(listener) else { return };
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, socket) = (acceptor.clone(), socket.clone());
                tokio::spawn(async move {
                    // Clients that are refused, or disconnect, are ignored.
                    let mut stream = acceptor.accept(stream).await?;
                    let mut behind = UnixStream::connect(socket).await?;
                    copy_bidirectional(&mut stream, &mut behind).await
                });
            }
        });
    });
    Ok(address)
}

fn config(address: SocketAddr, client: &Certified, server: &Path) -> String {
    let (certificate, key) = (client.certificate.display(), client.private_key.display());
    format!(
        "drain = 0\nhold-down = 0\n[[cms]]\nkind = \"incus\"\nurl = \"https://{address}\"\ncertificate = \"{certificate}\"\n\
         private-key = \"{key}\"\nserver-certificate = \"{}\"\n",
        server.display()
    )
}

#[test]
fn cms_and_agent_authenticate_by_certificates() -> Result<()> {
    let stage = Stage::new()?;
    stage.api.put(stage.asking(ONE)?);
    stage.leaves_as(ONE)?;
    let pki = Pki::new()?;
    let (server, other) =
        (pki.issue("incus", Authority::Controller)?, pki.issue("other", Authority::Controller)?);
    let (us, stranger) = (pki.issue("us", Authority::Switch)?, pki.issue("stranger", Authority::Controller)?);
    let socket = stage.fixture.agent.dir().join("none");
    let behind = stage.socket();
    let address = listen(&server, &pki.ca_cert(Authority::Switch), behind)?;
    let cli = Cli::new(stage.fixture.server.remote())?;
    let told = |text: &str| -> Result<String> {
        cli.write_config(text)?;
        Ok(cli.run(&["list"])?.stderr)
    };
    let right = config(address, &us, &server.certificate);
    ensure!(told(&right)?.is_empty(), "{}", told(&right)?);
    for (text, part) in [
        (config(address, &us, &other.certificate), "the server shows another certificate than"),
        (config(address, &stranger, &server.certificate), "cannot read Incus at https://127.0.0.1:"),
        (config(address, &us, &socket), "cannot read the certificate"),
        (
            config(address, &Certified { private_key: other.private_key, ..us.clone() }, &server.certificate),
            "cannot be used",
        ),
        (config("127.0.0.1:1".parse()?, &us, &server.certificate), "refused"),
    ] {
        let stderr = told(&text)?;
        ensure!(stderr.contains(part), "{part}: {stderr}");
        // It does not withdraw anything either.
        ensure!(cli.run(&["plan", "--exit-code"])?.code() == Some(0));
    }
    // The agent moves there, and follows.
    stage.fixture.agent.write_config(&right)?;
    eventually(SOON, "it is read there", || {
        Ok(stage.source_line()?.contains("https://") && stage.source_line()?.contains("instances: 1,"))
    })?;
    ensure!(stage.leaves_now_as(ONE)?);
    stage.api.put(stage.asking(super::TWO)?);
    stage.leaves_as(super::TWO).context("by events over TLS")
}
