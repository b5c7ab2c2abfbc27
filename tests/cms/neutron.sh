# Neutron with ML2/OVN, without Keystone and Nova: instances are network namespaces, asked for by the agent's own command.
# Sourced by run.sh in the container.
#
#   outside 203.0.113.1 ── uplink0 ── br-ex ── (network "outside") ── router1 ── net1 10.57.0.0/24 ── c1, c2
#
# The API is served by uWSGI, as Debian has it; the periodic maintenance is a process of its own.

kind=neutron
api=http://127.0.0.1:9696
files=(--config-file /etc/neutron/neutron.conf --config-file /etc/neutron/plugins/ml2/ml2_conf.ini)
maintenance_log=/var/log/neutron/maintenance.log
chassis=$(hostname)

# ----- the server -----

configure() {
    cat >/etc/neutron/neutron.conf <<END
[DEFAULT]
auth_strategy = noauth
core_plugin = ml2
service_plugins = ovn-router,port_forwarding
state_path = /var/lib/neutron
transport_url = fake:///
notify_nova_on_port_status_changes = false
notify_nova_on_port_data_changes = false
debug = true
[database]
connection = mysql+pymysql://root@localhost/neutron?unix_socket=/run/mariadb.sock&charset=utf8mb4
[oslo_concurrency]
lock_path = /var/lock/neutron
END
    cat >/etc/neutron/plugins/ml2/ml2_conf.ini <<END
[ml2]
mechanism_drivers = ovn
type_drivers = flat,geneve
tenant_network_types = geneve
extension_drivers = port_security
[ml2_type_geneve]
vni_ranges = 1:1000
max_header_size = 38
[ml2_type_flat]
flat_networks = outside
[ovn]
ovn_nb_connection = tcp:127.0.0.1:6641
ovn_sb_connection = tcp:127.0.0.1:6642
END
}

# MariaDB, as SQLite lacks what Neutron's migrations do.
start_database() {
    mariadb-install-db --user=root --auth-root-authentication-method=normal --skip-test-db
    mariadbd --user=root --skip-networking --socket=/run/mariadb.sock >>/var/log/mariadb.log 2>&1 &
    within 30 sql 'create database neutron character set utf8mb4'
    neutron-db-manage "${files[@]}" upgrade heads 2>>/var/log/cms.log
}
sql() { mariadb --socket=/run/mariadb.sock --batch --skip-column-names "${@:2}" -e "$1"; }

start_daemon() {
    setsid uwsgi --http-socket 127.0.0.1:9696 --ini /etc/neutron/neutron-api-uwsgi.ini --processes 2 \
        --pyargv "${files[*]}" >>/var/log/cms.log 2>&1 </dev/null &
    echo $! >/run/neutron-api.pid
    within 60 get networks
    start_maintenance
}
start_maintenance() {
    setsid neutron-ovn-maintenance-worker "${files[@]}" >>"$maintenance_log" 2>&1 </dev/null &
    echo $! >/run/neutron-maintenance.pid
}

stop_daemon() {
    stop_maintenance
    end_of api
}
stop_maintenance() { end_of maintenance; }
end_of() {
    local pid
    pid=$(</run/neutron-"$1".pid)
    kill "$pid"
    within 30 ended "$pid"
}

# The agent's configuration has nothing of it.
agent_asks() { :; }

version() { echo "Neutron $(dpkg-query -W -f '${Version}' python3-neutron)"; }

start_cms() {
    local remote
    for remote in nb:6641 sb:6642; do ovn-"${remote%:*}"ctl set-connection "ptcp:${remote#*:}:127.0.0.1"; done
    ovs-vsctl add-br br-ex -- set bridge br-ex datapath_type=netdev -- add-port br-ex uplink0 -- \
        set open . external-ids:ovn-bridge-mappings=outside:br-ex external-ids:ovn-cms-options=enable-chassis-as-gw \
        external-ids:hostname="$chassis"
    configure
    start_database
    start_daemon
    make networks network '{"name": "outside", "router:external": true, "provider:network_type": "flat",
        "provider:physical_network": "outside"}'
    make subnets subnet '{"name": "outside", "network_id": "'"$(id networks outside)"'", "ip_version": 4, "enable_dhcp": false,
        "cidr": "203.0.113.0/24", "gateway_ip": "'"$outside"'",
        "allocation_pools": [{"start": "203.0.113.2", "end": "203.0.113.99"}]}'
    make_network net1 10.57.0.1/24
    # Everybody may come in.
    make security-group-rules security_group_rule '{"direction": "ingress", "ethertype": "IPv4",
        "security_group_id": "'"$(id security-groups default)"'"}'
}

# ----- its API -----

# METHOD PATH [JSON], as administrator, which everybody is without Keystone. An error is told as the server tells it.
call() {
    curl -sS --max-time 60 --fail-with-body -X "$1" -H 'Content-Type: application/json' ${3:+-d "$3"} "$api/v2.0/$2"
}
get() { call GET "$1"; }
# COLLECTION NOUN ATTRIBUTES
make() { call POST "$1" "{\"$2\": $3}" >/dev/null; }
# COLLECTION NOUN NAME ATTRIBUTES
edit() { call PUT "$1/$(id "$1" "$3")" "{\"$2\": $4}" >/dev/null; }
# COLLECTION [QUERY]: the identifiers of what there is.
ids() { get "$1?fields=id&${2:-}" | jq -r '.[][].id'; }
# COLLECTION NAME
id() { ids "$1" "name=$2"; }

# ----- what the scenarios do -----

# A network with a router of its own, which has 203.0.113.2 outside, that of net2 203.0.113.3. NAME SUBNET, with the
# router's address in it
make_network() {
    make networks network '{"name": "'"$1"'"}'
    make subnets subnet '{"name": "'"$1"'", "network_id": "'"$(id networks "$1")"'", "ip_version": 4,
        "cidr": "'"${2%.*}"'.0/24", "gateway_ip": "'"${2%/*}"'"}'
    make routers router '{"name": "'"${1/net/router}"'", "external_gateway_info": '"$(gateway "203.0.113.$((${1#net} + 1))")"'}'
    interface add "${1/net/router}" "$1"
}
# add|remove ROUTER SUBNET
interface() {
    call PUT "routers/$(id routers "$2")/$1_router_interface" '{"subnet_id": "'"$(id subnets "$3")"'"}' >/dev/null
}
# What a router has outside: ADDRESS [MORE ATTRIBUTES]
gateway() {
    echo '{"network_id": "'"$(id networks outside)"'", "external_fixed_ips": [{"subnet_id": "'"$(id subnets outside)"'",
        "ip_address": "'"$1"'"}]'"${2:-}"'}'
}

delete_network() {
    interface remove "${1/net/router}" "$1"
    call DELETE "routers/$(id routers "${1/net/router}")"
    call DELETE "networks/$(id networks "$1")"
}

# NAME [NETWORK [ADDRESS]]
init() {
    local address=
    if [[ -n ${3:-} ]]; then address=', "fixed_ips": [{"ip_address": "'$3'"}]'; fi
    make ports port '{"name": "'"$1"'", "network_id": "'"$(id networks "${2:-net1}")"'", "device_id": "'"$1"'",
        "device_owner": "compute:nova"'"$address"'}'
}

# What Nova does with a port of an instance that starts, and what the instance does.
start() {
    local port mac address gateway
    edit ports port "$1" '{"binding:host_id": "'"$chassis"'"}'
    read -r port mac address gateway < <(get "ports?name=$1" |
        jq -r '.ports[0] | "\(.id) \(.mac_address) \(.fixed_ips[0].ip_address)"' | sed -E 's/([0-9]+\.[0-9]+\.[0-9]+)\.[0-9]+$/& \1.1/')
    ip netns add "$1"
    ovs-vsctl add-port br-int "tap-$1" -- \
        set interface "tap-$1" type=internal external_ids:iface-id="$port" external_ids:attached-mac="$mac"
    ip link set "tap-$1" netns "$1" name eth0
    ip netns exec "$1" ethtool -K eth0 tx off rx off
    ip -n "$1" link set lo up
    ip -n "$1" link set eth0 address "$mac" mtu 1442 up
    ip -n "$1" addr add "$address/24" dev eth0
    ip -n "$1" route add default via "$gateway"
    printf '#!/bin/sh\necho %s\n' "$1" >"/run/answer-$1"
    chmod 755 "/run/answer-$1"
    setsid ip netns exec "$1" busybox nc -ll -p 80 -e "/run/answer-$1" >/dev/null 2>&1 </dev/null &
}

stop() {
    local pid
    for pid in $(ip netns pids "$1"); do kill "$pid"; done
    ovs-vsctl --if-exists del-port "tap-$1"
    ip netns delete "$1"
}

launch() {
    init "$@"
    start "$1"
}

restart() {
    stop "$1"
    start "$1"
}

delete() {
    if [[ -e /run/netns/$1 ]]; then stop "$1"; fi
    call DELETE "ports/$(id ports "$1")"
}

# The port of an instance that is stopped stays as it is.
is_remembered() { state_is "$1" active; }

ask() { extaddr set "$1" --ipv4 "$2"; }
ask_no_more() { extaddr unset "$1"; }

# A floating IP, which alone forwards nothing.
forward() {
    make floatingips floatingip '{"floating_network_id": "'"$(id networks outside)"'", "floating_ip_address": "'"$1"'"}'
}
floating_ip() { ids floatingips "floating_ip_address=$1"; }
# FLOATING-IP PORTS ADDRESS
forward_port() {
    local port
    port=$(ids ports "fixed_ips=ip_address%3D$3")
    make "floatingips/$(floating_ip "$1")/port_forwardings" port_forwarding '{"protocol": "tcp",
        "external_port_range": "'"${2/-/:}"'", "internal_port_range": "'"${2/-/:}"'",
        "internal_ip_address": "'"$3"'", "internal_port_id": "'"$port"'"}'
}
forward_gone() {
    local forwarding ip
    ip=$(floating_ip "$1")
    for forwarding in $(ids "floatingips/$ip/port_forwardings"); do
        call DELETE "floatingips/$ip/port_forwardings/$forwarding"
    done
    call DELETE "floatingips/$ip"
}

edit_network() { edit networks network net1 '{"mtu": 1400, "description": "edited"}'; }
edit_uplink() { edit subnets subnet outside '{"dns_nameservers": ["203.0.113.7"]}'; }

# The address that an instance has inside.
address() { get "ports?name=$1" | jq -r '.ports[0].fixed_ips[0].ip_address'; }

# The address that the host outside sees of an instance's connections.
seen() { timeout 3 ip netns exec "$1" nc -w 2 "$outside" 7000 </dev/null 2>/dev/null; }

show_instance() { ip netns exec "$1" sh -c 'ip -4 addr show eth0; ip route'; }

# Removes what a scenario has left.
sweep() {
    local name
    for name in $(get 'ports?device_owner=compute:nova' | jq -r '.ports[].name'); do delete "$name"; done
    for name in $(get floatingips | jq -r '.floatingips[].floating_ip_address'); do forward_gone "$name"; done
    if [[ -n $(id networks net2) ]]; then delete_network net2; fi
}
