"""What came of the orders, counted from what the API says. No I/O."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

#: Ordinary outcomes: what the contracts of the three systems say may happen. Any other failure is a fault.
CONTRACT_ERRORS = ("order_cancelled", "customer_missing", "order_empty", "out_of_stock", "card_declined")


@dataclass
class StepFigures:
    """How often and how long one step of the workflow ran, over all orders."""

    system: str
    runs: int = 0
    waited_ms: list[float] = field(default_factory=list)
    ran_ms: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """The sums at the end."""

    statuses: Counter[str]
    errors: Counter[tuple[str, str]]
    """By (code, step)."""
    retries: Counter[tuple[str, str]]
    """By (code of the attempt that was tried again, step)."""
    retried_tasks: int
    steps: dict[str, StepFigures]


def summarise(results: Iterable[Json], timelines: Iterable[Json]) -> Outcome:
    """Counts `results` (…/result) and `timelines` (…/timeline) of the same tasks."""
    outcome = Outcome(Counter(), Counter(), Counter(), 0, {})
    for result in results:
        outcome.statuses[result["status"]] += 1
        failure = result.get("failure")
        if failure:
            outcome.errors[failure["code"], failure.get("step") or "-"] += 1
    for timeline in timelines:
        retried = 0
        for row in timeline["rows"]:
            retried += _count_row(outcome, row)
        outcome.retried_tasks += retried > 0
    return outcome


def _count_row(outcome: Outcome, row: Json) -> int:
    figures = outcome.steps.setdefault(row["step"], StepFigures(row["system"]))
    attempts = row["attempts"]
    if attempts:
        figures.waited_ms.append(row["waited_ms"] or 0)
    for attempt in attempts:
        figures.runs += 1
        if attempt["outcome"] == "succeeded":
            figures.ran_ms.append(attempt["duration_ms"])
    for attempt in attempts[:-1]:
        outcome.retries[attempt["code"] or attempt["outcome"], row["step"]] += 1
    return max(0, len(attempts) - 1)


def expected(orders: Sequence[Json]) -> Counter[str]:
    """How often the orders themselves demand each of the first refusals, whatever the systems do."""
    counts: Counter[str] = Counter()
    for order in orders:
        if order["order_id"].startswith("C") or any(line["quantity"] <= 0 for line in order["lines"]):
            counts["order_cancelled"] += 1
        elif not order["customer_id"]:
            counts["customer_missing"] += 1
    return counts


def faults(outcome: Outcome, orders: Sequence[Json]) -> list[str]:
    """Everything that does not add up; empty after a good run."""
    found = []
    succeeded, failed = outcome.statuses["succeeded"], outcome.statuses["failed"]
    if succeeded + failed != len(orders):
        found.append(f"{len(orders)} orders were submitted, but {succeeded} succeeded and {failed} failed: {dict(outcome.statuses)}")
    codes: Counter[str] = Counter()
    for (code, step), count in outcome.errors.items():
        codes[code] += count
        if code not in CONTRACT_ERRORS:
            found.append(f"{count} orders failed at {step} with `{code}`, which no contract names")
    for code, count in expected(orders).items():
        if codes[code] != count:
            found.append(f"{count} orders must end with `{code}`, {codes[code]} did")
    if sum(codes.values()) != failed:
        found.append(f"{failed} orders failed, but {sum(codes.values())} have an error code")
    return found


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed; 0 without values."""
    if not values:
        return 0.0
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
