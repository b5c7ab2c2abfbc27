#!/usr/bin/env bash
# Runs scenarios in the container of a CMS, and prints a line for each. Called by scripts/cms.
#
#   run.sh incus|lxc|neutron [SCENARIO...]
#   run.sh incus|lxc --latency              times changes of a key instead
#
# What is different from CMS to CMS has one name in incus.sh and neutron.sh.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
cms=$1 cli=
shift
if [[ $cms != neutron ]]; then cli=$cms cms=incus; fi

say() { printf '%s\n' "$*" >&2; }
fail() { say "FAILED: $*"; return 1; }

# Tries a command until it succeeds, for so many seconds.
within() {
    local deadline=$((SECONDS + $1))
    while ! "${@:2}" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || fail "within $1 s: ${*:2}" || return 1
        sleep 0.1
    done
}

. "$here/ovn.sh"
. "$here/$cms.sh"
. "$here/scenarios.sh"
. "$here/$cms-scenarios.sh"

# ----- the agent -----

echo 'drain = 5' >/etc/ovn-extaddr.toml
agent_asks >>/etc/ovn-extaddr.toml

start_agent() {
    OVN_RUNDIR=/run/ovn /cms/ovn-extaddr run --config /etc/ovn-extaddr.toml >>/var/log/agent.log 2>&1 &
    within 10 ovn-appctl -t ovn-extaddr version || { tail -n 5 /var/log/agent.log >&2; return 1; }
}

# Scenarios run in shells of their own: what they start is not a child of this one, and nobody waits for it.
ended() { ! grep -q '^State:.[^Z]' "/proc/$1/status"; }
stop_agent() {
    local pid
    pid=$(pgrep -x ovn-extaddr)
    kill "${1:--TERM}" "$pid"
    within 10 ended "$pid"
}

# ----- what the scenarios look at -----

leaves_with() { [[ $(seen "$1") == "$2" ]]; }

expect() {
    local start=${EPOCHREALTIME/./}
    if ! within 15 leaves_with "$1" "$2"; then
        show_instance "$1" >&2
        fail "$1 leaves with $(seen "$1"), not $2" || return 1
    fi
    say "  $1 leaves with $2 after $(((${EPOCHREALTIME/./} - start) / 1000)) ms"
}

# Runs a command, and says what became of the agent's rows and of a connection of c1 meanwhile.
watched() {
    local watcher
    ip netns exec c1 python3 "$here/watch.py" "$outside" 7001 >/run/watch &
    watcher=$!
    within 5 grep -q watching /run/watch
    "$@"
    sleep 0.5
    kill "$watcher"
    wait "$watcher" || fail "a connection broke: $*"
    sed '/^watching/d' /run/watch >&2
}

# What answers outside on port 80 of an address is an instance.
expect_inside() { within 10 answers "$1" "$2"; }
answers() { [[ $(ip netns exec outside timeout 3 nc -w 2 "$1" 80 </dev/null) == "$2" ]]; }

extaddr() { OVN_EXTADDR_CONFIG=${config:-/etc/ovn-extaddr.toml} /cms/ovn-extaddr "$@"; }
list() { config='' extaddr list --json; }

# All entries of an instance's port are in a state.
state_is() { list | jq -e --arg name "$1" --arg state "$2" \
    '[.[] | select((.name // "") | test("(^|:)" + $name + "(/|$)"))] | length > 0 and all(.state == $state)'; }

# The UUIDs of the agent's rows. No CMS here writes external_ids of SNAT rows.
rows() { ovn-nbctl --bare --columns=_uuid find NAT type=snat 'external_ids!={}' | sort | tr -d '\n'; }
no_rows() { [[ -z $(rows) ]]; }

# ----- one after the other -----

begin() {
    launch c1
    launch c2
    within 20 test_address c1
    within 20 test_address c2
    forward 203.0.113.10
    forward_port 203.0.113.10 80 "$(address c1)"
    expect c1 "$network"
    expect c2 "$network"
}
test_address() { [[ -n $(address "$1") ]]; }

finish() {
    local port
    ovn-appctl -t ovn-extaddr resume
    sweep
    for port in $(list | jq -r '.[] | select(.source == "kept") | .port'); do extaddr unset "$port"; done
    within 20 no_rows
}

start_ovn >/dev/null
start_outside
start_cms >/dev/null
say "$(version), $(ovn-nbctl --version | head -n 1), $(ovs-vswitchd --version | head -n 1)"
start_agent
if [[ ${1:-} == --latency ]]; then
    begin >/dev/null
    python3 "$here/latency.py" 100 c1 "$(address c1)" "$key" 203.0.113.10 "$socket" "$cli"
    exit
fi
if (($# == 0)); then
    mapfile -t scenarios < <(declare -F | sed -n 's/^declare -f scenario_//p')
else
    scenarios=("$@")
fi
failed=()
for scenario in "${scenarios[@]}"; do
    say "$scenario"
    # As a condition, it would go on after what fails.
    (set -e; begin; "scenario_$scenario") >/dev/null &
    if wait $!; then
        say "  holds"
    else
        failed+=("$scenario")
        list >&2 || true
        ovn-nbctl lr-nat-list "$(ovn-nbctl --bare --columns=name list Logical_Router | head -n 1)" >&2 || true
    fi
    finish >/dev/null
done
if ((${#failed[@]})); then
    tail -n 50 /var/log/agent.log >&2
    say "failed: ${failed[*]}"
    exit 1
fi
say "${#scenarios[@]} scenarios hold"
