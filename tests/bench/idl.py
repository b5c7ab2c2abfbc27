"""Reads tables of a database with Open vSwitch's Python IDL and ends: a peer for scripts/bench.

usage: idl.py REMOTE SCHEMA TABLE=COLUMN,COLUMN...
"""

import sys

import ovs.db.idl
import ovs.poller

remote, schema, *selections = sys.argv[1:]
helper = ovs.db.idl.SchemaHelper(location=schema)
for selection in selections:
    table, columns = selection.split("=")
    helper.register_columns(table, columns.split(","))

idl = ovs.db.idl.Idl(remote, helper)
while not idl.has_ever_connected():
    idl.run()
    if not idl.has_ever_connected():
        poller = ovs.poller.Poller()
        idl.wait(poller)
        poller.block()

# The rows are here; this is what a program would do with them first.
found = sum(len(idl.tables[selection.split("=")[0]].rows) for selection in selections)
if not found:
    sys.exit("no rows")
