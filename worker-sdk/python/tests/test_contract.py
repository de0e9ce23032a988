"""Types become schemas, and JSON is held against them."""

from __future__ import annotations

import dataclasses
import json
from datetime import datetime, timezone
from typing import Any

import pydantic
import pytest
from typing_extensions import TypedDict

from tasker_worker import ConfigurationError, Context, ContractError, step
from tasker_worker.contract import Shape, encode_details


class Line(pydantic.BaseModel):
    sku: str
    quantity: int = pydantic.Field(ge=1)


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    lines: list[Line]
    at: datetime | None = None


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: int


class Computed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    side: int

    @pydantic.computed_field
    @property
    def area(self) -> int:
        return self.side**2


def shape(annotation: Any) -> Shape:
    return Shape(annotation, "test", written=True)


def test_models_dataclasses_and_typed_dicts_announce_their_schema() -> None:
    assert json.loads(shape(Order).schema)["additionalProperties"] is False
    assert json.loads(shape(Point).schema)["properties"].keys() == {"x", "y"}
    assert json.loads(shape(Movie).schema)["required"] == ["title", "year"]
    assert json.loads(shape(dict).schema)["type"] == "object"
    assert shape(Any).schema == ""


@pytest.mark.parametrize(
    ("annotation", "data", "expect"),
    [
        (Order, b'{"lines":[{"sku":"A","quantity":2}]}', Order(lines=[Line(sku="A", quantity=2)])),
        (Order, b'{"lines":[],"at":"2026-01-02T03:04:05Z"}', Order(lines=[], at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))),
        (Point, b'{"x":1}', Point(1)),
        (Movie, b'{"title":"M","year":1931}', {"title": "M", "year": 1931}),
        (dict, b'{"a":[1]}', {"a": [1]}),
        (Any, b"[1,null]", [1, None]),
        (type(None), b"null", None),
        # JSON Schema calls 5.0 an integer.
        (int, b"5.0", 5),
    ],
)
def test_what_fits_is_read_as_the_type(annotation: Any, data: bytes, expect: Any) -> None:
    assert shape(annotation).decode(data) == expect


@pytest.mark.parametrize(
    ("annotation", "data", "pointer"),
    [
        (Order, b'{"lines":[{"sku":"A","quantity":0}]}', "/lines/0/quantity"),
        (Order, b'{"lines":[{"sku":"A","quantity":"2"}]}', "/lines/0/quantity"),
        (Order, b'{"lines":[],"more":1}', "/more"),
        (Order, b"{}", "/lines"),
        (Point, b'{"x":1.5}', "/x"),
        (Movie, b'{"title":"M"}', "/year"),
        (int, b"true", ""),
        (Any, b"{", ""),
        (int, b"", ""),
        (dict[str, int], b'{"a/b~c":"x"}', "/a~1b~0c"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_place(annotation: Any, data: bytes, pointer: str) -> None:
    with pytest.raises(ContractError) as raised:
        shape(annotation).decode(data)
    assert raised.value.code == "input.invalid"
    assert [violation["pointer"] for violation in raised.value.violations] == [pointer]


def test_at_most_twenty_violations_travel() -> None:
    with pytest.raises(ContractError) as raised:
        shape(list[int]).decode(json.dumps(["x"] * 50).encode())
    assert len(raised.value.violations) == 20


@pytest.mark.parametrize(
    ("annotation", "value", "expect"),
    [
        (Order, Order(lines=[]), {"lines": [], "at": None}),
        (Order, {"lines": [{"sku": "A", "quantity": 1}]}, {"lines": [{"sku": "A", "quantity": 1}], "at": None}),
        (Point, Point(1, 2), {"x": 1, "y": 2}),
        (Movie, {"title": "M", "year": 1931}, {"title": "M", "year": 1931}),
        # Written with a field that it would not read.
        (Computed, Computed(side=3), {"side": 3, "area": 9}),
        (Any, Point(1, 2), {"x": 1, "y": 2}),
        (type(None), None, None),
    ],
)
def test_results_are_written_as_their_type(annotation: Any, value: Any, expect: Any) -> None:
    assert json.loads(shape(annotation).encode(value)) == expect


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Line, Line.model_construct(sku="A", quantity=0)),
        (Line, {"sku": "A"}),
        (Point, Point("one")),  # type: ignore[arg-type]
        (Movie, {"title": "M"}),
        (int, "5"),
        (float, float("nan")),
        (type(None), 1),
        (Any, object()),
        (Computed, Computed.model_construct(side="long")),
    ],
)
def test_a_result_that_breaks_its_type_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(ContractError) as raised:
        shape(annotation).encode(value)
    assert raised.value.code == "result.invalid"


def test_details_never_cost_the_reply_whatever_is_wrong_with_them() -> None:
    assert encode_details(shape(Line), Line(sku="A", quantity=1)) == (b'{"sku":"A","quantity":1}', "")
    assert encode_details(None, {"a": 1}) == (b'{"a":1}', "")
    assert encode_details(None, None) == (b"", "")
    data, problem = encode_details(shape(Line), {"sku": 1})
    assert data == b'{"sku":1}'
    assert "breaks its contract at /sku" in problem
    for opaque in (encode_details(None, object()), encode_details(shape(Line), object())):
        assert opaque[0] == b""
        assert "left out" in opaque[1]


def test_a_handler_may_take_nothing_its_input_its_context_or_both() -> None:
    @step("a.nothing")
    def nothing() -> None: ...

    @step("a.input")
    def only_input(inp: int) -> None: ...

    @step("a.context")
    def only_context(ctx: Context) -> None: ...

    @step("a.both")
    def both(inp: Line, ctx: Context) -> None: ...

    assert [(each.takes_input, each.takes_context) for each in (nothing, only_input, only_context, both)] == [
        (False, False),
        (True, False),
        (False, True),
        (True, True),
    ]
    assert json.loads(both.announce().input_schema)["properties"].keys() == {"sku", "quantity"}
    assert both.announce().result_schema == '{"type":"null"}'


def test_types_defined_inside_a_function_are_found() -> None:
    class Local(pydantic.BaseModel):
        a: int

    @step("a.local")
    def handler(inp: Local) -> Local:
        return inp

    assert '"a"' in handler.input.schema
    assert handler(Local(a=1)).a == 1


def test_mistakes_in_a_step_are_refused_when_it_is_defined() -> None:
    def one(inp: int) -> int:
        return inp

    def three(a: int, b: Context, c: int) -> None: ...

    def keyword(a: int, *, b: int) -> None: ...

    def unknown(a: Absent) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    class Opaque:
        pass

    def opaque(a: Opaque) -> None: ...

    for make in (
        lambda: step("Not.A.Name")(one),
        lambda: step("a.b", timeout=0)(one),
        lambda: step("a.b", errors={"Out Of": None})(one),
        lambda: step("a.b")(three),
        lambda: step("a.b")(keyword),
        lambda: step("a.b")(unknown),
    ):
        with pytest.raises(ConfigurationError, match="step `"):
            make()
    from tasker_worker.step import Step

    with pytest.raises(ConfigurationError, match="its input"):
        Step("a.b", opaque, names={"Opaque": Opaque})
