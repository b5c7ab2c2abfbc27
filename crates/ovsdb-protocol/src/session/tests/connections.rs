//! Back-off, silence, noise, and cancellation.

use super::*;

/// Regression: henrybarreto/ovsdb, whose writer waits for its reader. ovsdb-server reads nothing from a client that has
/// not read its replies, so that both would wait forever.
#[tokio::test(start_paused = true)]
async fn session_reads_while_its_writes_are_blocked() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(7, &[])).await;
        // Its beginning: the client has started to write, and it is more than the socket holds.
        peer.unheard().await;
        let content: Vec<_> = (1..40_000).map(|number| (number, 1)).collect();
        peer.send(&update(8, &rows("insert", &content))).await;
        let transact = peer.expect("transact").await;
        peer.reply(&transact, &json!([{}])).await;
        (peer, transact)
    };
    let mut consumer = Consumer::new(&server);
    let long = "x".repeat(4 << 20);
    let client = async {
        consumer.until("synced").await;
        let mut transaction = Transaction::new("D");
        transaction.comment(long.as_str());
        consumer.session.transact(&transaction).unwrap();
        consumer.until("completed").await
    };
    let ((_peer, transact), events) = join!(script, client);
    assert_eq!(events, ["updated", "completed 1 Committed(Results([Empty]))"]);
    assert_eq!(transact["params"][1]["comment"], long.as_str());
    assert_eq!(consumer.content().len(), 39_999);
}

/// Rule: back-off restarts after a connection that lasted, not after every established one.
#[tokio::test(start_paused = true)]
async fn backoff_grows_until_a_connection_lasts() {
    let server = Server::unix();
    let waits = async |consumer: &mut Consumer, count| {
        let mut waits = Vec::new();
        while waits.len() < count {
            if let SessionEvent::Disconnected { retry, .. } = consumer.next().await {
                waits.push(retry.as_millis());
            }
        }
        waits
    };
    let script = async {
        for _ in 0..9 {
            drop(server.accept().await);
        }
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        drop(peer);
    };
    let mut consumer = Consumer::new(&server);
    let ((), waits) = join!(script, waits(&mut consumer, 10));
    for (wait, nominal) in waits.iter().zip([100, 125, 156, 195, 244, 305, 381, 476, 596, 100]) {
        assert!((nominal / 2..=nominal).contains(wait), "{wait} ms in {waits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn remotes_are_tried_in_turn_before_a_pause() {
    let server = Server::unix();
    let gone = [Server::unix().endpoint(), Server::unix().endpoint()];
    let text = format!("{},{},{}", gone[0], gone[1], server.endpoint());
    let mut consumer = Consumer::with(SessionConfig::new(text.parse().unwrap(), "D"));
    let script = async {
        drop(server.accept().await);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        drop(peer);
        server.accept().await
    };
    let client = async {
        let mut tried = Vec::new();
        let mut connections = 0;
        while connections < 3 {
            match consumer.next().await {
                SessionEvent::Disconnected { remote, retry, .. } => {
                    tried.push((remote, retry.is_zero()));
                }
                SessionEvent::Connected(_) => connections += 1,
                _ => {}
            }
        }
        tried
    };
    let (_peer, tried) = join!(script, client);
    let round = |zero| [(gone[0].clone(), true), (gone[1].clone(), true), (server.endpoint(), zero)];
    // A pause follows the last of a round, but not a connection that was used for a while, since there are other remotes.
    assert_eq!(tried[..6], [round(false), round(true)].concat());
    assert_eq!(tried[6..], [(gone[0].clone(), true), (gone[1].clone(), false)]);
}

#[tokio::test(start_paused = true)]
async fn silent_server_is_disconnected_after_the_probe() {
    let server = Server::tcp().await;
    let script = async {
        // Before the snapshot the server may take long.
        let mut peer = server.accept().await;
        let start = Instant::now();
        handshake(&mut peer).await;
        peer.expect("echo").await;
        peer.closed().await;
        let early = start.elapsed();

        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        let start = Instant::now();
        let echo = peer.expect("echo").await;
        peer.reply(&echo, &json!([])).await;
        let echo = peer.expect("echo").await;
        assert_eq!((&echo["id"], &echo["params"]), (&json!("echo"), &json!([])));
        peer.closed().await;
        (early, start.elapsed())
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut events = consumer.until("disconnected").await;
        events.extend(consumer.until("disconnected").await);
        events
    };
    let ((early, late), events) = join!(script, client);
    assert_eq!(early.as_secs(), 2 * SNAPSHOT_PROBE.as_secs());
    assert_eq!(late.as_secs(), 5 + 5 + 5);
    assert!(events.last().unwrap().ends_with("the server was silent for 10s"), "{events:?}");
}

/// Rule: every byte received is a sign of life (lib/reconnect.c).
#[tokio::test(start_paused = true)]
async fn slow_server_stays_connected_while_bytes_arrive() {
    let server = Server::tcp().await;
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let text = reply(&request, &snapshot(7, &[(1, 1)]));
        // One byte in 50 seconds; then, in an update, one in four seconds.
        for byte in text.chars() {
            tokio::time::sleep(Duration::from_secs(50)).await;
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        for byte in update(8, &change(2, &json!({"insert": {}}))).chars() {
            tokio::time::sleep(Duration::from_secs(4)).await;
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
        }
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = consumer.at_leisure(3);
    let (_peer, events) = join!(script, client);
    assert_eq!(events, ["connected", "synced whole", "updated"]);
    assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
}

/// Regression: ovn-heater#200, where snapshots take longer than the server's probes, and openshift/ovn-kubernetes#931 and
/// ovn-kubernetes#2754, where parsing takes ten seconds and breaks the connection.
#[tokio::test(start_paused = true)]
async fn echo_request_is_answered_in_the_middle_of_a_snapshot() {
    let server = Server::unix();
    let content: Vec<_> = (1..10_000).map(|number| (number, 1)).collect();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let text = reply(&request, &snapshot(7, &content));
        let (first, rest) = text.split_at(text.len() / 2);
        peer.send(r#"{"id":"echo","method":"echo","params":[1]}"#).await;
        peer.send(first).await;
        let answer = peer.receive().await.unwrap();
        assert_eq!(answer, json!({"id": "echo", "result": [1], "error": null}));
        peer.send(rest).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    join!(script, consumer.until("synced"));
    assert_eq!(consumer.content(), content.into_iter().collect());
    let (bytes, rows) = consumer.session.received();
    assert!(bytes > 500_000 && rows == 9_999, "{bytes} bytes, {rows} rows");
}

#[tokio::test(start_paused = true)]
async fn messages_received_in_one_read_are_all_handled() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let first = reply(&request, &snapshot(7, &[(1, 1)]));
        let second = update(8, &change(2, &json!({"insert": {}})));
        let third = update(9, &change(1, &json!({"delete": null})));
        peer.send(&format!("{first}{second} \n {third}")).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        consumer.until("updated").await;
        assert_eq!(consumer.content(), [(1, 1), (2, 0)].into());
        consumer.until("updated").await;
    };
    let (_peer, ()) = join!(script, client);
    assert_eq!(consumer.content(), [(2, 0)].into());
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_connection_and_is_retried_with_pauses() {
    let server = Server::unix();
    let script = async {
        for _ in 0..3 {
            let mut peer = server.accept().await;
            ask_schema(&mut peer).await;
            peer.send("HTTP/1.1 400 Bad Request\r\n").await;
            peer.closed().await;
        }
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.send(&reply(&request, &snapshot(7, &[(1, 1)])).replace("initial", "sometime")).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let start = Instant::now();
    let client = async {
        for _ in 0..3 {
            let lost = consumer.until("disconnected").await.pop().unwrap();
            let text = "the server does not speak OVSDB: expected a JSON object at byte ";
            assert!(lost.starts_with(&format!("disconnected: {text}")), "{lost}");
        }
        let lost = consumer.until("disconnected").await.pop().unwrap();
        assert!(lost.contains("expected a known kind of row update at byte "), "{lost}");
    };
    join!(script, client);
    // At least half of 100, 125 and 156 ms.
    assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    assert_eq!(consumer.content(), Content::new());
}

#[tokio::test(start_paused = true)]
async fn dropped_next_future_loses_no_event() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let mut text = reply(&request, &snapshot(7, &[(1, 1)]));
        text += &update(8, &change(1, &json!({"modify": {"n": 2}})));
        text += &update(9, &change(2, &json!({"insert": {}})));
        for byte in text.chars() {
            peer.send(byte.encode_utf8(&mut [0; 4])).await;
            yield_now().await;
        }
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut events = Vec::new();
        while events.iter().filter(|event| *event == "updated").count() < 2 {
            tokio::select! {
                biased;
                event = consumer.session.next(&mut consumer.cache) => events.push(abridged(&event)),
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
                () = yield_now() => {}
            }
            consumer.replay();
        }
        events
    };
    let (_peer, events) = join!(script, client);
    assert_eq!(events, ["connected", "synced whole", "updated", "updated"]);
    assert_eq!(consumer.content(), [(1, 2), (2, 0)].into());
}
