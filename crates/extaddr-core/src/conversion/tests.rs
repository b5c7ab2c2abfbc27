//! What becomes of the VIPs of an address that `p1` wants, and what is restored.

mod deleted_row;
mod edits;
mod ends;

use serde_json::json;

use super::*;
use crate::ownership::Owner;
use crate::resolve::Dependency;
use crate::testing::{Edit, Live, NetworkBuilder, map, reference};
use crate::undo::{UNDO, Undo};

const A: &str = "203.0.113.10";
const TARGET: &str = "10.57.0.11";
const ROW: &str = "dnat 203.0.113.10 to 10.57.0.11";
const DELETE: &str = "delete dnat 203.0.113.10 to 10.57.0.11";

/// Edits after which an address cannot be converted, and one that is converted is restored.
const HARMFUL: [(&str, Edit); 5] = [
    ("there are several targets", |n| {
        n.put("Load_Balancer", "fw", json!({"vips": map(&[(A, "10.57.0.11,10.57.0.12")])}));
    }),
    ("balancers disagree", |n| n.balancer("fw2", &[(A, "10.57.0.12")], &["R"])),
    ("another one is on the router by a group", grouped),
    ("a foreign row forwards it to the same target", |n| n.nat("theirs", "R", "dnat", A, TARGET)),
    ("there are several gateway ports", |n| n.gateway_port("R", "R-ext2", &["198.51.100.2/24"])),
];

/// A network where `p1` wants an address that a VIP of `fw` forwards to it, among other VIPs.
fn forwarded(others: &[(&str, &str)]) -> NetworkBuilder {
    let mut network = NetworkBuilder::new();
    network.wants("p1", A);
    let vips: Vec<_> = [(A, TARGET)].into_iter().chain(others.iter().copied()).collect();
    network.balancer("fw", &vips, &["R"]);
    network
}

fn balancer_uuid(network: &NetworkBuilder, name: &str) -> String {
    let store = network.store();
    store.load_balancers().find(|(_, row)| &*row.name == name).map(|(_, row)| row.uuid.to_string()).unwrap()
}

/// Adds our row of an address with this record of what was removed.
fn convert(network: &mut NetworkBuilder, address: &str, target: &str, undo: &str) {
    let name = network.row_of_role(Role::DefaultTarget, "", address, &[(UNDO, undo)]);
    network.put("NAT", &name, json!({"type": "dnat", "external_ip": address, "logical_ip": target}));
}

/// The network of `forwarded`, converted by a detached balancer.
fn detached() -> NetworkBuilder {
    let mut network = forwarded(&[]);
    let undo = format!("attach {}", balancer_uuid(&network, "fw"));
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    convert(&mut network, A, TARGET, &undo);
    network
}

/// The network of `forwarded`, converted by a removed VIP of a balancer with another one.
fn removed() -> NetworkBuilder {
    let mut network = forwarded(&[]);
    network.put("Load_Balancer", "fw", json!({"vips": map(&[("203.0.113.11:80", TARGET)])}));
    let undo = format!("restore {} {A} {TARGET}", balancer_uuid(&network, "fw"));
    convert(&mut network, A, TARGET, &undo);
    network
}

/// The network of `forwarded` with a second balancer, as for another protocol.
fn two_balancers() -> NetworkBuilder {
    let mut network = forwarded(&[]);
    network.balancer("fw-udp", &[(A, TARGET)], &["R"]);
    network
}

/// The network of `two_balancers`, converted by detaching both.
fn two_detached() -> NetworkBuilder {
    let mut network = two_balancers();
    let [fw, udp] = ["fw", "fw-udp"].map(|name| format!("attach {}", balancer_uuid(&network, name)));
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    convert(&mut network, A, TARGET, &format!("{fw}; {udp}"));
    network
}

/// Puts another balancer with the address on the router, by a group.
fn grouped(network: &mut NetworkBuilder) {
    network.balancer("fw2", &[(A, TARGET)], &[]);
    let group = reference("Load_Balancer_Group", "g");
    network.put("Load_Balancer_Group", "g", json!({"load_balancer": reference("Load_Balancer", "fw2")}));
    network.put("Logical_Router", "R", json!({"load_balancer_group": group}));
}

/// Returns the name of our row for `A`.
fn own_row(network: &NetworkBuilder) -> String {
    let store = network.store();
    let (router, _) = store.routers().next().unwrap();
    let (_, row) = current(network.rules.network(&store), router, A.parse().unwrap()).unwrap();
    row.uuid.to_string()
}

/// Deletes our row.
fn delete_row(network: &mut NetworkBuilder) {
    network.delete("NAT", &own_row(network));
}

/// Returns what our row records once the changes are made, with names in the place of UUIDs.
fn recorded(network: &NetworkBuilder) -> String {
    let (store, engine) = network.decided();
    let changes: Vec<_> = engine.unsettled().iter().flat_map(|key| engine.changes(&store, key)).collect();
    let undo = changes.iter().find_map(|change| match &change.row()?.purpose {
        Purpose::DefaultTarget { undo } => Some(Undo::list_to_text(undo)),
        _ => None,
    });
    network.with_names(&undo.unwrap_or_default())
}

fn sorted<'a>(changes: &[&'a str]) -> Vec<&'a str> {
    let mut changes = changes.to_vec();
    changes.sort_unstable();
    changes
}

#[test]
fn vip_is_converted_to_a_row() {
    assert_eq!(forwarded(&[]).conversions(), ["detach fw", &format!("insert {ROW}")]);
    // The other VIPs of a balancer stay.
    let network = forwarded(&[("203.0.113.11:80", "10.57.0.11:80")]);
    assert_eq!(network.conversions(), [&format!("insert {ROW}"), "remove-vip fw 203.0.113.10"]);
    // So do forwarded ports of the address.
    let network = forwarded(&[("203.0.113.10:40000", "10.57.0.12:80")]);
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 ports 1024-39999 converted");
    assert_eq!(two_balancers().conversions(), ["detach fw", "detach fw-udp", &format!("insert {ROW}")]);
    // A detached balancer stays on other routers.
    let mut network = forwarded(&[]);
    network.router("R2");
    network.put("Logical_Router", "R2", json!({"load_balancer": reference("Load_Balancer", "fw")}));
    assert_eq!(network.conversions(), ["detach fw", &format!("insert {ROW}")]);
    // Nobody wants the address.
    let mut network = forwarded(&[]);
    network.wants("p1", "none");
    assert!(network.conversions().is_empty());
}

#[test]
fn vip_is_not_converted_where_that_would_do_harm() {
    let cases: [(&str, Edit); 8] = [
        ("another router needs the VIP", |n| {
            n.put(
                "Load_Balancer",
                "fw",
                json!({"vips": map(&[(A, TARGET), ("203.0.113.11:80", "10.57.0.11:80")])}),
            );
            n.router("R2");
            n.put("Logical_Router", "R2", json!({"load_balancer": reference("Load_Balancer", "fw")}));
        }),
        ("the balancer is in a group", |n| {
            n.put("Load_Balancer_Group", "g", json!({"load_balancer": reference("Load_Balancer", "fw")}));
            n.put(
                "Logical_Router",
                "R",
                json!({"load_balancer_group": reference("Load_Balancer_Group", "g")}),
            );
        }),
        ("the balancer is on the router by a group", |n| {
            n.put("Load_Balancer_Group", "g", json!({"load_balancer": reference("Load_Balancer", "fw")}));
            n.put("Logical_Router", "R", json!({"load_balancer_group": reference("Load_Balancer_Group", "g"), "load_balancer": ["set", []]}));
        }),
        ("a VIP of it is not understood", |n| {
            n.put("Load_Balancer", "fw", json!({"vips": map(&[(A, TARGET), ("web:80", "10.57.0.11:80")])}));
        }),
        ("backends have to be healthy", |n| {
            n.put(
                "Load_Balancer",
                "fw",
                json!({"health_check": reference("Load_Balancer_Health_Check", "check")}),
            );
        }),
        ("there is no backend", |n| n.put("Load_Balancer", "fw", json!({"vips": map(&[(A, "")])}))),
        ("a foreign row forwards the address", |n| n.nat("theirs", "R", "dnat_and_snat", A, "10.57.0.12")),
        ("the configuration forbids it", |n| n.rules.default_target = DefaultTargetRule::Reject),
    ];
    for (what, change) in cases.into_iter().chain(HARMFUL) {
        let mut network = forwarded(&[]);
        change(&mut network);
        assert_eq!(network.conversions(), Vec::<String>::new(), "{what}");
        assert_eq!(network.outcome("p1"), "rejected default-target", "{what}");
    }
    // A foreign row that only translates, or that OVN ignores, is not in the way.
    let harmless: [Edit; 2] = [
        |n| n.nat("theirs", "R", "snat", A, "10.57.0.12"),
        |n| n.nat("theirs", "R", "dnat", A, "fd42:57::c"),
    ];
    for change in harmless {
        let mut network = forwarded(&[]);
        change(&mut network);
        assert_eq!(network.conversions().len(), 2);
    }
}

#[test]
fn removed_vip_is_restored_once_the_row_is_unused() {
    for (mut network, restored) in [(detached(), "attach fw"), (removed(), "restore-vip fw 203.0.113.10")] {
        assert_eq!(network.conversions(), Vec::<String>::new(), "it is in use");
        assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
        network.wants("p1", "none");
        assert_eq!(network.conversions(), sorted(&[restored, DELETE]));
    }
}

#[test]
fn row_is_deleted_once_the_cms_deletes_its_vip() {
    for mut network in [detached(), removed()] {
        network.delete("Load_Balancer", "fw");
        assert_eq!(network.conversions(), [DELETE]);
        assert_eq!(network.outcome("p1"), "rejected not-a-forward");
    }
    // So does one whose balancer has lost the VIP while it was detached.
    let mut network = detached();
    network.put("Load_Balancer", "fw", json!({"vips": map(&[("203.0.113.11:80", TARGET)])}));
    assert_eq!(network.conversions(), ["attach fw", DELETE]);
    // OVN takes no VIP of a template for a forward.
    for (mut network, restored) in [(detached(), "attach fw"), (removed(), "restore-vip fw 203.0.113.10")] {
        network.put("Load_Balancer", "fw", json!({"options": map(&[("template", "true")])}));
        assert!(network.conversions().contains(&restored.to_owned()), "{:?}", network.conversions());
    }
    // A removed VIP counts as long as its balancer is on the router.
    let mut network = removed();
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    assert_eq!(network.conversions(), [DELETE, "restore-vip fw 203.0.113.10"]);
}

#[test]
fn vip_that_reappears_is_converted_again() {
    let mut network = detached();
    network.put("Logical_Router", "R", json!({"load_balancer": reference("Load_Balancer", "fw")}));
    assert_eq!(network.conversions(), ["detach fw"]);
    let mut network = removed();
    let vips = map(&[(A, TARGET), ("203.0.113.11:80", TARGET)]);
    network.put("Load_Balancer", "fw", json!({"vips": vips}));
    assert_eq!(network.conversions(), ["remove-vip fw 203.0.113.10"]);
    // With another target, which the row gets.
    let mut network = removed();
    let vips = map(&[(A, "10.57.0.12"), ("203.0.113.11:80", TARGET)]);
    network.put("Load_Balancer", "fw", json!({"vips": vips}));
    assert_eq!(
        network.conversions(),
        ["remove-vip fw 203.0.113.10", "update dnat 203.0.113.10 to 10.57.0.12"]
    );
    assert_eq!(recorded(&network), "restore <Load_Balancer fw> 203.0.113.10 10.57.0.12");
}

#[test]
fn detached_balancer_with_a_new_vip_is_attached_without_the_converted_one() {
    let mut network = detached();
    let vips = map(&[(A, TARGET), ("203.0.113.11:80", "10.57.0.11:80")]);
    network.put("Load_Balancer", "fw", json!({"vips": vips}));
    assert_eq!(network.conversions(), ["attach fw", "remove-vip fw 203.0.113.10", &format!("update {ROW}")]);
    // Where another router needs the VIP, it is restored.
    network.router("R2");
    network.put("Logical_Router", "R2", json!({"load_balancer": reference("Load_Balancer", "fw")}));
    assert_eq!(network.conversions(), ["attach fw", DELETE]);
}

#[test]
fn balancer_with_a_removed_vip_may_be_detached_for_another_address() {
    const B: &str = "203.0.113.11";
    let mut network = forwarded(&[(B, "10.57.0.12")]);
    network.instance("p2", "02:00:00:00:00:12 10.57.0.12");
    network.wants("p2", B);
    let fw = balancer_uuid(&network, "fw");
    network.put("Load_Balancer", "fw", json!({"vips": map(&[(B, "10.57.0.12")])}));
    network.put("Logical_Router", "R", json!({"load_balancer": ["set", []]}));
    convert(&mut network, A, TARGET, &format!("restore {fw} {A} {TARGET}"));
    convert(&mut network, B, "10.57.0.12", &format!("attach {fw}"));
    assert_eq!(network.conversions(), Vec::<String>::new());
    assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
    assert_eq!(network.outcome("p2"), "granted 203.0.113.11 for 10.57.0.12 converted");
    // Its VIP is restored although the balancer stays detached, and then the balancer is attached without the other one.
    network.wants("p1", "none");
    assert_eq!(network.conversions(), [DELETE, "restore-vip fw 203.0.113.10"]);
    delete_row(&mut network);
    network.put("Load_Balancer", "fw", json!({"vips": map(&[(A, TARGET), (B, "10.57.0.12")])}));
    assert_eq!(
        network.conversions(),
        ["attach fw", "remove-vip fw 203.0.113.11", "update dnat 203.0.113.11 to 10.57.0.12"]
    );
    assert_eq!(network.outcome("p2"), "granted 203.0.113.11 for 10.57.0.12 converted");
}

#[test]
fn vip_is_recorded_as_it_is_written() {
    let mut network = NetworkBuilder::new();
    network.wants("p1", "2001:db8::10");
    let vips = [("2001:DB8:0::10", "FD42:57:0::B"), ("[2001:db8::10]:53", "[fd42:57::b]:53")];
    network.balancer("fw", &vips, &["R"]);
    assert_eq!(
        network.conversions(),
        ["insert dnat 2001:db8::10 to fd42:57::b", "remove-vip fw 2001:DB8:0::10"]
    );
    assert_eq!(recorded(&network), "restore <Load_Balancer fw> 2001:DB8:0::10 FD42:57:0::B");
}

#[test]
fn auto_finds_an_address_before_and_after_its_conversion() {
    for mut network in [forwarded(&[]), detached()] {
        network.wants("p1", "auto");
        assert_eq!(network.outcome("p1"), "granted 203.0.113.10 for 10.57.0.11 converted");
        network.balancer("fw2", &[("203.0.113.11", TARGET)], &["R"]);
        assert_eq!(network.outcome("p1"), "rejected ambiguous-auto");
    }
}

#[test]
fn explain_shows_a_conversion() {
    let checks = detached().checks("p1");
    for start in
        ["forward: 203.0.113.10 leads to 10.57.0.11 (row ", "conversion: all ports of 203.0.113.10 lead to"]
    {
        assert!(checks.iter().any(|check| check.starts_with(start)), "{checks:?}");
    }
}

#[test]
fn conversion_of_another_owner_is_foreign() {
    let mut network = detached();
    network.own_row("p1", A, TARGET, None);
    network.rules.owner = "other".parse().unwrap();
    assert_eq!(network.outcome("p1"), "foreign");
    assert_eq!((network.conversions(), network.plan("p1")), (Vec::new(), Vec::new()));
}

#[test]
fn vip_whose_key_cannot_be_recorded_is_not_converted() {
    let mut network = forwarded(&[]);
    let vips = map(&[("203.0.113.10: 0", TARGET), ("203.0.113.11:80", "10.57.0.11:80")]);
    network.put("Load_Balancer", "fw", json!({"vips": vips}));
    assert_eq!(network.outcome("p1"), "rejected default-target");
    assert_eq!(network.conversions(), Vec::<String>::new());
}

#[test]
fn owner_with_the_lesser_name_keeps_its_conversion() {
    let mut network = detached();
    let undo = format!("attach {}", balancer_uuid(&network, "fw"));
    network.rules.owner = "second".parse().unwrap();
    convert(&mut network, A, TARGET, &undo);
    assert_eq!(network.conversions(), ["attach fw", DELETE]);
    network.rules.owner = Owner::default();
    assert_eq!(network.conversions(), Vec::<String>::new());
}

#[test]
fn conversion_keeps_an_address_announced() {
    let announcing = |enabled: &str, router: &str, port: Option<&str>, others: &[(&str, &str)]| {
        let mut network = forwarded(others);
        let options = [("dynamic-routing", enabled), ("dynamic-routing-redistribute", router)];
        network.put("Logical_Router", "R", json!({"options": map(&options)}));
        if let Some(modes) = port {
            let options = map(&[("dynamic-routing-redistribute", modes)]);
            network.put("Logical_Router_Port", "R-ext", json!({"options": options}));
        }
        network.outcome("p1")
    };
    let granted = "granted 203.0.113.10 for 10.57.0.11 converted";
    for (enabled, router, port, expected) in [
        ("true", "connected,lb", None, "rejected default-target"),
        ("true", "static", Some("lb"), "rejected default-target"),
        ("True", "lb", None, "rejected default-target"),
        ("true", "lb,nat", None, granted),
        ("true", "lb, nat", None, "rejected default-target"),
        ("true", "connected, lb", None, granted),
        ("true", "connected,static", None, granted),
        ("false", "lb", None, granted),
    ] {
        assert_eq!(announcing(enabled, router, port, &[]), expected, "{enabled} {router} {port:?}");
    }
    // Another VIP on the address keeps it announced.
    let others = [("203.0.113.10:80", "10.57.0.11:80")];
    assert!(announcing("true", "lb", None, &others).starts_with("granted"));
    // Not one that OVN ignores.
    let ignored = [("203.0.113.10:80", "10.57.0.11")];
    assert_eq!(announcing("true", "lb", None, &ignored), "rejected default-target");
}

/// Sets columns of our row.
fn change_row(network: &mut NetworkBuilder, columns: serde_json::Value) {
    network.put("NAT", &own_row(network), columns);
}

#[test]
fn changed_row_is_recognised_by_its_uuid() {
    // By its UUID, as rows of this kind are not searched for it. It forwards nothing, so that the VIP has to.
    let mut network = detached();
    change_row(&mut network, json!({"type": "snat"}));
    assert_eq!(network.conversions(), ["attach fw", DELETE]);
    network.wants("p1", "none");
    assert_eq!(network.conversions(), ["attach fw", DELETE]);
    let mut live = Live::new(detached());
    live.edit(|network| change_row(network, json!({"type": "snat"})));
    assert_eq!(live.conversions(), ["attach fw", DELETE]);
    // With another address it is for that one, which nobody wants. Both conversions restore the VIP: it is a set.
    let mut live = Live::new(detached());
    live.edit(|network| change_row(network, json!({"external_ip": "203.0.113.99"})));
    assert_eq!(live.conversions(), ["attach fw", "attach fw", "delete dnat 203.0.113.99 to 10.57.0.11"]);
}

#[test]
fn decision_depends_on_the_balancers_of_its_conversion() {
    for network in [forwarded(&[]), detached()] {
        let balancer = balancer_uuid(&network, "fw").parse().unwrap();
        assert!(network.watched("p1").contains(&Dependency::Balancer(balancer)));
    }
}

#[test]
fn removed_vip_stays_recorded_when_another_balancer_gets_one() {
    for (mut network, record) in [
        (detached(), "attach <Load_Balancer fw>; attach <Load_Balancer fw2>"),
        (removed(), "restore <Load_Balancer fw> 203.0.113.10 10.57.0.11; attach <Load_Balancer fw2>"),
    ] {
        network.balancer("fw2", &[(A, TARGET)], &["R"]);
        assert_eq!(recorded(&network), record);
    }
}

#[test]
fn row_of_a_conversion_belongs_to_no_port() {
    let mut live = Live::new(detached());
    live.edit(|network| change_row(network, json!({"match": "tcp"})));
    assert_eq!(live.plan(""), [""; 0], "the port without a name");
    // One that names a port is not ours as it is.
    let mut network = forwarded(&[]);
    let name = network.row_of_role(Role::DefaultTarget, "p1", A, &[]);
    network.put("NAT", &name, json!({"type": "dnat", "external_ip": A, "logical_ip": TARGET}));
    assert!(network.plan("p1").contains(&DELETE.to_owned()), "{:?}", network.plan("p1"));
}
