"""Each method that is written for a server, over both transports and in every revision: called with random arguments
that fit its schema, it gives what the plain client gives.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from written import loaded

from dovetail import Client, ToolResult
from dovetail.client import BlockingClient, ToolFailed
from dovetail.codegen import generate, surface_of
from dovetail.errors import DovetailError
from dovetail.revisions import REVISIONS
from dovetail.types import Tool, compile_schema

QUICK: dict[str, Any] = {
    "slow": {"steps": {"type": "integer", "maximum": 3}},
    "slow_compute": {"seconds": {"enum": [0, 0.01, 0.02]}},
}
"""What else would take its time."""
Values = st.SearchStrategy[Any]
DEEPEST = 3
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=9)
EVERYTHING = f"{Path(__file__).parents[2] / 'conformance' / 'server.py'}:app"
PROGRAM = (
    f"import sys\nsys.path[:0] = [{str(Path(__file__).parent)!r}]\nfrom codegen_server import post_office\n"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The post office as a file."""
    path = tmp_path_factory.mktemp("office") / "office.py"
    path.write_text(f"{PROGRAM}app = post_office()\n")
    return path


@contextmanager
def over_http(place: str) -> Generator[str]:
    """A file over HTTP; gives its URL."""
    command = [sys.executable, "-m", "dovetail", "run", place, "--http", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    log = threading.Thread(target=process.stderr.read)  # a pipe that is full would hold the server up
    log.start()
    yield "http://" + line.split("http://")[1].split()[0]
    process.terminate()
    process.wait()
    log.join()
    process.stderr.close()


@pytest.fixture(scope="module")
def url(program: Path) -> Generator[str]:
    """The post office over HTTP."""
    with over_http(str(program)) as url:
        yield url


@pytest.fixture(scope="module")
def everything_url() -> Generator[str]:
    """The everything server over HTTP."""
    with over_http(EVERYTHING) as url:
        yield url


def values(schema: Any, root: dict[str, Any], depth: int = 0) -> Values:
    """Values that fit a schema of the kind that is written for Python's types."""
    if "$ref" in schema:
        body = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
        return st.deferred(lambda: values(body, root, depth + 1))
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of(*(values(each, root, depth) for each in schema["anyOf"]))
    kinds: dict[str, Callable[[], Values]] = {
        "null": st.none,
        "boolean": st.booleans,
        "string": lambda: TEXTS,
        "integer": partial(st.integers, -(2**50), schema.get("maximum", 2**50)),
        "number": partial(st.floats, allow_nan=False, allow_infinity=False, width=32),
        "array": lambda: lists(schema, root, depth),
        "object": lambda: objects(schema, root, depth),
    }
    return kinds[schema["type"]]()


def lists(schema: Any, root: dict[str, Any], depth: int) -> Values:
    """Lists, or tuples as lists; short ones deep down."""
    if "prefixItems" in schema:
        return st.tuples(*(values(each, root, depth) for each in schema["prefixItems"])).map(list)
    return st.lists(values(schema["items"], root, depth), max_size=3 if depth < DEEPEST else 0)


def objects(schema: Any, root: dict[str, Any], depth: int) -> Values:
    """Objects, with some of what may be left out."""
    members = {name: values(each, root, depth) for name, each in schema["properties"].items()}
    needed = schema.get("required", ())
    return st.fixed_dictionaries(
        {name: members[name] for name in needed},
        optional={name: each for name, each in members.items() if name not in needed},
    )


def arguments(tool: Tool) -> Values:
    """Arguments of a tool, by its schema."""
    schema = tool.input_schema
    if tool.name in QUICK:
        schema = {**schema, "properties": {**schema["properties"], **QUICK[tool.name]}}
    return objects(schema, schema, 0).filter(compile_schema(tool.input_schema).is_valid)


def outcome(call: Callable[[], Any]) -> Any:
    """What a typed call gives; the text of what a tool refused."""
    try:
        given = call()
    except ToolFailed as problem:
        return "failed", problem.result.text
    return (given.text, given.structured) if isinstance(given, ToolResult) else given


def expected(client: BlockingClient, name: str, given: dict[str, Any], kind: Any) -> Any:
    """The same of `call_tool`."""
    plain = client.call_tool(name, given)
    if plain.is_error:
        return "failed", plain.text
    if kind is ToolResult:
        return plain.text, plain.structured
    return client.call_tool(name, given, into=kind)


OTHERS = {
    "read_about": ({}, lambda client, given: client.read("about://post")),
    "read_parcel": (
        {"number": st.integers()},
        lambda client, given: client.read("parcel://{number}", given, into=str),
    ),
    "read_stamp": (
        {"path": WORDS, "size": st.integers(0, 9), "colours": st.lists(WORDS, min_size=1, max_size=2)},
        lambda client, given: client.read("stamp://{+path}{?size,colours*}", given, into=bytes),
    ),
    "prompt_complain": (
        {"about": TEXTS, "tone": TEXTS},
        lambda client, given: client.get_prompt("complain", given),
    ),
}


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
def test_each_method_gives_what_the_plain_client_gives(
    transport: str, revision: str, program: Path, url: str, tmp_path: Path
) -> None:
    """Of the class that blocks and of the one that awaits, through one connection each."""
    command = [sys.executable, "-m", "dovetail", "run", str(program)]
    target: Any = url if transport == "http" else command
    with asyncio.Runner() as runner, Client.sync(target, revision=revision) as client:
        awaiting = Client(target, revision=revision)
        runner.run(awaiting.open())
        try:
            module = loaded(generate(runner.run(surface_of(awaiting))), tmp_path)
            posts = module.PostOfficeClient(awaiting), module.BlockingPostOfficeClient(client)
            check(runner, client, *posts)
        finally:
            runner.run(awaiting.close())


def check(runner: asyncio.Runner, client: BlockingClient, awaiting: Any, blocking: Any) -> None:
    """Call each method of both with random arguments, until something differs."""
    written = type(awaiting)
    names = vars(sys.modules[written.__module__])
    methods = {name for name in vars(written) if not name.startswith(("_", "written"))}
    drawn = {each.name: arguments(each) for each in client.list_tools().tools}
    of_tools = {name: name if name in methods else f"{name}_" for name in drawn}
    kinds = {name: get_type_hints(getattr(written, each), names)["return"] for name, each in of_tools.items()}
    called: set[str] = set()

    def both(method: str, given: dict[str, Any], wanted: Any) -> None:
        assert outcome(lambda: getattr(blocking, method)(**given)) == wanted
        assert outcome(lambda: runner.run(getattr(awaiting, method)(**given))) == wanted
        called.add(method)

    @settings(
        deadline=None, max_examples=4, suppress_health_check=[HealthCheck.too_slow], phases=[Phase.generate]
    )
    @given(data=st.data())
    def calls(data: st.DataObject) -> None:
        for name, method in of_tools.items():
            given = data.draw(drawn[name], label=name)
            both(method, given, expected(client, name, given, kinds[name]))
        for method, (strategies, plain) in OTHERS.items():
            given = data.draw(st.fixed_dictionaries(strategies), label=method)
            both(method, given, plain(client, given))

    calls()
    assert called == methods


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("transport", ["http", "stdio"])
async def test_each_tool_of_the_everything_server_gives_what_call_tool_gives(
    transport: str, revision: str, everything_url: str, tmp_path: Path
) -> None:
    """Errors as well, and questions that nobody answers; all at once."""
    command = [sys.executable, "-m", "dovetail", "run", EVERYTHING]
    async with Client(everything_url if transport == "http" else command, revision=revision) as client:
        module = loaded(generate(await surface_of(client)), tmp_path)
        typed = module.DovetailEverythingClient(client)
        names = {
            name for name in vars(type(typed)) if not name.startswith(("_", "written", "read_", "prompt_"))
        }
        tools = (await client.list_tools()).tools
        called = {
            each.name: max((name for name in names if each.name.startswith(name)), key=len) for each in tools
        }
        assert len(set(called.values())) == len(tools) == len(names)
        given = some(tools)

        async def both(tool: Tool) -> None:
            method = getattr(typed, called[tool.name])
            kind = get_type_hints(method, vars(module))["return"]
            into = {} if kind is ToolResult else {"into": kind}
            plain = settled(client.call_tool(tool.name, given[tool.name], **into))
            written, wanted = await asyncio.gather(settled(method(**given[tool.name])), plain)
            assert written == wanted, (tool.name, given[tool.name])

        await asyncio.gather(*(both(each) for each in tools if each.name not in CHANGING))


CHANGING = {"test_trigger_tool_change", "test_trigger_prompt_change"}
"""They add what was not there: a second call of theirs finds something else."""


def some(tools: list[Tool]) -> dict[str, Any]:
    """Random arguments of each."""
    found: dict[str, Any] = {}

    @settings(
        deadline=None, max_examples=3, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow]
    )
    @given(data=st.data())
    def draw(data: st.DataObject) -> None:
        found.update({each.name: data.draw(arguments(each), label=each.name) for each in tools})

    draw()
    return found


async def settled(call: Awaitable[Any]) -> Any:
    """What comes of a call: the text and content of a result, or the error."""
    try:
        given = await call
    except ToolFailed as problem:
        given = problem.result
    except DovetailError as problem:
        return type(problem), str(problem)
    return (given.is_error, given.content, given.structured) if isinstance(given, ToolResult) else given
