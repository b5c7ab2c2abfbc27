//! Hours on a clock that jumps, in which nothing or nothing useful happens.

use super::*;

const HOUR: Duration = Duration::from_secs(3600);

/// Regression: libovsdb#391 and ovn-kubernetes#5437, whose probe blocks on the connection that it probes.
#[tokio::test(start_paused = true)]
async fn idle_connection_lasts_for_hours() {
    let server = Server::tcp().await;
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
        let start = Instant::now();
        let mut echoes = 0;
        while start.elapsed() < 12 * HOUR {
            let echo = peer.expect("echo").await;
            peer.reply(&echo, &json!([])).await;
            echoes += 1;
        }
        peer.send(&update(8, &change(2, &json!({"insert": {}})))).await;
        (peer, echoes)
    };
    let mut consumer = Consumer::new(&server);
    let client = consumer.at_leisure(3);
    let ((_peer, echoes), events) = join!(script, client);
    assert_eq!(events, ["connected", "synced whole", "updated"]);
    assert_eq!(echoes, 12 * 3600 / 5, "one for every five seconds");
    assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
}

/// The pauses neither end nor grow without bound, and the server is found within one of them. Regression: libovsdb,
/// whose users all choose no pause, and which panicked after enough of them (libovsdb#497).
#[tokio::test(start_paused = true)]
async fn server_that_is_away_for_hours_is_found_on_its_return() {
    let server = Server::unix();
    let Endpoint::Unix(path) = server.endpoint() else { panic!("it is one") };
    let away = path.with_extension("away");
    std::fs::rename(&path, &away).unwrap();
    let mut consumer = Consumer::new(&server);
    let start = Instant::now();
    let mut attempts = 0;
    while start.elapsed() < 12 * HOUR {
        let SessionEvent::Disconnected { retry, .. } = consumer.next().await else {
            panic!("it is not there")
        };
        assert!(retry <= Duration::from_secs(8), "{retry:?}");
        attempts += 1;
    }
    // From four to eight seconds each, except the first ones.
    assert!((12 * 3600 / 8..12 * 3600 / 4 + 30).contains(&attempts), "{attempts}");

    std::fs::rename(&away, &path).unwrap();
    let back = Instant::now();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
        peer
    };
    let (_peer, _) = join!(script, consumer.until("synced"));
    assert!(back.elapsed() <= Duration::from_secs(8), "{:?}", back.elapsed());
}

/// Regression: kube-ovn#7467 and kube-ovn#7468, whose first snapshot has no deadline; kube-ovn#4465,
/// ovn-kubernetes#2790 and ovn-kubernetes#4505, whose deadline is that of a connection, so that a snapshot that takes
/// longer never arrives.
#[tokio::test(start_paused = true)]
async fn deadline_of_a_snapshot_is_extended_only_by_progress() {
    let server = Server::tcp().await;
    let script = async {
        // Hours of progress, ...
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let text = reply(&request, &snapshot(7, &[(1, 1)]));
        let (most, rest) = text.split_at(text.len() - 1);
        let start = Instant::now();
        for byte in most.chars() {
            tokio::time::sleep(Duration::from_secs(100)).await;
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        let progress = start.elapsed();
        // ... and then none, one byte before the end.
        assert!(!rest.is_empty());
        let start = Instant::now();
        peer.closed().await;
        let end = start.elapsed();
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &snapshot(8, &[(2, 2)])).await;
        (peer, progress, end)
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        loop {
            let event = consumer.session.next(&mut consumer.cache).await;
            consumer.replay();
            if let SessionEvent::Synced { .. } = event {
                return;
            }
        }
    };
    let ((_peer, progress, end), ()) = join!(script, client);
    assert!(progress > 3 * HOUR, "{progress:?}");
    assert_eq!(end.as_secs(), 2 * SNAPSHOT_PROBE.as_secs());
    assert_eq!(consumer.content(), [(2, 2)].into());
}

/// A lock that others have for hours is waited for, and the connection kept; a transaction that is not answered for
/// hours stays pending as long as the server is alive: it may contain a wait.
#[tokio::test(start_paused = true)]
async fn lock_and_transaction_stay_pending_for_hours() {
    let server = Server::tcp().await;
    let script = async {
        let mut peer = server.accept().await;
        handshake_with_lock(&mut peer, false).await;
        let transact = peer.expect("transact").await;
        let start = Instant::now();
        while start.elapsed() < 6 * HOUR {
            let echo = peer.expect("echo").await;
            peer.reply(&echo, &json!([])).await;
        }
        peer.notify("locked", &json!(["leader"])).await;
        peer.reply(&transact, &json!([])).await;
        peer
    };
    let mut consumer = Consumer::locking(&server);
    let client = async {
        let mut events = Vec::new();
        while !events.iter().any(|event: &String| event.starts_with("completed")) {
            let event = consumer.session.next(&mut consumer.cache).await;
            if let SessionEvent::Synced { .. } = event {
                consumer.session.transact(&Transaction::new("D")).unwrap();
            }
            events.push(abridged(&event));
        }
        events
    };
    let (_peer, events) = join!(script, client);
    let expected =
        ["connected", "lock Waiting", "synced whole", "lock Held(1)", "completed 1 Committed(Results([]))"];
    assert_eq!(events, expected);
}

/// Regression: libovsdb#395: a Unix socket reports the end of its peer, and the only server need not be probed.
#[tokio::test(start_paused = true)]
async fn only_server_is_not_probed_over_a_unix_socket() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
        let said = timeout(12 * HOUR, peer.unheard()).await;
        assert!(said.is_err(), "{said:?}");
        peer.send(&update(8, &change(2, &json!({"insert": {}})))).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        while !matches!(consumer.session.next(&mut consumer.cache).await, SessionEvent::Updated) {}
        consumer.replay();
    };
    let (_peer, ()) = join!(script, client);
    assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
}
