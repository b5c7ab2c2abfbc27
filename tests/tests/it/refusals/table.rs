//! Every kind of refusal, each in its own network, and how it ends.

use std::fs;

use anyhow::{Context, Result};
use ovn_extaddr_tests::{Addressing, DefaultTarget, Net, NetBuilder, Protocol, json_map, json_set, uuid_ref};
use serde_json::json;

use super::site::{Site, join, join_another, uuid_of};
use crate::fixture::{Fixture, V4, ip};

/// The policy file of a case.
pub(super) const POLICY: &str = "policy.toml";

/// One reason against a grant, in its own network.
#[derive(Clone)]
pub(super) struct Case {
    /// The state, and the reason if there is one.
    pub(super) state: &'static str,
    /// The cure in the sentence.
    pub(super) cure: &'static str,
    pub(super) build: fn(NetBuilder) -> NetBuilder,
    pub(super) addressing: Addressing,
    pub(super) spoil: fn(&Fixture, &Site) -> Result<()>,
    pub(super) mend: fn(&Fixture, &Site) -> Result<()>,
}

fn usual(net: NetBuilder) -> NetBuilder {
    net.ipv4_only()
}

/// A case that leads to a state such as `rejected no-gateway: give it a gateway`: the state, the reason, and a part of
/// the sentence with the cure.
fn case(
    expected: &'static str,
    spoil: fn(&Fixture, &Site) -> Result<()>,
    mend: fn(&Fixture, &Site) -> Result<()>,
) -> Case {
    let (state, cure) = expected.split_once(": ").unwrap_or((expected, ""));
    Case { state, cure, build: usual, addressing: Addressing::Static, spoil, mend }
}

impl Case {
    /// The code of its reason, if it has one.
    pub(super) fn reason(&self) -> Option<&'static str> {
        Some(self.state.split_once(' ')?.1)
    }
}

pub(super) fn usual_cases() -> Vec<Case> {
    let mut cases = vec![
        case(
            "rejected not-a-forward: create the forward there, or set ipv4.address.external to one of `ovn-extaddr forwards`",
            |_, site| site.wants_external(),
            |_, site| site.forwarded(),
        ),
        case(
            // A VIP inside the network is a service among instances.
            "rejected not-a-forward: create the forward there, or set ipv4.address.external to one of `ovn-extaddr forwards`",
            |_, site| {
                let inside = ip(&site.internal()?.to_string().replace(".11", ".200"));
                site.net.add_forward(inside, 443, site.internal()?, 443)?;
                site.wants(&inside.to_string())
            },
            |_, site| site.complete(),
        ),
        case(
            // An identity row makes the router answer for an address, and forwards nothing.
            "rejected not-a-forward: create the forward there, or set ipv4.address.external to one of `ovn-extaddr forwards`",
            |_, site| {
                site.net.add_nat("dnat_and_snat", site.external, &site.external.to_string())?;
                site.wants_external()
            },
            |_, site| site.forwarded(),
        ),
        case(
            // The address of a base SNAT is not a forward either.
            "rejected not-a-forward: create the forward there, or set ipv4.address.external to one of `ovn-extaddr forwards`",
            |_, site| site.wants(&site.net.external_ipv4().context("it has one")?.to_string()),
            |_, site| site.complete(),
        ),
        case(
            "rejected invalid-address: set ipv4.address.external to an address, auto or none",
            |_, site| {
                site.forwarded()?;
                site.wants("203.0.113.0/24")
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected invalid-address: set ipv4.address.external to an address, auto or none",
            |_, site| {
                site.forwarded()?;
                site.wants("\u{0}\u{1f4a9} \"quoted\" \\ and so on".trim_start_matches('\u{0}'))
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected wrong-family: set ipv6.address.external instead",
            |_, site| {
                site.forwarded()?;
                site.wants("2001:db8::65")
            },
            |_, site| site.wants_external(),
        ),
        case(
            "rejected no-router: join the one that has the forward",
            |fixture, site| {
                site.complete()?;
                join(&fixture.server, site, "delete")
            },
            |fixture, site| join(&fixture.server, site, "insert"),
        ),
        case(
            "rejected no-forward-for-auto: create one, or name an address",
            |_, site| site.wants("auto"),
            |_, site| site.forwarded(),
        ),
        case(
            "rejected no-forward-for-auto: create one, or name an address",
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
            "rejected ambiguous-auto: set ipv4.address.external to one of them",
            |_, site| {
                site.forwarded()?;
                site.net.add_nat("dnat", ip("198.51.100.7"), &site.internal()?.to_string())?;
                site.wants("auto")
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "rejected default-target: forward single ports, or use a dnat row",
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
            "conflict foreign-nat: remove it, or unset ipv4.address.external",
            |_, site| {
                site.complete()?;
                site.net.add_nat("snat", ip("198.51.100.7"), &site.internal()?.to_string()).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict foreign-nat: remove it, or unset ipv4.address.external",
            |_, site| {
                site.complete()?;
                site.net.add_nat("snat", ip("198.51.100.7"), &format!("{}/32", site.internal()?)).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict foreign-nat: remove it, or unset ipv4.address.external",
            |_, site| {
                site.complete()?;
                site.net.add_nat("dnat_and_snat", ip("198.51.100.7"), &site.internal()?.to_string()).map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict stateless-nat: remove the row or its options:stateless",
            |fixture, site| {
                site.complete()?;
                let neighbour = site.internal()?.to_string().replace(".11", ".99");
                let uuid = site.net.add_nat("dnat_and_snat", site.external, &neighbour)?;
                let named = json!([["_uuid", "==", uuid_ref(&uuid)]]);
                let row = json!({"options": json_map([("stateless", "true")])});
                fixture
                    .server
                    .transact(vec![json!({"op": "update", "table": "NAT", "where": named, "row": row})])
                    .map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        case(
            "conflict distributed-nat: remove these two of the row",
            |fixture, site| {
                site.complete()?;
                let neighbour = site.internal()?.to_string().replace(".11", ".99");
                let uuid = site.net.add_nat("dnat_and_snat", site.external, &neighbour)?;
                let named = json!([["_uuid", "==", uuid_ref(&uuid)]]);
                let row = json!({"external_mac": "10:66:6a:ff:00:99", "logical_port": "neighbour"});
                fixture
                    .server
                    .transact(vec![json!({"op": "update", "table": "NAT", "where": named, "row": row})])
                    .map(drop)
            },
            |_, site| site.remove_foreign(),
        ),
        Case {
            // The chassis of a gateway port answers for the addresses of its own network.
            build: |net| net.ipv4_only().uplinks(&["198.51.100.2/24"]),
            ..case(
                "conflict distributed-balancer: forward an address of a gateway port's network, take that option off",
                |fixture, site| {
                    site.complete()?;
                    site.distributes(&fixture.server, true)
                },
                |fixture, site| site.distributes(&fixture.server, false),
            )
        },
        Case {
            build: |net| net.ipv4_only(),
            ..case(
                "conflict stateless-balancer: take that option off",
                |fixture, site| {
                    site.has_second_gateway(&fixture.server)?;
                    site.complete()?;
                    site.set_balancer_option(&fixture.server, Some("use_stateless_nat"))
                },
                |fixture, site| site.set_balancer_option(&fixture.server, None),
            )
        },
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
            // A part of the network leaves with the address already, until a smaller part of it does not.
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
            "rejected ambiguous-router: remove it from one",
            |fixture, site| {
                // A second router on the instances' switch, which has the same address.
                let second = Net::builder(1000).ipv4_only().create(&fixture.server)?;
                let target = (site.internal()?, 443).into();
                second.add_forwards(Protocol::Tcp, &[((site.external, 443).into(), target)])?;
                join_another(&fixture.server, site, &second)?;
                site.complete()
            },
            |fixture, _| {
                let routers = json!([["name", "==", "incus-net1000-lr"]]);
                fixture
                    .server
                    .transact(vec![json!({"op": "update", "table": "Logical_Router", "where": routers,
                        "row": {"load_balancer": json_set([])}})])
                    .map(drop)
            },
        ),
    ];
    cases.push(case(
        "rejected router-disabled: enable it",
        |fixture, site| {
            site.complete()?;
            site.set(&fixture.server, "Logical_Router", &site.net.router(), json!({"enabled": false}))
        },
        |fixture, site| {
            site.set(&fixture.server, "Logical_Router", &site.net.router(), json!({"enabled": true}))
        },
    ));
    cases.push(Case {
        build: |net| net.ipv4_only().without_gateway(),
        ..case(
            "rejected no-gateway: give it a gateway",
            |_, site| site.complete(),
            |fixture, site| {
                let options = json_map([("chassis", "gateway-1")]);
                site.set(&fixture.server, "Logical_Router", &site.net.router(), json!({"options": options}))
            },
        )
    });
    cases.push(Case {
        build: |net| net.ipv4_only().without_snat().uplinks(&["198.51.100.1/24"]),
        ..case(
            "rejected no-gateway-port: give one of them a network that holds it",
            |_, site| {
                site.net.add_second_gateway(&["192.0.2.2/24"])?;
                site.complete()
            },
            |fixture, site| {
                let port = uuid_of(&fixture.server, "Logical_Router_Port", &site.net.gateway_port())?;
                let subnet = site.net.subnet4().context("it has IPv4")?;
                let uuid = site.net.add_nat("snat", ip("198.51.100.1"), &subnet)?;
                let base = json!([["_uuid", "==", uuid_ref(&uuid)]]);
                let row = json!({"gateway_port": uuid_ref(&port)});
                fixture
                    .server
                    .transact(vec![json!({"op": "update", "table": "NAT", "where": base, "row": row})])
                    .map(drop)
            },
        )
    });
    cases.push(case(
        "rejected no-source-ports: forward fewer ports, or lower min-source-ports",
        |_, site| {
            site.net.add_forward(site.external, 30000, site.internal()?, 443)?;
            site.wants_external()
        },
        |_, site| {
            site.net.remove_forward(site.external)?;
            site.forwarded()
        },
    ));
    for column in [
        vec![],
        vec!["unknown"],
        vec!["10:66:6a:00:00:01"],
        vec!["10:66:6a:00:00:01 dynamic"],
        vec!["nonsense"],
    ] {
        cases.push(Case {
            addressing: Addressing::Raw(column.into_iter().map(str::to_owned).collect()),
            ..case(
                "waiting no-address: give it one, or see whether ovn-northd runs",
                |_, site| site.complete(),
                |_, site| site.has_address(),
            )
        });
    }
    cases.extend(port_cases());
    cases
}

/// Problems of the port itself, or of the source.
fn port_cases() -> Vec<Case> {
    vec![
        case(
            "rejected port-disabled: enable it (`ovn-nbctl lsp-set-enabled`",
            |fixture, site| {
                site.complete()?;
                let uplink = format!("{}-lsp-router", site.net.internal_switch());
                site.set(&fixture.server, "Logical_Switch_Port", &uplink, json!({"enabled": false}))
            },
            |fixture, site| {
                let uplink = format!("{}-lsp-router", site.net.internal_switch());
                site.set(&fixture.server, "Logical_Switch_Port", &uplink, json!({"enabled": true}))
            },
        ),
        case(
            "rejected not-an-instance: remove ipv4.address.external from this one",
            |fixture, site| {
                site.complete()?;
                let row = json!({"type": "localport"});
                site.set(&fixture.server, "Logical_Switch_Port", &site.instance.port, row)
            },
            |fixture, site| {
                site.set(&fixture.server, "Logical_Switch_Port", &site.instance.port, json!({"type": ""}))
            },
        ),
        case(
            "waiting no-switch: add it to one",
            |fixture, site| {
                site.complete()?;
                site.attach(&fixture.server, "delete")
            },
            |fixture, site| site.attach(&fixture.server, "insert"),
        ),
        case(
            "waiting no-port: create it, or correct the policy",
            |fixture, site| {
                site.forwarded()?;
                site.net.remove_instance(&site.instance.port)?;
                // Where ports need no switch, they are not deleted with it.
                let named = json!([["name", "==", site.instance.port]]);
                let delete = json!({"op": "delete", "table": "Logical_Switch_Port", "where": named});
                fixture.server.transact(vec![delete])?;
                let rule =
                    format!("[[rule]]\nport = \"{}\"\nipv4 = \"{}\"\n", site.instance.port, site.external);
                Ok(fs::write(fixture.cli.dir().join(POLICY), rule)?)
            },
            |fixture, site| site.add_port(&fixture.server, &site.instance.port, json_map::<&str, &str>([])),
        ),
        case(
            "rejected not-a-target: add a forward to it, or turn require-target off",
            |_, site| {
                site.net.add_forward(site.external, 443, ip("192.0.2.99"), 443)?;
                site.wants_external()
            },
            |_, site| site.net.add_forward(site.external, 8443, site.internal()?, 443),
        ),
        case(
            // Of two ports with one address neither gets it.
            "conflict duplicate-address: give one of them another",
            |fixture, site| {
                site.complete()?;
                let wanted = json_map([(V4, site.external.to_string())]);
                site.add_port(&fixture.server, &site.rival(), wanted)
            },
            |fixture, site| {
                let named = json!([["name", "==", site.rival()]]);
                site.net.remove_instance(&site.rival())?;
                let delete = json!({"op": "delete", "table": "Logical_Switch_Port", "where": named});
                fixture.server.transact(vec![delete]).map(drop)
            },
        ),
        case(
            "pending refused: will be asked again",
            |fixture, site| site.occupy_row(fixture),
            |_, site| site.remove_foreign(),
        ),
    ]
}

/// Refusals that occur only where addresses without a forward are allowed on some routers.
pub(super) fn allowed_cases() -> Vec<Case> {
    vec![case(
        "rejected not-permitted: create the forward, or add its prefix to allow in the configuration",
        |_, site| site.wants_external(),
        |_, site| site.forwarded(),
    )]
}
