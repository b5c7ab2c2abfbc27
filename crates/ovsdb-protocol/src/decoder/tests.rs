use proptest::prelude::*;

use super::*;

/// Renders everything that `bytes`, arriving in these chunks, decode to.
fn decode<'a>(
    chunks: impl IntoIterator<Item = &'a [u8]>,
    expected: &[(u64, MonitorMethod)],
) -> (Vec<String>, Option<ProtocolError>) {
    let mut decoder = Decoder::new(Limits { depth: 100, value: 1 << 16 });
    for (id, method) in expected {
        decoder.expect_rows(*id, *method);
    }
    let mut seen = Vec::new();
    for chunk in chunks {
        decoder.buffer().extend_from_slice(chunk);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => seen.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => return (seen, Some(error)),
            }
        }
    }
    (seen, None)
}

const ROW: &str = "11111111-2222-3333-4444-555555555555";
const NIL: &str = "00000000-0000-0000-0000-000000000000";

fn samples() -> Vec<String> {
    vec![
        r#"{"id":1,"result":["OVN_Northbound","_Server"],"error":null}"#.to_owned(),
        r#"{"id":3,"error":"unknown method"}"#.to_owned(),
        r#"{"id":4,"error":{"error":"syntax error","details":"x","syntax":"{\"a\":[\"]}\"]}"}}"#.to_owned(),
        r#"{"id":"echo","method":"echo","params":[]}"#.to_owned(),
        r#" { "params" : ["l"] , "method":"locked", "id" : null } "#.to_owned(),
        r#"{"id":5,"result":{},"error":null}"#.to_owned(),
        format!(
            r#"{{"id":7,"result":[false,"{NIL}",{{"T":{{"{ROW}":{{"initial":{{"name":"r}}1","n":5}}}}}},"U":{{}}}}],"error":null}}"#
        ),
        format!(r#"{{"id":8,"result":{{"T":{{"{ROW}":{{"new":{{"name":"é"}}}}}}}},"error":null}}"#),
        format!(r#"{{"error":null,"result":{{}},"id":9}}"#),
        format!(
            r#"{{"id":null,"method":"update3","params":["m","{ROW}",{{"T":{{"{ROW}":{{"modify":{{"a":["set",[]]}}}},"{NIL}":null}}}}]}}"#
        ),
        format!(r#"{{"id":null,"method":"update2","params":[["x",8],{{}}]}}"#),
        format!(r#"{{"params":[7,{{"T":{{"{ROW}":{{"old":{{"a":1}}}}}}}}],"method":"update","id":null}}"#),
    ]
}

fn announced() -> Vec<(u64, MonitorMethod)> {
    vec![(7, MonitorMethod::CondSince), (8, MonitorMethod::Plain), (9, MonitorMethod::Cond)]
}

/// Found by fuzzing: a reply with parameters was reordered forever.
#[test]
fn reply_with_params_is_decoded_without_a_loop() {
    let text = r#"{"id":8,"result":5,"params":[]}{"params":[],"result":[1],"id":8}"#;
    let (seen, error) = decode([text.as_bytes()], &announced());
    assert_eq!((seen.len(), error), (2, None), "{seen:?}");
}

#[test]
fn rows_are_decoded_one_by_one_between_begin_and_end() {
    let all = samples().concat();
    let (seen, error) = decode([all.as_bytes()], &announced());
    assert_eq!(error, None);
    let kinds: Vec<_> = seen.iter().map(|s| s.split(['(', ' ']).next().unwrap()).collect();
    let rows = |n: usize| -> Vec<&str> { [&["RowsBegin"][..], &vec!["Row"; n], &["RowsEnd"]].concat() };
    let expected = [vec!["Message"; 6], rows(1), rows(1), rows(0), rows(2), rows(0), rows(1)].concat();
    assert_eq!(kinds, expected, "{seen:#?}");
    assert!(seen[6].contains("found: false"), "{}", seen[6]);
    assert!(seen[7].contains(r#"{"name":"r}1","n":5}"#), "{}", seen[7]);
}

/// Regression: vexxhost/ovsdb-client, which fails at two messages in one read: messages have no separator, and a read
/// may end anywhere.
#[test]
fn message_split_at_any_byte_is_decoded_alike() {
    let all = samples().concat();
    let whole = decode([all.as_bytes()], &announced());
    for split in 0..all.len() {
        let (a, b) = all.as_bytes().split_at(split);
        assert_eq!(decode([a, b], &announced()), whole, "split at {split}");
    }
    assert_eq!(decode(all.as_bytes().chunks(1), &announced()), whole);
}

#[test]
fn malformed_message_is_an_error_with_its_offset() {
    for (text, at, expected) in [
        ("[]", 0, "a JSON object"),
        ("  5", 2, "a JSON object"),
        ("\0", 0, "a JSON object"),
        (r#"{"jsonrpc":"2.0"}"#, 10, "a JSON-RPC 1.0 member"),
        (r#"{"id":1 "result""#, 8, "a comma or the end of the message"),
        (r#"{"id":1,"id":2}"#, 14, "a member once only"),
        (r#"{"id":1}"#, 8, "a result or an error"),
        (r#"{"method":"a","id":1}"#, 21, "params"),
        (r#"{"method":5,"params":[]}"#, 24, "a method's name"),
        (r#"{"id":1,"result":[}]}"#, 19, "a comma or the end of the message"),
        (r#"{"id":1,"result":tru,"error":null}"#, 34, "valid JSON"),
        ("{\"id\":1,\"result\":\"a\0b\"}", 23, "valid JSON"),
        (r#"{"\ud800":1}"#, 2, "valid escapes in a string"),
        ("{\"id\":1,\"res\u{7}ult\":1}", 12, "no control character in a string"),
        (r#"{"id":7,"result":[maybe,"x",{}"#, 28, "whether the transaction was found"),
        (r#"{"id":7,"result":[true,"x",{}"#, 27, "a transaction id"),
        (r#"{"id":8,"result":{"T":{"x":{}}}"#, 26, "a row's UUID"),
        (r#"{"id":8,"result":{"T":[]}}"#, 22, "the rows of a table"),
    ] {
        let (_, error) = decode([text.as_bytes()], &announced());
        let error = error.unwrap_or_else(|| panic!("{text} is accepted"));
        assert_eq!((error.at, &*error.expected), (at, expected), "{text}");
    }
    let (_, error) = decode([&b"{\"id\":1,\"result\":\"\xff\"}"[..]], &[]);
    assert_eq!(error.map(|e| (e.at, e.expected)), Some((18, "UTF-8".to_owned())));
}

/// Rule: nesting, texts and numbers have bounds (1000 levels in lib/json.c), a message has none.
#[test]
fn nesting_and_length_of_received_values_are_bounded() {
    let (_, error) = decode([&b"{\"id\":1,\"result\":"[..], "[".repeat(1000).as_bytes()], &[]);
    assert_eq!(error.map(|e| e.expected), Some("less nesting".to_owned()));
    let endless = "x".repeat(1 << 12);
    let chunks =
        std::iter::once(&b"{\"id\":1,\"result\":\""[..]).chain(std::iter::repeat_n(endless.as_bytes(), 100));
    let (_, error) = decode(chunks, &[]);
    assert_eq!(error.map(|e| e.expected), Some("a shorter value".to_owned()));
}

/// In every order of the members: an ovsdb-server that is compiled for processors with CRC32 instructions writes the
/// result before the id.
#[test]
fn message_with_rows_may_exceed_the_value_limit() {
    let row = format!(r#""{ROW}":{{"initial":{{"name":"{}"}}}}"#, "n".repeat(1000));
    let tables = format!(r#"{{"T":{{{}}}}}"#, vec![row; 1000].join(","));
    for method in [MonitorMethod::CondSince, MonitorMethod::Cond, MonitorMethod::Plain] {
        let result = match method {
            MonitorMethod::CondSince => format!(r#"[true,"{NIL}",{tables}]"#),
            MonitorMethod::Cond | MonitorMethod::Plain => tables.clone(),
        };
        let members = [r#""id":7"#.to_owned(), format!(r#""result":{result}"#), r#""error":null"#.to_owned()];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let text = format!("{{{}}}", order.map(|member: usize| &*members[member]).join(","));
            let mut decoder = Decoder::new(Limits { depth: 100, value: 2000 });
            decoder.expect_rows(7, method);
            let (mut most, mut rows, mut ends) = (0, 0, 0);
            for chunk in text.as_bytes().chunks(4096) {
                decoder.buffer().extend_from_slice(chunk);
                while let Some(frame) = decoder.next().unwrap() {
                    rows += usize::from(matches!(frame, Frame::Row(_)));
                    ends += usize::from(matches!(frame, Frame::RowsEnd(_)));
                }
                most = most.max(decoder.buffer().len());
            }
            assert_eq!((rows, ends), (1000, 1), "{method:?} {order:?}");
            assert!(most < 2 * 4096, "{most} bytes were kept: {method:?} {order:?}");
        }
    }
}

/// The request is known before its id, as the first whose rows begin like these.
#[test]
fn reply_before_its_id_belongs_to_the_first_request_of_its_shape() {
    let since = format!(r#"[false,"{NIL}",{{"T":{{"{ROW}":{{"initial":{{}}}}}}}}]"#);
    let tables = format!(r#"{{"T":{{"{ROW}":{{"new":{{}}}}}}}}"#);
    let reply = |id: u64, result: &str| format!(r#"{{"error":null,"result":{result},"id":{id}}}"#);
    let requests = [(4, MonitorMethod::CondSince), (5, MonitorMethod::Plain), (6, MonitorMethod::CondSince)];
    let sources = |text: &str| {
        let (seen, error) = decode([text.as_bytes()], &requests);
        let begins = seen.iter().filter(|seen| seen.starts_with("RowsBegin"));
        let sources = begins.map(|seen| seen.split(['(', ')']).find_map(|word| word.parse::<u64>().ok()).unwrap());
        (sources.collect::<Vec<_>>(), error.map(|error| error.expected))
    };
    let answers = [reply(3, "[{}]"), reply(4, &since), reply(5, &tables), reply(9, "[true]"), reply(6, &since)];
    assert_eq!(sources(&answers.concat()), (vec![4, 5, 6], None));
    let wrong = "replies in the order of the requests".to_owned();
    assert_eq!(sources(&reply(6, &since)), (vec![4], Some(wrong)));
}

/// Any JSON value whose strings contain characters that are difficult for a scanner.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        r#"[{}\[\]",:\\a\u{0}-\u{1f}é😀]{0,8}"#.prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map("[a-z\"\\\\]{0,3}", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn message() -> impl Strategy<Value = String> {
    let row = json().prop_map(|v| format!(r#""{ROW}":{{"modify":{{"c":{v}}}}}"#));
    let table = (prop::collection::vec(row, 0..3), "[A-Z][a-z\u{e9}]{0,4}")
        .prop_map(|(rows, name)| format!("\"{name}\":{{{}}}", rows.join(",")));
    let tables =
        prop::collection::vec(table, 0..3).prop_map(|tables| format!("{{{}}}", tables.join(" , "))).boxed();
    prop_oneof![
        (any::<u64>(), json()).prop_map(|(id, v)| format!(r#"{{"id":{id},"result":{v},"error":null}}"#)),
        (json(), json()).prop_map(|(id, v)| format!(r#"{{"params":[{v}],"id":[{id}],"method":"m"}}"#)),
        tables.clone().prop_map(|t| format!(r#"{{"id":7,"result":[true,"{NIL}",{t}],"error":null}}"#)),
        tables.clone().prop_map(|t| format!(r#"{{"result":{t},"id":8}}"#)),
        tables
            .clone()
            .prop_map(|t| format!(r#"{{"id":null,"method":"update3","params":["m","{NIL}",{t}]}}"#)),
        tables.prop_map(|t| format!("{{\"params\" : [ \"m\",{t}]\n,\"method\":\"update2\",\"id\":null}}")),
    ]
}

proptest! {
    #[test]
    fn messages_split_at_random_bytes_are_decoded_alike(
        messages in prop::collection::vec(message(), 1..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let text = messages.concat();
        let bytes = text.as_bytes();
        let whole = decode([bytes], &announced());
        prop_assert_eq!(&decode(bytes.chunks(1), &announced()), &whole);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        prop_assert_eq!(decode(cuts.windows(2).map(|w| &bytes[w[0]..w[1]]), &announced()), whole);
    }

    #[test]
    fn damaged_message_never_panics(
        messages in prop::collection::vec(message(), 1..3),
        at in any::<prop::sample::Index>(),
        damage in prop::collection::vec(any::<u8>(), 0..4),
        cut in 0usize..4,
    ) {
        let mut bytes = messages.concat().into_bytes();
        let at = at.index(bytes.len());
        bytes.splice(at..(at + cut).min(bytes.len()), damage);
        decode([&bytes[..]], &announced());
        let _ = decode(bytes.chunks(3), &announced());
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode([&bytes[..]], &announced());
    }
}
