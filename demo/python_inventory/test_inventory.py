"""The handlers, run in this process by the SDK's test kit: no server, no worker."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tasker_worker import ContractError, Permanent
from tasker_worker.testing import call

import worker
from stock import Short, Stock, on_the_shelf
from worker import Line, OutOfStock, PlanIn, PlanOut, ReserveIn, ReserveOut, plan_shipping, reserve

KEY = "tsk/reserve"


@pytest.fixture(autouse=True)
def own_stock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stock:
    stock = Stock(tmp_path / "inventory.db")
    monkeypatch.setattr(worker, "stock", stock)
    return stock


def order(*lines: tuple[str, int]) -> ReserveIn:
    return ReserveIn(order_id="536365", lines=[Line(sku=sku, quantity=quantity) for sku, quantity in lines])


async def test_an_article_named_twice_is_reserved_once_with_the_sum(own_stock: Stock) -> None:
    reserved: ReserveOut = await call(reserve, order(("A", 2), ("B", 1), ("A", 3)))
    assert reserved.lines == [Line(sku="A", quantity=5), Line(sku="B", quantity=1)]
    assert own_stock.left("A") == on_the_shelf("A") - 5


async def test_a_second_attempt_takes_nothing_more(own_stock: Stock) -> None:
    first = await call(reserve, order(("A", 2)), idempotency_key=KEY)
    second = await call(reserve, order(("A", 2)), idempotency_key=KEY, attempt=2)
    assert first == second
    assert own_stock.left("A") == on_the_shelf("A") - 2


async def test_an_order_that_is_short_takes_nothing_and_says_what_is_missing(own_stock: Stock) -> None:
    requested = on_the_shelf("B") + 1
    with pytest.raises(Permanent) as refused:
        await call(reserve, order(("A", 1), ("B", requested)))
    assert refused.value.code == "out_of_stock"
    assert OutOfStock.model_validate(refused.value.details) == OutOfStock(sku="B", requested=requested, available=requested - 1)
    assert own_stock.left("A") == on_the_shelf("A")


def test_workers_that_reserve_at_once_never_give_away_a_piece_twice(tmp_path: Path) -> None:
    path = tmp_path / "shared.db"
    Stock(path).left("A")
    asked = on_the_shelf("A") // 5

    def one(number: int) -> bool:
        try:
            Stock(path).reserve(f"key-{number}", "536365", {"A": asked})
        except Short:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(16))) == 5


@pytest.mark.parametrize(
    ("country", "pieces", "carrier", "days", "parcels"),
    [("United Kingdom", 40, "royal_mail", 1, 1), ("United Kingdom", 41, "royal_mail", 1, 2), ("Japan", 1, "air_freight", 4, 1)],
)
async def test_the_plan_depends_on_country_and_size(country: str, pieces: int, carrier: str, days: int, parcels: int) -> None:
    order = PlanIn(order_id="536365", reservation_id="res_1", warehouse="midlands", country=country, item_count=pieces)
    today = datetime.now(UTC).date()
    plan: PlanOut = await call(plan_shipping, order)
    assert (plan.carrier, plan.parcels) == (carrier, parcels)
    # One day more if midnight passed in between.
    assert today + timedelta(days=days) <= plan.ship_on <= today + timedelta(days=days + 1)


async def test_a_quantity_of_nothing_breaks_the_contract() -> None:
    with pytest.raises(ContractError):
        await call(reserve, {"order_id": "536365", "lines": [{"sku": "A", "quantity": 0}]})
