# Incus or LXD, whose commands are alike. Sourced by run.sh in the container; `cli` is `incus` or `lxc`.

if [[ $cli == incus ]]; then
    daemon=/usr/libexec/incus/incusd state=/var/lib/incus kind=incus
else
    daemon=$(command -v lxd) state=/var/lib/lxd kind=lxd
fi
socket=$state/unix.socket

start_daemon() {
    mkdir -p "$state" "/var/log/$kind" "/run/$kind"
    setsid "$daemon" --group root >>/var/log/cms.log 2>&1 </dev/null &
    within 60 "$cli" query /1.0
}

# What the agent's configuration says of it.
agent_asks() { printf '%s\n' '[[cms]]' "kind = \"$kind\"" "url = \"unix:$socket\""; }

version() { "$cli" version | tr '\n' ' '; }

stop_daemon() {
    local pid
    pid=$(pgrep -o -f "^$daemon --group")
    kill "$pid"
    within 30 ended "$pid"
}

start_cms() {
    start_daemon
    # No container here may change what devices it may use. LXC 7 knows one kind of control groups.
    local group groups='cgroup cgroup2' rules=
    if dpkg --compare-versions "$(dpkg-query -W -f '${Version}' liblxc1t64)" ge 1:7; then groups=cgroup2; fi
    for group in $groups; do
        rules+=$'\n'"      lxc.$group.devices.deny ="$'\n'"      lxc.$group.devices.allow ="
    done
    $([[ $cli == incus ]] && echo 'incus admin' || echo lxd) init --preseed <<END
config: {}
storage_pools:
- name: default
  driver: dir
profiles:
- name: default
  devices:
    root: {path: /, pool: default, type: disk}
  config:
    raw.lxc: |-$rules
END
    "$cli" config set network.ovn.northbound_connection=unix:/run/ovn/ovnnb_db.sock
    "$cli" network create UPLINK --type=physical parent=uplink0 ipv4.ovn.ranges=203.0.113.2-203.0.113.9 \
        ipv4.gateway="$outside/24" ipv4.routes=203.0.113.0/24 dns.nameservers="$outside"
    import_image
    make_network net1 10.57.0.1/24
}

# An image that takes no network to get: a busybox that asks for an address and answers on port 80.
import_image() {
    local dir applet
    dir=$(mktemp -d)
    mkdir -p "$dir"/rootfs/{bin,sbin,etc,proc,sys,dev,root,tmp,run,var}
    cp /bin/busybox "$dir/rootfs/bin/busybox"
    for applet in sh ip ifconfig udhcpc nc sleep ping route cat echo ls mount hostname ps kill; do
        ln -s /bin/busybox "$dir/rootfs/bin/$applet"
    done
    ln -s /bin/busybox "$dir/rootfs/sbin/init"
    cat >"$dir/rootfs/etc/dhcp" <<'END'
#!/bin/sh
case $1 in
    bound | renew)
        ifconfig "$interface" "$ip" netmask "$subnet" up
        route add default gw "$router" 2>/dev/null
esac
END
    chmod 755 "$dir/rootfs/etc/dhcp"
    cat >"$dir/rootfs/etc/inittab" <<'END'
::sysinit:/bin/mount -t proc proc /proc
::sysinit:/bin/ip link set lo up
::respawn:/bin/udhcpc -f -T 1 -t 100 -A 1 -i eth0 -s /etc/dhcp
::respawn:/bin/nc -ll -p 80 -e /bin/hostname
END
    echo root:x:0:0::/root:/bin/sh >"$dir/rootfs/etc/passwd"
    printf '%s\n' 'architecture: x86_64' 'creation_date: 1700000000' \
        'properties: {description: busybox, os: busybox, release: "1"}' >"$dir/metadata.yaml"
    tar -C "$dir" -czf "$dir.tar.gz" metadata.yaml rootfs
    "$cli" image import "$dir.tar.gz" --alias busybox
}

# ----- what the scenarios do -----

# A network with a router of its own. NAME SUBNET, with the router's address in it
make_network() {
    "$cli" network create "$1" --type=ovn network=UPLINK ipv4.address="$2" ipv4.nat=true ipv6.address=none
}
delete_network() { "$cli" network delete "$1"; }

# NAME [NETWORK]
launch() { "$cli" launch busybox "$1" --network "${2:-net1}"; }
init() { "$cli" init busybox "$1" --network "${2:-net1}"; }
start() { "$cli" start "$1"; }
stop() { "$cli" stop -f "$1"; }
restart() { "$cli" restart -f "$1"; }
delete() { "$cli" delete -f "$1"; }

# An instance that does not run waits for its port, or has it yet: Incus 7 leaves it there, disabled.
is_remembered() { state_is "$1" waiting || { state_is "$1" active && disabled_ports; }; }
disabled_ports() { ovn-nbctl --bare --columns=name find Logical_Switch_Port enabled=false | grep -q instance; }

key=user.eth0.ipv4.address.external
ask() { "$cli" config set "$1" "$key=$2"; }
ask_no_more() { "$cli" config unset "$1" "$key"; }

forward() { "$cli" network forward create net1 "$1" "${@:2}"; }
forward_port() { "$cli" network forward port add net1 "$1" tcp "$2" "$3"; }
forward_gone() { "$cli" network forward delete net1 "$1"; }

edit_network() {
    "$cli" network set net1 dns.domain=example.test
    "$cli" network set net1 ipv4.nat.address=203.0.113.3 2>/dev/null || "$cli" network set net1 dns.search=example.test
}
edit_uplink() { "$cli" network set UPLINK dns.nameservers=203.0.113.7; }

# The address that an instance has inside.
address() { "$cli" exec "$1" -- ip -4 addr show eth0 | sed -nE 's/.*inet ([0-9.]+).*/\1/p'; }

# The address that the host outside sees of an instance's connections.
seen() { timeout 3 "$cli" exec "$1" -- nc -w 2 "$outside" 7000 </dev/null 2>/dev/null; }

show_instance() { "$cli" exec "$1" -- sh -c 'ip -4 addr show eth0; ip route'; }

# Removes what a scenario has left, also one that failed.
sweep() {
    local name
    "$cli" project switch default
    for name in $("$cli" list --format csv -c n); do delete "$name"; done
    for name in $("$cli" network forward list net1 --format csv | cut -d, -f1); do forward_gone "$name"; done
    if "$cli" profile show asking >/dev/null 2>&1; then "$cli" profile delete asking; fi
    if "$cli" project show other >/dev/null 2>&1; then
        for name in $("$cli" list --project other --format csv -c n); do "$cli" delete -f --project other "$name"; done
        "$cli" project delete other
    fi
    if "$cli" network show net2 >/dev/null 2>&1; then delete_network net2; fi
}
