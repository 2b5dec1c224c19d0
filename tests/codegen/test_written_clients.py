"""The typed clients that are written for a server, in use."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import asdict
from pathlib import Path

import msgspec
import pytest
from written import check_harmless, complaints, formatted, loaded, module_of, surface

from dovetail import App, Client, ImageContent, LocalProtocolError, ToolResult
from dovetail.client import ToolFailed
from dovetail.codegen import UNSET, SurfaceChanged, generate

USE = """
from written import BlockingPostOfficeClient, Circle, Node, Point, PostOfficeClient, Square


async def use(client: PostOfficeClient) -> float:
    tree: Node = await client.tree(node=Node(name="x", children=[]), points=[])
    shape: Circle | Square | None = await client.shape(s={"kind": "square", "sides": [1, 2]})
    if shape is not None and shape["kind"] == "circle":
        centre: Point | None = shape["center"].get("at")
        print(centre)
    number: int = (await client.pair(a=(1, "x")))[0]
    said: str = await client.read_parcel(number=number)
    return (await client.send(to=said + tree["name"], grams=number))["price"]


def wrong(client: BlockingPostOfficeClient) -> None:
    client.send(to=3, grams=1)  # wrong: the type
    client.send(to="x")  # wrong: one is missing
    client.send(to="x", grams=1, speed="quick")  # wrong: none of the values
    client.send(to="x", grams=1, sped="fast")  # wrong: no such argument
    client.pair(a=(1, 2))  # wrong: the second is a text
    print(client.slow().upper())  # wrong: it gives a number
"""


def output_of(command, folder):
    """What a program writes."""
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False).stdout


async def test_calls_give_values_of_the_types(app, tmp_path):
    """Each tool, resource, template and prompt, in both kinds of client."""
    module = await module_of(app, tmp_path)
    async with module.PostOfficeClient(app) as post:
        assert post.changed == ()
        assert await post.send(to="Oslo", grams=100) == {"price": 2.0, "timeout": 3}
        assert await post.send(to="Oslo", grams=100, timeout=5) == {"price": 2.0, "timeout": 5}
        assert await post.pair(a=(1, "x")) == (1, "x")
        assert await post.odd(o={"from": 3}) == {"from": 3}
        assert await post.shape() is None
        square = {"kind": "square", "sides": [1, 2]}
        assert await post.shape(s=square) == square
        assert await post.list_(a=7) == ["7"]
        label = await post.label(to="x")
        assert isinstance(label, ToolResult)
        assert isinstance(label.content[0], ImageContent)
        assert await post.read_parcel(number=7) == "parcel 7"
        assert await post.read_stamp(path="a/b", size=2) == b"a/b 2 None"
        assert (await post.read_about()).contents[0].text == "a post office"
        assert (await post.prompt_complain(about="x")).messages[0].content.text == "a polite letter about x"
        assert (
            (await post.prompt_complain(about="x", tone="rude")).messages[0].content.text.startswith("a rude")
        )
    with module.BlockingPostOfficeClient(app) as blocking:
        assert blocking.send(to="Oslo", grams=100, speed="fast") == {"price": 3.0, "timeout": 3}
        assert blocking.read_parcel(number=7) == "parcel 7"
        assert blocking.prompt_complain(about="x").messages


async def test_objects_are_dataclasses_that_know_what_was_left_out(app, tmp_path):
    """A member that is not there is UNSET, and not sent."""
    app = App("shop")
    taken = []

    @app.tool
    async def echo(what: dict[str, int]) -> dict[str, int]:
        taken.append(what)
        return what

    source = generate(await surface(app)).replace("what: dict[str, int]", "what: Any")
    module = loaded(source, tmp_path)

    async with module.ShopClient(app) as shop:
        other = loaded(
            "from dataclasses import dataclass\nfrom dovetail.codegen import UNSET\n"
            "@dataclass(kw_only=True, slots=True)\nclass P:\n    x: int\n    y: int = UNSET\n",
            tmp_path,
        )
        assert await shop.echo(what=other.P(x=1)) == {"x": 1}
        assert await shop.echo(what=other.P(x=1, y=2)) == {"x": 1, "y": 2}
    assert taken == [{"x": 1}, {"x": 1, "y": 2}]


async def test_the_same_object_is_one_class(tmp_path):
    """In arguments and results, of several tools; and one that contains itself does."""
    from dataclasses import dataclass

    @dataclass
    class Point:
        x: int
        y: int = 0

    app = App("plane")

    @app.tool
    async def move(p: Point) -> Point:
        return Point(p.x + 1, p.y)

    @app.tool
    async def all_of(points: list[Point]) -> list[Point]:
        return points

    module = await module_of(app, tmp_path)
    names = [name for name, each in vars(module).items() if hasattr(each, "__dataclass_fields__")]
    assert len(names) == 1
    kind = getattr(module, names[0])
    async with module.PlaneClient(app) as plane:
        assert await plane.move(p=kind(x=1)) == kind(x=2, y=0)
        assert await plane.all_of(points=[kind(x=1, y=2)]) == [kind(x=1, y=2)]
        found = await plane.client.call_tool("move", {"p": {"x": 1}}, into=kind)
        assert asdict(found) == {"x": 2, "y": 0}
    assert kind(x=1).y is UNSET


async def test_typed_dicts_if_they_are_wanted(app, tmp_path):
    """Then every value is as it came."""
    source = generate(await surface(app), typed_dict=True)
    assert "dataclass" not in source
    module = loaded(source, tmp_path)
    async with module.PostOfficeClient(app) as post:
        found = await post.tree(node={"name": "x", "children": []}, points=[{"x": 1}])
        assert found["children"][0]["name"] == "x"


async def test_options_of_a_call_go_with_it(app, tmp_path):
    """Progress is told, a limit of time holds; a tool's own ``timeout`` has the name, and the limit another."""
    module = await module_of(app, tmp_path)
    heard = []
    async with module.PostOfficeClient(app) as post:
        assert await post.slow(steps=3, progress=heard.append, meta={"example.com/x": 1}, timeout=30) == 3
        assert await post.send(to="x", grams=1, timeout=1, call_timeout=30)
        with pytest.raises(ToolFailed, match="fails"):
            await post.fails()
    assert [each.progress for each in heard] == [1, 2, 3]


@pytest.mark.parametrize("typed_dict", [False, True])
async def test_the_text_is_as_the_formatter_leaves_it(app, typed_dict):
    """And the same whatever the order of the lists; nothing in it was a server's but texts."""
    found = await surface(app)
    source = generate(found, typed_dict=typed_dict, source="server.py")
    assert formatted(source) == source
    check_harmless(source)
    kinds = ("tools", "resources", "resource_templates", "prompts")
    turned = msgspec.structs.replace(found, **{name: getattr(found, name)[::-1] for name in kinds})
    assert generate(turned, typed_dict=typed_dict, source="server.py") == source


async def test_it_type_checks_strictly_and_finds_mistakes(app, tmp_path):
    """By the strictest rules of the type checker; and each wrong call is one that it finds."""
    found = await surface(app)
    (tmp_path / "written.py").write_text(generate(found))
    (tmp_path / "as_dicts.py").write_text(generate(found, typed_dict=True))
    (tmp_path / "use.py").write_text(USE)
    problems = complaints(tmp_path)
    lines = {(Path(each["file"]).name, each["range"]["start"]["line"]) for each in problems}
    wrong = {("use.py", at) for at, line in enumerate(USE.split("\n")) if "# wrong" in line}
    assert lines == wrong, problems


async def test_a_server_that_changed_is_named_and_used_all_the_same(app, tmp_path):
    """A warning names the tools; calls go on."""
    module = await module_of(app, tmp_path)
    other = App("post office")

    @other.tool
    async def send(to: str, grams: int, insured: bool = False) -> dict[str, float]:
        return {"price": 1.0}

    @other.tool
    async def pair(a: tuple[int, str]) -> tuple[int, str]:
        """Said in other words."""
        return a

    post = module.PostOfficeClient(other)
    with pytest.warns(SurfaceChanged, match="'send' takes other arguments") as caught:
        await post.open()
    assert "tree" in post.changed
    assert "pair" not in post.changed
    assert await post.send(to="x", grams=1) == {"price": 1.0}
    await post.close()
    assert "'tree' is gone" in str(caught[0].message)
    blocking = module.BlockingPostOfficeClient(other)
    with pytest.warns(SurfaceChanged):
        blocking.open()
    assert "send" in blocking.changed
    blocking.close()
    with warnings.catch_warnings(action="error"):
        async with module.PostOfficeClient(other, check=False) as post:
            assert post.changed == ()


@pytest.mark.parametrize("revision", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_another_revision_gives_the_same_values(app, tmp_path, revision):
    """A module that was written from the newest serves all: what older ones wrap, or say as text, is unwrapped."""
    module = await module_of(app, tmp_path)
    with warnings.catch_warnings(action="error"):
        async with module.PostOfficeClient(app, revision=revision) as post:
            assert await post.pair(a=(1, "x")) == (1, "x")
            assert await post.list_(a="x") == ["x"]
            assert await post.slow() == 2
            found = await post.tree(node={"name": "x", "children": []}, points=[{"x": 1}])
            assert found["name"] == "root"


async def test_it_can_stand_on_a_client_that_is_there(app, tmp_path):
    """Which its owner closes; what does not go together is refused."""
    module = await module_of(app, tmp_path)
    async with Client(app) as client:
        async with module.PostOfficeClient(client) as post:
            assert await post.pair(a=(1, "x")) == (1, "x")
        assert client.state == "ready"
        with pytest.raises(LocalProtocolError, match="timeout"):
            module.PostOfficeClient(client, timeout=3)
        with pytest.raises(LocalProtocolError, match="BlockingClient"):
            module.BlockingPostOfficeClient(client)
    with pytest.raises(LocalProtocolError, match="manual"):
        module.PostOfficeClient(app, rounds="manual")


async def test_what_the_module_imports_is_little(app, tmp_path):
    """Who uses one loads nothing of what writes it."""
    (tmp_path / "written.py").write_text(generate(await surface(app)))
    probe = (
        "import sys, written; print([each for each in sys.modules if each.startswith('dovetail.codegen.')])"
    )
    assert (
        output_of([sys.executable, "-c", probe], tmp_path)
        == "['dovetail.codegen.surface', 'dovetail.codegen.typed_client']\n"
    )
