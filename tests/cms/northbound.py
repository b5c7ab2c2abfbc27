#!/usr/bin/env python3
"""Prints what the Northbound holds beside what is the agent's, a line for each row, sorted.

    northbound.py [--blur]

--blur makes all UUIDs and MAC addresses, which are new whenever the CMS makes a row again, the same, and leaves out where
gateways are.
"""

import json
import re
import subprocess
import sys

# What the servers count, and what CMSes count of their changes.
COUNTERS = {"nb_cfg", "nb_cfg_timestamp", "sb_cfg", "sb_cfg_timestamp", "hv_cfg", "hv_cfg_timestamp", "status", "up"}
COUNTED_KEYS = {"neutron:revision_number", "neutron:liveness_check_at"}
# What Neutron learns of a gateway late, or not before the next edit.
LATE_KEYS = {"requested-chassis", "neutron:host_id"}
OURS = re.compile(r"^(ovn-extaddr:|(ipv4\.|ipv6\.)?address\.external$)")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}|fe80:[0-9a-f:]+")


def tables():
    dump = subprocess.run(["ovsdb-client", "--format=json", "dump", "unix:/run/ovn/ovnnb_db.sock"],
                          check=True, capture_output=True, text=True).stdout
    for line in dump.splitlines():
        table = json.loads(line)
        yield table["caption"].split()[0], [dict(zip(table["headings"], row)) for row in table["data"]]


def is_ours(row):
    return any(key.startswith("ovn-extaddr:owner") for key, _ in row.get("external_ids", ["map", []])[1])


def main():
    everything = dict(tables())
    ours = {row["_uuid"][1] for row in everything["NAT"] if is_ours(row)}
    blur = "--blur" in sys.argv
    ignored = COUNTED_KEYS | LATE_KEYS if blur else COUNTED_KEYS
    lines = []
    for name, rows in everything.items():
        for row in rows:
            if row["_uuid"][1] in ours:
                continue
            kept = {}
            for column, value in row.items():
                if column in COUNTERS or (name == "NB_Global" and column == "options"):
                    continue
                if isinstance(value, list) and value[0] == "map":
                    value = sorted((key, to) for key, to in value[1] if key not in ignored and not OURS.match(key))
                elif isinstance(value, list) and value[0] == "set":
                    value = sorted(json.dumps(item) for item in value[1] if item[1] not in ours)
                elif isinstance(value, list) and value[0] == "uuid" and value[1] in ours:
                    value = []
                # A set of one is written without a set.
                elif column in ("nat", "ports"):
                    value = [json.dumps(value)]
                kept[column] = value
            line = f"{name} {json.dumps(kept, sort_keys=True)}"
            if blur:
                line = MAC.sub("MAC", UUID.sub("UUID", line))
            lines.append(line)
    print("\n".join(sorted(lines)))


main()
