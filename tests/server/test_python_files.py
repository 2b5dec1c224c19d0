"""A directory of Python files: what is offered, what fails alone, what is loaded anew, and what is not touched."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client
from dovetail.extensions.tasks import tasks
from dovetail.providers import PythonFiles
from dovetail.revisions import STATEFUL, STATELESS
from dovetail.types import ElicitResult

BOTH = pytest.mark.parametrize("revision", [STATELESS[-1], STATEFUL[-1]])


def tool(name: str, gives: str) -> str:
    return f"import dovetail\n\n@dovetail.tool\ndef {name}() -> str:\n    return {gives!r}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "tools"
    (root / "loans" / "deep").mkdir(parents=True)
    (root / "_private").mkdir()
    (root / "greet.py").write_text(
        "from __future__ import annotations\n"
        "import dovetail\nfrom dovetail import Context\nfrom ._words import HELLO\n\n"
        "@dovetail.tool\nasync def greet(ctx: Context) -> str:\n"
        "    return HELLO + await ctx.elicit('Who?', str)\n\n"
        "@dovetail.prompt\ndef ask(topic: str) -> str:\n    return topic\n\n"
        "@dovetail.completion('ask', 'topic')\ndef topics(typed: str) -> list[str]:\n    return [typed + '!']\n"
    )
    (root / "_words.py").write_text("HELLO = 'Hello, '\n")
    (root / "loans" / "lend.py").write_text(
        "import dovetail\nfrom .._words import HELLO\nfrom .deep.rules import WEEKS\n\n"
        "@dovetail.resource('loans://rules')\ndef rules() -> str:\n    return f'{HELLO}{WEEKS} weeks'\n"
    )
    (root / "loans" / "deep" / "rules.py").write_text("WEEKS = 2\n")
    (root / "_private" / "secret.py").write_text(tool("secret", "no"))
    (root / ".hidden.py").write_text(tool("hidden", "no"))
    (tmp_path / "outside.py").write_text(tool("outside", "no"))
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    (root / "linked").symlink_to(tmp_path)
    return root


@asynccontextmanager
async def client_of(files: PythonFiles, **options: Any) -> AsyncGenerator[Client]:
    app = App("library")
    app.mount(None, files)
    async with Client(app, cache=False, **options) as client:
        yield client


async def tools_of(client: Client) -> set[str]:
    return {each.name async for each in client.tools()}


def write_at(path: Path, text: str) -> None:
    """Save a file as an editor does, in one move."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@BOTH
async def test_what_is_marked_is_offered_wherever_it_stands(folder: Path, revision: str) -> None:
    async def ada(*_: Any) -> ElicitResult:
        return ElicitResult(action="accept", content={"value": "Ada"})

    before = list(sys.path)
    async with client_of(PythonFiles(folder), revision=revision, elicitation=ada) as client:
        assert await tools_of(client) == {"greet"}
        assert (await client.call_tool("greet")).text == "Hello, Ada"
        assert [each.uri async for each in client.resources()] == ["loans://rules"]
        assert (await client.read("loans://rules")).contents[0].text == "Hello, 2 weeks"
        assert [each.name async for each in client.prompts()] == ["ask"]
        assert (await client.complete("ask", "topic", "x")).values == ["x!"]
    assert sys.path == before
    assert not {"greet", "_words", "tools", "link", "outside"} & sys.modules.keys()
    assert "__pycache__" not in os.listdir(folder), "what Python compiles is not left there"


@pytest.mark.parametrize(
    "text, told",
    [
        (
            "import nothing_of_that_name\n",
            "broken.py:1 can't be loaded, and offers nothing: ModuleNotFoundError",
        ),
        ("\nx = (\n", "broken.py:2 can't be loaded, and offers nothing: SyntaxError"),
        ("import sys\nsys.exit(3)\n", "broken.py:2 can't be loaded, and offers nothing: SystemExit"),
        (tool("greet", "again"), "there is a tool 'greet' already"),
        (
            "from .link import outside\n",
            "broken.py:1 can't be loaded, and offers nothing: ModuleNotFoundError",
        ),
        (
            "from .linked import outside\n",
            "broken.py:1 can't be loaded, and offers nothing: ModuleNotFoundError",
        ),
        ("from ..outside import outside\n", "broken.py:1 can't be loaded, and offers nothing: ImportError"),
    ],
)
async def test_a_file_that_fails_costs_only_itself(
    folder: Path, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    (folder / "zbroken.py").write_text(text)
    with caplog.at_level(logging.ERROR, "dovetail"):
        files = PythonFiles(folder)
    assert [told in record.getMessage() for record in caplog.records] == [True], caplog.text
    async with client_of(files) as client:
        assert await tools_of(client) == {"greet"}


def test_a_name_that_no_module_has_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "two.words.py").write_text(tool("dotted", "no"))
    (folder / "with-dash.py").write_text(tool("dashed", "yes"))
    with caplog.at_level(logging.ERROR, "dovetail"), Client.sync(PythonFiles(folder)) as client:
        assert {each.name for each in client.tools()} == {"greet", "dashed"}
    assert "'two.words.py' has a dot in it" in caplog.text


@BOTH
async def test_changes_are_seen_while_it_runs(
    folder: Path, revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        client_of(PythonFiles(folder, watch=0.01), revision=revision) as client,
        asyncio.timeout(30),
        client.listen(tools=True, resource_list=True) as changes,
    ):
        heard = aiter(changes)

        async def until(tools: set[str]) -> None:
            while await tools_of(client) != tools:
                await anext(heard)

        (folder / "new.py").write_text(tool("new", "first"))
        await until({"greet", "new"})
        assert (await client.call_tool("new")).text == "first"

        write_at(folder / "new.py", tool("renamed", "second"))  # the same second, another body
        await until({"greet", "renamed"})
        write_at(folder / "new.py", tool("renamed", "2econd"))  # the same size
        while (await client.call_tool("renamed")).text != "2econd":
            await anext(heard)

        write_at(folder / "loans" / "deep" / "rules.py", "WEEKS = 3\n")  # what others import counts
        while (await client.read("loans://rules")).contents[0].text != "Hello, 3 weeks":
            await anext(heard)

        write_at(folder / "new.py", "x = (\n")
        write_at(folder / "other.py", tool("other", "yes"))
        await until({"greet", "renamed", "other"})
        assert (await client.call_tool("renamed")).text == "2econd"
        assert "goes on offering what it did: SyntaxError" in caplog.text

        (folder / "new.py").unlink()
        (folder / "greet.py").unlink()
        await until({"other"})
        assert [each.name async for each in client.prompts()] == []


async def test_what_moves_from_one_file_to_another_is_offered_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "b.py").write_text(tool("moving", "b"))
    async with (
        client_of(PythonFiles(folder, watch=0.01)) as client,
        asyncio.timeout(30),
        client.listen(tools=True) as changes,
    ):
        stage = folder.parent / "stage"
        stage.mkdir()
        (stage / "a.py").write_text(tool("moving", "a"))
        (stage / "b.py").write_text("")
        os.replace(stage / "b.py", folder / "b.py")
        os.replace(stage / "a.py", folder / "a.py")
        heard = aiter(changes)
        while "moving" not in await tools_of(client) or (await client.call_tool("moving")).text != "a":
            await anext(heard)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_modules_of_the_past_are_let_go(folder: Path) -> None:
    def private() -> set[str]:
        return {name.partition(".")[0] for name in sys.modules if name.startswith("dovetail_python_files_")}

    before = private()
    async with client_of(PythonFiles(folder, watch=0.01)) as client, asyncio.timeout(30):
        async with client.listen(tools=True) as changes:
            heard = aiter(changes)
            for number in range(5):
                write_at(folder / "n.py", tool(f"n{number}", "yes"))
                while f"n{number}" not in await tools_of(client):
                    await anext(heard)
        assert len(private() - before) == 1


def test_tools_in_files_may_be_tasks(folder: Path) -> None:
    (folder / "slow.py").write_text(
        "import dovetail\n\n@dovetail.tool(task='optional')\nasync def slow() -> str:\n    return 'done'\n"
    )
    app = App("library", extensions=[tasks()])
    app.mount(None, PythonFiles(folder, extensions=[tasks()]))
    with Client.sync(app, extensions=[tasks()]) as client:
        assert client.start_tool("slow").result().text == "done"


@pytest.mark.parametrize("watch", [0, -1.0])
def test_what_can_not_be_is_refused(folder: Path, watch: float) -> None:
    with pytest.raises(ValueError, match="watch is above 0"):
        PythonFiles(folder, watch=watch)
    with pytest.raises(ValueError, match="is no directory"):
        PythonFiles(folder / "greet.py")


async def test_state_and_lifespan_are_its_own(folder: Path) -> None:
    (folder / "state.py").write_text(
        "import dovetail\nfrom dovetail import Context\n\n"
        "@dovetail.tool\ndef state(ctx: Context) -> str:\n    return ctx.state\n"
    )
    ended: list[str] = []

    @asynccontextmanager
    async def life(app: App) -> AsyncGenerator[str]:
        yield "its own"
        ended.append(app.name)

    async with client_of(PythonFiles(folder, lifespan=life, watch=5.0)) as client:
        assert (await client.call_tool("state")).text == "its own"
    assert ended == ["tools"]
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "dovetail-watched-python-files"]
