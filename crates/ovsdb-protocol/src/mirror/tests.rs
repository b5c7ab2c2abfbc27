use super::*;
use crate::row::Columns;
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

fn insert(mirror: &mut Mirror, uuid: u128, columns: &str) -> Result<(), Inconsistent> {
    let change = RowChange::Insert(Columns::new(columns));
    mirror.apply(RowUpdate { table: "T", uuid: Uuid::from_u128(uuid), change })
}

fn snapshot(mirror: &mut Mirror, rows: &[(u128, &str)]) {
    mirror.begin(Batch::Snapshot);
    rows.iter().for_each(|(uuid, columns)| insert(mirror, *uuid, columns).unwrap());
    mirror.commit();
}

/// The deltas, as row numbers before and after.
fn deltas(mirror: &mut Mirror) -> Vec<(u128, Option<Row>, Option<Row>)> {
    let own = |row: Option<Arc<Row>>| row.map(Arc::unwrap_or_clone);
    let deltas = mirror.take_deltas().into_iter();
    deltas.map(|delta| (delta.uuid.as_u128(), own(delta.old), own(delta.new))).collect()
}

#[test]
fn what_the_server_lacks_is_told_or_refused() {
    let all = Selection::table("T").columns(["n", "future"]);
    let mut mirror = Mirror::new([all.clone(), Selection::table("U")]);
    let requests = mirror.declare(&one()).unwrap();
    assert_eq!(requests, [("T".to_owned(), MonitorRequest::columns(["n"]))].into());
    assert_eq!(mirror.absent().iter().map(Absent::to_string).collect::<Vec<_>>(), ["T.future", "U"]);

    for (selection, text) in [
        (all.required(["future"]), "the database has no column T.future"),
        (Selection::table("U").required([""; 0]), "the database has no table U"),
    ] {
        assert_eq!(Mirror::new([selection]).declare(&one()).unwrap_err().to_string(), text);
    }
    let requests = Mirror::new([Selection::table("T").columns(["n"]).required(["s"])]).declare(&two());
    assert_eq!(requests.unwrap(), [("T".to_owned(), MonitorRequest::columns(["n", "s"]))].into());
    let everything = Mirror::of_everything().declare(&two()).unwrap();
    assert_eq!(everything, [("T".to_owned(), MonitorRequest::columns(["n", "s"]))].into());
    let none = Mirror::new([Selection::table("T").rows(Rows::Any(vec![]))]).declare(&one()).unwrap();
    assert_eq!(none, [("T".to_owned(), MonitorRequest::columns(["n"]).rows(Rows::Any(vec![])))].into());
}

#[test]
fn deltas_not_taken_are_joined() {
    let n = |n: i64| Row::new().with("n", n);
    let mut mirror = Mirror::of_everything();
    mirror.declare(&one()).unwrap();
    snapshot(&mut mirror, &[(1, r#"{"n":1}"#), (2, r#"{"n":2}"#)]);
    snapshot(&mut mirror, &[(1, r#"{"n":11}"#)]);
    assert_eq!(deltas(&mut mirror), [(1, None, Some(n(11)))]);
    snapshot(&mut mirror, &[(1, r#"{"n":1}"#)]);
    snapshot(&mut mirror, &[(1, r#"{"n":11}"#)]);
    assert_eq!(deltas(&mut mirror), []);
}

#[test]
fn another_schema_is_a_difference_too() {
    let mut mirror = Mirror::of_everything();
    mirror.declare(&one()).unwrap();
    snapshot(&mut mirror, &[(1, r#"{"n":1}"#), (2, r#"{"n":2}"#)]);
    mirror.take_deltas();

    let wide = |n: i64, s: &str| Row::new().with("n", n).with("s", s);
    mirror.declare(&two()).unwrap();
    // It is cut short, and comes again.
    mirror.begin(Batch::Snapshot);
    insert(&mut mirror, 3, "{}").unwrap();
    assert_eq!(mirror.cache().len(), 2, "readers keep the old content");
    mirror.declare(&two()).unwrap();
    snapshot(&mut mirror, &[(2, r#"{"n":2}"#), (3, r#"{"s":"x"}"#)]);
    assert_eq!(
        deltas(&mut mirror),
        [
            (1, Some(Row::new().with("n", 1)), None),
            (2, Some(Row::new().with("n", 2)), Some(wide(2, ""))),
            (3, None, Some(wide(0, "x")))
        ]
    );
    // The same schema once more changes nothing.
    mirror.declare(&two()).unwrap();
    snapshot(&mut mirror, &[(2, r#"{"n":2}"#), (3, r#"{"s":"x"}"#)]);
    assert_eq!(deltas(&mut mirror), []);
    assert_eq!(mirror.cache().len(), 2);

    mirror.declare(&DatabaseSchema::parse(r#"{"name":"D","tables":{}}"#).unwrap()).unwrap();
    snapshot(&mut mirror, &[]);
    assert_eq!(deltas(&mut mirror).len(), 2);
    assert_eq!(mirror.cache().tables().count(), 0);
}

#[test]
fn a_contradiction_says_what_it_is() {
    let mut mirror = Mirror::of_everything();
    mirror.declare(&one()).unwrap();
    snapshot(&mut mirror, &[(1, "{}")]);
    mirror.begin(Batch::Delta);
    assert_eq!(insert(&mut mirror, 1, "{}"), Err(Inconsistent("an inserted row exists already")));
    assert!(matches!(mirror.inconsistency(), Some(Inconsistency::Exists { .. })));
    mirror.begin(Batch::Delta);
    assert_eq!(
        insert(&mut mirror, 2, r#"{"n":["map"]}"#),
        Err(Inconsistent("a row has a value that is none"))
    );
    mirror.begin(Batch::Delta);
    assert_eq!(insert(&mut mirror, 2, r#"{"n":"x"}"#), Err(Inconsistent("a row does not fit the schema")));
    snapshot(&mut mirror, &[(1, r#"{"n":5}"#)]);
    assert_eq!(mirror.cache().get("T", &Uuid::from_u128(1)).unwrap().get("n"), Some(&Datum::scalar(5)));
}
