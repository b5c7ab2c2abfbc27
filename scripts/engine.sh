# Sourced by scripts that need containers: the engine, base images even without a reachable registry, and the servers of
# other releases.

if ! command -v podman >/dev/null && ! docker info >/dev/null 2>&1; then
    scripts/setup podman runc netavark mmdebstrap
fi
if command -v podman >/dev/null; then
    engine=podman
    # These options also work without CAP_SYS_RESOURCE and with hybrid cgroups.
    options=(--runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host)
    command -v runc >/dev/null || scripts/setup runc
else
    engine=docker options=(--network host)
fi

# Tries a command that needs the network three times.
retried() {
    local attempt
    for attempt in 1 2; do
        if "$@"; then return; fi
        printf 'attempt %d failed: %s\n' "$attempt" "$*" >&2
        sleep $((attempt * 10))
    done
    "$@"
}

# Puts the name of a Debian release's image into `base`: the registry's, else one made from the release's packages.
debian() {
    local release=$1 tar
    base="docker.io/library/debian:$release-slim"
    if "$engine" image inspect "$base" >/dev/null 2>&1; then return; fi
    if timeout 120 "$engine" pull -q "$base" >/dev/null 2>&1; then return; fi
    base="localhost/ovn-extaddr-debian:$release"
    if "$engine" image inspect "$base" >/dev/null 2>&1; then return; fi
    printf 'no registry: making Debian %s from its packages\n' "$release" >&2
    command -v mmdebstrap >/dev/null || scripts/setup mmdebstrap
    tar=$(mktemp /tmp/oxa-base-XXXXXX.tar)
    # An outdated mirror is good enough, and only sid has indices that expire.
    retried mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' "$release" "$tar"
    "$engine" import "$tar" "$base" >/dev/null
    rm "$tar"
}

# Puts the name of the image with a release's OVN into `tag`, and makes it unless an image of the current description exists.
image() {
    local release=$1
    tag="localhost/ovn-extaddr-ovn:$release-$(sha256sum <tests/container/Containerfile | cut -c 1-12)"
    if "$engine" image inspect "$tag" >/dev/null 2>&1; then return; fi
    debian "$release"
    retried "$engine" build -q "${options[@]}" --build-arg "BASE=$base" -t "$tag" tests/container >/dev/null
}

# Starts a container of an image that only stays up.
begin() {
    local name=$1 tag=$2
    shift 2
    "$engine" run -d "${options[@]}" "$@" -v /tmp:/tmp --name "$name" "$tag" >/dev/null
}

# Ends it. It has no state, so that it can be killed at once.
end() { "$engine" kill "$1" && "$engine" rm -f "$1"; } >/dev/null 2>&1

# Makes the tests use OVN and Open vSwitch from the file system of a running container. The schemas are copied to a
# directory that both see.
enter() {
    local name=$1 schemas=$2 schema
    mkdir -p "$schemas"
    for schema in ovn/ovn-nb ovn/ovn-sb openvswitch/vswitch; do
        "$engine" cp "$name:/usr/share/$schema.ovsschema" "$schemas/"
    done
    OVN_EXTADDR_TESTS_CONTAINER=$("$engine" inspect -f '{{.State.Pid}}' "$name")
    export OVN_EXTADDR_TESTS_CONTAINER OVN_EXTADDR_TESTS_SCHEMAS=$schemas TMPDIR=/tmp
}
