# What people type and see: the names of instances, once with what the CMS says of them, once with what is in the database
# alone. Sourced by incus-scenarios.sh; scenarios as those of scenarios.sh.

# The configurations that commands are run with. Neither is the agent's matter.
asking=/etc/ovn-extaddr.toml alone=/dev/null

# What a person calls a NIC of an instance, as fully as is known.
called() { if [[ $config == "$asking" ]]; then echo "$1:$2"; else echo "${2,,}"; fi; }

# Sets an intent. What is said to it may be of interest where it fails.
sets() {
    local told
    told=$(extaddr set "$@" 2>&1) || fail "ovn-extaddr set $*: $told"
}

# The port of an instance's NIC: instance, and options that name its project.
port_of() {
    local uuid
    uuid=$("$cli" config get "$@" volatile.uuid)
    echo "$kind-net$network_id-instance-$uuid-eth0"
}

# A command prints a text.
prints() {
    local printed
    printed=$(extaddr "${@:2}") || fail "ovn-extaddr ${*:2} fails" || return 1
    [[ $printed == *"$1"* ]] || fail "ovn-extaddr ${*:2} prints no $1: $printed"
}

# A command fails, and says a text.
refuses() {
    local told
    if told=$(extaddr "${@:2}" 2>&1 >/dev/null); then fail "ovn-extaddr ${*:2} does not fail"; return 1; fi
    [[ $told == *"$1"* ]] || fail "ovn-extaddr ${*:2} says no $1: $told"
}

# A shell offers exactly these, in order, for a word that is begun.
offers() {
    local offered
    offered=$(OVN_EXTADDR_COMPLETE=bash extaddr -- ovn-extaddr explain "$1" | tr '\n' ' ')
    [[ $offered == "${*:2} " ]] || fail "for \"$1\", $offered is offered"
}

# The number of net1 that is in the names of its ports.
find_network_id() {
    network_id=$(ovn-nbctl --bare --columns=name list Logical_Switch | sed -nE "s/^$kind-net([0-9]+)-ls-int$/\1/p" | head -n 1)
}

scenario_names() {
    find_network_id
    local config full name port
    port=$(port_of c1)
    for config in "$asking" "$alone"; do
        full=$(called default c1/eth0)
        for name in c1 c1/eth0 "$full" "$port"; do
            sets "$name" --ipv4 203.0.113.10
            expect c1 203.0.113.10
            prints "$full ipv4: active" explain "$name"
            extaddr unset "$name"
            expect c1 "$network"
        done
        sets c1 --ipv4 203.0.113.99
        prints "$full ipv4: 203.0.113.99 is not a forward address" list
        prints "$port" list --wide
        extaddr unset c1
        offers '' c1/eth0 c2/eth0
        offers c1/ c1/eth0
        offers "$kind-net$network_id-instance-$("$cli" config get c1 volatile.uuid)" "$port"
        for name in explain unset 'set --ipv4=auto'; do
            # shellcheck disable=SC2086
            refuses 'did you mean c1/eth0?' $name c1/eht0
            # shellcheck disable=SC2086
            refuses 'there is no port something-else' $name something-else
        done
    done
    config=$asking
    offers default:c1 default:c1
    config=$alone
    refuses 'did you mean c1? (of which project' explain default:c1
}

scenario_names_in_capitals() {
    # A host name is in small letters, and an instance's is as it is written.
    "$cli" launch busybox Web-9 --network net1
    within 20 test_address Web-9
    local config
    for config in "$asking" "$alone"; do
        sets Web-9 --ipv4 203.0.113.10
        expect Web-9 203.0.113.10
        prints "$(called default Web-9/eth0) ipv4: active" explain Web-9/eth0
        extaddr unset Web-9
        expect Web-9 "$network"
    done
    "$cli" delete -f Web-9
}

scenario_names_in_two_projects() {
    find_network_id
    local config mine name net=net1 sorted theirs
    "$cli" project create other -c features.networks=false -c features.images=false -c features.profiles=false
    # LXD takes no name twice in a network.
    if [[ $kind == lxd ]]; then
        net=net2
        "$cli" network create net2 --type=ovn network=UPLINK ipv4.address=10.58.0.1/24 ipv4.nat=true ipv6.address=none
    fi
    "$cli" launch busybox c1 --network "$net" --project other
    within 20 has_port c1 --project other
    mine=$(port_of c1) theirs=$(port_named c1 --project other)
    for config in "$asking" "$alone"; do
        for name in explain unset 'set --ipv4=auto'; do
            # shellcheck disable=SC2086
            refuses "$(called default c1/eth0) (port $mine on switch " $name c1
            # shellcheck disable=SC2086
            refuses "$(called other c1/eth0) (port $theirs on switch " $name c1/eth0
            # shellcheck disable=SC2086
            refuses 'may be any of 2 ports' $name c1
        done
        sets "$mine" --ipv4 203.0.113.10
        expect c1 203.0.113.10
        prints "$(called other c1/eth0): no intent" explain "$theirs"
        extaddr unset "$mine"
        expect c1 "$network"
    done
    config=$asking
    sets default:c1/eth0 --ipv4 203.0.113.10
    expect c1 203.0.113.10
    prints 'default:c1/eth0 ipv4: active' explain default:c1
    prints 'other:c1/eth0: no intent' explain other:c1
    extaddr unset default:c1
    offers '' c2/eth0 default:c1/eth0 other:c1/eth0
    offers oth other:c1/eth0
    config=$alone
    mapfile -t sorted < <(printf '%s\n' "$mine" "$theirs" | sort)
    offers '' c2/eth0 "${sorted[@]}"
    refuses '(of which project it is, the database does not say)' explain other:c1
    "$cli" delete -f c1 --project other
    "$cli" project delete other
    if [[ $net == net2 ]]; then "$cli" network delete net2; fi
}

# As port_of, whatever the network.
port_named() {
    local uuid
    uuid=$("$cli" config get "$@" volatile.uuid)
    ovn-nbctl --bare --columns=name list Logical_Switch_Port | grep -e "-instance-$uuid-eth0$"
}
has_port() { [[ -n $(port_named "$@") ]]; }

scenario_names_of_what_is_stopped() {
    find_network_id
    local config port
    port=$(port_of c1)
    "$cli" stop -f c1
    for config in "$asking" "$alone"; do
        # LXD takes the host name away at once, so that nothing tells whose port it is.
        if [[ $kind == lxd && $config == "$alone" ]]; then
            refuses 'there is no port c1' set c1 --ipv4 203.0.113.10
            continue
        fi
        # Incus 7 leaves the port there.
        if ! has_port c1; then
            refuses "instance $(called default c1/eth0) has no port c1" set c1 --ipv4 203.0.113.10
            refuses "instance $(called default c1/eth0) has no port c1" explain c1
        fi
        sets c1 --ipv4 203.0.113.10 --keep
        ovn-nbctl get NB_Global . "external_ids:\"ovn-extaddr:ipv4.address.external:$port\""
        prints "$(called default c1/eth0)" list
        "$cli" start c1
        expect c1 203.0.113.10
        prints "$(called default c1/eth0) ipv4: active" explain c1
        extaddr unset c1
        expect c1 "$network"
        "$cli" stop -f c1
    done
}
