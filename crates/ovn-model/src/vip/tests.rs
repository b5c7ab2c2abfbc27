use proptest::prelude::*;

use super::*;

#[test]
fn spellings_of_an_endpoint_are_parsed_to_its_canonical_form() {
    for (text, canonical) in [
        ("1.2.3.4:80", "1.2.3.4:80"),
        ("1.2.3.4:0080", "1.2.3.4:80"),
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:0", "1.2.3.4"),
        ("1.2.3.4:", "1.2.3.4"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("[2001:DB8:0::1]:80", "[2001:db8::1]:80"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1:80", "2001:db8::1:80"),
        ("[::ffff:1.2.3.4]:65535", "[::ffff:1.2.3.4]:65535"),
        // Brackets around anything, closed or not.
        ("[1.2.3.4]:80", "1.2.3.4:80"),
        ("[1.2.3.4]", "1.2.3.4"),
        ("[1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:[80]", "1.2.3.4:80"),
        ("1.2.3.4:[80", "1.2.3.4:80"),
        ("[1.2.3.4]:[80]", "1.2.3.4:80"),
        ("[1.2.3.4]:", "1.2.3.4"),
        ("1.2.3.4:[]", "1.2.3.4"),
        ("[1.2.3.4]:0", "1.2.3.4"),
        ("[2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:[80]", "[2001:db8::1]:80"),
        // Ports as strtoll(3) reads them.
        ("1.2.3.4:+80", "1.2.3.4:80"),
        ("1.2.3.4: 80", "1.2.3.4:80"),
        ("1.2.3.4:-0", "1.2.3.4"),
    ] {
        let endpoint = Endpoint::parse(text).unwrap();
        assert_eq!(endpoint.to_string(), canonical, "{text}");
        assert_eq!(Endpoint::parse_spelled(text.as_bytes()), Some((endpoint, text == canonical)), "{text}");
        assert_eq!(Endpoint::parse(canonical), Some(endpoint), "{text}");
    }
}

#[test]
fn malformed_endpoint_is_refused() {
    for text in [
        "",
        ":",
        ":80",
        "1.2.3.4:x",
        "1.2.3.4:65536",
        "1.2.3.4:-1",
        "1.2.3",
        "2001:db8::1]:80",
        "[2001:db8::1]80",
        "[]:80",
        "fe80::1%eth0",
        " 1.2.3.4",
        "host:80",
        "1.2.3.4:80:90",
        "1.2.3.4/32",
        "1.2.3.4]:80",
        "[1.2.3.4]80",
        "[[1.2.3.4]]:80",
        "1.2.3.4:80 ",
        "1.2.3.4:0x50",
        "1.2.3.4:+",
        "1.2.3.4:+-1",
        "[]",
        "[",
    ] {
        assert_eq!(Endpoint::parse(text), None, "{text}");
    }
}

#[test]
fn malformed_backend_leaves_the_other_backends_of_a_vip() {
    for (value, backends, doubtful) in [
        ("", "", false),
        (",", "", false),
        ("10.0.0.1:80", "10.0.0.1:80", false),
        ("10.0.0.1:80,10.0.0.2:80", "10.0.0.1:80,10.0.0.2:80", false),
        ("[fd42::1]:80,,[FD42::2]:80", "[fd42::1]:80,[fd42::2]:80", false),
        ("10.0.0.1", "10.0.0.1", false),
        ("10.0.0.1:80,what,10.0.0.3:80", "10.0.0.1:80,10.0.0.3:80", true),
        // Brackets around anything, and signs, are only valid in the VIP.
        ("[10.0.0.1]:80,10.0.0.2:80", "10.0.0.2:80", true),
        ("10.0.0.1:+80", "", true),
        // So are leading zeros, and nothing after the colon.
        ("10.0.0.1:080", "", true),
        ("10.0.0.1:,10.0.0.2:80", "10.0.0.2:80", true),
        ("[fd42::1]:,[fd42::2]:080", "", true),
        ("fd42::1", "fd42::1", false),
    ] {
        let vip = Vip::parse("192.0.2.1:443", value).unwrap();
        assert_eq!(
            (List(vip.backends()).to_string(), vip.is_doubtful()),
            (backends.to_owned(), doubtful),
            "{value}"
        );
        assert_eq!((&*vip.key(), &*vip.value()), ("192.0.2.1:443", value));
    }
    assert_eq!(Vip::parse("what", "10.0.0.1"), None);
}

proptest! {
    #[test]
    fn rendered_endpoint_is_parsed_to_itself(address: IpAddr, port: u16) {
        let endpoint = Endpoint { address, port: NonZeroU16::new(port) };
        prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Some(endpoint));
    }

    #[test]
    fn vip_texts_are_recovered(key in "[0-9.:\\[\\]a-f]{0,16}", port in 0..99u16, value in "[0-9.:,\\[\\]a-f]{0,24}") {
        for key in [key, format!("10.0.0.1:{port:03}"), format!("[FD42:0::1]:{port}")] {
            if let Some(vip) = Vip::parse(&key, &value) {
                prop_assert_eq!((&*vip.key(), &*vip.value()), (&*key, &*value));
                let canonical = vip.endpoint.to_string() == key && List(vip.backends()).to_string() == value;
                prop_assert_eq!(vip.original().is_none_or(|original| *original == OriginalPair::default()), canonical && !vip.is_doubtful());
            }
        }
    }
}

#[test]
fn field_case_16_vips_with_template_variables_are_no_problems() {
    use ovsdb_protocol::{Batch, Columns, Replica, RowChange, RowUpdate, Uuid, declared_schema};

    use crate::Store;

    for (pairs, is_wrong) in [
        (r#"[["^vip1:80","^backends"]]"#, false),
        (r#"[["^vip1:^port","10.57.0.11:80"],["203.0.113.10:80","^backend1:80,10.57.0.11:80"]]"#, false),
        (r#"[["vip1:80","10.57.0.11:80"]]"#, true),
        (r#"[["^vip1:80","^backends"],["203.0.113.10:80","what"]]"#, true),
    ] {
        let mut store = Store::new();
        store.declare(&declared_schema("OVN_Northbound", Store::tables(), |_, _| true)).unwrap();
        store.begin(Batch::Snapshot);
        let text = format!(r#"{{"vips":["map",{pairs}],"options":["map",[["template","true"]]]}}"#);
        let change = RowChange::Insert(Columns::new(&text));
        store.apply(RowUpdate { table: "Load_Balancer", uuid: Uuid::from_u128(1), change }).unwrap();
        store.commit();
        assert_eq!(store.problems().count() == 1, is_wrong, "{pairs}");
        let (_, row) = store.load_balancers().next().unwrap();
        assert!(row.is_template() && !row.vips.are_understood(), "nothing of it could be put back as it was");
    }
}
