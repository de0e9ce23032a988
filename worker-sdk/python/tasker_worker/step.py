"""The ``@step`` decorator: a function becomes a capability with a contract."""

from __future__ import annotations

import functools
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from ._proto import worker_pb2 as pb
from .context import Context
from .contract import Shape
from .errors import ConfigurationError, is_code
from .settings import is_capability


class Step:
    """A handler with its contract. Made by :func:`step`; still callable as the function it wraps."""

    def __init__(
        self,
        capability: str,
        function: Callable[..., Any],
        *,
        timeout: float | timedelta | None = None,
        errors: Mapping[str, Any] | None = None,
        description: str | None = None,
        slot_cost: int | None = None,
        names: Mapping[str, Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, function)
        what = f"step `{capability}`"
        if not is_capability(capability):
            raise ConfigurationError(what, "a capability is dotted lower-case words, for example `payment.charge`")
        self.capability = capability
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.timeout = _seconds(what, timeout)
        if slot_cost is not None and (not isinstance(slot_cost, int) or isinstance(slot_cost, bool) or slot_cost < 1):
            raise ConfigurationError(what, f"its slot cost is {slot_cost}; it must be a whole number from 1")
        self.slot_cost = slot_cost
        self.description = description if description is not None else _first_sentence(function)
        input_type, result_type, self.takes_input, self.takes_context = _signature(what, function, names)
        self.input = Shape(input_type, f"{what}, its input", written=False)
        self.result = Shape(result_type, f"{what}, its result", written=True)
        self.errors: dict[str, Shape | None] = {}
        for code, details in (errors or {}).items():
            if not is_code(code):
                raise ConfigurationError(what, f"the error code `{code}` is not lower-case words joined by `_` or `.`")
            self.errors[code] = None if details is None else Shape(details, f"{what}, the details of `{code}`", written=True)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def arguments(self, value: Any, context: Context) -> tuple[Any, ...]:
        """What the function is called with."""
        if self.takes_input:
            return (value, context) if self.takes_context else (value,)
        return (context,) if self.takes_context else ()

    def announce(self) -> pb.Capability:
        """The capability as ``Hello`` carries it."""
        return pb.Capability(
            name=self.capability,
            input_schema=self.input.schema,
            result_schema=self.result.schema,
            errors=[
                pb.ErrorContract(code=code, details_schema=shape.schema if shape else "") for code, shape in self.errors.items()
            ],
            description=self.description,
            timeout_ms=round(self.timeout * 1000) if self.timeout else 0,
            slot_cost=self.slot_cost or 0,
        )


def step(
    capability: str,
    *,
    timeout: float | timedelta | None = None,
    errors: Mapping[str, Any] | None = None,
    description: str | None = None,
    slot_cost: int | None = None,
) -> Callable[[Callable[..., Any]], Step]:
    """Makes a function the handler of ``capability``.

    The function takes ``(input)``, ``(input, context)``, ``(context: Context)``
    or nothing, and may be ``async``. The annotations of the input and of the
    result produce the schemas; without one, any JSON is accepted.

    ``timeout`` (seconds) is the running time the author asks for; the manifest
    may say another. ``errors`` maps the error codes the handler may fail with
    to the type of their details, or to None. ``description`` is one sentence;
    the first of the docstring is taken if it is left out. ``slot_cost`` is how
    many of the worker's slots one attempt takes, for a handler that needs more
    of the machine than others; the manifest may say it where this does not.

    Raises ConfigurationError when the module is imported, not when a step arrives.
    """
    # Types of a function that was defined inside another one are only found there.
    names = sys._getframe(1).f_locals

    def decorate(function: Callable[..., Any]) -> Step:
        return Step(capability, function, timeout=timeout, errors=errors, description=description, slot_cost=slot_cost, names=names)

    return decorate


def _signature(what: str, function: Callable[..., Any], names: Mapping[str, Any] | None) -> tuple[Any, Any, bool, bool]:
    try:
        hints = typing.get_type_hints(function, localns=dict(names or {}), include_extras=True)
    except NameError as error:
        raise ConfigurationError(what, f"{error}; an annotation must name something the module can see when the step is defined") from error
    # `-> None` arrives as NoneType; no annotation at all is untyped.
    result_type = hints.get("return", Any)
    parameters = list(inspect.signature(function).parameters.values())
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY) for parameter in parameters):
        raise ConfigurationError(what, "a handler takes `(input)`, `(input, context)`, `(context: Context)` or nothing")
    types = [hints.get(parameter.name, Any) for parameter in parameters]
    if not types:
        return Any, result_type, False, False
    if len(types) == 1:
        return (Any, result_type, False, True) if types[0] is Context else (types[0], result_type, True, False)
    if len(types) == 2 and types[0] is not Context and types[1] in (Context, Any):
        return types[0], result_type, True, True
    raise ConfigurationError(what, "a handler takes `(input)`, `(input, context)`, `(context: Context)` or nothing")


def _seconds(what: str, timeout: float | timedelta | None) -> float | None:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if seconds is not None and not 0 < seconds < float("inf"):
        raise ConfigurationError(what, f"its timeout is {seconds}; it must be a number of seconds above 0")
    return seconds


def _first_sentence(function: Callable[..., Any]) -> str:
    paragraph = (inspect.getdoc(function) or "").split("\n\n")[0]
    return " ".join(paragraph.split())
