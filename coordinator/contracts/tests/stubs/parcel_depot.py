"""Handlers of the system `parcel-depot`, made from its contracts by `tasker contract stubs`.

The file is yours: fill in the functions at its end, and keep the types in step with the contracts.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, ConfigDict, Field
from tasker_worker import Context, Permanent, Worker, step


class ParcelAcceptInputLinesItem(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    quantity: Annotated[int, Field(ge=1)]
    sku: str


class ParcelAcceptInputSizeOption2(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    height: float


ParcelAcceptInputSize = Union[str, ParcelAcceptInputSizeOption2]


ParcelAcceptInputStatus = Literal["open"]


ParcelAcceptInputType = Literal["small", "2-man", "", "größe", "Self", "small!"]


class ParcelAcceptInput(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    lines: Annotated[list[ParcelAcceptInputLinesItem], Field(min_length=1)]
    note: Annotated[str, Field(max_length=200)] | None
    order_id: Annotated[str, Field(pattern="^[A-Z]\\d+$", min_length=1, max_length=64)] = Field(alias="order-id", description="The shop's number.")
    status: ParcelAcceptInputStatus
    type_: ParcelAcceptInputType = Field(alias="type")
    weight: Annotated[float, Field(gt=0, le=31.5)]
    n_2nd_try: bool | None = Field(default=None, exclude_if=lambda value: value is None, alias="2nd_try")
    proto: str | None = Field(default=None, exclude_if=lambda value: value is None, alias="__proto__")
    deliver_on: Annotated[str, Field(json_schema_extra={"format": "date"})] | None = Field(default=None, exclude_if=lambda value: value is None)
    gr_e: int | None = Field(default=None, exclude_if=lambda value: value is None, alias="größe")
    labels: dict[str, str] | None = Field(default=None, exclude_if=lambda value: value is None)
    field_model_year: int | None = Field(default=None, exclude_if=lambda value: value is None, alias="model_year")
    order_id2: int | None = Field(default=None, exclude_if=lambda value: value is None, alias="order_id")
    priority: Literal[1, 2, "express"] | None = Field(default=None)
    remark: str | None = Field(default=None)
    schema_: Any = Field(default=None, exclude_if=lambda value: value is None, alias="schema")
    size: ParcelAcceptInputSize | None = Field(default=None)


ParcelAcceptResultNeighboursItem = Union[str, int]


class ParcelAcceptResult(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    parcel: Annotated[str, Field(json_schema_extra={"format": "uuid"})]
    shelf: int | None
    taken_at: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    neighbours: Annotated[list[ParcelAcceptResultNeighboursItem], Field(json_schema_extra={"uniqueItems": True})] | None = Field(default=None, exclude_if=lambda value: value is None)


class ParcelAcceptTooHeavyDetails(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    limit: float


class TourPlanInputStop(BaseModel):
    """One stop of a tour."""

    model_config = ConfigDict(populate_by_name=True)

    place: str
    next: TourPlanInputStop | None = Field(default=None, exclude_if=lambda value: value is None)
    others: list[TourPlanInputStop] | None = Field(default=None, exclude_if=lambda value: value is None)


class WorkerInput(BaseModel):
    model_config = ConfigDict(populate_by_name=True)

    a: str
    b: bool | None = Field(default=None)


@step("parcel.accept", timeout=10, errors={"depot.closed": None, "too_heavy": ParcelAcceptTooHeavyDetails})
async def parcel_accept(input: ParcelAcceptInput, context: Context) -> ParcelAcceptResult:
    """Takes a parcel in. Never end a comment with */ or '''.

    Asking again gives the same parcel.
    """
    # depot.closed: may fail with this code
    # too_heavy: More than a person may carry.
    raise Permanent("handler.not_written", "`parcel.accept` has no code yet: write the body of `parcel_accept`")


@step("tour.plan")
async def tour_plan(input: TourPlanInputStop, context: Context) -> list[str]:
    raise Permanent("handler.not_written", "`tour.plan` has no code yet: write the body of `tour_plan`")


@step("tour-plan")
async def tour_plan2(input: Any, context: Context) -> Any:
    """Another name that looks the same."""
    raise Permanent("handler.not_written", "`tour-plan` has no code yet: write the body of `tour_plan2`")


@step("worker")
async def worker_(input: WorkerInput, context: Context) -> None:
    """A keyword for a name."""
    raise Permanent("handler.not_written", "`worker` has no code yet: write the body of `worker_`")


worker = Worker("parcel-depot", steps=[parcel_accept, tour_plan, tour_plan2, worker_])

if __name__ == "__main__":
    worker.run()
