//! The targets of forwards, and whether a VIP may be converted.

use serde_json::json;

use super::{GRANTED, forwarded, wanting};
use crate::testing::{Edit, NetworkBuilder, map, reference};

#[test]
fn field_case_18_external_ports_are_instances() {
    let mut network = forwarded();
    network.put("Logical_Switch_Port", "p1", json!({"type": "external"}));
    assert_eq!(network.outcome("p1"), GRANTED);
    network.wants("p1", "auto");
    assert_eq!(network.outcome("p1"), GRANTED);
    network.put("Logical_Switch_Port", "p1", json!({"type": "localnet"}));
    assert_eq!(network.outcome("p1"), "rejected not-an-instance");
}

const OPTIONS: [(&str, &str); 2] = [("virtual-ip", "10.57.0.100"), ("virtual-parents", "p1,p2")];

/// 10.57.0.100 moves between `p1` and `p2`, and is forwarded.
fn virtual_target(wanted: &str) -> NetworkBuilder {
    let mut network = wanting(wanted);
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.instance("p3", "02:00:00:00:00:13 10.57.0.13");
    network.switch_port("S", "vip", json!({"type": "virtual", "options": map(&OPTIONS)}));
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.100:80")], &["R"]);
    network
}

#[test]
fn field_case_18_forward_to_a_virtual_port_leads_to_its_parents() {
    let granted = |port: u8| format!("granted 203.0.113.10 for 10.57.0.{port} ports 1024-65535");
    for wanted in ["203.0.113.10", "auto"] {
        let mut network = virtual_target(wanted);
        network.rules.require_target = true;
        for port in ["p2", "p3"] {
            network.wants(port, wanted);
        }
        assert_eq!((network.outcome("p1"), network.outcome("p2")), (granted(11), granted(12)), "{wanted}");
        let refused = if wanted == "auto" { "rejected no-forward-for-auto" } else { "rejected not-a-target" };
        assert_eq!(network.outcome("p3"), refused, "no parent of it");
        // On another switch its parents cannot have the address.
        network.put("Logical_Switch", "S2", json!({"name": "S2"}));
        network.switch_port("S2", "vip2", json!({"type": "virtual", "options": map(&OPTIONS)}));
        network.delete("Logical_Switch_Port", "vip");
        assert_eq!(network.outcome("p1"), refused, "{wanted}");
    }
    let moves = "virtual: 10.57.0.100 may be this port's, too: what is forwarded there leads to it";
    assert!(virtual_target("auto").checks("p1").iter().any(|check| check == moves));
    // The parents have the intents.
    let mut network = virtual_target("203.0.113.10");
    network.wants("vip", "203.0.113.10");
    assert_eq!(network.outcome("vip"), "rejected not-an-instance");
    // A forward that also leads elsewhere is not for one of them alone.
    let mut network = virtual_target("auto");
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.100:80,10.57.0.13:80")], &["R"]);
    assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto");
    // Both their own address and the one that moves count.
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.100:80,10.57.0.11:80")], &["R"]);
    assert_eq!(network.outcome("p1"), granted(11));
}

#[test]
fn field_case_18_default_target_on_a_virtual_port_is_converted() {
    let mut network = virtual_target("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.100")], &["R"]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
}

/// A default target on a router that is bound to a chassis.
fn bound(router: &[(&str, &str)], balancer: &[(&str, &str)]) -> NetworkBuilder {
    let mut network = wanting("203.0.113.10");
    network.bind_to_chassis();
    let options: Vec<_> = router.iter().copied().chain([("chassis", "gateway-1")]).collect();
    network.put("Logical_Router", "R", json!({"options": map(&options)}));
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    network.put("Load_Balancer", "fw", json!({"options": map(balancer)}));
    network
}

#[test]
fn field_case_12_conversion_keeps_the_source_that_the_instance_sees() {
    let (lb, dnat) = ("lb_force_snat_ip", "dnat_force_snat_ip");
    for (router, balancer, is_converted) in [
        (&[][..], &[][..], true),
        (&[(lb, "router_ip")], &[], false),
        (&[(lb, "203.0.113.2")], &[], false),
        (&[(lb, "203.0.113.2"), (dnat, "203.0.113.2")], &[], true),
        (&[(lb, "203.0.113.2"), (dnat, "203.0.113.3")], &[], false),
        (&[(lb, "203.0.113.2 fd42:57::1"), (dnat, "203.0.113.2")], &[], true),
        (&[(lb, "router_ip"), (dnat, "203.0.113.2")], &[], false),
        (&[(dnat, "203.0.113.2")], &[], false),
        // Of the other family, or none at all.
        (&[(lb, "fd42:57::1")], &[], true),
        (&[(lb, "203.0.113.2 what")], &[], false),
        (&[(lb, "203.0.113.2,fd42:57::1")], &[], false),
        (&[(lb, "what 203.0.113.2")], &[], true),
        (&[(lb, "203.0.113.2/24")], &[], true),
        (&[(lb, "203.0.113.2 203.0.113.3")], &[], true),
        (&[(lb, "")], &[], true),
        (&[], &[("skip_snat", "true")], false),
        (&[(lb, "203.0.113.2")], &[("skip_snat", "true")], false),
        (&[], &[("skip_snat", "false")], true),
    ] {
        let network = bound(router, balancer);
        let outcome = match is_converted {
            true => "granted 203.0.113.10 for 10.57.0.11 converted",
            false => "rejected default-target",
        };
        assert_eq!(network.outcome("p1"), outcome, "{router:?} {balancer:?}");
        if !is_converted {
            assert!(network.sentence("p1").contains("the instance would see another source"));
        }
        // Single ports stay with their load balancer.
        let mut network = network.clone();
        network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
        assert_eq!(network.outcome("p1"), GRANTED, "{router:?} {balancer:?}");
    }
    // On a router that is not bound to a chassis none of it has an effect.
    let mut network = wanting("203.0.113.10");
    network.balancer("fw", &[("203.0.113.10", "10.57.0.11")], &["R"]);
    network.put("Load_Balancer", "fw", json!({"options": map(&[("skip_snat", "true")])}));
    network.put(
        "Logical_Router",
        "R",
        json!({"options": map(&[(lb, "203.0.113.2"), (dnat, "203.0.113.3")])}),
    );
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
}

#[test]
fn field_case_16_template_vips_are_neither_forwards_nor_problems() {
    let template = json!({"options": map(&[("template", "true")])});
    let mut network = wanting("203.0.113.10");
    for vips in [
        &[("^vip1:80", "^backends")][..],
        &[("^vip1", "10.57.0.11")],
        // A VIP without a variable might be a forward, but does not count as one.
        &[("203.0.113.10:80", "10.57.0.11:80")],
        &[("203.0.113.10", "10.57.0.11")],
        &[("203.0.113.10:80", "^backend1:80,10.57.0.11:80")],
    ] {
        network.balancer("nodeport", vips, &["R"]);
        network.put("Load_Balancer", "nodeport", template.clone());
        network.wants("p1", "203.0.113.10");
        assert_eq!(network.outcome("p1"), "rejected not-a-forward", "{vips:?}");
        assert_eq!(network.hazards(), ["template"], "{vips:?}");
        assert_eq!(network.store().problems().count(), 0, "{vips:?}");
        network.wants("p1", "auto");
        assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto", "{vips:?}");
    }
    network.wants("p1", "203.0.113.10");
    assert!(network.sentence("p1").contains("is of a template"), "{}", network.sentence("p1"));
    // Beside a forward it changes nothing.
    network.balancer("fw", &[("203.0.113.10:80", "10.57.0.11:80")], &["R"]);
    assert_eq!(network.outcome("p1"), GRANTED);
    // Variables in a balancer that is not a template are a mistake.
    let mut network = wanting("203.0.113.10");
    network.balancer("nodeport", &[("^vip1:80", "^backends")], &["R"]);
    assert_eq!(network.hazards(), ["vip-ignored"]);
}

#[test]
fn distributed_balancer_outside_the_gateway_network_is_a_conflict() {
    // The address, whether the balancer is distributed, whether the router is bound to a chassis, and the decision.
    for (address, distributed, bound, outcome) in [
        ("198.51.100.10", "true", false, "conflict distributed-balancer"),
        ("198.51.100.10", "TRUE", false, "conflict distributed-balancer"),
        ("198.51.100.10", "false", false, "granted 198.51.100.10 for 10.57.0.11 ports 1024-65535"),
        // The gateway port's chassis answers for its own network.
        ("203.0.113.10", "true", false, "granted 203.0.113.10 for 10.57.0.11 ports 1024-65535"),
        // There is only one chassis.
        ("198.51.100.10", "true", true, "granted 198.51.100.10 for 10.57.0.11 ports 1024-65535"),
    ] {
        let mut network = wanting(address);
        if bound {
            network.bind_to_chassis();
        }
        network.balancer("fw", &[(&format!("{address}:80"), "10.57.0.11:80")], &["R"]);
        network.put("Load_Balancer", "fw", json!({"options": map(&[("distributed", distributed)])}));
        assert_eq!(network.outcome("p1"), outcome, "{address}, distributed={distributed}, bound: {bound}");
    }
}

#[test]
fn field_case_16_port_range_avoids_ports_of_templates_and_ignored_vips() {
    for (template, range) in [("true", "1024-39999"), ("false", "1024-39999")] {
        let mut network = forwarded();
        network.balancer("other", &[("203.0.113.10:40000", "10.57.0.12:80")], &["R"]);
        network.put("Load_Balancer", "other", json!({"options": map(&[("template", template)])}));
        let granted = format!("granted 203.0.113.10 for 10.57.0.11 ports {range}");
        assert_eq!(network.outcome("p1"), granted, "template={template}");
    }
    // One for all ports would take all replies, and cannot be converted.
    let mut network = forwarded();
    network.balancer("other", &[("203.0.113.10", "10.57.0.12")], &["R"]);
    network.put("Load_Balancer", "other", json!({"options": map(&[("template", "true")])}));
    assert_eq!(network.outcome("p1"), "rejected default-target");
    // For a VIP with a gap ovn-controller refuses the forwarding flow, and not the one that takes replies.
    for (value, range) in [
        (",10.57.0.12:80", "1024-39999"),
        ("10.57.0.12:80,,", "1024-39999"),
        ("[10.57.0.12]:80", "1024-39999"),
        // northd ignores these completely.
        (",10.57.0.12", "1024-65535"),
        ("[10.57.0.12]", "1024-65535"),
        ("web:80", "1024-65535"),
        (",fd42:57::b:80", "1024-65535"),
    ] {
        let mut network = forwarded();
        network.balancer("other", &[("203.0.113.10:40000", value)], &["R"]);
        assert_eq!(
            network.outcome("p1"),
            format!("granted 203.0.113.10 for 10.57.0.11 ports {range}"),
            "{value}"
        );
        network.balancer("other", &[("203.0.113.10:40000", value)], &[]);
        network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
        assert_eq!(network.outcome("p1"), GRANTED, "{value} on no router");
    }
    // One on another address has nothing to do with it.
    let mut network = forwarded();
    network.balancer("other", &[("203.0.113.11:40000", "10.57.0.12:80")], &["R"]);
    network.put("Load_Balancer", "other", json!({"options": map(&[("template", "true")])}));
    assert_eq!(network.outcome("p1"), GRANTED);
}

#[test]
fn every_kind_of_forward_is_granted() {
    let plain = "granted 203.0.113.10 for 10.57.0.11";
    let kinds: [(&str, Edit, &str); 3] = [
        (
            "UDP",
            |n| {
                n.balancer("udp", &[("203.0.113.10:53", "10.57.0.11:53")], &["R"]);
                n.put("Load_Balancer", "udp", json!({"protocol": "udp"}));
            },
            GRANTED,
        ),
        ("elsewhere", |n| n.nat("dnat", "R", "dnat", "203.0.113.10", "10.57.0.200"), plain),
        (
            "two rows",
            |n| {
                n.nat("dnat", "R", "dnat", "203.0.113.10", "10.57.0.200");
                n.nat("again", "R", "dnat", "203.0.113.10", "10.57.0.201");
            },
            plain,
        ),
    ];
    for (kind, make, outcome) in kinds {
        let mut network = wanting("203.0.113.10");
        make(&mut network);
        assert_eq!(network.outcome("p1"), outcome, "{kind}");
    }
}

#[test]
fn auto_takes_the_address_whose_forwards_all_lead_to_the_port() {
    let mut network = wanting("auto");
    let vips = [("203.0.113.10:80", "10.57.0.11:80"), ("203.0.113.10:443", "10.57.0.11:443")];
    network.balancer("fw", &vips, &["R"]);
    assert_eq!(network.outcome("p1"), GRANTED);
    network.balancer("fw2", &[("203.0.113.10:25", "10.57.0.12:25")], &["R"]);
    assert_eq!(network.outcome("p1"), "rejected no-forward-for-auto");
    network.nat("dnat", "R", "dnat", "203.0.113.11", "10.57.0.11");
    assert_eq!(network.outcome("p1"), "granted 203.0.113.11 for 10.57.0.11");
}
