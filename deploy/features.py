#!/usr/bin/env python3
"""What the conformance suite found out about the SDKs, for people.

    features.py show  REPORT              one line for each scenario of one report
    features.py check REPORTS README      fails unless the README's table is what the reports say
    features.py write REPORTS README      makes it so

A report is what `tasker-conformance --output json` prints; REPORTS is a folder with one for each language.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]

BEGIN = "<!-- features: written by `make features` from the conformance reports -->"
END = "<!-- /features -->"
NAMES = {"rust": "Rust", "python": "Python", "typescript": "TypeScript"}
#: What the groups of scenarios mean to somebody who chooses an SDK.
GROUPS = {
    "session": "joins, announces its contracts, joins again after a restart",
    "credit": "takes exactly as many attempts as it has slots",
    "outcomes": "results, four kinds of errors, contracts checked on both sides",
    "replies": "keeps every reply until it is acknowledged",
    "context": "typed context: ids, dependencies, idempotency key",
    "cancellation": "cancellation, timeouts",
    "beats": "heartbeats with progress, nothing lost unnoticed",
    "drain": "finishes its work on SIGTERM or the coordinator's word",
    "reconnect": "survives a lost server",
    "robustness": "survives what it cannot read",
    "traces": "one trace across processes, logs with its ids",
}


def read(folder: Path) -> list[Json]:
    """The reports, in the order of `NAMES`, then any others."""
    reports: list[Json] = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    order = list(NAMES)
    return sorted(reports, key=lambda report: order.index(report["language"]) if report["language"] in order else len(order))


def table(reports: Sequence[Json]) -> str:
    """One row for each group, in the order in which the suite runs them."""
    groups = list(dict.fromkeys(scenario["group"] for report in reports for scenario in report["scenarios"]))
    head = ["feature", *(NAMES.get(report["language"], report["language"]) for report in reports)]
    rows = [[GROUPS.get(group, group), *(cell(report, group) for report in reports)] for group in groups]
    rows.append(["**all scenarios**", *(cell(report, None) for report in reports)])
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def cell(report: Json, group: str | None) -> str:
    verdicts = [scenario["passed"] for scenario in report["scenarios"] if group in (None, scenario["group"])]
    if not verdicts:
        return "–"
    mark = "✓" if all(verdicts) else "✗"
    return f"{mark} {sum(verdicts)} of {len(verdicts)}"


def show(report: Json) -> int:
    for scenario in report["scenarios"]:
        print(f"{report['language']} {scenario['group']}: {scenario['name']} ... {'ok' if scenario['passed'] else 'FAILED'}")
    for scenario in report["scenarios"]:
        if not scenario["passed"]:
            print(f"\n{scenario['group']}: {scenario['name']}\n{scenario['detail']}")
    passed = sum(scenario["passed"] for scenario in report["scenarios"])
    print(f"\n{report['language']} (SDK {report['sdk_version'] or 'unknown'}): {passed} of {len(report['scenarios'])} scenarios hold")
    return 0 if passed == len(report["scenarios"]) else 1


def split(readme: str) -> tuple[str, str, str]:
    """Before the table, the table, after it."""
    before, found, rest = readme.partition(BEGIN + "\n")
    inside, ended, after = rest.partition(END)
    if not found or not ended:
        sys.exit(f"the README has no `{BEGIN}` … `{END}`")
    return before + found, inside.strip("\n"), "\n" + ended + after


def check(reports: Sequence[Json], readme: Path) -> int:
    missing = [name for name in NAMES if name not in {report["language"] for report in reports}]
    if missing:
        print(f"no report for {', '.join(missing)}: run `make conformance` first")
        return 1
    if split(readme.read_text())[1] != table(reports):
        print(f"the table in {readme} is not what the reports say; `make features` writes it anew:\n\n{table(reports)}")
        return 1
    print(f"the table in {readme} is what {len(reports)} reports say")
    return 0


def write(reports: Sequence[Json], readme: Path) -> int:
    before, _, after = split(readme.read_text())
    readme.write_text(before + table(reports) + after)
    return 0


def main(arguments: Sequence[str]) -> int:
    match arguments:
        case ["show", report]:
            return show(json.loads(Path(report).read_text()))
        case ["check", folder, readme]:
            return check(read(Path(folder)), Path(readme))
        case ["write", folder, readme]:
            return write(read(Path(folder)), Path(readme))
        case _:
            print(__doc__, file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
