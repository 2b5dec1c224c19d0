"""The files of a new project, as ``dovetail new`` writes them."""

from typing import Final

__all__ = ["files_of"]


def files_of(name: str, package: str, *, version: str, http: bool) -> dict[str, str]:
    """The files by their places in the folder. ``version``: of the library, at least."""
    extras = "dovetail[server]" if http else "dovetail"
    said = {
        "@NAME@": name,
        "@PACKAGE@": package,
        "@VERSION@": version,
        "@DOVETAIL@": extras,
        "@RUN@": 'app.run("http", port=8000)' if http else "app.run()",
        "@MEANS@": "Serve over HTTP, on port 8000 of this machine." if http else "Serve on standard streams.",
        "@SERVING@": _OVER_HTTP if http else _ON_STDIO,
    }

    def filled(text: str) -> str:
        for _ in range(2):  # what is filled in may have names in it, too
            for key, value in said.items():
                text = text.replace(key, value)
        return text

    return {
        place: filled(text)
        for place, text in {
            "pyproject.toml": _PYPROJECT,
            "README.md": _README,
            ".gitignore": _GITIGNORE,
            f"src/{package}/__init__.py": '"""The server @NAME@."""\n',
            f"src/{package}/__main__.py": _MAIN,
            f"src/{package}/server.py": _SERVER,
            "tests/test_server.py": _TESTS,
        }.items()
    }


_PYPROJECT: Final = """\
[build-system]
requires = ["hatchling>=1.27"]
build-backend = "hatchling.build"

[project]
name = "@NAME@"
version = "0.1.0"
description = "A server for the Model Context Protocol."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["@DOVETAIL@>=@VERSION@"]

[project.optional-dependencies]
test = ["dovetail[server,client]", "pytest>=8", "pytest-asyncio>=1"]

[project.scripts]
@NAME@ = "@PACKAGE@.server:main"

[tool.hatch.build.targets.wheel]
packages = ["src/@PACKAGE@"]

[tool.pytest.ini_options]
testpaths = ["tests"]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
"""

_SERVER: Final = '''\
"""What the server offers: replace it with yours."""

from typing import Annotated

from dovetail import App, Doc, Range

app = App("@NAME@", version="0.1.0", instructions="Rolls dice, and knows their rules.")


@app.tool
def add_up(
    numbers: Annotated[list[int], Doc("what was rolled")],
    bonus: Annotated[int, Range(-100, 100), Doc("what is added at the end")] = 0,
) -> int:
    """Add up a roll of dice."""
    return sum(numbers) + bonus


@app.resource("rules://{game}", mime_type="text/plain")
def rules(game: str) -> str:
    """The rules of a game."""
    return f"In {game}, the highest sum wins."


@app.prompt
def explain(game: str) -> str:
    """Have a game explained."""
    return f"Read rules://{game} and explain the game in three sentences."


def main() -> None:
    """@MEANS@"""
    @RUN@


if __name__ == "__main__":
    main()
'''

_MAIN: Final = '''\
"""``python -m @PACKAGE@``."""

from @PACKAGE@.server import main

main()
'''

_TESTS: Final = '''\
"""Each test runs over every revision of the protocol and every transport that `pytestmark` leaves."""

import pytest
from dovetail import Client

from @PACKAGE@.server import app as server

pytestmark = pytest.mark.mcp(transports=["memory", "stdio"])


@pytest.fixture
def app():
    """The app that `mcp_client` talks to."""
    return server


async def test_adding_up(mcp_client: Client):
    """A tool gives its value, or says what is wrong."""
    assert await mcp_client.call_tool("add_up", {"numbers": [1, 6], "bonus": 2}, into=int) == 9
    refused = await mcp_client.call_tool("add_up", {"numbers": [1], "bonus": 1000})
    assert refused.is_error
    assert "bonus" in refused.text


async def test_the_rules(mcp_client: Client):
    """A resource is read by its address."""
    assert "highest sum" in await mcp_client.read("rules://pig", into=str)


async def test_the_prompt(mcp_client: Client):
    """A prompt is messages."""
    found = await mcp_client.get_prompt("explain", {"game": "pig"})
    assert "rules://pig" in found.messages[0].content.text


async def test_what_is_offered(mcp_client: Client):
    """The names that others rely on."""
    assert [tool.name async for tool in mcp_client.tools()] == ["add_up"]
    assert [each.uri_template async for each in mcp_client.resource_templates()] == ["rules://{game}"]
    assert [each.name async for each in mcp_client.prompts()] == ["explain"]
'''

_README: Final = """\
# @NAME@

A server for the Model Context Protocol: a tool, a resource and a prompt in `src/@PACKAGE@/server.py`.

## Begin

```bash
python -m venv .venv
. .venv/bin/activate
pip install -e '.[test]'
pytest
```

@SERVING@
## While you write it

`pip install 'dovetail[cli,server]'` brings the commands. This one replaces the app at each save, and keeps its clients:

```bash
dovetail dev src/@PACKAGE@/server.py
```

Ask it for something, from another shell or without any server running:

```bash
dovetail list src/@PACKAGE@/server.py
dovetail call src/@PACKAGE@/server.py add_up numbers:='[1, 6]' bonus=2
dovetail read src/@PACKAGE@/server.py rules://pig
```
"""

_ON_STDIO: Final = """\
## Connect a host

Hosts start the server as a process. Give them the path of the command in full:

```bash
python -c 'import shutil; print(shutil.which("@NAME@"))'
```

```json
{
  "mcpServers": {
    "@NAME@": { "command": "/path/to/@NAME@/.venv/bin/@NAME@" }
  }
}
```
"""

_OVER_HTTP: Final = """\
## Run it

```bash
@NAME@
```

It listens at `http://127.0.0.1:8000/mcp`, for this machine alone. Before others reach it, decide who may: the page
"Protect a server" of the library's documentation.

## Connect a host

```json
{
  "mcpServers": {
    "@NAME@": { "type": "http", "url": "http://127.0.0.1:8000/mcp" }
  }
}
```
"""

_GITIGNORE: Final = """\
.venv/
__pycache__/
*.egg-info/
build/
dist/
.pytest_cache/
.ruff_cache/
"""
