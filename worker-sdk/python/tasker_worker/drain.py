"""How a session ends: it takes nothing new, finishes what it holds, and says goodbye."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from .attempt import StopReason
from .errors import Cancelled
from .limits import ACKNOWLEDGE_GRACE, CANCEL_GRACE
from .log import facts
from .session import Session

log = logging.getLogger("tasker_worker")


async def drain(session: Session, reason: str) -> int:
    """Drains and leaves; returns how many handlers still run although they were told to stop.

    Takes at most the drain timeout and the two graces of ``limits.py``.
    """
    log.info("draining: finishing what is held and taking nothing new", extra=facts(reason=reason))
    session.draining = True
    session.beat()
    held = session.held
    abandoned = 0
    if not await _until(session, lambda: held.unfinished == 0, session.settings.drain_timeout):
        for entry in list(held.entries.values()):
            if entry.reply is None:
                request = entry.attempt.request
                log.warning("cancelled: the drain timeout passed", extra=facts(task_id=request.task_id, step=request.step_name))
                session.stop_attempt(entry, StopReason.DRAIN)
        if not await _until(session, lambda: held.unfinished == 0, CANCEL_GRACE):
            for entry in list(held.entries.values()):
                if entry.reply is None:
                    abandoned += 1
                    session.answer(entry, Cancelled("the handler did not stop before the worker left"))
    if not await _until(session, lambda: not held.entries, ACKNOWLEDGE_GRACE):
        log.warning(
            "leaving although replies are unacknowledged; others will run these attempts",
            extra=facts(replies=held.unacknowledged),
        )
    await session.leave()
    log.info("left", extra=facts(session=session.id))
    return abandoned


async def _until(session: Session, is_so: Callable[[], bool], timeout: float) -> bool:
    """Waits until a condition on what is held becomes true; False if time ran out."""
    changed = asyncio.Event()
    session.on_change = changed.set
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    while not is_so():
        changed.clear()
        try:
            await asyncio.wait_for(changed.wait(), max(0.0, end - loop.time()))
        except asyncio.TimeoutError:
            return is_so()
    return True
