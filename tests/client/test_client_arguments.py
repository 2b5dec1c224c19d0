"""What callers have in their hands goes into arguments as it is: paths, models, dates and the rest."""

import dataclasses
import datetime
import decimal
import enum
import json
import types
import uuid
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pydantic
import pytest

from dovetail import App
from dovetail.client import Client
from dovetail.client.arguments import as_json
from dovetail.protocol.errors import LocalProtocolError

Scripted = Callable[..., list[str]]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Place:
    path: Path
    when: datetime.date


class Inner(pydantic.BaseModel):
    url: pydantic.AnyUrl
    when: datetime.datetime


class Model(pydantic.BaseModel):
    inner: Inner
    number: int = pydantic.Field(1, alias="theNumber")


class Plain(msgspec.Struct):
    path: PurePosixPath


WHEN = datetime.datetime(2026, 7, 28, 12, 0, tzinfo=datetime.UTC)
ID = uuid.UUID(int=5)
VALUES: list[tuple[Any, Any]] = [
    (PurePosixPath("/a/b"), "/a/b"),
    (Colour.RED, "red"),
    (WHEN, "2026-07-28T12:00:00Z"),
    (WHEN.date(), "2026-07-28"),
    (ID, str(ID)),
    (decimal.Decimal("1.50"), "1.50"),
    (b"abc", "YWJj"),
    ({1, 2}, [1, 2]),
    ((1, "a"), [1, "a"]),
    (range(3), [0, 1, 2]),
    (types.MappingProxyType({"a": 1}), {"a": 1}),
    (Plain(PurePosixPath("/p")), {"path": "/p"}),
    (Place(Path("/p"), WHEN.date()), {"path": "/p", "when": "2026-07-28"}),
    (
        Model(inner=Inner(url=pydantic.AnyUrl("https://example.com/a"), when=WHEN), theNumber=2),
        {"inner": {"url": "https://example.com/a", "when": "2026-07-28T12:00:00Z"}, "theNumber": 2},
    ),
    (pydantic.AnyUrl("https://example.com/a"), "https://example.com/a"),
    ([{"deep": Place(Path("/p"), WHEN.date())}], [{"deep": {"path": "/p", "when": "2026-07-28"}}]),
]


@pytest.mark.parametrize("value, sent", VALUES, ids=lambda value: type(value).__name__)
def test_each_is_written_as_a_server_reads_it(value: Any, sent: Any) -> None:
    assert json.loads(as_json("the arguments", {"a": value})) == {"a": sent}


async def test_everywhere_that_values_are_given(scripted: Scripted) -> None:
    script = {"prompts/get": [{"messages": []}], "acme/do": [{}]}
    async with Client(scripted(script)) as client:
        await client.call_tool("seen", {"path": Path("/p")}, meta={"com.example/id": ID})
        await client.get_prompt("p", {"path": Path("/p"), "count": 3, "all": [1, 2], "text": "3"})
        await client.complete("p", "x", context={"n": "1"})
        await client.read("a://b", meta={"com.example/id": ID})
        await client.notify("notifications/roots/list_changed", {"_meta": {"a/b": Path("/p")}})
        await client.request("tools/call", {"name": "seen", "arguments": {"path": Path("/p")}})
        seen = json.loads((await client.call_tool("seen")).text)
        params = [(message["method"], message["params"]) for message in seen[3:]]
        assert params[0][1]["arguments"] == {"path": "/p"}
        assert params[0][1]["_meta"]["com.example/id"] == str(ID)
        assert params[1][1]["arguments"] == {"path": "/p", "count": "3", "all": "[1,2]", "text": "3"}
        assert params[3][1]["_meta"]["com.example/id"] == str(ID)
        assert params[4] == ("notifications/roots/list_changed", {"_meta": {"a/b": "/p"}})
        assert params[5][1]["arguments"] == {"path": "/p"}


@pytest.mark.parametrize(
    "arguments",
    [{"a": object()}, {"a": {"b": lambda: 1}}, [1], Model, "text"],
    ids=["object", "function", "list", "class", "text"],
)
async def test_what_is_no_json_is_told_before_anything_is_sent(arguments: Any, scripted: Scripted) -> None:
    async with Client(scripted()) as client:
        for attempt in (
            client.call_tool("t", arguments),
            client.get_prompt("p", arguments),
            client.request("tools/call", arguments),
            client.notify("notifications/cancelled", arguments),
        ):
            with pytest.raises(LocalProtocolError, match=r"can't be sent as JSON|given as a dict"):
                await attempt
        with pytest.raises(LocalProtocolError, match="meta"):
            await client.ping(meta=arguments)


async def test_they_arrive_as_what_they_were() -> None:
    app = App("types")

    @app.tool
    async def tell(place: Place, model: Model, colour: Colour) -> str:
        return f"{place.path} {model.inner.when.year} {colour.name}"

    model = Model(inner=Inner(url=pydantic.AnyUrl("https://example.com"), when=WHEN), theNumber=2)
    async with Client(app) as client:
        arguments = {"place": Place(Path("/p"), WHEN.date()), "model": model, "colour": Colour.RED}
        assert (await client.call_tool("tell", arguments)).text == "/p 2026 RED"
