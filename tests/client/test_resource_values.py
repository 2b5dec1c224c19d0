"""Reading a resource into a type, and by the variables of its template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from dovetail import App, Client, LocalProtocolError, RemoteProtocolError, ResourceContents
from dovetail.client.resource_values import resource_into
from dovetail.types import ReadResourceResult, Resource


@dataclass
class Bed:
    """A bed."""

    name: str
    litres: int = 0


@pytest.fixture
def app() -> App:
    """Resources of several kinds."""
    app = App("garden")

    @app.resource("bed://{name}")
    async def bed(name: str) -> dict[str, Any]:
        return {"name": name, "litres": 3}

    @app.resource("picture://{+path}{?size}", mime_type="image/png")
    async def picture(path: str, size: int = 1) -> bytes:
        return f"{path} {size}".encode()

    @app.resource("words://all")
    async def words() -> str:
        return "peas, beans"

    @app.resource("both://all")
    async def both() -> list[ResourceContents]:
        return [ResourceContents(uri=f"both://{each}", text="1") for each in "ab"]

    return app


async def test_a_resource_as_a_type(app):
    """Text, bytes, JSON as a dataclass, a list, plain values; or the result itself."""
    async with Client(app) as client:
        assert await client.read("words://all", into=str) == "peas, beans"
        assert await client.read("words://all", into=bytes) == b"peas, beans"
        assert await client.read("bed://north", into=Bed) == Bed("north", 3)
        assert await client.read("bed://north", into=dict[str, Any]) == {"name": "north", "litres": 3}
        assert await client.read("picture://a/b.png", into=bytes) == b"a/b.png 1"
        whole = await client.read("both://all", into=ReadResourceResult)
        assert [each.uri for each in whole.contents] == ["both://a", "both://b"]
        assert (await client.read("both://all")).contents == whole.contents


async def test_by_the_variables_of_a_template(app):
    """Filled in as RFC 6570 says; what may be left out may."""
    async with Client(app) as client:
        assert await client.read("bed://{name}", {"name": "north"}, into=Bed) == Bed("north", 3)
        assert (
            await client.read("picture://{+path}{?size}", {"path": "a/b", "size": 2}, into=bytes) == b"a/b 2"
        )
        assert await client.read("picture://{+path}{?size}", {"path": "a/b"}, into=bytes) == b"a/b 1"
        assert (await client.read("words://all", {})).contents[0].text == "peas, beans"


def test_blocking(app):
    """The same."""
    with Client.sync(app) as client:
        assert client.read("bed://{name}", {"name": "north"}, into=Bed) == Bed("north", 3)
        assert client.read("words://all").contents[0].text == "peas, beans"


@pytest.mark.parametrize(
    "uri,kind,said",
    [
        ("words://all", int, "is no int"),
        ("words://all", Bed, "is no Bed"),
        ("bed://north", list[int], "is no list"),
        ("picture://a", str, None),
        ("both://all", str, "has 2 contents"),
    ],
)
async def test_what_does_not_fit(app, uri, kind, said):
    """Says which resource, and what it is not."""
    async with Client(app) as client:
        if said is None:
            assert await client.read(uri, into=kind) == "a 1"
            return
        with pytest.raises(RemoteProtocolError, match=said) as caught:
            await client.read(uri, into=kind)
        assert uri in str(caught.value)


def test_bytes_that_are_none():
    """Base64 that is none is the server's mistake."""
    held = ReadResourceResult(contents=[ResourceContents(uri="x://y", blob="no base64!")])
    with pytest.raises(RemoteProtocolError, match="'x://y' is no bytes"):
        resource_into("x://y", held, bytes)


async def test_what_can_not_be_asked(app):
    """A variable that the template does not have, a template that is none, variables of a resource that is there."""
    async with Client(app) as client:
        with pytest.raises(LocalProtocolError, match="no variable 'size'; it has name"):
            await client.read("bed://{name}", {"size": 1})
        with pytest.raises(LocalProtocolError, match="bed://"):
            await client.read("bed://{name", {"name": 1})
        with pytest.raises(LocalProtocolError):
            await client.read("bed://{name}", {"name": object()})
        with pytest.raises(LocalProtocolError, match="template"):
            await client.read(Resource(uri="words://all", name="w"), {"a": 1})
