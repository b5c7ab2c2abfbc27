//! TLS with certificates of `ovs-pki`, against an ovsdb-server that uses OpenSSL.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use ovn_extaddr_tests::{Agent, Authority, Certified, Cluster, Output, PROMPT, Pki, TlsServer, eventually};
use ovsdb_protocol::rustls::crypto::aws_lc_rs;
use ovsdb_protocol::rustls::pki_types::pem::PemObject;
use ovsdb_protocol::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use ovsdb_protocol::rustls::{ClientConfig, RootCertStore};
use ovsdb_protocol::{Backoff, Cache, Client, PemSource, Session, SessionConfig, SessionEvent, TlsConfig};
use serde_json::json;
use tokio::time::timeout;

use crate::load::{Load, commits, wait_for_commit};
use crate::protocol::{Follower, SOON};

const NB: &str = "OVN_Northbound";

/// The configuration of one of our clients.
fn tls(pki: &Pki, own: &Certified) -> TlsConfig {
    TlsConfig {
        private_key: Some(own.private_key.clone().into()),
        certificate: Some(own.certificate.clone().into()),
        ca_cert: Some(pki.ca_cert(Authority::Controller).into()),
        ..TlsConfig::default()
    }
}

/// Connects and sends a request. Returns the error, if any.
async fn attempt(remote: &str, tls: &TlsConfig) -> Result<Option<String>> {
    let mut config = SessionConfig::new(remote.parse()?, NB);
    config.tls = tls.clone();
    let (client, driver) = Client::connect(config);
    tokio::spawn(driver);
    let asked = timeout(SOON, client.fail_fast().list_dbs()).await.context("nothing happens")?;
    Ok(asked.err().map(|error| error.failures().iter().map(|(_, why)| format!("{why:#}")).collect()))
}

async fn accepted(remote: &str, tls: &TlsConfig) -> Result<()> {
    match attempt(remote, tls).await? {
        None => Ok(()),
        Some(error) => bail!("{remote} with {tls:?}: {error}"),
    }
}

async fn refused(remote: &str, tls: &TlsConfig, why: &str) -> Result<()> {
    match attempt(remote, tls).await? {
        Some(error) if error.contains(why) => Ok(()),
        Some(error) => bail!("\"{error}\" is not \"{why}\""),
        None => bail!("it was accepted, despite \"{why}\""),
    }
}

/// Both CAs, a client, and a correctly configured server.
struct World {
    pki: Pki,
    own: Certified,
    server: TlsServer,
}

impl World {
    fn new() -> Result<Self> {
        let pki = Pki::new()?;
        let own = pki.issue("agent", Authority::Switch)?;
        let server = pki.issue("server", Authority::Controller)?;
        let ca = pki.ca_cert(Authority::Controller);
        let server = TlsServer::start(&server, &pki.ca_cert(Authority::Switch), Some(&ca))?;
        Ok(Self { pki, own, server })
    }

    /// A server with this certificate.
    fn server_with(&self, certified: &Certified) -> Result<TlsServer> {
        TlsServer::start(certified, &self.pki.ca_cert(Authority::Switch), None)
    }
}

fn follower(remote: &str, tls: TlsConfig) -> Result<Follower> {
    let mut config = SessionConfig::new(remote.parse()?, NB);
    config.tls = tls;
    Ok(Follower::with(Session::new(config), Cache::everything()))
}

/// Rule: peers hang up without TLS's `close_notify`.
#[tokio::test]
async fn sessions_run_over_tls() -> Result<()> {
    let mut world = World::new()?;
    let mut session = follower(&world.server.remote(), tls(&world.pki, &world.own))?;
    session.synced().await?;
    session.reach(&world.server.server().snapshot()?).await?;
    // Open vSwitch hangs up without `close_notify`.
    world.server.reconnect()?;
    loop {
        if let SessionEvent::Disconnected { error, .. } = session.next().await? {
            assert_eq!(error.to_string(), "the server closed the connection");
            break;
        }
    }
    session.synced().await?;
    Ok(())
}

/// Regression: cluster-network-operator#580 and cluster-network-operator#640: OVN's certificates name no hosts.
#[tokio::test]
async fn host_name_is_verified_only_on_request() -> Result<()> {
    let world = World::new()?;
    let remote = world.server.remote();
    let strict = TlsConfig { verify_host_name: true, ..tls(&world.pki, &world.own) };
    accepted(&remote.replace("127.0.0.1", "localhost"), &tls(&world.pki, &world.own)).await?;
    refused(&remote, &strict, "does not name the host that was asked for").await?;
    let named = world.server_with(&world.pki.issue_for_host("localhost", Authority::Controller)?)?;
    accepted(&named.remote().replace("127.0.0.1", "localhost"), &strict).await?;
    refused(&named.remote(), &strict, "does not name the host that was asked for").await
}

/// SNI: names are sent to the server, which may serve several, and addresses are not (RFC 6066 §3).
#[tokio::test]
async fn sni_is_sent_for_host_names_only() -> Result<()> {
    let world = World::new()?;
    for (host, told) in [("localhost", true), ("127.0.0.1", false)] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let remote = format!("ssl:{host}:{}", listener.local_addr()?.port());
        let hello = std::thread::spawn(move || -> Result<Vec<u8>> {
            let mut hello = vec![0; 4096];
            let length = listener.accept()?.0.read(&mut hello)?;
            hello.truncate(length);
            Ok(hello)
        });
        ensure!(attempt(&remote, &tls(&world.pki, &world.own)).await?.is_some(), "nobody answered");
        let hello = hello.join().expect("it reads")?;
        let named = hello.windows(host.len()).any(|part| part == host.as_bytes());
        assert_eq!(named, told, "{host}");
    }
    Ok(())
}

/// Regression: CVE-2026-40243, a client that used the certificates sent by the server as its roots.
#[tokio::test]
async fn server_certificate_of_another_ca_is_refused() -> Result<()> {
    let mut world = World::new()?;
    let usual = tls(&world.pki, &world.own);
    accepted(&world.server.remote(), &usual).await?;

    // The CA of the clients in place of the servers', on either side.
    let swapped = TlsConfig { ca_cert: Some(world.pki.ca_cert(Authority::Switch).into()), ..usual.clone() };
    let why = "switchca/cacert.pem but by \"OVS controllerca CA Certificate";
    refused(&world.server.remote(), &swapped, why).await?;
    let server = world.server_with(&world.pki.issue("a-client", Authority::Switch)?)?;
    let why = "controllerca/cacert.pem but by \"OVS switchca CA Certificate";
    refused(&server.remote(), &usual, why).await?;

    // CAs of the same names that were made elsewhere; the server sends its own along.
    let other = Pki::new()?;
    let ca = other.ca_cert(Authority::Controller);
    let certified = other.issue("server", Authority::Controller)?;
    let server = TlsServer::start(&certified, &world.pki.ca_cert(Authority::Switch), Some(&ca))?;
    refused(&server.remote(), &usual, "is not signed by the CA in ").await?;

    let server = world.server_with(&world.pki.self_signed("hermit")?)?;
    refused(&server.remote(), &usual, "is self-signed and not signed by the CA in ").await?;

    let plain = world.server.server().tcp_remote().replace("tcp:", "ssl:");
    refused(&plain, &usual, "it does not speak TLS at this port").await
}

/// Regression: webpki#205: a certificate may be its own CA, as `ovs-pki self-sign` makes it, and is then trusted only
/// for itself. A CA's certificate is not valid for a server, which is reported.
#[tokio::test]
async fn self_signed_certificate_may_be_its_own_ca() -> Result<()> {
    let world = World::new()?;
    let alone = world.pki.self_signed("alone")?;
    let server = world.server_with(&alone)?;
    let trusting =
        TlsConfig { ca_cert: Some(alone.certificate.clone().into()), ..tls(&world.pki, &world.own) };
    accepted(&server.remote(), &trusting).await?;
    let why = "alone-cert.pem but by \"OVS controllerca CA Certificate";
    refused(&world.server.remote(), &trusting, why).await?;
    let other = world.server_with(&world.pki.self_signed("another")?)?;
    refused(&other.remote(), &trusting, "is self-signed and not signed by the CA in ").await?;

    let ca = world.pki.ca_cert(Authority::Controller);
    let private_key = ca.with_file_name("private").join("cakey.pem");
    let server = world.server_with(&Certified { private_key, certificate: ca })?;
    refused(&server.remote(), &tls(&world.pki, &world.own), "is that of a CA, not of a server").await
}

#[tokio::test]
async fn certificate_outside_its_validity_is_refused() -> Result<()> {
    let world = World::new()?;
    let usual = tls(&world.pki, &world.own);
    let issue = |name: &str, authority, from: &str, until: &str| {
        world.pki.issue_between(name, authority, from, until)
    };
    let expired = issue("expired", Authority::Controller, "20200101000000Z", "20210101000000Z")?;
    let server = world.server_with(&expired)?;
    refused(&server.remote(), &usual, "has expired ").await?;
    let future = issue("future", Authority::Controller, "20400101000000Z", "20410101000000Z")?;
    let server = world.server_with(&future)?;
    refused(&server.remote(), &usual, "is not valid yet, but in ").await?;

    let expired = issue("our-expired", Authority::Switch, "20200101000000Z", "20210101000000Z")?;
    let why = "our-expired-cert.pem: it has expired, by the server's clock";
    refused(&world.server.remote(), &tls(&world.pki, &expired), why).await?;
    let future = issue("our-future", Authority::Switch, "20400101000000Z", "20410101000000Z")?;
    let why = "the server refused the client certificate ";
    refused(&world.server.remote(), &tls(&world.pki, &future), why).await
}

/// Rule: with TLS 1.3 the server refuses the client's certificate after the client has connected.
#[tokio::test]
async fn refused_client_certificate_is_reported_with_the_reason() -> Result<()> {
    let world = World::new()?;
    let remote = world.server.remote();
    let usual = tls(&world.pki, &world.own);
    let nobody = TlsConfig { private_key: None, certificate: None, ..usual.clone() };
    refused(&remote, &nobody, "the server requires a client certificate, and none is configured").await?;
    let stranger = world.pki.issue("stranger", Authority::Controller)?;
    let why = "stranger-cert.pem: it is not signed by the CA that the server trusts";
    refused(&remote, &tls(&world.pki, &stranger), why).await?;

    let half = TlsConfig { private_key: None, ..usual.clone() };
    refused(&remote, &half, "a certificate without its private key cannot be used").await?;
    let mixed = TlsConfig { private_key: Some(stranger.private_key.clone().into()), ..usual.clone() };
    refused(&remote, &mixed, "agent-cert.pem cannot be used: it does not belong to the private key").await?;
    let missing = TlsConfig { certificate: Some(PathBuf::from("/nowhere/cert.pem").into()), ..usual.clone() };
    refused(&remote, &missing, "cannot read the certificate /nowhere/cert.pem").await?;
    let garbage = world.pki.dir().join("garbage.pem");
    fs::write(&garbage, "nothing")?;
    let unreadable = TlsConfig { private_key: Some(garbage.clone().into()), ..usual.clone() };
    refused(&remote, &unreadable, "there is no private key in ").await?;
    let unreadable = TlsConfig { ca_cert: Some(garbage.into()), ..usual.clone() };
    refused(&remote, &unreadable, "there is no certificate in ").await?;
    let trusting = TlsConfig { ca_cert: None, ..usual };
    refused(&remote, &trusting, "ssl: endpoints need the certificate of a CA").await
}

/// Regression: rustls#2339 and rustls#2364: old certificates are refused without a reason.
#[tokio::test]
async fn x509_version_1_certificate_is_refused_with_the_cure() -> Result<()> {
    let world = World::new()?;
    let cure =
        "is of X.509 version 1, which is refused for its lack of extensions: create it again with ovs-pki";
    let old = world.pki.issue_v1("old", Authority::Controller)?;
    let server = world.server_with(&old)?;
    refused(&server.remote(), &tls(&world.pki, &world.own), cure).await?;
    let ours = world.pki.issue_v1("ours", Authority::Switch)?;
    refused(&world.server.remote(), &tls(&world.pki, &ours), cure).await
}

/// Regression: kanidm#4002, rustls#2827 and rustls#2536: what OpenSSL signs by default, SHA-512 with any curve, is
/// refused. Each kind of key is the CA's, the server's and the client's.
#[tokio::test]
async fn field_case_11_keys_of_all_common_curves_are_accepted_with_sha_512() -> Result<()> {
    let pki = Pki::new()?;
    let kinds = ["P-256", "P-384", "P-521", "ed25519", "rsa"];
    for ca in kinds {
        let own_ca = pki.openssl_ca(&format!("ca-{ca}"), ca)?;
        for kind in kinds {
            let issue = |side: &str| pki.issue_by(&own_ca, &format!("{side}-{kind}-of-{ca}"), kind);
            let (own, server) = (issue("agent")?, issue("server")?);
            let server = TlsServer::start(&server, &own_ca.certificate, None)?;
            let config = TlsConfig { ca_cert: Some(own_ca.certificate.clone().into()), ..tls(&pki, &own) };
            accepted(&server.remote(), &config).await.with_context(|| format!("{kind} of {ca}"))?;
        }
    }
    // OpenSSL still accepts more, and what cannot be verified is reported in plain words.
    let unusual = pki.openssl_ca("ca-unusual", "secp256k1")?;
    let server = pki.issue_by(&unusual, "server-of-unusual", "rsa")?;
    let own = pki.issue("agent", Authority::Switch)?;
    let server = TlsServer::start(&server, &pki.ca_cert(Authority::Switch), None)?;
    let config = TlsConfig { ca_cert: Some(unusual.certificate.into()), ..tls(&pki, &own) };
    let why = "cannot be verified: create it again, with a key of RSA (2048 to 8192 bits), ECDSA (P-256, P-384, P-521)";
    refused(&server.remote(), &config, why).await
}

/// A server whose loop takes seconds answers a handshake late: a client that always gives up after the same time keeps
/// it busy.
#[tokio::test]
async fn field_case_15_timeout_of_a_slow_handshake_doubles_at_the_next_attempt() -> Result<()> {
    let (pki, first) = (Pki::new()?, Duration::from_millis(50));
    let own = pki.issue("agent", Authority::Switch)?;
    // The kernel accepts at once, and no program answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let mut config = SessionConfig::new(format!("ssl:{}", silent.local_addr()?).parse()?, NB);
    config.tls = tls(&pki, &own);
    config.connect_timeout = first;
    config.backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
    let mut session = Session::new(config);
    for doublings in 0..5 {
        let event = timeout(SOON, session.next(&mut Cache::everything())).await.context("nothing happens")?;
        let SessionEvent::Disconnected { error, .. } = event else { bail!("{event:?}") };
        // A connection ends when its client gives up.
        let (mut given_up, _) = silent.accept()?;
        let mut hello = Vec::new();
        given_up.read_to_end(&mut hello)?;
        let waited = first * (1 << doublings);
        ensure!(error.to_string().contains(&format!("{waited:.0?}")), "not after {waited:?}: {error}");
    }
    Ok(())
}

/// A program may have its keys elsewhere than in files, and its own rules.
#[tokio::test]
async fn keys_are_accepted_as_text_and_tls_settings_as_a_whole() -> Result<()> {
    let world = World::new()?;
    let usual = tls(&world.pki, &world.own);
    let text = |source: &Option<PemSource>| -> Result<Option<PemSource>> {
        let file = source.as_ref().and_then(PemSource::file).context("it is a file")?;
        Ok(Some(fs::read(file)?.into()))
    };
    let texts = TlsConfig {
        private_key: text(&usual.private_key)?,
        certificate: text(&usual.certificate)?,
        ca_cert: text(&usual.ca_cert)?,
        ..TlsConfig::default()
    };
    accepted(&world.server.remote(), &texts).await?;
    ensure!(!format!("{texts:?}").contains("PRIVATE"), "{texts:?}");
    let foreign =
        TlsConfig { ca_cert: Some(fs::read(world.pki.ca_cert(Authority::Switch))?.into()), ..texts };
    refused(
        &world.server.remote(),
        &foreign,
        "is not signed by the CA in the PEM text that the program gave",
    )
    .await?;

    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(world.pki.ca_cert(Authority::Controller))? {
        roots.add(certificate?)?;
    }
    let chain = CertificateDer::pem_file_iter(&world.own.certificate)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&world.own.private_key)?;
    let ready = Arc::new(
        ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?,
    );
    // Such a configuration checks the name of the server.
    let named = world.server_with(&world.pki.issue_for_host("localhost", Authority::Controller)?)?;
    let remote = named.remote().replace("127.0.0.1", "localhost");
    accepted(&remote, &Arc::clone(&ready).into()).await?;
    refused(&named.remote(), &ready.into(), "does not name the host that was asked for").await
}

#[tokio::test]
async fn ca_certificate_is_bootstrapped_once() -> Result<()> {
    let world = World::new()?;
    let file = world.pki.dir().join("bootstrapped.pem");
    let bootstrap =
        TlsConfig { ca_cert: Some(file.clone().into()), bootstrap: true, ..tls(&world.pki, &world.own) };
    let later = TlsConfig { bootstrap: false, ..bootstrap.clone() };
    refused(&world.server.remote(), &later, "cannot read the certificate ").await?;

    let silent = world.server_with(&world.pki.issue("silent", Authority::Controller)?)?;
    refused(&silent.remote(), &bootstrap, "ovsdb-server does with --peer-ca-cert").await?;
    assert!(!file.exists());

    accepted(&world.server.remote(), &bootstrap).await?;
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o444);
    // From now on it is verified, with and without the option.
    accepted(&silent.remote(), &later).await?;
    let other = Pki::new()?;
    let ca = other.ca_cert(Authority::Controller);
    let certified = other.issue("server", Authority::Controller)?;
    let server = TlsServer::start(&certified, &world.pki.ca_cert(Authority::Switch), Some(&ca))?;
    refused(&server.remote(), &bootstrap, "is not signed by the CA in ").await
}

/// The contents of the files at the time of a connection count, and only for that connection.
#[tokio::test]
async fn changed_tls_files_are_used_by_the_next_connection() -> Result<()> {
    let world = World::new()?;
    let stranger = world.pki.issue("stranger", Authority::Controller)?;
    let (key, certificate) = (world.pki.dir().join("live-key.pem"), world.pki.dir().join("live-cert.pem"));
    let ca_cert = world.pki.dir().join("live-ca.pem");
    let set = |who: &Certified, ca: Authority| -> Result<()> {
        fs::copy(&who.private_key, &key)?;
        fs::copy(&who.certificate, &certificate)?;
        fs::copy(world.pki.ca_cert(ca), &ca_cert)?;
        Ok(())
    };
    set(&world.own, Authority::Controller)?;
    let config = TlsConfig {
        private_key: Some(key.clone().into()),
        certificate: Some(certificate.clone().into()),
        ca_cert: Some(ca_cert.clone().into()),
        ..TlsConfig::default()
    };
    let mut session = follower(&world.server.remote(), config)?;
    session.synced().await?;
    for (who, ca, why) in [
        (&stranger, Authority::Controller, "it is not signed by the CA that the server trusts"),
        (&world.own, Authority::Switch, "is not signed by the CA in "),
    ] {
        set(who, ca)?;
        world.server.reconnect()?;
        loop {
            match session.next().await? {
                SessionEvent::Disconnected { error, .. } if error.to_string().contains(why) => break,
                SessionEvent::Synced { .. } => bail!("it was accepted, despite \"{why}\""),
                _ => {}
            }
        }
        set(&world.own, Authority::Controller)?;
        session.synced().await?;
    }
    Ok(())
}

/// Regression: ovs-issues#144, whose client does not reread its files while it waits for its first snapshot; and
/// cluster-network-operator#1144, whose clients outlive their certificates and never read the new ones.
#[tokio::test]
async fn client_refused_before_connects_with_new_tls_files() -> Result<()> {
    let world = World::new()?;
    let (key, certificate) = (world.pki.dir().join("mine-key.pem"), world.pki.dir().join("mine-cert.pem"));
    let set = |who: &Certified| -> Result<()> {
        fs::copy(&who.private_key, &key)?;
        fs::copy(&who.certificate, &certificate)?;
        Ok(())
    };
    set(&world.pki.issue_between("late", Authority::Switch, "20200101000000Z", "20210101000000Z")?)?;
    let config = TlsConfig {
        private_key: Some(key.clone().into()),
        certificate: Some(certificate.clone().into()),
        ..tls(&world.pki, &world.own)
    };
    let mut session = follower(&world.server.remote(), config)?;
    for _ in 0..3 {
        loop {
            if let SessionEvent::Disconnected { error, .. } = session.next().await? {
                assert!(error.to_string().contains("it has expired, by the server's clock"), "{error}");
                break;
            }
        }
    }
    set(&world.own)?;
    session.synced().await
}

/// The expiry of a certificate does not end a connection, but prevents the next one.
#[tokio::test]
async fn expired_certificate_is_refused_at_the_next_connection_only() -> Result<()> {
    let world = World::new()?;
    let stamp = |seconds: u64| -> Result<String> {
        let mut date = Command::new("date");
        date.args(["--utc", "+%Y%m%d%H%M%SZ", "--date", &format!("@{seconds}")]);
        Ok(Output::capture(date)?.success()?.trim().to_owned())
    };
    // A key, a server and a connection have to be made before it expires.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let brief =
        world.pki.issue_between("brief", Authority::Controller, &stamp(now - 60)?, &stamp(now + 12)?)?;
    let mut server = world.server_with(&brief)?;
    let mut session = follower(&server.remote(), tls(&world.pki, &world.own))?;
    session.synced().await?;
    let start = Instant::now();
    loop {
        match attempt(&server.remote(), &tls(&world.pki, &world.own)).await? {
            Some(error) if error.contains("has expired ") => break,
            Some(error) => bail!("{error}"),
            None if start.elapsed() > 2 * SOON => bail!("it never ends"),
            // The server sends probes meanwhile.
            None => drop(timeout(Duration::from_millis(100), session.next()).await),
        }
    }
    assert!(session.session.is_synced());
    let insert = json!({"op": "insert", "table": "Address_Set", "row": {"name": "still there"}});
    let mut transact = Command::new("ovsdb-client");
    transact.args(["transact", &server.server().remote()]).arg(json!([NB, insert]).to_string());
    Output::capture(transact)?.success()?;
    session.reach(&server.server().snapshot()?).await?;
    server.reconnect()?;
    for _ in 0..10 {
        match session.next().await? {
            SessionEvent::Disconnected { error, .. } if error.to_string().contains("has expired ") => {
                return Ok(());
            }
            SessionEvent::Synced { .. } => bail!("it got in once more"),
            _ => {}
        }
    }
    bail!("it is kept out for some other reason")
}

/// A key that only its owner and group may read is correct; one that everybody may read is reported and used
/// nevertheless, as Open vSwitch's programs do.
#[test]
fn world_readable_private_key_is_warned_of_once() -> Result<()> {
    let world = World::new()?;
    let warning = "every user of this machine may read the private key";
    for (mode, told) in [(0o600, 0), (0o640, 0), (0o604, 1), (0o644, 1)] {
        fs::set_permissions(&world.own.private_key, fs::Permissions::from_mode(mode))?;
        let usual = tls(&world.pki, &world.own);
        let file =
            |source: &Option<PemSource>| source.as_ref().map_or_else(String::new, PemSource::to_string);
        let (key, certificate, ca) =
            (file(&usual.private_key), file(&usual.certificate), file(&usual.ca_cert));
        let mut agent = Agent::builder(world.server.remote())
            .args(&["-p", &key, "-c", &certificate, "-C", &ca])
            .start()?;
        agent.wait_for_log("synchronised with the database")?;
        world.server.reconnect()?;
        eventually(SOON, "it is back", || {
            Ok(agent.log().matches("synchronised with the database").count() > 1)
        })?;
        let log = agent.log();
        ensure!(log.matches(warning).count() == told, "mode {mode:o}: {log}");
        ensure!(told == 0 || log.contains(&key), "{log}");
    }
    Ok(())
}

/// Certificates of `ovs-pki` name no host by default.
#[test]
fn failed_host_name_verification_names_the_missing_name() -> Result<()> {
    let world = World::new()?;
    let named = world.server_with(&world.pki.issue_for_host("localhost", Authority::Controller)?)?;
    let config = format!(
        "{PROMPT}private-key = {:?}\ncertificate = {:?}\nca-cert = {:?}\nverify-host-name = true\n",
        world.own.private_key,
        world.own.certificate,
        world.pki.ca_cert(Authority::Controller)
    );
    for (remote, said) in [
        (named.remote().replace("127.0.0.1", "localhost"), "synchronised with the database"),
        (named.remote(), "does not name the host that was asked for"),
        (world.server.remote(), "does not name the host that was asked for"),
    ] {
        Agent::builder(remote).config(&config).start()?.wait_for_log(said)?;
    }
    Ok(())
}

/// The agent as on central nodes: a cluster with TLS, whose leader changes under load.
#[test]
fn loss_of_the_leader_behind_tls_loses_no_row() -> Result<()> {
    let pki = Pki::new()?;
    let (own, server) = (pki.issue("agent", Authority::Switch)?, pki.issue("server", Authority::Controller)?);
    let (mut cluster, remotes) = Cluster::northbound_with_tls(3, &server, &pki.ca_cert(Authority::Switch))?;
    let load = Load::on(&cluster)?;
    let config = format!(
        "{PROMPT}private-key = {:?}\ncertificate = {:?}\nca-cert = {:?}\n",
        own.private_key,
        own.certificate,
        pki.ca_cert(Authority::Controller)
    );
    let start = || Agent::builder(&remotes).config(&config).start();
    let mut agents = [start()?, start()?];
    load.during(|| {
        for _ in 0..4 {
            cluster.transfer_leadership()?;
            wait_for_commit(&agents, commits(&agents), "a transfer")?;
        }
        let leader = cluster.leader()?;
        cluster.member(leader).kill9()?;
        cluster.leader_but(Some(leader))?;
        wait_for_commit(&agents, commits(&agents), "a kill")
    })?;
    load.settle(&cluster, &mut agents)
}
