//! Connecting to a server: names with several addresses, and slow handshakes.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use super::*;
use crate::tls::{PemSource, TlsConfig};

/// A port with a listener at some of the addresses of the name `localhost`, and none at the others.
async fn listeners() -> (u16, Vec<SocketAddr>) {
    let first = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let endpoint: Endpoint = format!("tcp:localhost:{}", first.port()).parse().unwrap();
    let all = endpoint.resolve().await.unwrap();
    (first.port(), all.iter().filter_map(|destination| destination.address()).collect())
}

/// Rule: each address of a name is tried before a pause.
#[tokio::test(start_paused = true)]
async fn every_address_of_a_name_is_tried_before_a_pause() {
    let (port, all) = listeners().await;
    let remotes = format!("tcp:localhost:{port},unix:/nowhere").parse().unwrap();
    let mut consumer = Consumer::with(SessionConfig::new(remotes, "D"));
    for _ in 0..2 {
        let mut tried = Vec::new();
        loop {
            let SessionEvent::Disconnected { remote, retry, .. } = consumer.next().await else {
                panic!("nobody listens")
            };
            assert_eq!(matches!(remote, Endpoint::Unix(_)), consumer.session.address().is_none());
            tried.extend(consumer.session.address());
            if !retry.is_zero() {
                break;
            }
        }
        assert_eq!(tried, all);
    }
}

#[tokio::test(start_paused = true)]
async fn unresolvable_name_counts_as_one_failed_attempt() {
    let remotes = "tcp:no..such..name:6641,unix:/nowhere".parse().unwrap();
    let mut consumer = Consumer::with(SessionConfig::new(remotes, "D"));
    for _ in 0..2 {
        for last in [false, true] {
            let SessionEvent::Disconnected { remote, retry, .. } = consumer.next().await else {
                panic!("nobody listens")
            };
            assert_eq!(matches!(remote, Endpoint::Unix(_)), last);
            assert_eq!(!retry.is_zero(), last);
        }
    }
}

/// A busy server has the same time for a TLS handshake as for its first answer.
#[cfg(feature = "tls")]
#[tokio::test(start_paused = true)]
async fn timeout_of_the_tls_handshake_grows_with_every_attempt() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let Endpoint::Tcp(host, port) = listener.local_addr().unwrap().into() else { panic!("it is one") };
    let mut config = SessionConfig::new(Endpoint::Ssl(host, port).into(), "D");
    let ca = include_str!("../../tls/certificate/ca.pem");
    config.tls = TlsConfig { ca_cert: Some(PemSource::from(ca.as_bytes().to_vec())), ..TlsConfig::default() };
    let mut consumer = Consumer::with(config);
    let script = async {
        let mut waits = Vec::new();
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let start = Instant::now();
            let mut hello = Vec::new();
            stream.read_to_end(&mut hello).await.unwrap();
            assert!(!hello.is_empty());
            waits.push(start.elapsed().as_secs());
        }
        waits
    };
    let client = async {
        for _ in 0..5 {
            let SessionEvent::Disconnected { error, .. } = consumer.next().await else {
                panic!("nobody answers")
            };
            assert!(error.to_string().starts_with("the server was silent for "), "{error}");
        }
    };
    let (waits, ()) = join!(script, client);
    assert_eq!(waits, [5, 10, 20, 40, 60]);
}
