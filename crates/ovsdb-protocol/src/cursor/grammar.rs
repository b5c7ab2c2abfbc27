//! The rules for reading the numbers and UUIDs of values, RFC 7047 section 5.1.
//!
//! Without a schema, the form of a number determines its type:
//!
//! - with a fraction or an exponent it is a real, `3.0` too;
//! - `-0` is a real, which ovsdb-server writes for the real `-0.0`;
//! - outside the range of `i64` it is a real, as it is for ovsdb-server;
//! - any other is an integer. ovsdb-server also writes a real without fraction as `3`: only the type of the column
//!   distinguishes them ([`Datum::conform`](crate::Datum::conform)).
//!
//! A real beyond the largest double is an error. ovsdb-server writes one for the largest doubles, which it rounds to 15
//! digits. A UUID has 36 characters with four hyphens. The elements of a set and the keys of a map occur once:
//! ovsdb-server writes the same text for reals that differ in the 16th digit.

use uuid::Uuid;

/// A number of JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Real(f64),
}

/// Reads a number of JSON.
pub(super) fn number(token: &str) -> Option<Number> {
    let digits = token.strip_prefix('-').unwrap_or(token).as_bytes();
    match digits {
        [b'0'] if digits.len() < token.len() => Some(Number::Real(-0.0)),
        [b'0'] => Some(Number::Integer(0)),
        [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => {
            token.parse().map(Number::Integer).ok().or_else(|| real(token))
        }
        _ if is_real(digits) => real(token),
        _ => None,
    }
}

/// Reads a number that is not an integer of 64 bits.
fn real(token: &str) -> Option<Number> {
    token.parse().ok().filter(|real: &f64| real.is_finite()).map(Number::Real)
}

/// Returns whether this is a number of JSON without its sign, and not only digits.
fn is_real(text: &[u8]) -> bool {
    fn digits(text: &[u8]) -> Option<&[u8]> {
        let count = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (count > 0).then(|| &text[count..])
    }
    let parsed = || {
        let mut rest = match text {
            [b'0', rest @ ..] => rest,
            _ => digits(text)?,
        };
        if let [b'.', fraction @ ..] = rest {
            rest = digits(fraction)?;
        }
        if let [b'e' | b'E', exponent @ ..] = rest {
            let unsigned = match exponent {
                [b'+' | b'-', unsigned @ ..] => unsigned,
                unsigned => unsigned,
            };
            rest = digits(unsigned)?;
        }
        Some(rest)
    };
    parsed().is_some_and(<[u8]>::is_empty)
}

/// Reads a UUID.
pub(super) fn uuid(text: &str) -> Option<Uuid> {
    // The uuid crate also reads forms with braces or without hyphens, all of other lengths.
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{Atom, Datum};

    const UUID: Uuid = Uuid::from_u128(0x36bf_f9c6_0000_4000_8000_0000_0000_00ff);

    /// Reads from text and from a tree of values, which must agree.
    fn read(text: &str) -> Option<Datum> {
        let datum = serde_json::from_str::<Datum>(text).ok();
        let tree = serde_json::from_str::<serde_json::Value>(text).ok();
        let tree = tree.and_then(|tree| serde_json::from_value::<Datum>(tree).ok());
        // Reals are equal only with their signs.
        assert_eq!(format!("{tree:?}"), format!("{datum:?}"), "{text}");
        datum
    }

    fn integer(integer: i64) -> Datum {
        Datum::scalar(integer)
    }

    fn real(real: f64) -> Datum {
        Datum::scalar(real)
    }

    #[test]
    fn values_are_read_as_in_rfc_7047() {
        let pair = |key: Atom, value: Atom| Datum::map([(key, value)]);
        for (text, datum) in [
            ("0", integer(0)),
            ("-1", integer(-1)),
            (" 7 ", integer(7)),
            ("9223372036854775807", integer(i64::MAX)),
            ("-9223372036854775808", integer(i64::MIN)),
            ("9223372036854775808", real(9_223_372_036_854_775_808.0)),
            ("-9223372036854775809", real(-9_223_372_036_854_775_808.0)),
            ("18446744073709551616", real(18_446_744_073_709_551_616.0)),
            ("100000000000000000000000000000000000000000", real(1e41)),
            ("-0", real(-0.0)),
            ("-0.0", real(-0.0)),
            ("3.0", real(3.0)),
            ("3e0", real(3.0)),
            ("0.1", real(0.1)),
            ("1E+2", real(100.0)),
            ("1e-2", real(0.01)),
            ("1.79769313486231e+308", real(1.797_693_134_862_31e308)),
            ("2.2250738585072014e-308", real(f64::MIN_POSITIVE)),
            ("5e-324", real(f64::from_bits(1))),
            ("1e-999", real(0.0)),
            ("true", Datum::scalar(true)),
            ("false", Datum::scalar(false)),
            (r#""""#, Datum::scalar("")),
            (r#""\u00e9\ud83d\ude00\"\\\/\b\f\n\r\t""#, Datum::scalar("é😀\"\\/\u{8}\u{c}\n\r\t")),
            (r#""\u0000""#, Datum::scalar("\0")),
            (r#""set""#, Datum::scalar("set")),
            (r#"["uuid","36bff9c6-0000-4000-8000-0000000000ff"]"#, Datum::scalar(UUID)),
            (r#"["uuid","36BFF9C6-0000-4000-8000-0000000000FF"]"#, Datum::scalar(UUID)),
            (r#"[ "uuid" , "36bff9c6-0000-4000-8000-0000000000ff" ]"#, Datum::scalar(UUID)),
            (r#"["named-uuid","row1"]"#, Datum::scalar(Atom::NamedUuid("row1".to_owned()))),
            (r#"["set",[]]"#, Datum::empty()),
            (r#"["set",[5]]"#, integer(5)),
            (r#"["set",["b","a"]]"#, Datum::set(["a", "b"])),
            (r#"["set",[1,1.0]]"#, Datum::set([Atom::from(1), Atom::from(1.0)])),
            (r#"["set",[["named-uuid","r"]]]"#, Datum::scalar(Atom::NamedUuid("r".to_owned()))),
            (r#"["map",[]]"#, Datum::map::<Atom, Atom>([])),
            (r#"["map",[["a",1]]]"#, pair("a".into(), 1.into())),
            (r#"[ "map" , [ [ 1 , true ] ] ]"#, pair(1.into(), true.into())),
            (r#"["\u0073et",[1]]"#, integer(1)),
        ] {
            let found = read(text);
            assert_eq!(format!("{found:?}"), format!("{:?}", Some(datum)), "{text}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "",
            "null",
            "nul",
            "truely",
            "{}",
            "[]",
            "[1]",
            "01",
            "-01",
            "00",
            "+1",
            "-",
            "--1",
            "1-1",
            "1.",
            ".5",
            "1.e5",
            "1e",
            "1e+",
            "1.5.5",
            "1e999",
            "-1e999",
            "1.79769313486232e+308",
            "1 2",
            r#""open"#,
            r#""\ud800""#,
            r#""\ud800x""#,
            r#""\x""#,
            "\"tab\tinside\"",
            r#"["set"]"#,
            r#"["set",5]"#,
            r#"["set",[1,]]"#,
            r#"["set",[1]"#,
            r#"["set",[],[]]"#,
            r#"["set",[1,1]]"#,
            r#"["set",[0.0,-0.0]]"#,
            r#"["set",["a","\u0061"]]"#,
            r#"["set",[["set",[]]]]"#,
            r#"["set",[["map",[]]]]"#,
            r#"["set",[null]]"#,
            r#"["bag",[]]"#,
            r#"["map",[1]]"#,
            r#"["map",[[1]]]"#,
            r#"["map",[[1,2,3]]]"#,
            r#"["map",[[1,2],[1,3]]]"#,
            r#"["map",[[1,2],[1,2]]]"#,
            r#"["map",[["set",[]],1]]"#,
            r#"["uuid",5]"#,
            r#"["uuid","no"]"#,
            r#"["uuid","36bff9c600004000800000000000000ff"]"#,
            r#"["uuid","36bff9c6000040008000000000000ff0"]"#,
            r#"["uuid","{36bff9c6-0000-4000-8000-0000000000ff}"]"#,
            r#"["uuid","urn:uuid:36bff9c6-0000-4000-8000-0000000000ff"]"#,
            r#"["uuid","36bff9c6-0000-4000-8000-0000000000zz"]"#,
            r#"["uuid","36bff9c6-0000-4000-8000-0000000000ff",1]"#,
            r#"["named-uuid",1]"#,
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
