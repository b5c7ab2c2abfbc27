//! Answers of the API: one object, or a list that is taken in element by element while it arrives.

use std::fmt;
use std::io::Read;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Deserializer as Json;

use super::instance::{Instance, InstanceJson};

/// The maximum number of instances of one CMS. No CMS has more.
const MAX_INSTANCES: usize = 200_000;

/// The maximum length of an error of the API in our messages.
const MAX_ERROR: usize = 300;

/// An answer with one object.
#[derive(Debug, serde::Deserialize)]
pub struct Answer<T> {
    /// The object; absent where the request was refused.
    #[serde(default = "Option::default")]
    pub metadata: Option<T>,
}

/// The users of a profile.
#[derive(Debug, serde::Deserialize)]
pub struct ProfileJson {
    /// The API addresses of instances, and of profiles that are not assigned.
    #[serde(default)]
    pub used_by: Option<Vec<String>>,
}

/// Reads a list of instances, and keeps those in projects that `is_wanted` accepts.
///
/// # Errors
/// It is not what the API sends, has too many instances, or reading fails.
pub fn instances(
    text: impl Read,
    native: bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Vec<Instance>, serde_json::Error> {
    let mut found = Vec::new();
    let mut is_list = false;
    let mut json = Json::from_reader(text);
    let take = |instance: InstanceJson| {
        let instance = instance.read(native);
        if is_wanted(&instance.name.project) {
            found.push(instance);
        }
        found.len() <= MAX_INSTANCES
    };
    AnswerSeed { take, is_list: &mut is_list }.deserialize(&mut json)?;
    json.end()?;
    if !is_list {
        return Err(serde::de::Error::custom("there is no list of instances in it"));
    }
    Ok(found)
}

/// Reads why a request was refused, in a line.
pub fn error_text(body: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    struct Refusal {
        error: String,
    }
    let text = match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error }) => error,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    text.escape_debug().take(MAX_ERROR).collect()
}

struct AnswerSeed<'a, F> {
    take: F,
    is_list: &'a mut bool,
}

impl<'de, F: FnMut(InstanceJson) -> bool> DeserializeSeed<'de> for AnswerSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, F: FnMut(InstanceJson) -> bool> Visitor<'de> for AnswerSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the API")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "metadata" {
                map.next_value_seed(ListSeed { take: &mut self.take, is_list: self.is_list })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct ListSeed<'a, F> {
    take: &'a mut F,
    is_list: &'a mut bool,
}

impl<'de, F: FnMut(InstanceJson) -> bool> DeserializeSeed<'de> for ListSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(InstanceJson) -> bool> Visitor<'de> for ListSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of instances")
    }

    /// Go writes an empty list as `null`.
    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        *self.is_list = true;
        while let Some(instance) = list.next_element()? {
            if !(self.take)(instance) {
                return Err(serde::de::Error::custom(format!(
                    "there are more than {MAX_INSTANCES} instances"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        let found = instances(text.as_bytes(), false, |project| project != "hidden");
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|instance| instance.name.to_string()).collect())
    }

    #[test]
    fn listing_is_parsed_and_filtered_by_project() {
        let text = r#"{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"",
            "metadata":[{"name":"a","project":"default"},{"name":"b","project":"hidden"},{"name":"c","config":{"x":"y"}}]}"#;
        assert_eq!(names(text), Ok(vec!["default:a".to_owned(), "default:c".to_owned()]));
        assert_eq!(names(r#"{"metadata":[]}"#), Ok(Vec::new()));
    }

    #[test]
    fn truncated_or_malformed_listing_is_an_error() {
        let text = r#"{"metadata":[{"name":"a"},{"name":"b"}],"type":"sync"}"#;
        for end in 0..text.len() {
            assert!(names(&text[..end]).is_err(), "{}", &text[..end]);
        }
        for text in [
            "{}",
            "[]",
            "null",
            "<html>",
            r#"{"metadata":null}"#,
            r#"{"metadata":{}}"#,
            r#"{"metadata":"a"}"#,
            r#"{"metadata":[1]}"#,
            r#"{"metadata":[]} x"#,
        ] {
            assert!(names(text).is_err(), "{text}");
        }
    }

    #[test]
    fn error_of_the_cms_is_reported_in_one_line() {
        let body =
            br#"{"type":"error","status":"","error_code":403,"error":"Forbidden\nindeed","metadata":null}"#;
        assert_eq!(error_text(body), "Forbidden\\nindeed");
        assert_eq!(error_text(b" <html>\xff "), "<html>\u{fffd}");
        assert_eq!(error_text("x".repeat(5000).as_bytes()).len(), MAX_ERROR);
    }
}
