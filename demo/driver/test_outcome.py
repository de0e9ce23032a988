"""The sums at the end of the demo: they must find what is wrong, and only that."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from driver.outcome import expected, faults, percentile, summarise

Json = dict[str, Any]
ORDERS = Path(__file__).resolve().parent.parent / "orders.jsonl"


def order(number: str, quantity: int = 1, customer: str | None = "17850") -> Json:
    return {"order_id": number, "customer_id": customer, "lines": [{"sku": "A", "quantity": quantity, "unit_price": "1.0"}]}


def result(number: str, code: str | None = None, step: str = "validate_order") -> Json:
    failure = {"kind": "permanent", "code": code, "message": "", "step": step} if code else None
    return {"id": number, "status": "failed" if code else "succeeded", "failure": failure}


def timeline(number: str, *codes: str | None) -> Json:
    """One step whose attempts ended with these codes; `None` is success."""
    attempts = [
        {"attempt": at, "worker": f"w{at}", "outcome": "failed" if code else "succeeded", "code": code, "duration_ms": 10 * at}
        for at, code in enumerate(codes, 1)
    ]
    return {"id": number, "rows": [{"step": "charge", "system": "node_payments", "waited_ms": 2, "attempts": attempts}]}


ORDINARY = [order("1"), order("C2", -1), order("3", customer=None), order("4", -5)]
ORDINARY_RESULTS = [result("1"), result("2", "order_cancelled"), result("3", "customer_missing"), result("4", "order_cancelled")]


def test_typed_refusals_are_ordinary() -> None:
    outcome = summarise(ORDINARY_RESULTS, [])
    assert faults(outcome, ORDINARY) == []
    assert outcome.statuses == {"succeeded": 1, "failed": 3}


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (ORDINARY_RESULTS[:3], "4 orders were submitted"),
        ([*ORDINARY_RESULTS[:3], result("4")], "must end with `order_cancelled`"),
        ([result("1", "handler.error"), *ORDINARY_RESULTS[1:]], "`handler.error`, which no contract names"),
        ([{"id": "1", "status": "failed", "failure": None}, *ORDINARY_RESULTS[1:]], "have an error code"),
        ([{"id": "1", "status": "cancelled", "failure": None}, *ORDINARY_RESULTS[1:]], "4 orders were submitted"),
    ],
)
def test_whatever_does_not_add_up_is_a_fault(results: list[Json], said: str) -> None:
    assert any(said in fault for fault in faults(summarise(results, []), ORDINARY))


def test_retries_are_counted_by_what_made_them_necessary() -> None:
    outcome = summarise([], [timeline("1", "gateway_busy", "gateway_busy", None), timeline("2", None), timeline("3", "card_declined")])
    assert outcome.retries == {("gateway_busy", "charge"): 2}
    assert outcome.retried_tasks == 1
    assert (outcome.steps["charge"].runs, outcome.steps["charge"].ran_ms) == (5, [30, 10])


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert [percentile(range(1, 101), percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert (percentile([7], 99), percentile([], 50)) == (7, 0)


def test_the_orders_of_the_demo_are_as_their_attribution_says() -> None:
    orders = [json.loads(line) for line in ORDERS.read_text().splitlines()]
    assert len({each["order_id"] for each in orders}) == 400
    assert sum(each["order_id"].startswith("C") for each in orders) == 35
    assert expected(orders) == Counter(order_cancelled=57, customer_missing=36)
