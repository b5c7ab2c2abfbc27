//! What cannot be granted, with its reason, and that each is granted by itself once its reason is gone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{
    Addressing, DefaultTarget, Instance, Net, NetBuilder, OvsdbServer, PROMPT, Protocol, eventually,
    json_map, json_set,
};
use serde_json::json;

use crate::scene::{OWNER, SOON, Scene, V4, ip, owned, row, state_of};

/// A network with one instance that wants `external`, which is no forward yet.
struct Site {
    net: Net,
    instance: Instance,
    external: IpAddr,
}

/// One reason not to grant, in a network of its own.
struct Case {
    expected: &'static str,
    build: fn(NetBuilder) -> NetBuilder,
    addressing: Addressing,
    spoil: fn(&OvsdbServer, &Site) -> Result<()>,
    mend: fn(&OvsdbServer, &Site) -> Result<()>,
}

impl Site {
    fn new(server: &OvsdbServer, id: u32, case: &Case) -> Result<Self> {
        let mut net = (case.build)(Net::builder(id)).create(server)?;
        let instance = net.add_instance(case.addressing.clone())?;
        Ok(Self { net, instance, external: ip(&format!("203.0.113.{}", 100 + id)) })
    }

    fn wants(&self, value: &str) -> Result<()> {
        self.net.annotate(&self.instance.port, V4, Some(value))
    }

    fn wants_external(&self) -> Result<()> {
        self.wants(&self.external.to_string())
    }

    /// The instance's address, also where it is not written yet.
    fn internal(&self) -> Result<IpAddr> {
        let subnet = self.net.subnet4().context("the networks of this table have IPv4")?;
        Ok(ip(&subnet.replace(".0/24", ".11")))
    }

    fn forwarded(&self) -> Result<()> {
        self.net.add_forward(self.external, 443, self.internal()?, 443)
    }

    /// Forwarded and wanted: granted, but for what comes on top.
    fn complete(&self) -> Result<()> {
        self.forwarded()?;
        self.wants_external()
    }

    fn has_address(&self) -> Result<()> {
        let text = format!("{} {}", self.instance.mac, self.internal()?);
        self.net.set_addresses(&self.instance.port, &[&text])
    }

    fn remove_foreign(&self) -> Result<()> {
        let base = self.net.subnet4().unwrap_or_default();
        let foreign = |nat: &&ovn_extaddr_tests::Nat| nat.external_ids.is_empty() && nat.logical_ip != base;
        for nat in self.net.nats()?.iter().filter(foreign) {
            self.net.remove_nat(&nat.uuid)?;
        }
        Ok(())
    }
}

fn usual(net: NetBuilder) -> NetBuilder {
    net.ipv4_only()
}

fn case(
    expected: &'static str,
    spoil: fn(&OvsdbServer, &Site) -> Result<()>,
    mend: fn(&OvsdbServer, &Site) -> Result<()>,
) -> Case {
    Case { expected, build: usual, addressing: Addressing::Static, spoil, mend }
}

fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("rejected not-a-forward", |_, site| site.wants_external(), |_, site| site.forwarded()),
        case(
            // A VIP inside the network is a service among instances.
            "rejected not-a-forward",
            |_, site| {
                let inside = ip(&site.internal()?.to_string().replace(".11", ".200"));
                site.net.add_forward(inside, 443, site.internal()?, 443)?;
                site.wants(&inside.to_string())
            },
            |_, site| site.complete(),
        ),
        case(
            // An identity row makes the router answer for an address, and forwards nothing.
            "rejected not-a-forward",
            |_, site| {
                site.net.add_nat("dnat_and_snat", site.external, &site.external.to_string())?;
                site.wants_external()
            },
            |_, site| site.forwarded(),
        ),
        case(
            // A base SNAT's address is none either.
            "rejected not-a-forward",
            |_, site| site.wants(&site.net.external_ipv4().context("it has one")?.to_string()),
            |_, site| site.complete(),
        ),
        case(
            "rejected invalid-address",
            |_, site| {
                site.forwarded()?;
                site.wants("203.0.113.0/24")
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected invalid-address",
            |_, site| {
                site.forwarded()?;
                site.wants("\u{0}\u{1f4a9} \"quoted\" \\ and so on".trim_start_matches('\u{0}'))
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected wrong-family",
            |_, site| {
                site.forwarded()?;
                site.wants("2001:db8::65")
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected no-router",
            |server, site| {
                site.complete()?;
                join(server, site, "delete")
            },
            |server, site| join(server, site, "insert"),
        ),
        case("rejected no-forward-for-auto", |_, site| site.wants("auto"), |_, site| site.forwarded()),
        case(
            "rejected no-forward-for-auto",
            |_, site| {
                site.forwarded()?;
                site.net.add_forward(site.external, 25, ip("192.0.2.99"), 25)?;
                site.wants("auto")
            },
            |_, site| {
                site.net.remove_forward(site.external)?;
                site.forwarded()
            },
        ),
        case(
            "rejected ambiguous-auto",
            |_, site| {
                site.forwarded()?;
                site.net.add_nat("dnat", ip("198.51.100.7"), &site.internal()?.to_string())?;
                site.wants("auto")
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "rejected default-target",
            |_, site| {
                site.complete()?;
                site.net.add_default_target(site.external, site.internal()?, DefaultTarget::Vip)
            },
            |_, site| {
                site.net.remove_forward(site.external)?;
                site.forwarded()
            },
        ),
        case(
            "conflict foreign-nat",
            |_, site| {
                site.complete()?;
                site.net.add_nat("snat", ip("198.51.100.7"), &site.internal()?.to_string()).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict foreign-nat",
            |_, site| {
                site.complete()?;
                site.net.add_nat("snat", ip("198.51.100.7"), &format!("{}/32", site.internal()?)).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict foreign-nat",
            |_, site| {
                site.complete()?;
                site.net.add_nat("dnat_and_snat", ip("198.51.100.7"), &site.internal()?.to_string()).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "foreign",
            |_, site| {
                site.complete()?;
                site.net.add_nat("snat", site.external, &site.internal()?.to_string()).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "foreign",
            |_, site| {
                site.net.add_nat("dnat_and_snat", site.external, &site.internal()?.to_string())?;
                site.wants_external()
            },
            |_, site| {
                site.forwarded()?;
                site.remove_foreign()
            },
        ),
        case(
            // Part of the network leaves by the address already, until a smaller part of it does not.
            "foreign",
            |_, site| {
                site.complete()?;
                let part = site.internal()?.to_string().replace(".11", ".0/25");
                site.net.add_nat("snat", site.external, &part).map(drop)
            },
            |_, site| {
                let part = site.internal()?.to_string().replace(".11", ".8/29");
                site.net.add_nat("snat", ip("198.51.100.7"), &part).map(drop)
            },
        ),
        case(
            "rejected ambiguous-router",
            |server, site| {
                // A second router on the instances' switch, which has the same address.
                let second = Net::builder(1000).ipv4_only().create(server)?;
                let target = (site.internal()?, 443).into();
                second.add_forwards(Protocol::Tcp, &[((site.external, 443).into(), target)])?;
                join_another(server, site, &second)?;
                site.complete()
            },
            |server, _| {
                let routers = json!([["name", "==", "incus-net1000-lr"]]);
                server
                    .transact(vec![json!({"op": "update", "table": "Logical_Router", "where": routers,
                        "row": {"load_balancer": json_set([])}})])
                    .map(drop)
            },
        ),
    ];
    cases.push(Case {
        build: |net| net.ipv4_only().without_gateway(),
        ..case(
            "rejected no-gateway",
            |_, site| site.complete(),
            |server, site| {
                let options = json_map([("chassis", "gateway-1")]);
                server
                    .transact(vec![json!({"op": "update", "table": "Logical_Router",
                        "where": [["name", "==", site.net.router()]], "row": {"options": options}})])
                    .map(drop)
            },
        )
    });
    for column in [
        vec![],
        vec!["unknown"],
        vec!["10:66:6a:00:00:01"],
        vec!["10:66:6a:00:00:01 dynamic"],
        vec!["nonsense"],
    ] {
        cases.push(Case {
            addressing: Addressing::Raw(column.into_iter().map(str::to_owned).collect()),
            ..case("waiting no-address", |_, site| site.complete(), |_, site| site.has_address())
        });
    }
    cases
}

#[test]
fn every_refusal_has_its_reason_and_ends_with_it() -> Result<()> {
    let scene = Scene::with_config(&format!("{PROMPT}default-target = \"reject\"\n"))?;
    let cases = cases();
    let mut sites = Vec::new();
    for (id, case) in (1..).zip(&cases) {
        let site = Site::new(&scene.server, id, case)?;
        (case.spoil)(&scene.server, &site).with_context(|| format!("case {id}, {}", case.expected))?;
        sites.push(site);
    }
    let states_become = |expected: BTreeMap<u32, &str>| {
        eventually(SOON, "all have their states", || {
            let list = scene.cli.list_json()?;
            let found: BTreeMap<u32, String> = (1..)
                .zip(&sites)
                .map(|(id, site)| {
                    let entry = list.iter().find(|entry| entry["port"] == site.instance.port.as_str());
                    (id, entry.map(state_of).unwrap_or_default())
                })
                .collect();
            let wrong: Vec<_> = found.iter().filter(|(id, state)| expected[id] != state.as_str()).collect();
            ensure!(wrong.is_empty(), "these are wrong: {wrong:?} of {expected:?}");
            Ok(true)
        })
    };
    states_become((1..).zip(&cases).map(|(id, case)| (id, case.expected)).collect())?;
    for entry in scene.cli.list_json()? {
        let message = entry["message"].as_str().unwrap_or_default();
        assert!(
            message.len() > 20 && !message.contains(['\n', '?']),
            "a sentence for an operator: {message}"
        );
    }
    let rows = owned(&scene.server, OWNER)?;
    assert!(rows.is_empty(), "{rows:#?}");

    for (id, (case, site)) in (1..).zip(cases.iter().zip(&sites)) {
        (case.mend)(&scene.server, site).with_context(|| format!("case {id}, {}", case.expected))?;
    }
    states_become((1..).zip(&cases).map(|(id, _)| (id, "active")).collect())?;
    let expected =
        sites.iter().map(|site| Ok(row(&site.net, &site.instance, site.external, site.internal()?)));
    crate::scene::wait_for_rows(&scene.server, OWNER, expected.collect::<Result<Vec<_>>>()?)?;

    // And the other way round, now that there are rows to remove.
    for (id, (case, site)) in (1..).zip(cases.iter().zip(&sites)) {
        if case.expected.starts_with("conflict") {
            (case.spoil)(&scene.server, site).with_context(|| format!("case {id} again"))?;
        }
    }
    let again = |case: &Case| if case.expected.starts_with("conflict") { case.expected } else { "active" };
    states_become((1..).zip(&cases).map(|(id, case)| (id, again(case))).collect())?;
    crate::scene::wait_until_settled(&scene.cli)
}

#[test]
fn only_instances_have_external_addresses() -> Result<()> {
    let scene = Scene::start()?;
    let net = Net::builder(1).create(&scene.server)?;
    net.add_forward(ip("203.0.113.101"), 443, ip("10.57.1.1"), 443)?;
    for port in [
        format!("{}-lsp-router", net.internal_switch()),
        format!("{}-lsp-router", net.external_switch()),
        format!("{}-lsp-provider", net.external_switch()),
    ] {
        net.annotate(&port, V4, Some("203.0.113.101"))?;
        scene.wait_for_state(&port, V4, "rejected not-an-instance")?;
        net.annotate(&port, V4, None)?;
        scene.wait_for_state(&port, V4, "-")?;
    }
    scene.wait_for_rows([])
}

/// Joins the instances' switch to its router, or parts them.
fn join(server: &OvsdbServer, site: &Site, mutator: &str) -> Result<()> {
    // A type that is no router's parts them; the port itself stays.
    let kind = if mutator == "insert" { "router" } else { "virtual" };
    server
        .transact(vec![json!({"op": "update", "table": "Logical_Switch_Port",
            "where": [["name", "==", format!("{}-lsp-router", site.net.internal_switch())]], "row": {"type": kind}})])
        .map(drop)
}

/// Gives another network's router a port on the instances' switch.
fn join_another(server: &OvsdbServer, site: &Site, other: &Net) -> Result<()> {
    server
        .transact(vec![
            json!({"op": "insert", "table": "Logical_Router_Port", "uuid-name": "lrp", "row": {
                "name": "second", "mac": "10:66:6a:ff:00:01", "networks": "172.16.99.1/24"}}),
            json!({"op": "mutate", "table": "Logical_Router", "where": [["name", "==", other.router()]],
                "mutations": [["ports", "insert", ["named-uuid", "lrp"]]]}),
            json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
                "name": "to-second", "type": "router", "options": json_map([("router-port", "second")])}}),
            json!({"op": "mutate", "table": "Logical_Switch",
                "where": [["name", "==", site.net.internal_switch()]],
                "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
        ])
        .map(drop)
}

#[test]
fn nobody_outside_gets_an_address_of_the_networks_there() -> Result<()> {
    let scene = Scene::start()?;
    let net = Net::builder(1).create(&scene.server)?;
    net.add_forward(ip("203.0.113.101"), 443, ip("203.0.113.200"), 443)?;
    scene.server.transact(vec![
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid-name": "lsp", "row": {
            "name": "outsider", "addresses": "10:66:6a:ff:00:02 203.0.113.200",
            "external_ids": json_map([(V4, "203.0.113.101")])}}),
        json!({"op": "mutate", "table": "Logical_Switch", "where": [["name", "==", net.external_switch()]],
            "mutations": [["ports", "insert", ["named-uuid", "lsp"]]]}),
    ])?;
    scene.wait_for_state("outsider", V4, "rejected no-router")?;
    scene.wait_for_rows([])
}

#[test]
fn an_allowed_address_is_refused_as_long_as_another_network_has_it() -> Result<()> {
    let allow = "allow = [{ router = \"*\", prefixes = [\"203.0.113.0/24\"] }]\n";
    let scene = Scene::with_config(&format!("{PROMPT}{allow}"))?;
    let mut net = Net::builder(1).ipv4_only().create(&scene.server)?;
    let instance = net.add_instance(Addressing::Static)?;
    let (external, internal) = (ip("203.0.113.101"), instance.v4()?);
    let other = Net::builder(2).ipv4_only().create(&scene.server)?;
    other.add_forward(external, 443, ip("10.57.2.11"), 443)?;
    net.annotate(&instance.port, V4, Some("203.0.113.101"))?;
    scene.wait_for_state(&instance.port, V4, "rejected not-permitted")?;
    scene.wait_for_rows([])?;
    other.remove_forward(external)?;
    scene.wait_for_state(&instance.port, V4, "active")?;
    scene.wait_for_rows([row(&net, &instance, external, internal)])?;
    other.add_nat("dnat_and_snat", external, "10.57.2.12")?;
    scene.wait_for_state(&instance.port, V4, "rejected not-permitted")?;
    scene.wait_for_rows([])
}
