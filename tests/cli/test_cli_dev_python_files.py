"""``dovetail dev`` of an app that mounts a directory of Python files: new, changed, broken and removed ones."""

import asyncio
import os
from pathlib import Path

import pytest
from dev_process import dev

from dovetail import Client
from dovetail.revisions import STATEFUL, STATELESS

SERVER = (
    "from pathlib import Path\nfrom dovetail import App\nfrom dovetail.providers import PythonFiles\n"
    "app = App('mine')\napp.mount(None, PythonFiles({folder}))\n"
)


def tool(name: str, gives: str) -> str:
    return f"import dovetail\n\n@dovetail.tool\ndef {name}() -> str:\n    return {gives!r}\n"


def save(path: Path, text: str) -> None:
    """In one move, so that nobody sees half of it."""
    new = path.with_suffix(".new")
    new.write_text(text)
    os.replace(new, path)


@pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
@pytest.mark.parametrize("outside", [False, True], ids=["beside", "elsewhere"])
async def test_files_are_loaded_anew(tmp_path: Path, revision: str, outside: bool) -> None:
    folder = tmp_path / ("elsewhere/tools" if outside else "home/tools")
    folder.mkdir(parents=True)
    server = tmp_path / "home" / "server.py"
    server.parent.mkdir(exist_ok=True)
    server.write_text(SERVER.format(folder=repr(str(folder))))
    save(folder / "one.py", tool("one", "first"))
    save(folder / "bad.py", "import nothing_of_that_name\n")
    async with dev(server) as running:
        await running.says(r"bad\.py:1 can't be loaded, and offers nothing: ModuleNotFoundError")
        await running.says("version 1 of mine serves")
        async with (
            Client(await running.url(), revision=revision, cache=False) as client,
            asyncio.timeout(60),
            client.listen(tools=True) as changes,
        ):
            heard = aiter(changes)

            async def until(tools: set[str]) -> None:
                while {each.name async for each in client.tools()} != tools:
                    await anext(heard)

            await until({"one"})
            save(folder / "two.py", tool("two", "new"))
            await until({"one", "two"})
            save(folder / "one.py", tool("one_more", "changed"))
            await until({"one_more", "two"})
            assert (await client.call_tool("one_more")).text == "changed"
            save(folder / "bad.py", tool("good", "mended"))
            await until({"one_more", "two", "good"})
            (folder / "two.py").unlink()
            await until({"one_more", "good"})
