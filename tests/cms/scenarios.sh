# What people do with instances, networks and forwards, and what a host outside must see of it. Sourced by run.sh.
#
# A scenario begins with two instances, c1 and c2, that leave with the network's address, and with a forward of
# 203.0.113.10 to c1. It ends as it likes.

network=203.0.113.2

scenario_key_on_the_instance() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    expect_inside 203.0.113.10 c1
    ask_no_more c1
    expect c1 "$network"
}

scenario_key_on_the_nic() {
    # Incus 6.0 pulls out a NIC whose keys change, and puts another one in.
    "$cli" stop -f c1
    "$cli" config device set c1 eth0 user.ipv4.address.external=203.0.113.10
    "$cli" start c1
    expect c1 203.0.113.10
    "$cli" stop -f c1
    "$cli" config device unset c1 eth0 user.ipv4.address.external
    "$cli" start c1
    expect c1 "$network"
}

scenario_key_on_a_profile() {
    "$cli" profile create asking
    "$cli" profile set asking "$key=203.0.113.10"
    "$cli" profile add c1 asking
    expect c1 203.0.113.10
    "$cli" profile unset asking "$key"
    expect c1 "$network"
    "$cli" profile set asking "$key=203.0.113.10"
    expect c1 203.0.113.10
    "$cli" profile remove c1 asking
    expect c1 "$network"
}

scenario_stop_and_start() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" stop -f c1
    within 10 is_remembered c1
    "$cli" start c1
    expect c1 203.0.113.10
}

scenario_restart() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" restart -f c1
    expect c1 203.0.113.10
}

scenario_rename() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" stop -f c1
    "$cli" rename c1 c9
    "$cli" start c9
    expect c9 203.0.113.10
}

scenario_copy() {
    # The copy has the key, and the address is not forwarded to it: both leave with it.
    ask c1 203.0.113.10
    "$cli" stop -f c1
    "$cli" copy c1 c9
    "$cli" start c1
    "$cli" start c9
    expect c1 203.0.113.10
    expect c9 203.0.113.10
    "$cli" delete -f c9
    expect c1 203.0.113.10
}

scenario_deletion() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" delete -f c1
    within 10 no_rows
}

scenario_asked_before_the_instance_is_there() {
    "$cli" init busybox c9 --network net1
    ask c9 203.0.113.10
    within 10 is_remembered c9
    "$cli" start c9
    expect c9 203.0.113.10
}

scenario_forward_made_later() {
    ask c1 203.0.113.20
    within 10 state_is c1 rejected
    expect c1 "$network"
    forward 203.0.113.20
    forward_port 203.0.113.20 443 "$(address c1)"
    expect c1 203.0.113.20
}

scenario_forward_deleted() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    forward_gone 203.0.113.10
    expect c1 "$network"
    within 10 state_is c1 rejected
}

scenario_forward_edited() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    forward_port 203.0.113.10 8080 "$(address c2)"
    forward_port 203.0.113.10 1024-1033 "$(address c2)"
    expect c1 203.0.113.10
}

scenario_default_target() {
    forward 203.0.113.30 "target_address=$(address c1)"
    ask c1 203.0.113.30
    expect c1 203.0.113.30
    expect_inside 203.0.113.30 c1
    ask_no_more c1
    expect c1 "$network"
    expect_inside 203.0.113.30 c1
}

scenario_network_edited() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" network set net1 dns.domain=example.test
    "$cli" network set net1 ipv4.nat.address=203.0.113.3 2>/dev/null || "$cli" network set net1 dns.search=example.test
    expect c1 203.0.113.10
}

scenario_uplink_edited() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" network set UPLINK dns.nameservers=203.0.113.7
    expect c1 203.0.113.10
}

scenario_shared_address() {
    ask c1 203.0.113.10
    ask c2 203.0.113.10
    expect c1 203.0.113.10
    expect c2 203.0.113.10
    "$cli" stop -f c1
    expect c2 203.0.113.10
    "$cli" start c1
    expect c1 203.0.113.10
}

scenario_foreign_network() {
    # A tenant may write any key. An address that another network forwards is not to be had.
    "$cli" network create net2 --type=ovn network=UPLINK ipv4.address=10.58.0.1/24 ipv4.nat=true ipv6.address=none
    "$cli" launch busybox c9 --network net2
    ask c9 203.0.113.10
    within 10 state_is c9 rejected
    expect c9 203.0.113.3
    "$cli" delete -f c9
    "$cli" network delete net2
}

scenario_projects() {
    "$cli" project create other -c features.networks=false -c features.images=false -c features.profiles=false
    "$cli" move c1 c1 --target-project other 2>/dev/null || { "$cli" stop -f c1; "$cli" move c1 c1 --target-project other; }
    "$cli" project switch other
    "$cli" start c1 2>/dev/null || true
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    "$cli" delete -f c1
    "$cli" project switch default
    within 10 no_rows
    "$cli" project delete other
}

scenario_daemon_restarted() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    stop_daemon
    start_daemon
    expect c1 203.0.113.10
    ask_no_more c1
    expect c1 "$network"
}

scenario_daemon_gone_while_the_agent_restarts() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    local row
    row=$(rows)
    stop_daemon
    stop_agent
    start_agent
    sleep 20
    [[ $(rows) == "$row" ]] || fail "the rows were $row and are $(rows)"
    start_daemon
    expect c1 203.0.113.10
    [[ $(rows) == "$row" ]] || fail "the rows were $row and are $(rows)"
}

scenario_agent_killed() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    stop_agent -KILL
    ask c2 203.0.113.10
    start_agent
    expect c1 203.0.113.10
    expect c2 203.0.113.10
}

scenario_paused() {
    ovn-appctl -t ovn-extaddr pause
    ask c1 203.0.113.10
    sleep 2
    expect c1 "$network"
    ovn-appctl -t ovn-extaddr resume
    expect c1 203.0.113.10
}
