"""Validates a Prometheus installation against a live Tasker workload.

Read `command.py` first: it is the run from top to bottom. Then

- `judge.py`          what targets, series, rules and boards must be like (pure: no network, no processes; tested on captured answers)
- `workload.py`       the workflow that is run, and what it must add to the counters
- `prometheus_api.py` Prometheus' query API
- `own_prometheus.py` runs the distribution's Prometheus when there is none
- `repository.py`     what the repository says: metrics, alerts, boards

Processes, waiting, problems and the coordinator's API are those of `jaeger_check`.

Absent on purpose: any change to the installation. It is only asked.
"""
