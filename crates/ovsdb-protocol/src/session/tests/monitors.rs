//! Monitor requests and kept rows: fallbacks, resumption, contradictions.

use super::*;

/// Rule: an old server supports neither `monitor_cond_since` nor `monitor_cond`, nor `_Server`.
#[tokio::test(start_paused = true)]
async fn session_falls_back_to_older_monitor_methods() {
    for unknown in 0..3 {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let mut request = handshake(&mut peer).await;
            for older in ["monitor_cond", "monitor"].iter().take(unknown) {
                peer.refuse(&request, &json!("unknown method")).await;
                request = peer.expect(older).await;
                assert_eq!(request["params"], json!(["D", "session", {"T": [{"columns": ["n"]}]}]));
            }
            let (first, old) = (rows("initial", &[(1, 1)]), json!({"old": {"n": 1}, "new": {"n": 2}}));
            match unknown {
                0 => {
                    peer.reply(&request, &json!([false, id(0), first])).await;
                    peer.send(&update(0, &change(1, &json!({"modify": {"n": 2}})))).await;
                }
                1 => {
                    peer.reply(&request, &first).await;
                    let tables = change(1, &json!({"modify": {"n": 2}}));
                    peer.notify("update2", &json!(["session", tables])).await;
                }
                _ => {
                    peer.reply(&request, &change(1, &json!({"new": {"n": 1}}))).await;
                    peer.notify("update", &json!(["session", change(1, &old)])).await;
                }
            }
            peer
        };
        let mut consumer = Consumer::new(&server);
        let (_peer, events) = join!(script, consumer.until("updated"));
        assert_eq!(events, ["connected", "synced whole", "updated"]);
        assert_eq!(consumer.content(), [(1, 2)].into());
        assert_eq!(consumer.cache.error(), None);
    }
}

/// Regression: Open vSwitch's Python client, which hangs forever if a monitor is refused with another error.
#[tokio::test(start_paused = true)]
async fn refused_monitor_falls_back_only_on_an_unknown_method() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.refuse(&request, &json!({"error": "syntax error", "details": "no"})).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let ((), events) = join!(script, consumer.until("disconnected"));
    assert!(events[1].contains("the server answered with an error: syntax error: no"), "{events:?}");
}

/// Regression: ovs-issues#298 and libovsdb, which forget the id of a reply whose `found` is false and later apply
/// differences to the wrong rows.
#[tokio::test(start_paused = true)]
async fn last_transaction_id_is_taken_from_every_reply_and_update() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &snapshot(7, &[(1, 1)])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 7, "from a reply whose found is false");
        peer.reply(&request, &json!([true, id(8), change(1, &json!({"modify": {"n": 2}}))])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 8, "from a reply whose found is true");
        peer.reply(&request, &json!([true, id(8), {}])).await;
        peer.send(&update(9, &change(2, &json!({"insert": {}})))).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 9, "from an update");
        // The server has forgotten transaction 9; another row has replaced row 1.
        peer.reply(&request, &snapshot(20, &[(2, 0), (3, 3)])).await;

        drop(peer);
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 20, "from a snapshot in place of differences");
        peer.reply(&request, &json!([true, id(20), {}])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut synced = Vec::new();
        for _ in 0..5 {
            synced.extend(consumer.until("synced").await.pop());
        }
        synced
    };
    let (_peer, synced) = join!(script, client);
    let [whole, differences] = ["synced whole", "synced by differences"];
    assert_eq!(synced, [whole, differences, differences, whole, differences]);
    assert_eq!(consumer.content(), [(2, 0), (3, 3)].into());
}

/// Regression: libovsdb#267, libovsdb#457, libovsdb#464, libovsdb#488, ovn-kubernetes#2666, ovn-kubernetes#2719 and
/// ovn-kubernetes#6738: deadlocks and panics if a server hangs up.
#[tokio::test(start_paused = true)]
async fn connection_lost_at_any_byte_leads_to_the_right_content() {
    let before = [(1, 1), (2, 2), (3, 0)];
    let delta = json!({"T": {
        id(1): {"delete": null},
        id(2): {"modify": {"n": 22}},
        id(4): {"insert": {"n": 4}},
    }});
    let after = [(2, 22), (4, 4), (5, 5)];
    // The ids of requests are 1 to 4 on every connection.
    let greeting = OLD_SERVER.to_owned() + &reply(&json!({"id": 3}), &usual_schema());
    let first = reply(&json!({"id": 4}), &snapshot(7, &before));
    let second = update(8, &delta);
    // From the first byte of the tables on, the replica does not match any transaction.
    let torn = greeting.len() + first.len() + second.find("{\"T\"").unwrap() + 1;
    let whole = format!("{greeting}{first}{second}");

    for cut in 0..=whole.len() {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            for request in ["get_schema", "set_db_change_aware", "get_schema"] {
                peer.expect(request).await;
            }
            peer.send(&whole[..cut.min(greeting.len())]).await;
            if cut >= greeting.len() {
                peer.expect("monitor_cond_since").await;
                peer.send(&whole[greeting.len()..cut]).await;
            }
            drop(peer);

            let mut peer = server.accept().await;
            let request = handshake(&mut peer).await;
            let known = match cut {
                _ if cut == whole.len() => 8,
                _ if cut >= torn => 0,
                _ if cut >= greeting.len() + first.len() => 7,
                _ => 0,
            };
            assert_eq!(since(&request), known, "after a cut at {cut} of {}", whole.len());
            let answer = match known {
                0 => snapshot(9, &after),
                7 => json!([true, id(9), {"T": {
                    id(1): {"delete": null},
                    id(2): {"modify": {"n": 22}},
                    id(3): {"delete": null},
                    id(4): {"insert": {"n": 4}},
                    id(5): {"insert": {"n": 5}},
                }}]),
                _ => json!([true, id(9), {"T": {
                    id(3): {"delete": null},
                    id(5): {"insert": {"n": 5}},
                }}]),
            };
            peer.reply(&request, &answer).await;
            peer
        };
        let mut consumer = Consumer::new(&server);
        let client = async {
            let mut events = consumer.until("disconnected").await;
            events.extend(consumer.until("synced").await);
            events
        };
        let (_peer, events) = join!(script, client);
        assert_eq!(consumer.content(), after.into(), "after a cut at {cut}: {events:?}");
        assert_eq!(consumer.cache.error(), None, "after a cut at {cut}");
    }
}

/// Rule: differences apply only to the same conditions, columns and schema (Open vSwitch ae25f8c8f, c1691ccea,
/// 1daced2cd).
#[tokio::test(start_paused = true)]
async fn monitor_is_not_resumed_with_another_schema() {
    let [n, s] = [json!({"type": "integer"}), json!({"type": "string"})];
    let schemas = [
        schema("1.0.0", &json!({"n": n})),
        // Only the version, a column, and the type of a column with the same version.
        schema("1.0.1", &json!({"n": n})),
        schema("1.0.1", &json!({"n": n, "s": s})),
        schema("1.0.1", &json!({"n": n, "s": {"type": {"key": "string", "min": 0}}})),
    ];
    let server = Server::unix();
    let script = async {
        let mut last: Option<Peer> = None;
        for schema in &schemas {
            drop(last.take());
            let mut peer = server.accept().await;
            let request = ask_schema(&mut peer).await;
            peer.reply(&request, schema).await;
            let request = peer.expect("monitor_cond_since").await;
            assert_eq!(since(&request), 0, "{schema}");
            peer.reply(&request, &snapshot(7, &[(1, 1)])).await;
            last = Some(peer);
        }
        last
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        for n in 0..schemas.len() {
            assert_eq!(consumer.until("synced").await.pop().unwrap(), "synced whole");
            let columns =
                consumer.copy[&Uuid::from_u128(1)].iter().map(|(name, _)| name).collect::<Vec<_>>().join(" ");
            assert_eq!(columns, if n < 2 { "n" } else { "n s" });
        }
    };
    join!(script, client);
    assert_eq!(consumer.content(), [(1, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn schema_without_required_columns_is_refused_and_retried() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = ask_schema(&mut peer).await;
        peer.reply(&request, &json!({"name": "D", "version": "1.0.0", "tables": {}})).await;
        peer.closed().await;
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        peer.reply(&request, &snapshot(0, &[])).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    consumer.cache = Cache::new([Selection::table("T").required(["n"])]);
    let (_peer, events) = join!(script, consumer.until("synced"));
    assert_eq!(
        events,
        ["connected", "disconnected: the database has no table T", "connected", "synced whole"]
    );
}

/// Regression: kube-ovn#2621 and kube-ovn#4519, "cache inconsistent" forever: libovsdb ignores errors of update3.
#[tokio::test(start_paused = true)]
async fn contradicting_update_refetches_everything_as_a_difference() {
    let contradictions = [
        change(9, &json!({"modify": {"n": 2}})),
        change(9, &json!({"delete": null})),
        change(1, &json!({"insert": {"n": 2}})),
        json!({"U": {}, "V": {id(1): {"insert": {}}}}),
    ];
    for contradiction in contradictions {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let request = handshake(&mut peer).await;
            peer.reply(&request, &snapshot(7, &[(1, 1), (2, 2)])).await;
            peer.send(&update(8, &contradiction)).await;
            peer.closed().await;
            let mut peer = server.accept().await;
            let request = handshake(&mut peer).await;
            assert_eq!(since(&request), 0);
            peer.reply(&request, &snapshot(9, &[(1, 1), (3, 3)])).await;
            peer
        };
        let mut consumer = Consumer::new(&server);
        let client = async {
            consumer.until("synced").await;
            let before = consumer.copy.clone();
            let lost = consumer.until("disconnected").await.pop().unwrap();
            assert!(lost.contains("contradict"), "{lost}");
            assert_eq!(consumer.copy, before, "nothing of the batch is seen");
            assert_eq!(consumer.until("synced").await.pop().unwrap(), "synced whole");
            assert!(
                Arc::ptr_eq(&before[&Uuid::from_u128(1)], &consumer.copy[&Uuid::from_u128(1)]),
                "an equal row stays"
            );
        };
        let (_peer, ()) = join!(script, client);
        assert_eq!(consumer.content(), [(1, 1), (3, 3)].into());
    }
}

/// ovsdb-server writes values that cannot be read.
#[tokio::test(start_paused = true)]
async fn unreadable_value_does_not_stop_the_session() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        let rows = json!({"T": {id(1): {"initial": {"n": ["set", [1, 1]]}}, id(2): {"initial": {"n": 2}}}});
        peer.reply(&request, &json!([false, id(7), rows])).await;
        peer.send(&update(8, &change(2, &json!({"modify": {"n": "x"}})))).await;
        peer.send(&update(9, &change(1, &json!({"modify": {"n": 1}})))).await;
        peer
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        let mut bad = Vec::new();
        for last in ["synced", "updated", "updated"] {
            consumer.until(last).await;
            bad.push(
                consumer.cache.problems().iter().map(|problem| problem.uuid.as_u128()).collect::<Vec<_>>(),
            );
        }
        assert_eq!(bad, [vec![1], vec![1, 2], vec![2]]);
        assert_eq!(consumer.cache.error(), None);
    };
    join!(script, client);
}

/// No server would accept the request, so it is not tried again.
#[tokio::test(start_paused = true)]
async fn invalid_monitor_request_fails_once() {
    for stage in 0..2 {
        let server = Server::unix();
        let script = async {
            let mut peer = server.accept().await;
            let request = ask_schema(&mut peer).await;
            peer.reply(&request, &usual_schema()).await;
            peer.closed().await;
        };
        let mut consumer = Consumer::new(&server);
        let named = RowFilter::Any(vec![Condition::eq("n", "a\0")]);
        consumer.cache = Cache::new([Selection::table("T").rows(named).load_stage(stage)]);
        let client = async {
            let event = loop {
                let event = consumer.session.next(&mut consumer.cache).await;
                if !matches!(event, SessionEvent::Connected(_)) {
                    break event;
                }
            };
            let SessionEvent::Disconnected { error, retry, .. } = event else { panic!("{event:?}") };
            assert!(error.is_invalid_request() && !error.is_malformed(), "{error:#}");
            assert_eq!(retry, Duration::MAX);
            let day = Duration::from_secs(86_400);
            assert!(timeout(day, consumer.session.next(&mut consumer.cache)).await.is_err(), "it goes on");
        };
        join!(script, client);
    }
}

/// Rule: an update is a difference from the reply to its monitor request, and from nothing else.
#[tokio::test(start_paused = true)]
async fn update_of_an_unknown_monitor_is_an_error() {
    let server = Server::unix();
    let script = async {
        let mut peer = server.accept().await;
        handshake(&mut peer).await;
        // Before the reply to the monitor request there is nothing that it could be a difference from.
        peer.send(&update(7, &json!({}))).await;
        peer.closed().await;
        let mut peer = server.accept().await;
        let request = handshake(&mut peer).await;
        assert_eq!(since(&request), 0);
        peer.reply(&request, &snapshot(7, &[])).await;
        peer.notify("update3", &json!(["other", id(8), {}])).await;
        peer.closed().await;
    };
    let mut consumer = Consumer::new(&server);
    let client = async {
        for monitor in ["session", "other"] {
            let lost = consumer.until("disconnected").await.pop().unwrap();
            assert!(lost.contains(&format!("there is no monitor \"{monitor}\"")), "{lost}");
        }
    };
    join!(script, client);
}
