# What only Neutron has, and what its own tools do to rows and keys that are not Neutron's. Sourced by run.sh, as
# scenarios.sh.

edit_router() { edit routers router router1 "$1"; }
edit_port() { edit ports port "$@"; }

# Neutron says no to a command.
declines() { if "$@" >/dev/null 2>&1; then fail "Neutron does not decline: $*"; fi; }

# The agent's keys that a row has: TABLE RECORD
keys() { ovn-nbctl get "$1" "$2" external_ids | grep -oE '(ovn-extaddr:)?(ipv4\.)?address\.external[^=]*' || true; }
has_key() { [[ -n $(keys "$@") ]]; }

# A floating IP for an instance alone. ADDRESS NAME
attach() { call PUT "floatingips/$(floating_ip "$1")" '{"floatingip": {"port_id": "'"$(id ports "$2")"'"}}' >/dev/null; }
detach() { call PUT "floatingips/$(floating_ip "$1")" '{"floatingip": {"port_id": null}}' >/dev/null; }

# ----- floating IPs -----

scenario_floating_ip() {
    # One without ports works both ways already.
    forward 203.0.113.20
    attach 203.0.113.20 c1
    expect c1 203.0.113.20
    expect_inside 203.0.113.20 c1
    ask c1 203.0.113.20
    within 10 state_is c1 foreign
    no_rows
    # Another address would be taken from it.
    detach 203.0.113.20
    expect c1 "$network"
    within 10 state_is c1 rejected
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    # Neutron gives one to the target of a forwarding, too.
    attach 203.0.113.20 c1
    expect c1 203.0.113.20
    within 10 state_is c1 conflict
    detach 203.0.113.20
    expect c1 203.0.113.10
}

scenario_floating_ip_of_another_instance() {
    # Nothing is forwarded to c2, which leaves with the address of c1's forward.
    ask c2 203.0.113.10
    expect c2 203.0.113.10
    forward 203.0.113.20
    attach 203.0.113.20 c2
    expect c2 203.0.113.20
    expect_inside 203.0.113.20 c2
    within 10 state_is c2 conflict
    detach 203.0.113.20
    expect c2 203.0.113.10
}

scenario_forwarding_changed() {
    # The one forwarding of the address goes to another instance, and to another port.
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    local forwarding ip
    ip=$(floating_ip 203.0.113.10)
    forwarding=$(ids "floatingips/$ip/port_forwardings")
    call PUT "floatingips/$ip/port_forwardings/$forwarding" '{"port_forwarding": {"internal_ip_address": "'"$(address c2)"'",
        "internal_port_id": "'"$(id ports c2)"'"}}' >/dev/null
    expect_inside 203.0.113.10 c2
    expect c1 203.0.113.10
    call PUT "floatingips/$ip/port_forwardings/$forwarding" '{"port_forwarding": {"external_port": 8080}}' >/dev/null
    expect c1 203.0.113.10
}

# ----- routers -----

scenario_router_edited() {
    watched edit_router '{"description": "without an override"}'
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    watched edit_router '{"description": "with an override"}'
    expect c1 203.0.113.10
    watched edit_router '{"name": "router1", "routes": [{"destination": "192.0.2.0/24", "nexthop": "10.57.0.9"}]}'
    watched edit_router '{"routes": []}'
    expect c1 203.0.113.10
}

scenario_router_edited_often() {
    # More often than rows are restored at once.
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    local edit
    for edit in {1..14}; do edit_router '{"description": "'"$edit"'"}'; done
    expect c1 203.0.113.10
}

scenario_router_down_and_up() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    edit_router '{"admin_state_up": false}'
    within 10 state_is c1 rejected
    edit_router '{"admin_state_up": true}'
    expect c1 203.0.113.10
    expect_inside 203.0.113.10 c1
}

scenario_gateway_changed() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    declines edit_router '{"external_gateway_info": null}'
    watched edit_router '{"external_gateway_info": '"$(gateway 203.0.113.4)"'}'
    expect c1 203.0.113.10
    expect c2 203.0.113.4
    edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2)"'}'
    expect c1 203.0.113.10
    expect c2 "$network"
}

scenario_gateway_cleared_and_set() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    forward_gone 203.0.113.10
    edit_router '{"external_gateway_info": null}'
    within 10 state_is c1 rejected
    edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2)"'}'
    expect c1 "$network"
    forward 203.0.113.10
    forward_port 203.0.113.10 80 "$(address c1)"
    expect c1 203.0.113.10
}

scenario_snat_off_and_on() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    watched edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2 ', "enable_snat": false')"'}'
    expect c1 203.0.113.10
    # Its own address leads nowhere outside.
    expect c2 ''
    watched edit_router '{"description": "without SNAT"}'
    watched edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2 ', "enable_snat": true')"'}'
    expect c1 203.0.113.10
    expect c2 "$network"
}

scenario_subnets_of_the_router() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    make subnets subnet '{"name": "more", "network_id": "'"$(id networks net1)"'", "ip_version": 4, "cidr": "10.59.0.0/24"}'
    watched interface add router1 more
    watched interface remove router1 more
    call DELETE "subnets/$(id subnets more)"
    expect c1 203.0.113.10
    declines interface remove router1 net1
    forward_gone 203.0.113.10
    interface remove router1 net1
    within 10 state_is c1 rejected
    interface add router1 net1
    # The router has another MAC address.
    ip -n c1 neigh flush dev eth0
    expect c1 "$network"
    forward 203.0.113.10
    forward_port 203.0.113.10 80 "$(address c1)"
    expect c1 203.0.113.10
}

scenario_key_on_the_router() {
    # Neutron writes external_ids of routers as a whole.
    local router
    router=neutron-$(id routers router1)
    ovn-nbctl set Logical_Router "$router" external_ids:address.external=auto
    expect c1 203.0.113.10
    synchronize repair
    has_key Logical_Router "$router"
    expect c1 203.0.113.10
    edit_router '{"description": "edited"}'
    if has_key Logical_Router "$router"; then fail 'the key of the router is kept'; fi
    expect c1 "$network"
}

# ----- ports -----

scenario_port_edited() {
    local port
    port=$(id ports c1)
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    make security-groups security_group '{"name": "more"}'
    watched edit_port c1 '{"security_groups": ["'"$(id security-groups default)"'", "'"$(id security-groups more)"'"]}'
    has_key Logical_Switch_Port "$port"
    expect c1 203.0.113.10
    watched edit_port c1 '{"security_groups": [], "port_security_enabled": false, "description": "edited"}'
    watched edit_port c1 '{"port_security_enabled": true, "extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": "1400"}],
        "security_groups": ["'"$(id security-groups more)"'", "'"$(id security-groups default)"'"]}'
    watched edit_port c1 '{"security_groups": ["'"$(id security-groups default)"'"], "name": "renamed"}'
    call DELETE "security-groups/$(id security-groups more)"
    has_key Logical_Switch_Port "$port"
    within 10 state_is renamed active
    edit_port renamed '{"name": "c1", "admin_state_up": false}'
    state_is c1 active
    edit_port c1 '{"admin_state_up": true}'
    has_key Logical_Switch_Port "$port"
    expect c1 203.0.113.10
}

scenario_addresses_of_the_port() {
    # First those of an instance that nothing is forwarded to, then those of the forward's target.
    local name
    for name in c2 c1; do
        ask "$name" 203.0.113.10
        expect "$name" 203.0.113.10
    done
    move c2 10.57.0.201
    expect c2 203.0.113.10
    edit_port c2 '{"fixed_ips": [{"ip_address": "10.57.0.201"}, {"ip_address": "10.57.0.202"}]}'
    ip -n c2 addr add 10.57.0.202/24 dev eth0
    within 10 has_rows 3
    # Neutron deletes a forwarding with its target.
    move c1 10.57.0.203
    expect c1 "$network"
    expect c2 "$network"
    within 10 state_is c1 rejected
    forward_port 203.0.113.10 80 10.57.0.203
    expect c1 203.0.113.10
    expect c2 203.0.113.10
}
has_rows() { (($(ovn-nbctl --bare --columns=_uuid find NAT type=snat 'external_ids!={}' | grep -c .) == $1)); }
# An instance has another address. NAME ADDRESS
move() {
    edit_port "$1" '{"fixed_ips": [{"ip_address": "'"$2"'"}]}'
    ip -n "$1" addr flush dev eth0
    ip -n "$1" addr add "$2/24" dev eth0
    ip -n "$1" route replace default via 10.57.0.1
}

scenario_port_made_again() {
    # The next one who has the address has not asked.
    local address
    address=$(address c1)
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    delete c1
    within 10 no_rows
    launch c1 net1 "$address"
    expect c1 "$network"
    forward_port 203.0.113.10 80 "$address"
    expect_inside 203.0.113.10 c1
    expect c1 "$network"
    ask c1 203.0.113.10
    expect c1 203.0.113.10
}

scenario_kept_intent() {
    extaddr set c1 --ipv4 203.0.113.10 --keep
    expect c1 203.0.113.10
    synchronize repair
    stop_daemon
    start_daemon
    has_key NB_Global .
    expect c1 203.0.113.10
    extaddr unset c1
    expect c1 "$network"
}

# ----- Neutron's own comparison of the databases -----

# log|repair: what it finds to be said of SNAT rows is in /run/sync.
synchronize() {
    neutron-ovn-db-sync-util "${files[@]}" --ovn-neutron_sync_mode="$1" >/run/sync 2>&1
    say "  $1: $(grep -cE ' (WARNING|ERROR) .*SNAT' /run/sync || true) lines about SNAT rows," \
        "$(grep -E ' (WARNING|ERROR) ' /run/sync | grep -cvE 'SNAT|New host|DHCP options' || true) about anything else"
}
all_keys_are_kept() {
    has_key Logical_Switch_Port "$(id ports c1)"
    has_key NB_Global .
}

scenario_synchronized_log() {
    synchronize log
    ask c1 203.0.113.10
    extaddr set c2 --ipv4 203.0.113.10 --keep
    expect c1 203.0.113.10
    expect c2 203.0.113.10
    watched synchronize log
    grep -q 'SNAT.*203.0.113.10.*found in OVN NB DB but not in Neutron' /run/sync
    all_keys_are_kept
    expect c1 203.0.113.10
}

scenario_synchronized_repair() {
    ask c1 203.0.113.10
    extaddr set c2 --ipv4 203.0.113.10 --keep
    expect c1 203.0.113.10
    expect c2 203.0.113.10
    watched synchronize repair
    all_keys_are_kept
    expect c1 203.0.113.10
    expect c2 203.0.113.10
}

scenario_synchronized_repair_while_paused() {
    ask c1 203.0.113.10
    extaddr set c2 --ipv4 203.0.113.10 --keep
    expect c1 203.0.113.10
    ovn-appctl -t ovn-extaddr pause
    # No `watched`: a connection loses the way back.
    synchronize repair
    no_rows
    all_keys_are_kept
    expect c1 "$network"
    ovn-appctl -t ovn-extaddr resume
    expect c1 203.0.113.10
    expect c2 203.0.113.10
}

scenario_synchronized_repair_while_draining() {
    # The rows of former addresses are SNAT rows that Neutron does not know, too.
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    ask_no_more c1
    expect c1 "$network"
    synchronize repair
    within 20 no_rows
    ask c1 203.0.113.10
    expect c1 203.0.113.10
}

# Neutron's periodic task puts right what has an outdated revision: CONDITION TABLE RECORD ...
maintained() {
    local lines
    stop_maintenance
    # It looks at nothing that is younger than a minute.
    sql "update standardattributes set created_at = created_at - interval 2 minute;
        update ovn_revision_numbers set revision_number = 0 where $1" neutron
    shift
    while (($#)); do
        ovn-nbctl set "$1" "$2" external_ids:neutron\\:revision_number=0
        shift 2
    done
    lines=$(wc -l <"$maintenance_log")
    start_maintenance
    within 60 is_maintained
    grep -q 'Fixing resource' /run/maintenance
    say "  $(grep -c 'Fixing resource' /run/maintenance) resources fixed," \
        "$(grep -cE ' (WARNING|ERROR) .*SNAT' /run/maintenance || true) lines about SNAT rows"
}
# Beside it, a worker that starts does what `neutron-ovn-db-sync-util` does, in the mode of the configuration ("log").
is_maintained() {
    tail -n "+$((lines + 1))" "$maintenance_log" >/run/maintenance
    grep -q 'OVN-Northbound DB sync process completed' /run/maintenance &&
        grep -qE 'Synchronization completed|No inconsistencies found' /run/maintenance
}

scenario_maintenance_of_ports() {
    # A router that is new may be out of step by itself, and would lose its gateway as below.
    maintained "resource_type = 'routers'" Logical_Router "neutron-$(id routers router1)"
    ask c1 203.0.113.10
    extaddr set c2 --ipv4 203.0.113.10 --keep
    expect c1 203.0.113.10
    watched maintained "resource_type not like 'router%'" Logical_Switch "neutron-$(id networks net1)" \
        Logical_Switch_Port "$(id ports c1)" Logical_Switch_Port "$(id ports c2)"
    all_keys_are_kept
    expect c1 203.0.113.10
    expect c2 203.0.113.10
}

scenario_maintenance_of_a_router() {
    # Beside an SNAT row of others Neutron takes the gateway for changed, and does not put it on again.
    local router
    router=neutron-$(id routers router1)
    watched maintained "resource_type = 'routers'" Logical_Router "$router"
    expect c1 "$network"
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    maintained "resource_type = 'routers'" Logical_Router "$router"
    within 10 state_is c1 rejected
    say "  c1 is $(list | jq -r '.[0].reason')"
    synchronize repair
    expect c1 203.0.113.10
}

# ----- everything else in the database -----

scenario_nothing_else_changes() {
    edit_network
    # While an override comes and goes, all that is not the agent's stays as it is.
    northbound >/run/before
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    northbound >/run/during
    ask_no_more c1
    expect c1 "$network"
    within 20 no_rows
    northbound >/run/after
    diff /run/before /run/during >&2
    diff /run/before /run/after >&2
}

scenario_same_without_the_agent() {
    # What Neutron makes of the same changes with an override in place, and without an agent.
    ovn-appctl -t ovn-extaddr pause
    changes
    northbound --blur >/run/without
    ovn-appctl -t ovn-extaddr resume
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    changes
    expect c1 203.0.113.10
    northbound --blur >/run/with
    diff /run/without /run/with >&2
    synchronize repair
    northbound --blur >/run/with
    diff /run/without /run/with >&2
}
northbound() { python3 "$here/northbound.py" "$@"; }
changes() {
    edit_network
    edit_router '{"admin_state_up": false}'
    edit_router '{"admin_state_up": true, "description": "changed"}'
    edit_router '{"external_gateway_info": '"$(gateway 203.0.113.4)"'}'
    edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2 ', "enable_snat": false')"'}'
    edit_router '{"external_gateway_info": '"$(gateway 203.0.113.2 ', "enable_snat": true')"'}'
    edit_port c1 '{"security_groups": [], "description": "changed"}'
    edit_port c1 '{"security_groups": ["'"$(id security-groups default)"'"], "description": ""}'
    forward_port 203.0.113.10 8080 "$(address c2)"
    forward_gone 203.0.113.10
    forward 203.0.113.10
    forward_port 203.0.113.10 80 "$(address c1)"
}
