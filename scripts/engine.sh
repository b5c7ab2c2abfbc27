# Sourced by scripts that need containers: what runs them, and base images also where no registry is reached.

if ! command -v podman >/dev/null && ! docker info >/dev/null 2>&1; then
    scripts/setup podman runc netavark mmdebstrap
fi
if command -v podman >/dev/null; then
    engine=podman
    # What works without CAP_SYS_RESOURCE and with hybrid cgroups, too.
    options=(--runtime runc --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network host)
    command -v runc >/dev/null || scripts/setup runc
else
    engine=docker options=(--network host)
fi

# Tries what needs the network three times.
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
    # A mirror that stood still for a while is good enough, and only sid has indices that run out.
    retried mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Check-Valid-Until "false"' "$release" "$tar"
    "$engine" import "$tar" "$base" >/dev/null
    rm "$tar"
}
