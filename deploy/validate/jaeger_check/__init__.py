"""Validates a Jaeger installation against a live Tasker workload.

Read `command.py` first: it is the run from top to bottom. Then

- `workload.py`   the workflow that is run, and the processes that run it
- `span_tree.py`  what its trace must look like (pure: no network, no processes; tested on captured traces)
- `probe.py`      one span of our own, to tell a broken Jaeger from a broken Tasker
- `jaeger_api.py` Jaeger's query API;  `tasker_api.py` the coordinator's API;  `web.py` what both share
- `own_jaeger.py` builds and runs a Jaeger when there is none

Absent on purpose: any change to the installation. It only receives a few spans in traces of their own.
"""
