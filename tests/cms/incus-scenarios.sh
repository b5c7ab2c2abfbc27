# What only Incus and LXD have. Sourced by run.sh, as scenarios.sh.

. "$here/names.sh"

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

scenario_default_target() {
    forward 203.0.113.30 "target_address=$(address c1)"
    ask c1 203.0.113.30
    expect c1 203.0.113.30
    expect_inside 203.0.113.30 c1
    ask_no_more c1
    expect c1 "$network"
    expect_inside 203.0.113.30 c1
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
