"""``python -m tasker_worker module:name --system inventory`` runs the steps of a module as a worker."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Iterable
from typing import Any

from .errors import ConfigurationError
from .step import Step
from .worker import Worker


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, finds the steps, and runs until asked to leave."""
    parser = argparse.ArgumentParser(prog="python -m tasker_worker", description="Run a module's steps as a Tasker worker.")
    parser.add_argument("target", help="module, or module:name where name is a Worker, a step or a list of steps")
    parser.add_argument("--system", help="the system whose capabilities these are; needed unless the name is a Worker")
    parser.add_argument("--version", default="", dest="system_version", help="the build of the system")
    parser.add_argument("--slots", type=int, help="attempts at once (TASKER_SLOTS)")
    parser.add_argument("--nats-url", help="server, or several separated by commas (TASKER_NATS_URL)")
    parser.add_argument("--namespace", help="namespace (TASKER_NAMESPACE)")
    options = parser.parse_args(arguments)
    # A module beside the user is meant, as with `python module.py`.
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        worker = load(options.target, options.system, options.system_version)
        worker.set(slots=options.slots, nats_url=options.nats_url, namespace=options.namespace)
    except ConfigurationError as error:
        parser.exit(2, f"{error}\n")
    worker.run()


def load(target: str, system: str | None, version: str = "") -> Worker:
    """The Worker that ``target`` names, or one made of the steps it names.

    Raises ConfigurationError with what was looked for and what was found.
    """
    module_name, _, name = target.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise
        raise ConfigurationError(target, f"there is no module `{error.name}` here or among the installed packages") from None
    found: Any
    if name:
        if not hasattr(module, name):
            raise ConfigurationError(target, f"the module `{module_name}` has no `{name}`")
        found = getattr(module, name)
    else:
        found = [value for value in vars(module).values() if isinstance(value, Step)]
    if isinstance(found, Worker):
        if system not in (None, found.system):
            raise ConfigurationError(target, f"is a Worker of system `{found.system}`; leave out `--system {system}`")
        return found
    if system is None:
        raise ConfigurationError("--system", "is needed: these steps do not say whose they are")
    if isinstance(found, Step):
        found = [found]
    if not isinstance(found, Iterable):
        raise ConfigurationError(target, f"is a {type(found).__name__}, not a Worker, a step or a list of steps")
    return Worker(system, steps=found, version=version)


if __name__ == "__main__":
    main()
