use super::*;
use crate::monitor::RowFilter;
use crate::row::{Columns, RowChange};
use crate::value::{Datum, Row};

fn schema(columns: &str) -> DatabaseSchema {
    let text = format!(r#"{{"name":"D","version":"1.0.0","tables":{{"T":{{"columns":{{{columns}}}}}}}}}"#);
    DatabaseSchema::parse(&text).unwrap()
}

fn one() -> DatabaseSchema {
    schema(r#""n":{"type":"integer"}"#)
}

fn two() -> DatabaseSchema {
    schema(r#""n":{"type":"integer"},"s":{"type":"string"}"#)
}

fn insert(cache: &mut Cache, uuid: u128, columns: &str) -> Result<(), ApplyError> {
    let change = RowChange::Insert(Columns::new(columns));
    cache.apply(RowUpdate { table: "T", uuid: Uuid::from_u128(uuid), change })
}

fn snapshot(cache: &mut Cache, rows: &[(u128, &str)]) {
    cache.begin(Batch::Snapshot);
    rows.iter().for_each(|(uuid, columns)| insert(cache, *uuid, columns).unwrap());
    cache.commit();
}

/// The deltas, as row numbers before and after.
fn deltas(cache: &mut Cache) -> Vec<(u128, Option<Row>, Option<Row>)> {
    let own = |row: Option<Arc<Row>>| row.map(Arc::unwrap_or_clone);
    let deltas = cache.take_deltas().into_iter();
    deltas.map(|delta| (delta.uuid.as_u128(), own(delta.old), own(delta.new))).collect()
}

#[test]
fn missing_column_is_reported_or_refused_if_required() {
    let all = Selection::table("T").columns(["n", "future"]);
    let mut cache = Cache::new([all.clone(), Selection::table("U")]);
    let requests = cache.declare(&one()).unwrap();
    assert_eq!(requests, [("T".to_owned(), MonitorRequest::columns(["n"]))].into());
    assert_eq!(cache.absent().iter().map(Absent::to_string).collect::<Vec<_>>(), ["T.future", "U"]);

    for (selection, text) in [
        (all.required(["future"]), "the database has no column T.future"),
        (Selection::table("U").required([""; 0]), "the database has no table U"),
    ] {
        assert_eq!(Cache::new([selection]).declare(&one()).unwrap_err().to_string(), text);
    }
    let requests = Cache::new([Selection::table("T").columns(["n"]).required(["s"])]).declare(&two());
    assert_eq!(requests.unwrap(), [("T".to_owned(), MonitorRequest::columns(["n", "s"]))].into());
    let everything = Cache::everything().declare(&two()).unwrap();
    assert_eq!(everything, [("T".to_owned(), MonitorRequest::columns(["n", "s"]))].into());
    let none = Cache::new([Selection::table("T").rows(RowFilter::Any(vec![]))]).declare(&one()).unwrap();
    assert_eq!(none, [("T".to_owned(), MonitorRequest::columns(["n"]).rows(RowFilter::Any(vec![])))].into());
}

#[test]
fn pending_deltas_of_a_row_are_merged() {
    let n = |n: i64| Row::new().with("n", n);
    let mut cache = Cache::everything();
    cache.declare(&one()).unwrap();
    snapshot(&mut cache, &[(1, r#"{"n":1}"#), (2, r#"{"n":2}"#)]);
    snapshot(&mut cache, &[(1, r#"{"n":11}"#)]);
    assert_eq!(deltas(&mut cache), [(1, None, Some(n(11)))]);
    snapshot(&mut cache, &[(1, r#"{"n":1}"#)]);
    snapshot(&mut cache, &[(1, r#"{"n":11}"#)]);
    assert_eq!(deltas(&mut cache), []);
}

#[test]
fn schema_change_yields_deltas() {
    let mut cache = Cache::everything();
    cache.declare(&one()).unwrap();
    snapshot(&mut cache, &[(1, r#"{"n":1}"#), (2, r#"{"n":2}"#)]);
    cache.take_deltas();

    let wide = |n: i64, s: &str| Row::new().with("n", n).with("s", s);
    cache.declare(&two()).unwrap();
    // It is incomplete, and is sent again.
    cache.begin(Batch::Snapshot);
    insert(&mut cache, 3, "{}").unwrap();
    assert_eq!(cache.len(), 2, "readers keep the old content");
    cache.declare(&two()).unwrap();
    snapshot(&mut cache, &[(2, r#"{"n":2}"#), (3, r#"{"s":"x"}"#)]);
    assert_eq!(
        deltas(&mut cache),
        [
            (1, Some(Row::new().with("n", 1)), None),
            (2, Some(Row::new().with("n", 2)), Some(wide(2, ""))),
            (3, None, Some(wide(0, "x")))
        ]
    );
    // The same schema once more changes nothing.
    cache.declare(&two()).unwrap();
    snapshot(&mut cache, &[(2, r#"{"n":2}"#), (3, r#"{"s":"x"}"#)]);
    assert_eq!(deltas(&mut cache), []);
    assert_eq!(cache.len(), 2);

    cache.declare(&DatabaseSchema::parse(r#"{"name":"D","tables":{}}"#).unwrap()).unwrap();
    snapshot(&mut cache, &[]);
    assert_eq!(deltas(&mut cache).len(), 2);
    assert_eq!(cache.tables().count(), 0);
}

#[test]
fn contradicting_update_is_an_error_that_names_its_kind() {
    let mut cache = Cache::everything();
    cache.declare(&one()).unwrap();
    snapshot(&mut cache, &[(1, "{}")]);
    cache.begin(Batch::Delta);
    assert_eq!(insert(&mut cache, 1, "{}"), Err(ApplyError("an inserted row exists already")));
    assert!(matches!(cache.error(), Some(CacheError::Exists { .. })));
    cache.begin(Batch::Delta);
    assert_eq!(insert(&mut cache, 2, "[]"), Err(ApplyError("a row is malformed")));
    snapshot(&mut cache, &[(1, r#"{"n":5}"#)]);
    assert_eq!(cache.get("T", &Uuid::from_u128(1)).unwrap().get("n"), Some(&Datum::scalar(5)));
}
