//! A value of any column type: what is accepted renders as text that reads as the same value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ovsdb_protocol::DatabaseSchema;

const TYPES: [&str; 6] = [
    r#""string""#,
    r#"{"key":"integer","min":0,"max":"unlimited"}"#,
    r#"{"key":"real","min":0,"max":1}"#,
    r#"{"key":{"type":"uuid","refTable":"T"},"min":0,"max":"unlimited"}"#,
    r#"{"key":"string","value":"string","min":0,"max":"unlimited"}"#,
    r#"{"key":{"type":"string","enum":["set",["a","b"]]},"value":"boolean","min":0,"max":2}"#,
];

fuzz_target!(|data: &[u8]| {
    let Some((kind, bytes)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let kind = TYPES[usize::from(*kind) % TYPES.len()];
    let schema = format!(
        r#"{{"name":"D","version":"1.0.0","tables":{{"T":{{"columns":{{"c":{{"type":{kind}}}}}}}}}}}"#
    );
    let schema = DatabaseSchema::parse(&schema).expect("the types above are types");
    let column = &schema.tables["T"].columns["c"].column_type;
    let read = |text: &str| ovsdb_protocol::fuzzing::read(text)?.conform(column).ok();
    if let Some(datum) = read(text) {
        let rendered = ovsdb_protocol::fuzzing::render(&datum);
        assert_eq!(read(&rendered).as_ref(), Some(&datum), "{rendered}");
    }
});
