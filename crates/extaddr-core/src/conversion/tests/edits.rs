//! Edits that the CMS makes of the balancers of a converted address.

use super::*;

/// Creates the balancer again, with these VIPs.
fn recreate(network: &mut NetworkBuilder, vips: &[(&str, &str)]) {
    network.delete("Load_Balancer", "fw");
    network.balancer("fw2", vips, &["R"]);
}

#[test]
fn edits_of_the_cms_are_followed_and_recorded() {
    /// What is done, the changes, what the row records then, and the decision on `p1`.
    type Case = (&'static str, Edit, &'static [&'static str], &'static str, &'static str);
    const CONVERTED: &str = "granted 203.0.113.10 for 10.57.0.11 converted";
    let cases: [Case; 5] = [
        (
            "created again",
            |n| recreate(n, &[(A, TARGET)]),
            &["detach fw2", "update dnat 203.0.113.10 to 10.57.0.11"],
            "attach <Load_Balancer fw2>",
            CONVERTED,
        ),
        (
            "created again with another target",
            |n| recreate(n, &[(A, "10.57.0.12")]),
            &["detach fw2", "update dnat 203.0.113.10 to 10.57.0.12"],
            "attach <Load_Balancer fw2>",
            CONVERTED,
        ),
        (
            "created again with a forwarded port",
            |n| recreate(n, &[(A, TARGET), ("203.0.113.10:443", "10.57.0.11:443")]),
            &["remove-vip fw2 203.0.113.10", "update dnat 203.0.113.10 to 10.57.0.11"],
            "restore <Load_Balancer fw2> 203.0.113.10 10.57.0.11",
            "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535 converted",
        ),
        (
            "created again without the default target",
            |n| recreate(n, &[("203.0.113.10:443", "10.57.0.11:443")]),
            &["delete dnat 203.0.113.10 to 10.57.0.11"],
            "",
            "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535",
        ),
        (
            "replaced by a NAT row",
            |n| {
                n.delete("Load_Balancer", "fw");
                n.nat("theirs", "R", "dnat", A, TARGET);
            },
            &["delete dnat 203.0.113.10 to 10.57.0.11"],
            "",
            "granted 203.0.113.10 for 10.57.0.11",
        ),
    ];
    for (what, edit, changes, record, outcome) in cases {
        for mut network in [detached(), removed()] {
            edit(&mut network);
            assert_eq!(network.conversions(), changes, "{what}");
            assert_eq!(recorded(&network), record, "{what}");
            assert_eq!(network.outcome("p1"), outcome, "{what}");
        }
    }
    // A new target in place, of a balancer that is detached.
    let mut network = detached();
    network.put("Load_Balancer", "fw", json!({"vips": map(&[(A, "10.57.0.12")])}));
    assert_eq!(network.conversions(), ["update dnat 203.0.113.10 to 10.57.0.12"]);
    assert_eq!(recorded(&network), "attach <Load_Balancer fw>");
}

#[test]
fn one_of_two_balancers_is_created_again() {
    let mut network = two_detached();
    assert_eq!(network.conversions(), [""; 0]);
    network.delete("Load_Balancer", "fw-udp");
    network.balancer("fw-udp2", &[(A, TARGET)], &["R"]);
    assert_eq!(network.conversions(), ["detach fw-udp2", &format!("update {ROW}")]);
}

#[test]
fn vip_is_restored_in_a_balancer_that_the_cms_detaches() {
    let mut network = removed();
    network.balancer("fw-udp", &[(A, TARGET)], &[]);
    let [fw, udp] = ["fw", "fw-udp"].map(|name| balancer_uuid(&network, name));
    convert(&mut network, A, TARGET, &format!("restore {fw} {A} {TARGET}; attach {udp}"));
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    assert_eq!(network.conversions(), ["restore-vip fw 203.0.113.10", &format!("update {ROW}")]);
    assert_eq!(recorded(&network), "attach <Load_Balancer fw-udp>");
}
