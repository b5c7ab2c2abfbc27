# OVN with one chassis in user space, and a host outside. Sourced by run.sh in the container.
#
#   outside 203.0.113.1 ── uplink0 ── (the CMS's external switch)

# An address that the instances reach, where a server answers each connection with the address that it came from. What
# is sent to port 7001 comes back.
outside=203.0.113.1

start_ovn() {
    ip link set lo up
    mkdir -p /run/openvswitch /run/ovn /var/log/ovn /var/log/openvswitch /etc/openvswitch
    /usr/share/openvswitch/scripts/ovs-ctl --system-id=chassis-1 --no-monitor start
    /usr/share/ovn/scripts/ovn-ctl --ovn-manage-ovsdb=yes --no-monitor start_northd
    # Without the kernel's datapath, the one of user space does as well.
    ovs-vsctl set open . external-ids:ovn-remote=unix:/run/ovn/ovnsb_db.sock external-ids:ovn-encap-type=geneve \
        external-ids:ovn-encap-ip=127.0.0.1 external-ids:ovn-bridge-datapath-type=netdev
    /usr/share/ovn/scripts/ovn-ctl --no-monitor start_controller
    adapt_links &
}

# Bridges and links that the CMS makes do not know that the datapath is in user space, which computes no checksums.
adapt_links() {
    local bridge link process
    declare -A adapted
    while sleep 0.2; do
        for bridge in $(ovs-vsctl --bare --columns=name find bridge 'datapath_type!=netdev'); do
            ovs-vsctl set bridge "$bridge" datapath_type=netdev
        done
        for link in $(ip -o link show type veth | sed -E 's/^[0-9]+: ([^@:]+).*/\1/'); do
            [[ -n ${adapted[$link]:-} ]] && continue
            ethtool -K "$link" tx off rx off >/dev/null 2>&1 && adapted[$link]=yes
        done
        # The other ends, in the instances.
        for process in $(pgrep -x udhcpc); do
            [[ -n ${adapted[$process]:-} ]] && continue
            nsenter --target "$process" --net ethtool -K eth0 tx off rx off >/dev/null && adapted[$process]=yes
        done
    done 2>/dev/null
}

start_outside() {
    ip netns add outside
    ip link add uplink0 type veth peer name out0 netns outside
    ip link set uplink0 up
    ip -n outside link set lo up
    ip -n outside link set out0 up
    ip -n outside addr add "$outside/24" dev out0
    ip netns exec outside ethtool -K out0 tx off rx off >/dev/null
    ip netns exec outside python3 -c '
import socketserver
class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall((self.client_address[0] + "\n").encode())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
Server(("", 7000), Echo).serve_forever()' &
    ip netns exec outside busybox nc -ll -p 7001 -e cat &
}
