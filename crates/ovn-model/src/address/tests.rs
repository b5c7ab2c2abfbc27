use super::*;
use crate::tables::PortAddresses;

fn only(text: &str) -> (ElementKind, String, bool) {
    let packed = PortAddresses::new([text], None);
    let element = packed.addresses().iter().next().unwrap();
    assert_eq!(element.text(), text);
    let words = element.mac().map(|m| m.to_string()).into_iter();
    let words = words.chain(element.addresses().map(|a| a.to_string()));
    (element.kind(), words.collect::<Vec<_>>().join(" "), element.is_doubtful())
}

#[test]
fn address_elements_are_read_as_by_northd() {
    use ElementKind::*;
    for (text, kind, meaning, doubtful) in [
        ("unknown", Unknown, "", false),
        ("router", Router, "", false),
        ("dynamic", Dynamic, "", false),
        ("dynamic 10.0.0.2", Dynamic, "10.0.0.2", false),
        ("dynamic fd42::2", Dynamic, "fd42::2", false),
        ("dynamic 10.0.0.2 fd42::2", Dynamic, "10.0.0.2 fd42::2", false),
        ("0a:00:00:00:00:01 dynamic", Dynamic, "0a:00:00:00:00:01", false),
        ("0a:00:00:00:00:01", Static, "0a:00:00:00:00:01", false),
        ("0a:00:00:00:00:01 10.0.0.2", Static, "0a:00:00:00:00:01 10.0.0.2", false),
        ("0A:0:0:0:0:1  10.0.0.2/24 ", Static, "0a:00:00:00:00:01 10.0.0.2", false),
        ("0a:00:00:00:00:01 fd42::2 10.0.0.2", Static, "0a:00:00:00:00:01 10.0.0.2 fd42::2", false),
        (
            "0a:00:00:00:00:01 10.0.0.2 10.0.0.3 FD42:0::2 fd42::3",
            Static,
            "0a:00:00:00:00:01 10.0.0.2 10.0.0.3 fd42::2 fd42::3",
            false,
        ),
        ("0a:00:00:00:00:01 10.0.0.2 what 10.0.0.3", Static, "0a:00:00:00:00:01 10.0.0.2", true),
        ("0a:00:00:00:00:01 dynamic 10.0.0.2", Static, "0a:00:00:00:00:01", true),
        ("dynamic fd42::2 10.0.0.2", Unreadable, "", true),
        ("dynamic 10.0.0.2 10.0.0.3", Unreadable, "", true),
        ("dynamic what", Unreadable, "", true),
        ("0a:00:00:00:00 10.0.0.2", Unreadable, "", true),
        ("0a:00:00:00:00:01:02", Unreadable, "", true),
        ("0a:00:00:00:00:01:", Unreadable, "", true),
        ("0a:00:00:00::01", Unreadable, "", true),
        ("0a:00:00:00:000:01", Unreadable, "", true),
        ("0a:00:00:00:00:", Unreadable, "", true),
        (":0a:00:00:00:00:01", Unreadable, "", true),
        ("0a:00:00:00:00:+1", Unreadable, "", true),
        ("10.0.0.2", Unreadable, "", true),
        ("unknown x", Unreadable, "", true),
        ("", Unreadable, "", true),
    ] {
        assert_eq!(only(text), (kind, meaning.to_owned(), doubtful), "{text}");
    }
}

#[test]
fn malformed_element_leaves_the_other_addresses() {
    let texts = ["what", "0a:00:00:00:00:01 10.0.0.2", "unknown", "dynamic 10.0.0.9"];
    let packed = PortAddresses::new(texts, None);
    let set = packed.addresses();
    assert_eq!(set.assigned(Family::V4).collect::<Vec<_>>(), ["10.0.0.2".parse::<IpAddr>().unwrap()]);
    assert_eq!(set.assigned(Family::V6).count(), 0);
    assert_eq!(set.complaint().unwrap(), "not understood: \"what\"");
    assert_eq!(PortAddresses::new(["unknown"], None).addresses().complaint(), None);
}

#[test]
fn port_holds_hundreds_of_addresses() {
    let text = std::iter::once("0a:00:00:00:00:01".to_owned())
        .chain((0..300).map(|n| format!("10.0.{}.{}", n / 256, n % 256)));
    let packed = PortAddresses::new([&*text.collect::<Vec<_>>().join(" ")], None);
    let set = packed.addresses();
    assert_eq!(set.assigned(Family::V4).count(), 300);
    assert_eq!(set.complaint(), None);
}
