"""The last page: what came of the orders, how long it took, and where to look next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .outcome import Outcome, percentile
from .screen import Screen

Json = dict[str, Any]
LINE_COLUMNS = 96


def orders(screen: Screen, outcome: Outcome, seconds: float) -> None:
    total = sum(outcome.statuses.values())
    screen.title(f"What came of {total} orders in {seconds:.1f} s")
    rows: list[Sequence[object]] = [(outcome.statuses["succeeded"], "succeeded", "")]
    rows += [(count, code, f"at {step}") for (code, step), count in outcome.errors.most_common()]
    rows.append((total, "together, as many as were submitted", ""))
    screen.table(("orders", "outcome", ""), rows)
    screen.say()
    retries = ", ".join(f"{count} × {code} at {step}" for (code, step), count in outcome.retries.most_common())
    screen.say(f"  {outcome.retried_tasks} orders needed more than one attempt at a step: {retries}")


def recovery(screen: Screen, held: Sequence[tuple[str, Json, str]], names: Mapping[str, str]) -> None:
    """What became of the steps that the killed worker held: who got them next, and when."""
    screen.title("What the killed worker held")
    rows: list[Sequence[object]] = []
    for order, timeline, step in held:
        attempts = next(row["attempts"] for row in timeline["rows"] if row["step"] == step)
        first, last = attempts[0], attempts[-1]
        after = (last["offset_ms"] - first["offset_ms"]) / 1000
        outcome = last["outcome"] if last["outcome"] == "succeeded" else last["code"]
        rows.append((order, step, names.get(first["worker"], "?"), first["code"] or first["outcome"], names.get(last["worker"], "?"), f"{after:.1f} s later", outcome))
    if rows:
        screen.table(("order", "step", "first attempt on", "", "last attempt on", "", ""), rows)
    else:
        screen.say("  nothing: it was between two steps")


def steps(screen: Screen, outcome: Outcome, languages: Mapping[str, str]) -> None:
    screen.title("How long the steps took, in milliseconds")
    rows = [
        (
            name,
            f"{figures.system} ({languages[figures.system]})",
            figures.runs,
            round(percentile(figures.waited_ms, 50)),
            round(percentile(figures.waited_ms, 99)),
            round(percentile(figures.ran_ms, 50)),
            round(percentile(figures.ran_ms, 99)),
        )
        for name, figures in outcome.steps.items()
    ]
    screen.table(("step", "system", "attempts", "waited p50", "p99", "ran p50", "p99"), rows)


def logs(screen: Screen, trace_id: str, folder: Path, languages: Mapping[str, str]) -> None:
    """One log line of each language that carries the order's trace id."""
    screen.title(f"The same trace in the logs of all three languages: {trace_id}")
    for system, language in languages.items():
        line = _last_line_of(trace_id, sorted(folder.glob(f"{system}-*.log")))
        screen.say(f"  {language:<11} {line[:LINE_COLUMNS]}")


def _last_line_of(trace_id: str, files: Sequence[Path]) -> str:
    lines = [line for file in files for line in file.read_text(errors="replace").splitlines() if trace_id in line]
    if not lines:
        return "nothing logged"
    fields: Json = json.loads(lines[-1])
    shown = ("message", "step", "attempt", "span_id")
    return " ".join(f"{name}={json.dumps(fields[name])}" for name in shown if name in fields)


def next_steps(screen: Screen, url: str, shown: str, failed: str, tasker: str, state: str, keeps: bool) -> None:
    """Commands with ids of this run, ready to be copied."""
    screen.title("Where to look next")
    if keeps:
        screen.say("  In another terminal, as long as this one runs:")
        screen.say(f"    export TASKER_SERVER={url}")
    else:
        screen.say("  The server stops now. Its data is kept until the next demo; this starts it again (or run `make demo KEEP=1`):")
        screen.say(f"    {tasker} dev --data {state}/data")
        screen.say("  and in another terminal:")
    for command in (f"task show {failed}", f"task events {shown}", "task list --status failed", "capability list"):
        screen.say(f"    {tasker} {command}")
    screen.say(f"  Every route of the API, to try out: {url}/docs")
    screen.say(f"  JSON logs of every process: {state}/logs/")
