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

scenario_stop_and_start() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    stop c1
    within 10 is_remembered c1
    start c1
    expect c1 203.0.113.10
}

scenario_restart() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    restart c1
    expect c1 203.0.113.10
}

scenario_deletion() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    delete c1
    within 10 no_rows
}

scenario_asked_before_the_instance_is_there() {
    init c9
    ask c9 203.0.113.10
    within 10 is_remembered c9
    start c9
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

scenario_network_edited() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    edit_network
    expect c1 203.0.113.10
}

scenario_uplink_edited() {
    ask c1 203.0.113.10
    expect c1 203.0.113.10
    edit_uplink
    expect c1 203.0.113.10
}

scenario_shared_address() {
    ask c1 203.0.113.10
    ask c2 203.0.113.10
    expect c1 203.0.113.10
    expect c2 203.0.113.10
    stop c1
    expect c2 203.0.113.10
    start c1
    expect c1 203.0.113.10
}

scenario_foreign_network() {
    # A tenant may write any key. An address that another network forwards is not to be had.
    make_network net2 10.58.0.1/24
    launch c9 net2
    ask c9 203.0.113.10
    within 10 state_is c9 rejected
    expect c9 203.0.113.3
    delete c9
    delete_network net2
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
