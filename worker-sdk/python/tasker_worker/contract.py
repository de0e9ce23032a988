"""One side of a contract: a Python type, the schema it produces, and JSON checked against it."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from .errors import CODE_INPUT, CODE_RESULT, ConfigurationError, ContractError
from .limits import VIOLATIONS_MAX

#: Schema keywords that differ between reading and writing a type without
#: changing which written values can be read again.
_DIRECTION_ONLY = frozenset({"required", "default", "title", "description"})


class Shape:
    """Reads and writes JSON of one type.

    Untyped (``Any`` or no annotation) accepts every JSON value and announces no
    schema. Built once per handler, because building is slow and using is not.
    """

    __slots__ = ("_adapter", "_class", "_round_trips", "schema")

    def __init__(self, annotation: Any, what: str, *, written: bool) -> None:
        self._adapter: TypeAdapter[Any] | None = None
        self._class = None
        self._round_trips = False
        self.schema = ""
        if annotation is Any:
            return
        try:
            self._adapter = TypeAdapter(annotation)
            reading = self._adapter.json_schema(mode="validation")
            writing = self._adapter.json_schema(mode="serialization")
        except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
            raise ConfigurationError(
                what, f"pydantic cannot make a schema of {annotation!r} ({error}); use a pydantic model, dataclass or TypedDict"
            ) from error
        self.schema = json.dumps(writing if written else reading, separators=(",", ":"))
        # A type whose written form is not its read form (computed fields, other
        # aliases, serializers) cannot be checked by reading back what was written.
        self._round_trips = _essence(reading) == _essence(writing)
        is_model = isinstance(annotation, type) and (issubclass(annotation, BaseModel) or hasattr(annotation, "__pydantic_validator__"))
        self._class = annotation if is_model else None

    def decode(self, data: bytes, code: str = CODE_INPUT, what: str = "the input") -> Any:
        """Reads JSON as the type; raises ContractError with the violations if it does not fit."""
        if self._adapter is None:
            try:
                return from_json(data)
            except ValueError as error:
                raise ContractError(f"{what} is not JSON: {error}", code=code, violations=[("", str(error))]) from None
        try:
            return _read(self._adapter, data)
        except ValidationError as error:
            raise _broken(error, code, what) from None

    def encode(self, value: Any, code: str = CODE_RESULT, what: str = "the result") -> bytes:
        """Writes the value as JSON; raises ContractError if it does not fit the type.

        An instance is checked too, although pydantic checked it when it was made:
        it may have been changed since, and stdlib dataclasses are never checked.
        """
        try:
            if self._adapter is None:
                return to_json(value)
            if self._class is not None and not isinstance(value, self._class):
                value = self._adapter.validate_python(value)
            data = self._adapter.dump_json(value, by_alias=True, warnings="error")
            if self._round_trips:
                _read(self._adapter, data)
            return data
        except ValidationError as error:
            raise _broken(error, code, what) from None
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            text = str(error).strip()
            raise ContractError(f"{what} breaks its contract: {text}", code=code, violations=[("", text)]) from None


def encode_details(shape: Shape | None, details: Any) -> tuple[bytes, str]:
    """Writes the details of a failure, and says what is wrong with them; an empty text if nothing is.

    The code of a failure decides what happens next, so details never cost the
    reply: those that break their declared type travel as they are (the
    coordinator judges what a contract allows), and those that are not JSON are left out.
    """
    if details is None:
        return b"", ""
    problem = ""
    if shape is not None:
        try:
            return shape.encode(details, what="the error's `details` value"), ""
        except Exception as error:  # also whatever a validator of the author's own throws
            problem = error.message if isinstance(error, ContractError) else repr(error)
    try:
        return to_json(details), problem
    except Exception as error:
        return b"", f"details left out, they are not JSON: {error}"


def _read(adapter: TypeAdapter[Any], data: bytes) -> Any:
    """Strict, as the schema is: ``"5"`` is no integer.

    One thing JSON Schema allows and strict pydantic does not is an integer
    written as ``5.0`` (a CEL double, for example); it is read in a second try.
    """
    try:
        return adapter.validate_json(data, strict=True)
    except ValidationError as error:
        if all(
            problem["type"] == "int_type" and isinstance(problem["input"], float) and problem["input"].is_integer()
            for problem in error.errors(include_url=False, include_context=False)
        ):
            return adapter.validate_json(data)
        raise


def _broken(error: ValidationError, code: str, what: str) -> ContractError:
    problems = error.errors(include_url=False, include_input=False, include_context=False)[:VIOLATIONS_MAX]
    violations = [(_pointer(problem["loc"]), problem["msg"]) for problem in problems]
    pointer, text = violations[0]
    where = f" at {pointer}" if pointer else ""
    return ContractError(f"{what} breaks its contract{where}: {text}", code=code, violations=violations)


def _pointer(location: tuple[int | str, ...]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in location)


def _essence(schema: Any) -> Any:
    if isinstance(schema, dict):
        # Names of properties and definitions are not keywords, whatever they are called.
        return {
            key: {name: _essence(inner) for name, inner in value.items()}
            if key in ("properties", "$defs") and isinstance(value, dict)
            else _essence(value)
            for key, value in schema.items()
            if key not in _DIRECTION_ONLY
        }
    if isinstance(schema, list):
        return [_essence(inner) for inner in schema]
    return schema
