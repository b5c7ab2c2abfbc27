//! Situations in networks of other users: the cases of docs/field-cases.md that are marked `own`, each as commands of
//! ovn-nbctl, with a running agent.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use ovn_extaddr_tests::{Cli, Output, OvsdbServer, eventually};
use serde_json::Value;

use crate::fixture::{Fixture, SOON, state_of};

/// A router with a gateway port, a network, and two instances.
const BASE: &str = "
    lr-add R
    lrp-add R R-ext 02:00:00:00:01:01 203.0.113.2/24 2001:db8::2/64
    lrp-set-gateway-chassis R-ext gateway-1
    lrp-add R R-S 02:00:00:00:01:02 10.57.0.1/24 fd42:57::1/64
    ls-add S
    lsp-add S S-R
    lsp-set-type S-R router
    lsp-set-addresses S-R router
    lsp-set-options S-R router-port=R-S
    lsp-add S p1
    lsp-set-addresses p1 '02:00:00:00:00:11 10.57.0.11 fd42:57::b'
    lsp-add S p2
    lsp-set-addresses p2 '02:00:00:00:00:12 10.57.0.12 fd42:57::c'
    lr-nat-add R snat 203.0.113.2 10.57.0.0/24
";

/// A case.
struct Case {
    /// Commands, each of one transaction; `want PORT ADDRESS` sets an intent for an IPv4 address.
    commands: &'static str,
    /// Each intent as `PORT STATE REASON EXTERNAL RANGE GATEWAY_PORT`, without missing parts.
    decided: &'static [&'static str],
    /// Some of the findings of `doctor`.
    noted: &'static [&'static str],
}

impl Case {
    fn check(&self) -> Result<()> {
        let fixture = Fixture::start()?;
        for line in BASE.lines().chain(self.commands.lines()).map(str::trim).filter(|line| !line.is_empty()) {
            run(&fixture.server, line)?;
        }
        let mut decided: Vec<_> = self.decided.iter().map(|line| (*line).to_owned()).collect();
        decided.sort_unstable();
        eventually(SOON, &format!("all is decided: {decided:#?}"), || {
            let found = intents(&fixture.cli)?;
            ensure!(found == decided, "it is {found:#?}");
            Ok(true)
        })?;
        let plan = fixture.cli.run(&["plan", "--exit-code"])?;
        ensure!(plan.code() == Some(0), "more would change: {plan:?}");
        let found = fixture.cli.run(&["doctor", "--json"])?;
        let found: Vec<Value> = serde_json::from_str(&found.stdout).context("doctor --json")?;
        for code in self.noted {
            ensure!(found.iter().any(|finding| finding["check"] == *code), "no {code} in {found:#?}");
        }
        Ok(())
    }
}

fn intents(cli: &Cli) -> Result<Vec<String>> {
    let line = |entry: &Value| {
        let columns = ["external", "port_range", "gateway_port"].map(|column| entry[column].as_str());
        let columns = columns.into_iter().flatten().filter(|_| entry["reason"].is_null());
        let mut words = vec![entry["port"].as_str().unwrap_or_default().to_owned(), state_of(entry)];
        words.extend(columns.map(str::to_owned));
        words.join(" ")
    };
    let mut lines: Vec<_> = cli.list_json()?.iter().map(line).collect();
    lines.sort_unstable();
    Ok(lines)
}

/// Runs ovn-nbctl with the words of a line; quotes enclose words with blanks.
fn run(server: &OvsdbServer, line: &str) -> Result<()> {
    let mut command = Command::new("ovn-nbctl");
    command.arg(format!("--db={}", server.remote()));
    let asked = line.strip_prefix("want ").and_then(|rest| rest.split_once(' '));
    if let Some((port, address)) = asked {
        command.args(["set", "logical_switch_port", port]);
        command.arg(format!("external_ids:ipv4.address.external={address}"));
    } else {
        // Every second part is between quotes.
        for (index, part) in line.split('\'').enumerate() {
            if index % 2 == 1 {
                command.arg(part);
            } else {
                command.args(part.split_whitespace());
            }
        }
    }
    Output::capture(command)?.success().map(drop).with_context(|| line.to_owned())
}

/// A test for each case: its name, the situation, the decisions, and the findings of `doctor`.
macro_rules! cases {
    ($($(#[$doc:meta])+ $name:ident: $commands:literal => [$($decided:literal),*] $([$($noted:literal),+])?;)+) => {
        $($(#[$doc])+
        #[test]
        fn $name() -> Result<()> {
            Case { commands: $commands, decided: &[$($decided),*], noted: &[$($($noted),+)?] }.check()
        })+
    };
}

cases! {
    /// lxc/incus#3397: from 7.1 on, Incus writes a row for both directions where it finds a forward of the whole address.
    own_1_dnat_and_snat_row_of_the_cms_is_foreign: "
        lr-nat-add R dnat_and_snat 203.0.113.10 10.57.0.11
        want p1 203.0.113.10
    " => ["p1 foreign 203.0.113.10"];

    /// lxc/incus#3596: a default target is a VIP without a port for TCP and one for UDP, in two balancers.
    own_2_default_target_in_two_balancers_is_granted: "
        create load_balancer name=fw-tcp protocol=tcp vips:203.0.113.10=10.57.0.11
        create load_balancer name=fw-udp protocol=udp vips:203.0.113.10=10.57.0.11
        lr-lb-add R fw-tcp
        lr-lb-add R fw-udp
        want p1 203.0.113.10
    " => ["p1 active 203.0.113.10"];

    /// lxc/incus#3596: from 7.3 on it is a row, beside balancers for single ports, which may lead elsewhere.
    own_3_dnat_row_for_the_rest_of_an_address_is_granted: "
        lr-nat-add R dnat 203.0.113.10 10.57.0.11
        lb-add fw 203.0.113.10:8080 10.57.0.12:80
        lr-lb-add R fw
        want p1 203.0.113.10
        want p2 auto
    " => ["p1 active 203.0.113.10 8081-65535", "p2 rejected no-forward-for-auto"];

    /// lxc/incus#2928: a routed network without NAT, with an internal balancer.
    own_4_balancer_inside_a_routed_network_is_no_forward: "
        lr-nat-del R
        lb-add lb 10.57.0.50:80 10.57.0.11:80
        lr-lb-add R lb
        ls-lb-add S lb
        want p1 10.57.0.50
        want p2 auto
    " => ["p1 rejected not-a-forward", "p2 rejected no-forward-for-auto"];

    /// canonical/lxd#9765: the network's own SNAT has the address of a forward.
    own_5_network_snat_with_the_address_is_foreign: "
        lr-nat-del R
        lr-nat-add R snat 203.0.113.10 10.57.0.0/24
        lb-add fw 203.0.113.10:8080 10.57.0.11:80
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 foreign 203.0.113.10"] ["listening-source-port"];

    /// ovn-org/ovn#257: an instance that has an address both ways is the target of a forward of another one, too.
    own_6_instance_with_another_dnat_and_snat_row_is_a_conflict: "
        lr-nat-add R dnat_and_snat 203.0.113.22 10.57.0.11
        lb-add fw 203.0.113.10:22 10.57.0.11:22
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 conflict foreign-nat"];

    /// ovn-org/ovn#222, kubeovn/kube-ovn#3329: two outer networks, and forwards of addresses of both.
    own_7_forwards_of_two_outer_networks_are_granted_at_their_gateway_ports: "
        lrp-add R R-priv 02:00:00:00:01:03 192.0.2.2/24
        lrp-set-gateway-chassis R-priv gateway-1
        lb-add fw1 203.0.113.10:80 10.57.0.11:80
        lb-add fw2 192.0.2.10:80 10.57.0.12:80
        lr-lb-add R fw1
        lr-lb-add R fw2
        want p1 auto
        want p2 auto
    " => ["p1 active 203.0.113.10 1024-65535 R-ext", "p2 active 192.0.2.10 1024-65535 R-priv"];

    /// kubeovn/kube-ovn#6841: SNAT of one network by two gateway ports, with an address of each.
    own_8_address_is_granted_at_the_gateway_port_of_its_network: "
        lrp-add R R-priv 02:00:00:00:01:03 192.0.2.2/24
        lrp-set-gateway-chassis R-priv gateway-1
        --gateway-port=R-priv lr-nat-add R snat 192.0.2.2 10.57.0.0/24
        lb-add fw 192.0.2.10:80 10.57.0.11:80
        lr-lb-add R fw
        want p1 192.0.2.10
    " => ["p1 active 192.0.2.10 1024-65535 R-priv"];

    /// kubeovn/kube-ovn#2729: the CMS has SNAT for the instance with the address that it forwards a port of.
    own_9_snat_row_of_the_cms_for_the_instance_is_foreign: "
        lr-nat-add R snat 203.0.113.10 10.57.0.11/32
        lb-add fw 203.0.113.10:8888 10.57.0.11:80
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 foreign 203.0.113.10"];

    /// ovn-kubernetes/ovn-kubernetes#1794, #3371: SNAT for each pod on a router that is bound to a chassis, and a
    /// leftover row of an earlier owner of the pod's address.
    own_10_leftover_snat_row_for_the_instance_is_a_conflict: "
        lrp-del-gateway-chassis R-ext gateway-1
        set logical_router R options:chassis=gateway-1
        lr-nat-add R snat 203.0.113.2 10.57.0.11
        --id=@n create nat type=snat external_ip=203.0.113.99 logical_ip=10.57.0.11 logical_port=node -- add logical_router R nat @n
        lb-add fw 203.0.113.10:80 10.57.0.11:80
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 conflict foreign-nat"] ["rival-snat"];

    /// ovn-org/ovn#158: NAT on a router that has no gateway.
    own_11_router_without_a_gateway_is_a_refusal: "
        lrp-del-gateway-chassis R-ext gateway-1
        lb-add fw 203.0.113.10:80 10.57.0.11:80
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 rejected no-gateway"] ["nat-without-gateway"];

    /// ovn-org/ovn#274: a router with NAT behind another one with NAT, which forwards to the instance.
    own_12_forward_of_a_router_beyond_nat_is_no_forward: "
        lr-add R0
        lrp-add R0 R0-ext 02:00:00:00:02:01 198.51.100.2/24
        lrp-set-gateway-chassis R0-ext gateway-1
        lrp-add R0 R0-X 02:00:00:00:02:02 203.0.113.1/24
        ls-add X
        lsp-add X X-R -- lsp-set-type X-R router -- lsp-set-addresses X-R router -- lsp-set-options X-R router-port=R-ext
        lsp-add X X-R0 -- lsp-set-type X-R0 router -- lsp-set-addresses X-R0 router -- lsp-set-options X-R0 router-port=R0-X
        lr-nat-add R0 snat 198.51.100.2 0.0.0.0/0
        lb-add fw 198.51.100.10:80 10.57.0.11:80
        lr-lb-add R0 fw
        want p1 198.51.100.10
        want p2 auto
    " => ["p1 rejected not-a-forward", "p2 rejected no-forward-for-auto"];

    /// ovn-org/ovn#209: SNAT of overlapping networks with their own addresses, one of which is forwarded.
    own_13_snat_of_the_longest_prefix_decides_in_overlapping_networks: "
        lr-nat-add R snat 203.0.113.27 10.57.0.8/30
        lr-nat-add R snat 203.0.113.2 0.0.0.0/0
        lb-add fw 203.0.113.27:80 10.57.0.11:80,10.57.0.12:80
        lr-lb-add R fw
        want p1 203.0.113.27
        want p2 203.0.113.27
    " => ["p1 foreign 203.0.113.27", "p2 active 203.0.113.27 1024-65535"];

    /// lxc/incus#3244: two networks forward the same address.
    own_14_address_forwarded_by_two_networks_is_granted_on_each: "
        lr-add R2
        lrp-add R2 R2-ext 02:00:00:00:02:01 203.0.113.3/24
        lrp-set-gateway-chassis R2-ext gateway-1
        lrp-add R2 R2-S2 02:00:00:00:02:02 10.58.0.1/24
        ls-add S2
        lsp-add S2 S2-R2 -- lsp-set-type S2-R2 router -- lsp-set-options S2-R2 router-port=R2-S2
        lsp-add S2 q1 -- lsp-set-addresses q1 '02:00:00:00:00:21 10.58.0.11'
        lb-add fw1 203.0.113.10:80 10.57.0.11:80
        lb-add fw2 203.0.113.10:443 10.58.0.11:443
        lr-lb-add R fw1
        lr-lb-add R2 fw2
        want p1 auto
        want q1 auto
    " => ["p1 active 203.0.113.10 1024-65535", "q1 active 203.0.113.10 1024-65535"] ["forward-twice"];

    /// lxc/incus#3833: the instance's address is one that OVN allocated.
    own_15_allocated_address_is_a_target: "
        lsp-set-addresses p1 '02:00:00:00:00:11 dynamic'
        set logical_switch_port p1 'dynamic_addresses=\"02:00:00:00:00:11 10.57.0.31 fd42:57::1f\"'
        lb-add fw 203.0.113.10:80 10.57.0.31:80
        lr-lb-add R fw
        want p1 auto
    " => ["p1 active 203.0.113.10 1024-65535"];

    /// canonical/lxd#8031: an address that is routed to the instance, for which the router only answers ARP.
    own_16_address_routed_to_the_instance_is_no_forward: "
        lr-nat-add R dnat_and_snat 203.0.113.10 203.0.113.10 p1 02:00:00:00:00:11
        lr-route-add R 203.0.113.10/32 10.57.0.11
        want p1 203.0.113.10
        want p2 203.0.113.10
    " => ["p1 rejected not-a-forward", "p2 rejected not-a-forward"];

    /// Port forwarding in OpenStack, docs.openstack.org/neutron/latest/contributor/internals/ovn/port_forwarding.html: a
    /// balancer for each address and protocol, on the router and on the switches, whose ports lead to several instances.
    own_17_address_with_ports_of_several_instances_is_granted_to_each: "
        lb-add pf-tcp 203.0.113.10:2201 10.57.0.11:22 tcp
        lb-add pf-tcp 203.0.113.10:2202 10.57.0.12:22 tcp
        lb-add pf-udp 203.0.113.10:5353 10.57.0.12:53 udp
        lr-lb-add R pf-tcp
        lr-lb-add R pf-udp
        ls-lb-add S pf-tcp
        ls-lb-add S pf-udp
        want p1 203.0.113.10
        want p2 203.0.113.10
    " => ["p1 active 203.0.113.10 5354-65535", "p2 active 203.0.113.10 5354-65535"];

    /// Octavia's OVN provider, docs.openstack.org/ovn-octavia-provider/latest/admin/driver.html: an internal balancer,
    /// whose address has a floating IP that is a VIP of the balancer, too.
    own_18_vip_with_the_floating_ip_of_a_balancer_is_granted: "
        lsp-add S vip -- lsp-set-addresses vip '02:00:00:00:00:50 10.57.0.50' -- lsp-set-enabled vip disabled
        lb-add lb 10.57.0.50:80 10.57.0.11:8080
        lb-add lb 203.0.113.10:80 10.57.0.11:8080
        lr-lb-add R lb
        ls-lb-add S lb
        lr-nat-add R dnat_and_snat 203.0.113.10 10.57.0.50
        want p1 203.0.113.10
        want p2 10.57.0.50
    " => ["p1 active 203.0.113.10 1024-65535", "p2 rejected not-a-forward"];

    /// The same with distributed floating IPs: replies would arrive at the hypervisor of the port that represents the
    /// balancer.
    own_19_distributed_floating_ip_of_a_balancer_is_a_conflict: "
        lsp-add S vip -- lsp-set-addresses vip '02:00:00:00:00:50 10.57.0.50'
        lb-add lb 203.0.113.10:80 10.57.0.11:8080
        lr-lb-add R lb
        lr-nat-add R dnat_and_snat 203.0.113.10 10.57.0.50 vip 02:00:00:00:00:50
        want p1 203.0.113.10
    " => ["p1 conflict distributed-nat"];

    /// lxc/incus#2781: a forward to a port other than the one that is listened on; only the latter counts.
    own_20_port_range_avoids_the_listening_port_not_the_target_port: "
        lb-add fw 203.0.113.10:40000 10.57.0.11:50000
        lr-lb-add R fw
        want p1 203.0.113.10
    " => ["p1 active 203.0.113.10 1024-39999"];

    /// lxc/incus#1502: the same forward in two balancers.
    own_21_forward_in_two_balancers_is_granted: "
        lb-add one 203.0.113.10:80 10.57.0.11:80
        lb-add two 203.0.113.10:80 10.57.0.11:80
        lr-lb-add R one
        lr-lb-add R two
        want p1 auto
    " => ["p1 active 203.0.113.10 1024-65535"];

    /// canonical/lxd#9106: the network's own SNAT has an address that no port of the router is in, and so has the forward.
    own_22_forward_outside_the_networks_of_the_router_is_granted: "
        lr-nat-del R
        lr-nat-add R snat 198.51.100.7 10.57.0.0/24
        lb-add fw 198.51.100.10:80 10.57.0.11:80
        lr-lb-add R fw
        want p1 auto
        want p2 198.51.100.7
    " => ["p1 active 198.51.100.10 1024-65535", "p2 rejected not-a-forward"];

    /// ovn-kubernetes/ovn-kubernetes#2686: no SNAT for the network, on a router that is bound to a chassis.
    own_23_network_without_snat_is_granted: "
        lr-nat-del R
        lrp-del-gateway-chassis R-ext gateway-1
        set logical_router R options:chassis=gateway-1
        lb-add fw 203.0.113.10:80 10.57.0.11:80
        lr-lb-add R fw
        want p1 auto
    " => ["p1 active 203.0.113.10 1024-65535"];

    /// Load_Balancer.options:distributed of OVN 26.03, ovn-nb(5): each chassis forwards to its own backends, and
    /// replies to the address arrive at any chassis, unless the address is in a network of the gateway port.
    own_24_distributed_balancer_outside_the_gateway_network_is_a_conflict: "
        lb-add far 198.51.100.10:80 10.57.0.11:80
        lb-add near 203.0.113.10:80 10.57.0.12:80
        set load_balancer far options:distributed=true
        set load_balancer near options:distributed=true
        lr-lb-add R far
        lr-lb-add R near
        want p1 198.51.100.10
        want p2 203.0.113.10
    " => ["p1 conflict distributed-balancer", "p2 active 203.0.113.10 1024-65535"];

    /// rackerlabs/understack#2073 is about a balancer in a network of the router; here the network is behind a further
    /// router, and this router only has SNAT for it.
    own_25_balancer_in_a_network_behind_a_further_router_is_no_forward: "
        lr-add R1
        lrp-add R1 R1-S 02:00:00:00:02:01 10.57.0.2/24
        lrp-add R1 R1-T 02:00:00:00:02:02 10.58.0.1/24
        lsp-add S S-R1 -- lsp-set-type S-R1 router -- lsp-set-addresses S-R1 router -- lsp-set-options S-R1 router-port=R1-S
        lr-route-add R 10.58.0.0/24 10.57.0.2
        lr-nat-add R snat 203.0.113.2 10.58.0.0/24
        lb-add lb 10.58.0.50:80 10.57.0.11:80
        lr-lb-add R lb
        want p1 auto
        want p2 10.58.0.50
    " => ["p1 rejected no-forward-for-auto", "p2 rejected not-a-forward"];

    /// Logical_Router.options:dynamic-routing-redistribute, ovn-nb(5): the row of a conversion would not be announced, and
    /// the address not be reached any more.
    own_26_default_target_announced_only_as_a_vip_is_refused: "
        lb-add lb 203.0.113.10 10.57.0.11
        lr-lb-add R lb
        set logical_router R options:dynamic-routing=true options:dynamic-routing-redistribute=connected,lb
        want p1 203.0.113.10
    " => ["p1 rejected default-target"];
}
