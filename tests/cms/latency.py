#!/usr/bin/env python3
"""Times what passes between a change of an instance's key and the NAT row that follows from it.

    latency.py COUNT INSTANCE ADDRESS KEY EXTERNAL CMS-SOCKET COMMAND...

Sets and unsets KEY of INSTANCE, whose address is ADDRESS, COUNT times by `COMMAND config set` and as often by the API.
Three things are seen by the clock of this process: that the change is answered, that the CMS tells of it (by a stream of
events of its own, like the agent's), and that the row is there or gone (by a monitor of the Northbound). From the event
to the row it is the agent's part, with its question what the instance asks for now.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import threading
import time
from queue import Empty, Queue

NORTHBOUND = "/run/ovn/ovnnb_db.sock"
# Nothing takes as long.
PATIENCE = 30
# After a change, so that what is still told of it is not taken for a part of the next one.
PAUSE = 0.05


def connect(path):
    stream = socket.socket(socket.AF_UNIX)
    stream.connect(path)
    return stream


class Rows:
    """The row of an instance in the Northbound, by a monitor."""

    def __init__(self, external, logical):
        self.wanted = (external, logical)
        self.news = Queue()
        self.stream = connect(NORTHBOUND)
        columns = {"NAT": {"columns": ["external_ip", "logical_ip"]}}
        request = {"id": 1, "method": "monitor", "params": ["OVN_Northbound", None, columns]}
        self.stream.sendall(json.dumps(request).encode())
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        decoder, text = json.JSONDecoder(), ""
        while data := self.stream.recv(1 << 16):
            now = time.monotonic()
            text += data.decode()
            while text := text.lstrip():
                try:
                    message, end = decoder.raw_decode(text)
                except ValueError:
                    break
                text = text[end:]
                if message.get("method") == "echo":
                    reply = {"id": message["id"], "result": message["params"], "error": None}
                    self.stream.sendall(json.dumps(reply).encode())
                elif message.get("method") == "update":
                    self.take(now, message["params"][1].get("NAT", {}))

    def take(self, now, rows):
        for row in rows.values():
            old, new = row.get("old"), row.get("new")
            # What did not change is missing in the old one.
            is_ours = self.is_wanted(new)
            was_ours = self.is_wanted({**(new or {}), **old}) if old is not None else False
            if is_ours != was_ours:
                self.news.put((now, is_ours))

    def is_wanted(self, row):
        return row is not None and (row.get("external_ip"), row.get("logical_ip")) == self.wanted

    def until(self, there):
        while True:
            now, is_there = self.news.get(timeout=PATIENCE)
            if is_there == there:
                return now


class Events:
    """What the CMS tells of an instance, by a WebSocket."""

    def __init__(self, path, instance):
        self.source = f"/1.0/instances/{instance}"
        self.news = Queue()
        self.stream = connect(path).makefile("rwb")
        key = base64.b64encode(os.urandom(16)).decode()
        self.stream.write(
            f"GET /1.0/events?type=lifecycle&all-projects=true HTTP/1.1\r\nHost: cms\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.stream.flush()
        status = self.stream.readline()
        if b" 101 " not in status:
            sys.exit(f"the CMS tells no events: {status}")
        while self.stream.readline().strip():
            pass
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while head := self.stream.read(2):
            now = time.monotonic()
            length = head[1] & 0x7F
            if length > 125:
                length = int.from_bytes(self.stream.read(2 if length == 126 else 8), "big")
            body = self.stream.read(length)
            opcode = head[0] & 0xF
            if opcode == 9:
                # A client masks what it sends; by zeros, nothing changes.
                self.stream.write(bytes([0x8A, 0x80 | length, 0, 0, 0, 0]) + body)
                self.stream.flush()
            elif opcode == 1:
                told = json.loads(body)["metadata"]
                if told.get("action") == "instance-updated" and told.get("source", "").split("?")[0] == self.source:
                    self.news.put(now)

    def first(self):
        return self.news.get(timeout=PATIENCE)

    def forget(self):
        try:
            while True:
                self.news.get_nowait()
        except Empty:
            pass


def by_command(command, instance, key):
    def change(value):
        arguments = ["set", instance, f"{key}={value}"] if value else ["unset", instance, key]
        subprocess.run([*command, "config", *arguments], check=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)

    return change


def by_api(path, instance, key):
    stream = None

    def change(value):
        nonlocal stream
        # Incus accepts no other connection to its socket before this one has said something.
        stream = stream or connect(path).makefile("rwb")
        body = json.dumps({"config": {key: value}})
        head = f"PATCH /1.0/instances/{instance} HTTP/1.1\r\nHost: cms\r\nContent-Type: application/json"
        stream.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        stream.flush()
        status, length = stream.readline(), 0
        while line := stream.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        answer = stream.read(length)
        if b" 200 " not in status:
            sys.exit(f"the CMS refuses: {answer}")

    return change


def measure(count, change, external, rows, events):
    """Returns for set and unset the times of each part, in milliseconds."""
    times = {"set": [], "unset": []}
    for _ in range(count):
        for what, value in (("set", external), ("unset", "")):
            time.sleep(PAUSE)
            events.forget()
            start = time.monotonic()
            change(value)
            answered = time.monotonic()
            row, event = rows.until(what == "set"), events.first()
            times[what].append(
                [1000 * span for span in (row - start, answered - start, event - start, row - event)]
            )
    return times


def line(name, values):
    values = sorted(values)
    # That below which so many of all are: of 100 values the 99th is p99.
    at = lambda share: values[min(len(values) - 1, int(share * len(values) + 0.999999) - 1)]
    print(f"{name:<44}" + "".join(f"{at(share):>9.1f}" for share in (0.5, 0.99, 1.0)), flush=True)


def main():
    count, instance, address, key, external, path, *command = sys.argv[1:]
    rows, events = Rows(external, address), Events(path, instance)
    print(f"{f'{count} changes each, in ms':<44}" + "".join(f"{word:>9}" for word in ("median", "p99", "max")))
    ways = (
        (f"by {command[0]} config", by_command(command, instance, key)),
        ("by the API", by_api(path, instance, key)),
    )
    parts = ("until the row is there or gone", "  until the change is answered", "  until the event", "  from the event to the row")
    for way, change in ways:
        for what, taken in measure(int(count), change, external, rows, events).items():
            print(f"{what} {way}")
            for part, values in zip(parts, zip(*taken)):
                line(f"  {part}", values)


main()
