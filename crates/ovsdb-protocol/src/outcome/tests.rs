use super::*;

const UUID: Uuid = Uuid::from_u128(0x3b8f_7c1e_0000_4000_8000_0000_0000_0001);
const INSERTED: &str = r#"{"uuid":["uuid","3b8f7c1e-0000-4000-8000-000000000001"]}"#;

fn refused(result: &str, operations: usize) -> TransactError {
    match Outcome::from_result(result, operations) {
        Ok(Outcome::Refused(error)) => error,
        other => panic!("{result}: {other:?}"),
    }
}

#[test]
fn result_of_every_operation_is_parsed() {
    let text = format!(r#"[{INSERTED},{{"count":2}},{{"rows":[{{"name":"a"}},{{}}]}},{{}}]"#);
    let Ok(Outcome::Committed(results)) = Outcome::from_result(&text, 4) else {
        panic!("{text}");
    };
    assert_eq!(results.uuid(0), Some(UUID));
    assert_eq!(results.count(1), Some(2));
    assert_eq!(results.rows(2), Some(&[Row::new().with("name", "a"), Row::new()][..]));
    assert_eq!(results.get(3), Some(&OperationResult::Empty));
    assert_eq!((results.len(), results.get(4), results.uuid(1)), (4, None, None));
}

/// Rule: ovsdb-server writes the largest double with 15 digits, which is more than the largest double.
#[test]
fn unreadable_value_of_a_selected_row_is_missing() {
    let text = r#"[{"rows":[{"share":1.79769313486232e+308,"name":"a","what":{}},{"share":1.5}]}]"#;
    let Ok(Outcome::Committed(results)) = Outcome::from_result(text, 1) else {
        panic!("{text}");
    };
    let expected = [Row::new().with("name", "a"), Row::new().with("share", 1.5)];
    assert_eq!(results.rows(0), Some(expected.as_slice()));
}

#[test]
fn empty_transaction_is_committed() {
    assert!(matches!(Outcome::from_result("[]", 0), Ok(Outcome::Committed(results)) if results.is_empty()));
}

/// Rule: in the result of a refused transaction, nulls follow the error, one for each operation that was not executed.
#[test]
fn failed_operation_is_found_before_the_nulls() {
    // As ovsdb-server 3.1.0 sends it.
    let text = r#"[{"count":1},{"details":"\"where\" clause test failed","error":"timed out"},null,null]"#;
    let error = refused(text, 4);
    assert_eq!(error.operation, Some(1));
    assert_eq!(error.error.error, "timed out");
    assert_eq!(error.error.details.as_deref(), Some("\"where\" clause test failed"));
    assert_eq!(error.class(), ErrorClass::Precondition);
    assert_eq!(error.to_string(), "operation 1 refused");
}

/// Rule: a failed commit adds an element to results that all look like success.
#[test]
fn additional_result_is_a_refusal_of_the_commit() {
    let text = format!(r#"[{INSERTED},{{"error":"constraint violation","details":"2 rows"}}]"#);
    let error = refused(&text, 1);
    assert_eq!((error.operation, error.class()), (None, ErrorClass::Conflict));
    assert_eq!(error.to_string(), "transaction refused");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "constraint violation: 2 rows");
    // The same error of an operation means that its value is never allowed.
    let error = refused(&text, 2);
    assert_eq!((error.operation, error.class()), (Some(1), ErrorClass::Permanent));
}

#[test]
fn malformed_transact_reply_is_refused() {
    let result = |text, operations| Outcome::from_result(text, operations).unwrap_err();
    assert!(matches!(result("[{}]", 2), MalformedReply::Length { expected: 2, found: 1 }));
    assert!(matches!(result("[{},{}]", 1), MalformedReply::Length { expected: 1, found: 2 }));
    assert!(matches!(result("[{},null]", 2), MalformedReply::Missing(1)));
    for text in [
        "",
        "null",
        "{}",
        "[5]",
        r#"[{"uuid":"x"}]"#,
        r#"[{"uuid":["named-uuid","x"]}]"#,
        r#"[{"count":-1}]"#,
        r#"[{"count":1,"rows":[]}]"#,
        r#"[{"rows":[5]}]"#,
        r#"[{"error":7}]"#,
    ] {
        assert!(matches!(result(text, 1), MalformedReply::Json(_)), "{text}");
    }
}

/// Regression: holodekk, which accepts only strings as errors; ovsdb-server sends both forms, without a `result`.
#[test]
fn error_may_be_a_string_or_an_object() {
    let error = DatabaseError::parse(r#""canceled""#).unwrap();
    assert_eq!(error, DatabaseError { error: "canceled".into(), details: None, syntax: None });
    let error = DatabaseError::parse(
        r#"{"error":"syntax error","details":"expected string","syntax":"5","io-error":"extra"}"#,
    )
    .unwrap();
    assert_eq!(error.to_string(), "syntax error: expected string (in 5)");
    for text in ["null", "5", "{}", r#"{"error":5}"#, "[]"] {
        assert!(DatabaseError::parse(text).is_err(), "{text}");
    }
    let error = TransactError::new(None, DatabaseError::parse(r#""canceled""#).unwrap());
    assert_eq!((error.operation, error.class()), (None, ErrorClass::Canceled));
}

#[test]
fn long_syntax_of_an_error_is_truncated_between_characters() {
    let error = DatabaseError { error: "e".into(), details: None, syntax: Some("\u{e9}".repeat(500)) };
    assert_eq!(error.to_string(), format!("e (in {}...)", "\u{e9}".repeat(200)));
}

#[test]
fn every_error_has_a_class() {
    for (name, class) in [
        ("timed out", ErrorClass::Precondition),
        ("not owner", ErrorClass::LockLost),
        ("duplicate uuid", ErrorClass::Conflict),
        ("referential integrity violation", ErrorClass::Conflict),
        ("canceled", ErrorClass::Canceled),
        ("database not available", ErrorClass::Unavailable),
        ("unknown database", ErrorClass::Unavailable),
        ("not allowed", ErrorClass::Unavailable),
        ("cluster error", ErrorClass::Unavailable),
        ("I/O error", ErrorClass::Unavailable),
        ("resources exhausted", ErrorClass::Unavailable),
        ("aborted", ErrorClass::Aborted),
        ("duplicate uuid-name", ErrorClass::Permanent),
        ("domain error", ErrorClass::Permanent),
        ("range error", ErrorClass::Permanent),
        ("unknown column", ErrorClass::Permanent),
        ("syntax error", ErrorClass::Permanent),
        ("ovsdb error", ErrorClass::Permanent),
        ("permission error", ErrorClass::Permanent),
        ("something new", ErrorClass::Permanent),
    ] {
        let error = DatabaseError { error: name.into(), details: None, syntax: None };
        assert_eq!(ErrorClass::classify(&error, Some(0)), class, "{name}");
        assert_eq!(ErrorClass::classify(&error, None), class, "{name}");
    }
}

/// A dry run ends with an abort, which fails after all results of interest.
#[test]
fn refusal_has_the_results_of_preceding_operations() {
    let refusal = refused(r#"[{"rows":[{"n":1}]},{"count":2},{"error":"aborted"},null]"#, 4);
    assert_eq!((refusal.operation, refusal.class()), (Some(2), ErrorClass::Aborted));
    assert_eq!(refusal.results.rows(0), Some([Row::new().with("n", 1)].as_slice()));
    assert_eq!((refusal.results.count(1), refusal.results.len()), (Some(2), 2));
    let refusal = refused(r#"[{"count":1},{"error":"constraint violation"}]"#, 1);
    assert_eq!((refusal.operation, refusal.results.count(0)), (None, Some(1)));
    let refusal = refused(r#"[{"error":"unknown column"},null]"#, 2);
    assert!(refusal.results.is_empty());
}
