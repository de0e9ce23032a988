"""`python_inventory`, the system that owns stock: reserves goods and plans their way."""

from __future__ import annotations

import math
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from tasker_worker import Context, Permanent, Worker, step

from stock import Short, Stock

#: About what scanning shelves costs; without it nobody could watch the demo.
PICKING_SECONDS = 0.012
WAREHOUSE = "midlands"
PIECES_PER_PARCEL = 40
#: Carrier, and after how many days it collects. Everywhere else goes by air.
CARRIERS = {"United Kingdom": ("royal_mail", 1), "EIRE": ("an_post", 2), "France": ("la_poste", 2), "Germany": ("dhl", 2)}
AIR = ("air_freight", 4)

stock = Stock(Path(os.environ.get("INVENTORY_DB", "inventory.db")))


class Strict(BaseModel):
    """Knows every field; an unknown one is a mistake of the caller."""

    model_config = ConfigDict(extra="forbid")


class Line(Strict):
    sku: str
    quantity: Annotated[int, Field(ge=1)]


class ReserveIn(Strict):
    order_id: str
    lines: Annotated[list[Line], Field(min_length=1)]


class ReserveOut(Strict):
    reservation_id: str
    warehouse: str
    lines: list[Line]


class OutOfStock(Strict):
    """The first article that is short."""

    sku: str
    requested: int
    available: int


@step("inventory.reserve", timeout=10, errors={"out_of_stock": OutOfStock})
def reserve(order: ReserveIn, ctx: Context) -> ReserveOut:
    """Sets the goods of an order aside, all of them or none."""
    time.sleep(PICKING_SECONDS)
    wanted: dict[str, int] = {}
    for line in order.lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    try:
        # The key makes a second attempt find the first one's reservation instead of taking the goods twice.
        reservation = stock.reserve(ctx.idempotency_key, order.order_id, wanted)
    except Short as short:
        ctx.log.info("out of stock", order_id=order.order_id, sku=short.sku, requested=short.requested, available=short.available)
        details = OutOfStock(sku=short.sku, requested=short.requested, available=short.available)
        raise Permanent("out_of_stock", str(short), details) from None
    ctx.log.info("goods reserved", order_id=order.order_id, reservation_id=reservation, articles=len(wanted))
    lines = [Line(sku=sku, quantity=quantity) for sku, quantity in wanted.items()]
    return ReserveOut(reservation_id=reservation, warehouse=WAREHOUSE, lines=lines)


class PlanIn(Strict):
    order_id: str
    reservation_id: str
    warehouse: str
    country: str
    item_count: Annotated[int, Field(ge=1)]


class PlanOut(Strict):
    carrier: str
    ship_on: date
    parcels: Annotated[int, Field(ge=1)]


@step("inventory.plan_shipping", timeout=10)
async def plan_shipping(order: PlanIn, ctx: Context) -> PlanOut:
    """Chooses carrier, day and number of parcels."""
    carrier, days = CARRIERS.get(order.country, AIR)
    ship_on = datetime.now(UTC).date() + timedelta(days=days)
    parcels = math.ceil(order.item_count / PIECES_PER_PARCEL)
    ctx.log.info("shipping planned", order_id=order.order_id, carrier=carrier, ship_on=str(ship_on), parcels=parcels)
    return PlanOut(carrier=carrier, ship_on=ship_on, parcels=parcels)


if __name__ == "__main__":
    Worker("python_inventory", steps=[reserve, plan_shipping], version="1.0.0").run()
