"""`python_inventory`, the system that owns stock: reserves goods and plans their way."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, Field
from tasker_worker import Context, Permanent, Worker, step

from stock import Short, Stock

#: About what scanning shelves costs; without it nobody could watch the demo.
PICKING_SECONDS = 0.012
PIECES_PER_PARCEL = 40
#: Everywhere else goes by air.
CARRIERS = {"United Kingdom": ("royal_mail", 2), "EIRE": ("an_post", 3), "France": ("la_poste", 4), "Germany": ("dhl", 4)}
AIR = ("air_freight", 9)

stock = Stock(Path(os.environ.get("INVENTORY_DB", "inventory.db")))


class Line(BaseModel):
    sku: str
    quantity: Annotated[int, Field(ge=1)]


class ReserveIn(BaseModel):
    order_id: str
    lines: Annotated[list[Line], Field(min_length=1)]


class ReserveOut(BaseModel):
    reservation_id: str
    pieces: int


class OutOfStock(BaseModel):
    """The first article that was short, and how many were."""

    sku: str
    asked: int
    left: int
    articles_short: int


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
        ctx.log.info("out of stock", order_id=order.order_id, sku=short.sku, asked=short.asked, left=short.left)
        details = OutOfStock(sku=short.sku, asked=short.asked, left=short.left, articles_short=short.articles)
        raise Permanent("out_of_stock", f"{short.asked} of {short.sku} asked, {short.left} left", details) from None
    ctx.log.info("goods reserved", order_id=order.order_id, reservation_id=reservation, articles=len(wanted))
    return ReserveOut(reservation_id=reservation, pieces=sum(wanted.values()))


class PlanIn(BaseModel):
    order_id: str
    country: str
    pieces: Annotated[int, Field(ge=1)]


class PlanOut(BaseModel):
    carrier: str
    parcels: Annotated[int, Field(ge=1)]
    days: Annotated[int, Field(ge=1)]


@step("inventory.plan_shipping", timeout=10)
async def plan_shipping(order: PlanIn, ctx: Context) -> PlanOut:
    """Chooses carrier and number of parcels."""
    carrier, days = CARRIERS.get(order.country, AIR)
    parcels = math.ceil(order.pieces / PIECES_PER_PARCEL)
    ctx.log.info("shipping planned", order_id=order.order_id, carrier=carrier, parcels=parcels)
    return PlanOut(carrier=carrier, parcels=parcels, days=days)


if __name__ == "__main__":
    Worker("python_inventory", steps=[reserve, plan_shipping], version="1.0.0").run()
