#!/usr/bin/env python3
"""Tells what becomes of the agent's rows, of router ports and of a connection, until it is terminated.

    watch.py HOST PORT

Run where an instance is. The connection goes to an echo server, every 20 ms. What happens to rows is read in the log of
the Northbound's server afterwards: who monitors it may be told of a row's end and return at once, which is nothing.
Exit status 1: the connection broke.
"""

import json
import signal
import socket
import sys
import time

LOG = "/var/lib/ovn/ovnnb_db.db"
PAUSE = 0.02
# A connection that has no answer for as long is taken for broken.
PATIENCE = 5


def transactions(text):
    """Each has tables with rows by UUID, where null is a row that was deleted."""
    decoder = json.JSONDecoder()
    for line in text.splitlines():
        if line.startswith("{"):
            yield decoder.decode(line)


def egress(row):
    """The external address of a row that is an override."""
    if row and ["ovn-extaddr:role", "egress"] in row.get("external_ids", ["map", []])[1]:
        return f"{row['logical_ip']} as {row['external_ip']}"
    return None


def report(before, after):
    rows, ports, gone = {}, {}, {}
    for step in transactions(before):
        for uuid, row in step.get("NAT", {}).items():
            if egress(row):
                rows[uuid] = egress(row)
        for uuid, row in step.get("Logical_Router_Port", {}).items():
            if row and "name" in row:
                ports[uuid] = row["name"]
    for step in transactions(after):
        date, by = step["_date"], "by the agent" if "ovn-extaddr" in step.get("_comment", "") else "by the CMS"
        made = [row.get("name") for row in step.get("Logical_Router_Port", {}).values() if row]
        for uuid, row in step.get("Logical_Router_Port", {}).items():
            if row is None:
                again = ", and made again at once" if ports.get(uuid) in made else ""
                print(f"  a router port was deleted{again}")
        for uuid, row in step.get("NAT", {}).items():
            if row is None and uuid in rows and uuid not in gone:
                gone[uuid] = date
                print(f"  the row {rows[uuid]} was deleted {by}")
            elif egress(row):
                rows[uuid] = egress(row)
                if uuid in gone:
                    print(f"  the row {rows[uuid]} was put back after {date - gone.pop(uuid)} ms")


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with open(LOG, encoding="utf-8") as log:
        before = log.read()
        stream = socket.create_connection((host, port), timeout=PATIENCE)
        print("watching", flush=True)
        longest = 0
        try:
            while not ended:
                start = time.monotonic()
                stream.sendall(b"x")
                if not stream.recv(1):
                    raise ConnectionError("the other side ended it")
                longest = max(longest, time.monotonic() - start)
                time.sleep(PAUSE)
            said = f"  a connection goes on; the longest answer took {longest * 1000:.0f} ms"
        except OSError as error:
            said = f"  a connection broke: {error}"
        report(before, log.read())
    print(said)
    sys.exit("broke" in said)


main()
