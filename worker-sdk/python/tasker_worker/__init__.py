"""Answer Tasker steps from Python.

    from tasker_worker import Context, Permanent, Worker, step

A handler is a function with ``@step``; its types are the contract. Start
reading at ``worker.py`` (what a user starts), then ``session.py`` (what it
does on the bus), ``attempt.py`` (one handler's run) and ``contract.py``.
"""

from .attempt import current
from .context import Context
from .errors import (
    Cancelled,
    ConfigurationError,
    ContractError,
    Permanent,
    RefusedError,
    Retryable,
    StepError,
    WorkerError,
)
from .step import Step, step
from .telemetry import Trace
from .version import VERSION as __version__
from .worker import Worker

__all__ = [
    "Cancelled",
    "ConfigurationError",
    "Context",
    "ContractError",
    "Permanent",
    "RefusedError",
    "Retryable",
    "Step",
    "StepError",
    "Trace",
    "Worker",
    "WorkerError",
    "__version__",
    "current",
    "step",
]
