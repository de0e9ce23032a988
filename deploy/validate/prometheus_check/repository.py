"""What the repository promises: the metrics of docs/metrics.md, the alerts, the boards' expressions."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
BOARDS = ("overview", "internals")

#: What Grafana would put in the place of its variables.
VARIABLES = {"$__rate_interval": "1m", "$instance": ".*", "$namespace": ".*"}


@dataclass(frozen=True)
class Metric:
    name: str
    kind: str

    @property
    def series(self) -> str:
        """The name under which Prometheus stores it, or a part of it."""
        return f"{self.name}_bucket" if self.kind == "histogram" else self.name


def metrics(page: str | None = None) -> list[Metric]:
    text = page if page is not None else (ROOT / "docs/metrics.md").read_text()
    return [Metric(name, kind) for name, kind in re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|", text, re.MULTILINE)]


def alerts(rules: str | None = None) -> list[str]:
    return re.findall(r"^\s*- alert: (\w+)$", rules if rules is not None else ALERTS.read_text(), re.MULTILINE)


def expressions() -> list[tuple[str, str]]:
    """Each panel's title and one of its expressions, as Grafana would ask it."""
    found = []
    for name in BOARDS:
        board = json.loads((ROOT / f"deploy/grafana/{name}.json").read_text())
        for panel in board["panels"]:
            found += [(f"{board['title']}: {panel['title']}", filled(target["expr"])) for target in panel.get("targets", [])]
    return found


def asked(promised: list[Metric]) -> set[str]:
    """The metrics that a board or an alert asks for."""
    text = " ".join(expression for _, expression in expressions()) + ALERTS.read_text()
    words = set(re.findall(r"\w+", text))
    return {metric.name for metric in promised if words & {metric.name, *(f"{metric.name}{part}" for part in ("_bucket", "_sum", "_count"))}}


def filled(expression: str) -> str:
    for variable, value in VARIABLES.items():
        expression = expression.replace(variable, value)
    return expression
