"""The worker that the conformance suite drives; its handlers are listed in ``../conformance/README.md``."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tasker_worker import Cancelled, Context, ContractError, Permanent, Retryable, Worker, step


class Exact(BaseModel):
    """Refuses unknown fields, in the schema too."""

    model_config = ConfigDict(extra="forbid")


class Nothing(Exact):
    pass


class Echo(Exact):
    text: str
    number: int


class Fail(Exact):
    kind: Literal["retryable", "permanent", "cancelled", "contract", "unexpected"]
    code: str | None = None
    message: str | None = None
    retry_after_ms: int | None = Field(default=None, ge=0)
    details: dict[str, Any] | None = None


class Sku(Exact):
    sku: str


class Wait(Exact):
    ms: int = Field(ge=0)


class Slept(Exact):
    slept_ms: int


class Progress(Exact):
    of: int = Field(ge=0)
    every_ms: int = Field(ge=0)


class Done(Exact):
    done: int


class Large(Exact):
    bytes: int = Field(ge=0)


class Blob(Exact):
    blob: str


class Level(Exact):
    level: int = Field(ge=0, le=10)


class Known(Exact):
    task_id: str
    step: str
    attempt: int
    attempts_max: int
    idempotency_key: str
    dependencies: dict[str, Any]
    trace_id: str
    workflow: str


class Text(Exact):
    text: str


class Count(Exact):
    key: str
    ms: int = Field(ge=0)


class Runs(Exact):
    runs: int


@step("conformance.echo")
async def echo(inp: Echo) -> Echo:
    """Returns its input."""
    return inp


@step("conformance.echo_sync")
def echo_sync(inp: Echo) -> Echo:
    """Returns its input from a blocking handler."""
    return inp


@step("conformance.fail")
async def fail(inp: Fail) -> Nothing:
    """Fails in the way that is asked for."""
    message = inp.message or ""
    if inp.kind == "retryable":
        after = None if inp.retry_after_ms is None else inp.retry_after_ms / 1000
        raise Retryable(message, code=inp.code or "handler.error", after=after, details=inp.details)
    if inp.kind == "permanent":
        raise Permanent(inp.code or "handler.error", message, inp.details)
    if inp.kind == "contract":
        raise ContractError(message, code=inp.code or "input.invalid", details=inp.details)
    if inp.kind == "cancelled":
        raise Cancelled(message, inp.details)
    raise RuntimeError(message)


@step("conformance.declared", errors={"out_of_stock": Sku})
async def declared(inp: Sku) -> Nothing:
    """Fails with a declared error."""
    raise Permanent("out_of_stock", f"{inp.sku} is out of stock", Sku(sku=inp.sku))


@step("conformance.sleep")
async def sleep(inp: Wait) -> Slept:
    """Waits; stops at once when cancelled."""
    started = time.monotonic()
    await asyncio.sleep(inp.ms / 1000)
    return Slept(slept_ms=int((time.monotonic() - started) * 1000))


@step("conformance.heavy", slot_cost=2)
async def heavy(inp: Wait) -> Slept:
    """Waits, and takes two slots while it does."""
    await asyncio.sleep(inp.ms / 1000)
    return Slept(slept_ms=inp.ms)


@step("conformance.stubborn")
def stubborn(inp: Wait) -> Slept:
    """Waits without looking at cancellation."""
    started = time.monotonic()
    time.sleep(inp.ms / 1000)
    return Slept(slept_ms=int((time.monotonic() - started) * 1000))


@step("conformance.progress")
async def progress(inp: Progress, ctx: Context) -> Done:
    """Reports its progress."""
    for number in range(1, inp.of + 1):
        ctx.heartbeat({"done": number, "of": inp.of})
        await asyncio.sleep(inp.every_ms / 1000)
    return Done(done=inp.of)


@step("conformance.large")
async def large(inp: Large) -> Blob:
    """Returns a text of the length that is asked for."""
    return Blob(blob="x" * inp.bytes)


@step("conformance.wrong")
async def wrong(_: Nothing) -> Level:
    """Returns a level that its contract forbids, past pydantic's check at construction."""
    return Level.model_construct(level=11)


@step("conformance.context")
async def context(_: Nothing, ctx: Context) -> Known:
    """Returns what its context says."""
    return Known(
        task_id=ctx.task_id,
        step=ctx.step,
        attempt=ctx.attempt,
        attempts_max=ctx.attempts_max,
        idempotency_key=ctx.idempotency_key,
        dependencies=ctx.dependencies,
        trace_id=ctx.trace.trace_id,
        workflow=ctx.workflow,
    )


@step("conformance.log")
async def log(inp: Text, ctx: Context) -> Nothing:
    """Logs the text."""
    ctx.log.info(inp.text)
    return Nothing()


_runs: dict[str, int] = {}


@step("conformance.count")
async def count(inp: Count) -> Runs:
    """Counts its runs per key in this process."""
    _runs[inp.key] = _runs.get(inp.key, 0) + 1
    await asyncio.sleep(inp.ms / 1000)
    return Runs(runs=_runs[inp.key])


STEPS = [echo, echo_sync, fail, declared, sleep, heavy, stubborn, progress, large, wrong, context, log, count]

if __name__ == "__main__":
    Worker(os.environ.get("TASKER_SYSTEM") or "conformance", steps=STEPS).run()
