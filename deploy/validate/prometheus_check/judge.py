"""What Prometheus must say. Pure: it is given the answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_check.repository import Metric

Json = Any


@dataclass(frozen=True)
class Finding:
    code: str
    detail: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.detail}"


def targets(active: Iterable[Json], job: str) -> list[Finding]:
    """Every target of the job is up."""
    ours = [target for target in active if target.get("labels", {}).get("job") == job]
    if not ours:
        return [Finding("target.missing", f"no target has the job `{job}`, by which the alerts know a coordinator")]
    down = [target for target in ours if target.get("health") != "up"]
    return [Finding("target.down", f"{target['scrapeUrl']} is {target.get('health')}: {target.get('lastError') or 'not scraped yet'}") for target in down]


def series(names: set[str], announced: set[str], promised: Iterable[Metric], asked: set[str]) -> list[Finding]:
    """Every metric of the documentation is stored, or announced if nothing of its kind has happened; what boards and alerts ask for is stored."""
    findings = []
    for metric in promised:
        if metric.series in names:
            continue
        if metric.name not in announced:
            findings.append(Finding("series.missing", f"{metric.name} ({metric.kind}) is not announced by any target"))
        elif metric.name in asked:
            findings.append(Finding("series.missing", f"{metric.name} ({metric.kind}) has no series, and a board or an alert asks for it"))
    return findings


def counters(before: Mapping[str, float], after: Mapping[str, float | None], expected: Mapping[str, float]) -> list[Finding]:
    """Counters grew by exactly what was done."""
    findings = []
    for expression, growth in expected.items():
        now = after.get(expression)
        if now is None:
            findings.append(Finding("series.missing", f"{expression} has no value"))
        elif now - before.get(expression, 0.0) != growth:
            findings.append(Finding("counter.wrong", f"{expression} grew by {now - before.get(expression, 0.0):g}, not by {growth:g}"))
    return findings


def rules(groups: Iterable[Json], promised: Iterable[str]) -> list[Finding]:
    """Every alert is loaded and can be evaluated, and none fires."""
    loaded: dict[str, Json] = {rule["name"]: rule for group in groups for rule in group.get("rules", [])}
    findings = []
    for name in promised:
        rule = loaded.get(name)
        if rule is None:
            findings.append(Finding("alert.not_loaded", f"{name} is not among the rules; load deploy/prometheus/alerts.yaml"))
        elif rule.get("health") == "err":
            findings.append(Finding("alert.broken", f"{name}: {rule.get('lastError')}"))
        elif rule.get("state") == "firing":
            says = next((alert.get("annotations", {}).get("summary", "") for alert in rule.get("alerts", []) if alert.get("state") == "firing"), "")
            findings.append(Finding("alert.firing", f"{name}: {says}"))
    return findings


def evaluated(groups: Iterable[Json], promised: Iterable[str]) -> bool:
    """Whether every promised rule that is loaded has been evaluated at least once."""
    wanted = set(promised)
    return all(rule.get("health") != "unknown" for group in groups for rule in group.get("rules", []) if rule["name"] in wanted)
