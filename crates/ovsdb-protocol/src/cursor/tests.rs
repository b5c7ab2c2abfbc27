use super::*;

fn atoms(text: &str) -> Result<Vec<String>, DecodeError> {
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    DatumReader::new(&mut cursor).atoms(|atom| {
        found.push(format!("{atom:?}"));
        Ok(())
    })?;
    cursor.end()?;
    Ok(found)
}

fn strings(text: &str) -> Result<Vec<(String, String)>, DecodeError> {
    let mut cursor = Cursor::new(text);
    let mut found = Vec::new();
    DatumReader::new(&mut cursor).string_pairs(|k, v| found.push((k.into_owned(), v.into_owned())))?;
    cursor.end()?;
    Ok(found)
}

#[test]
fn bare_atom_is_read_as_a_set_of_one() {
    for (text, atom) in [
        ("5", "Integer(5)"),
        ("-9223372036854775808", "Integer(-9223372036854775808)"),
        ("9223372036854775807", "Integer(9223372036854775807)"),
        ("1.5e3", "Real(1500.0)"),
        ("true", "Boolean(true)"),
        (" \"a\" ", "String(\"a\")"),
        (r#"["uuid","550e8400-e29b-41d4-a716-446655440000"]"#, "Uuid(550e8400-e29b-41d4-a716-446655440000)"),
    ] {
        assert_eq!(atoms(text).unwrap(), [atom], "{text}");
        assert_eq!(atoms(&format!("[\"set\",[{text}]]")).unwrap(), [atom], "{text}");
    }
    assert_eq!(atoms(r#"["set",[]]"#).unwrap(), Vec::<String>::new());
    assert_eq!(atoms(r#" [ "set" , [ 1 , 2 ] ] "#).unwrap(), ["Integer(1)", "Integer(2)"]);
}

#[test]
fn maps_are_read_in_order_with_escapes_undone() {
    assert_eq!(strings(r#"["map",[]]"#).unwrap(), []);
    assert_eq!(
        strings(r#"["map",[["a","1"],["q\"\u00e9\ud83d\ude00","b\\"]]]"#).unwrap(),
        [("a".to_owned(), "1".to_owned()), ("q\"é😀".to_owned(), "b\\".to_owned())]
    );
}

#[test]
fn malformed_value_is_an_error_with_its_offset() {
    for text in [
        "",
        "nul",
        "null",
        "[",
        "[\"set\"",
        "[\"set\",[1,]]",
        "[\"set\",[1]",
        "[\"bag\",[]]",
        "\"open",
        "\"\\ud800\"",
        "\"tab\tinside\"",
        "1e999",
        "--1",
        "[\"uuid\",\"no\"]",
        "[\"map\",[[1,2]]]",
        "{}",
        "1 2",
        "\"\\",
    ] {
        let error = atoms(text).unwrap_err();
        assert!(error.at <= text.len() + 1, "{text}: {error}");
    }
    assert!(strings(r#"["map",[["a",1]]]"#).is_err());
    assert!(strings(r#"["set",[]]"#).is_err());
}
