"""The worker: steps, a system, and ``run``."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from . import log as logs
from .drain import drain
from .errors import ConfigurationError, WorkerError
from .limits import DRAIN_TIMEOUT
from .session import Session
from .settings import Settings
from .step import Step
from .telemetry import Telemetry

log = logging.getLogger("tasker_worker")


class Worker:
    """Answers the steps of one system.

    ``slots`` is how many attempts run at once (1 to 10,000), ``version`` the
    build of the system shown to people and used for routing, ``drain_timeout``
    how many seconds handlers may still run after the worker was asked to leave,
    ``labels`` where or on what it runs (``{"region": "eu"}``), used for routing.
    What is left out comes from the environment (``TASKER_NATS_URL``,
    ``TASKER_NAMESPACE``, ``TASKER_SLOTS``, ``TASKER_LABELS``, …). ``nats_url`` may name several
    servers, separated by commas. ``tracer_provider`` replaces the one that
    ``OTEL_EXPORTER_OTLP_ENDPOINT`` would make.

    Raises ConfigurationError for two handlers of one capability, or none at all.
    """

    def __init__(
        self,
        system: str,
        steps: Iterable[Step],
        *,
        version: str = "",
        slots: int | None = None,
        nats_url: str | None = None,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        drain_timeout: float = DRAIN_TIMEOUT,
        tracer_provider: Any = None,
    ) -> None:
        self.system = system
        self.version = version
        self.steps: dict[str, Step] = {}
        for step in steps:
            if not isinstance(step, Step):
                raise ConfigurationError("steps", f"{step!r} is not a step; put `@step(\"…\")` above the function")
            if step.capability in self.steps:
                raise ConfigurationError("steps", f"two handlers for `{step.capability}`; a worker has one for each capability")
            self.steps[step.capability] = step
        if not self.steps:
            raise ConfigurationError("steps", "a worker without steps has nothing to answer; pass at least one")
        self._said = {
            "slots": slots, "nats_url": nats_url, "namespace": namespace, "labels": labels, "drain_timeout": drain_timeout,
        }
        self._tracer_provider = tracer_provider
        self._leave: asyncio.Event | None = None
        self._leave_reason = ""

    def set(self, **said: Any) -> None:
        """Overrides ``slots``, ``nats_url``, ``namespace``, ``labels`` or ``drain_timeout`` before the worker runs; None changes nothing."""
        unknown = said.keys() - self._said.keys()
        if unknown:
            raise TypeError(f"not a setting of a worker: {', '.join(sorted(unknown))}")
        self._said.update({name: value for name, value in said.items() if value is not None})

    def run(self) -> None:
        """Runs until SIGTERM, SIGINT or the coordinator asks it to leave; the whole of ``main``.

        Sets up JSON logs on standard error unless the program has set up logging.
        Exits with the status 1 if the worker cannot start or is refused for good.
        A second signal ends the process at once.
        """
        try:
            settings = self._settings()
            logs.configure(settings.log_level)
            abandoned = asyncio.run(self._serve(settings, handle_signals=True))
        except WorkerError as error:
            if not logging.getLogger().handlers:
                logs.configure("info")
            log.error("the worker stops", extra=logs.facts(code=error.code, reason=error.message))
            raise SystemExit(1) from None
        if abandoned:
            log.warning("handlers still run although they were told to stop; ending them", extra=logs.facts(handlers=abandoned))
            sys.stderr.flush()
            sys.stdout.flush()
            # Their threads cannot be joined: the interpreter would wait for them.
            os._exit(0)

    async def serve(self) -> None:
        """The same within a running event loop: no signal handlers, no logging setup, errors raised.

        Raises RefusedError or ConfigurationError. Returns after :meth:`leave`
        or the coordinator's word. Cancelling it drops everything at once.
        """
        await self._serve(self._settings(), handle_signals=False)

    def leave(self, reason: str = "the program asked the worker to leave") -> None:
        """Asks a serving worker to drain; on its event loop. A repeat changes nothing."""
        if self._leave is not None and not self._leave.is_set():
            self._leave_reason = reason
            self._leave.set()

    def _settings(self) -> Settings:
        return Settings.read(self.system, **self._said)  # type: ignore[arg-type]

    async def _serve(self, settings: Settings, *, handle_signals: bool) -> int:
        if self._leave is not None:
            raise RuntimeError("this worker is already running")
        self._leave = asyncio.Event()
        telemetry = Telemetry(settings, self._tracer_provider)
        session = Session(settings, self.steps, self.version, telemetry)
        session.on_drain = lambda reason: self.leave(f"the coordinator said: {reason}")
        if handle_signals:
            self._handle_signals()
        tasks = session.start()
        leaving = asyncio.ensure_future(self._leave.wait())
        draining: asyncio.Future[int] | None = None
        try:
            await asyncio.wait({leaving, session.over}, return_when=asyncio.FIRST_COMPLETED)
            if session.over.done():
                session.over.result()
            draining = asyncio.ensure_future(drain(session, self._leave_reason))
            await asyncio.wait({draining, session.over}, return_when=asyncio.FIRST_COMPLETED)
            if session.over.done():
                session.over.result()
            return draining.result()
        finally:
            leaving.cancel()
            if draining is not None:
                draining.cancel()
            session.stop()
            for task in tasks:
                task.cancel()
            await session.link.close()
            await asyncio.get_running_loop().run_in_executor(None, telemetry.shutdown)
            self._leave = None

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()

        def signalled(number: signal.Signals) -> None:
            if self._leave is not None and self._leave.is_set():
                # The user means it: end as the signal would without us.
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            self.leave(f"received {number.name}")

        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                loop.add_signal_handler(number, signalled, number)
            except (NotImplementedError, RuntimeError, ValueError):
                # Not the main thread, or a system without signals: the program decides when to leave.
                log.debug("no handler for a signal here", extra=logs.facts(signal=number.name))
