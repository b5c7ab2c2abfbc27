"""Finds files of vendored crates that cargo requires and a list of files lacks: complete.py DIRECTORY... <LIST"""

import json
import pathlib
import sys

there = {line.rstrip("\n") for line in sys.stdin}
missing = 0
for directory in map(pathlib.Path, sys.argv[1:]):
    for name in json.loads((directory / ".cargo-checksum.json").read_text())["files"]:
        path = f"vendor/{directory.name}/{name}"
        if path not in there:
            print(path, file=sys.stderr)
            missing += 1
sys.exit(missing > 0)
