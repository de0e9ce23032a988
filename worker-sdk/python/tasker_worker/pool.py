"""Threads for blocking handlers, one for each slot at most."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any


class Pool:
    """Runs functions in daemon threads and hands results back to the event loop in batches.

    Not ``concurrent.futures``: its threads are joined when the process ends, so
    one handler that ignores cancellation would keep a drained worker alive; and
    it wakes the loop once for each result.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, threads_max: int) -> None:
        self._loop = loop
        self._threads_max = threads_max
        self._threads = 0
        #: Work that no thread waits for yet; changed on the loop only.
        self._occupied = 0
        self._work: SimpleQueue[tuple[Callable[[], Any], Callable[[Any], None]] | None] = SimpleQueue()
        self._done: deque[tuple[Callable[[Any], None], Any]] = deque()
        self._waking = False
        self._lock = threading.Lock()

    def submit(self, function: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Runs ``function``, which must not raise, in a context of its own; then calls ``done`` on the loop."""
        context = contextvars.copy_context()
        self._occupied += 1
        if self._occupied > self._threads and self._threads < self._threads_max:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"tasker-handler-{self._threads}", daemon=True).start()
        self._work.put((lambda: context.run(function), done))

    def close(self) -> None:
        """Lets idle threads end; busy ones end with their handler, or with the process."""
        for _ in range(self._threads):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            function, done = work
            result = function()
            with self._lock:
                self._done.append((done, result))
                wake = not self._waking
                self._waking = True
            if wake:
                try:
                    self._loop.call_soon_threadsafe(self._deliver)
                except RuntimeError:
                    # The loop is closed: the worker has left and nobody waits for this.
                    return

    def _deliver(self) -> None:
        with self._lock:
            ready, self._done = self._done, deque()
            self._waking = False
        self._occupied -= len(ready)
        for done, result in ready:
            done(result)
