"""What ARCHITECTURE.md and the other pages say of the tree is true: files, floors, frames, links."""

from __future__ import annotations

import inspect
import json
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from page_blocks import ROOT, pages

from dovetail import App, Client
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.server.running import AMBIENCE

PAGE = ROOT / "ARCHITECTURE.md"
SOURCE = ROOT / "src" / "dovetail"
EVERY_PAGE = [*pages(), PAGE, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
PATHS = re.compile(r"`((?:[\w.-]+/)+(?:[\w-]+\.(?:py|md|toml|json|txt|csv))?)`")


def test_every_file_that_is_named_exists() -> None:
    named = set(PATHS.findall(PAGE.read_text(encoding="utf-8")))
    assert len(named) > 40
    missing = [path for path in named if not (ROOT / path).exists() and not (SOURCE / path).exists()]
    assert not missing


@pytest.mark.parametrize("path", EVERY_PAGE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    lost: list[str] = []
    for link in LINK.findall(re.sub(r"(?ms)^```.*?^```", "", path.read_text(encoding="utf-8"))):
        target, _, anchor = unquote(link).partition("#")
        if target.startswith(("https://", "mailto:")):
            continue
        there = (path.parent / target).resolve() if target else path
        if not there.is_file() or (anchor and anchor not in anchors(there)):
            lost.append(link)
    assert not lost


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where the pages are shown."""
    headings = re.findall(r"(?m)^#+ (.+)$", re.sub(r"(?ms)^```.*?^```", "", path.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert page.name == "index.md" or f"]({page.name})" in index, page.name


def test_the_floors_are_those_that_are_kept() -> None:
    told = PAGE.read_text(encoding="utf-8").partition("## The house")[2].partition("## The laws")[0]
    numbered = re.findall(r"(?m)^\| (\d+) \| (.+?) \|", told)
    floors = [set(re.findall(r"`(\w+)/`", cell)) for _, cell in numbered]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (contract,) = (each for each in project["tool"]["importlinter"]["contracts"] if each["id"] == "floors")
    kept = [set(re.findall(r"\w+", layer)) for layer in reversed(contract["layers"])]
    there = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    packages = [floor & there for floor in kept if floor & there]  # a module that stands alone has no number
    assert packages[: len(floors)] == floors
    assert there <= set().union(*floors)


def told_frames(order: str) -> list[str]:
    """The frames that the page lists for one way of a call."""
    found = re.search(
        rf"<!-- frames: {order} -->\n```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL
    )
    assert found is not None, order
    return [" ".join(line.split()[:2]) for line in found[1].splitlines()]


@pytest.fixture(autouse=True)
def nobody_asks_which_call_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a program that does not import `dovetail.current_context`; here, other tests may have."""
    monkeypatch.setattr(AMBIENCE, "used", False)


def the_app(seen: list[str]) -> App:
    """An app with a plain tool, which notes the frames of ours that it was called through."""
    app = App("frames")

    @app.tool
    async def look(number: int) -> str:
        frame = inspect.currentframe()
        while frame is not None:
            file = Path(frame.f_code.co_filename)
            if file.is_relative_to(SOURCE):
                seen.insert(0, f"{file.relative_to(SOURCE).as_posix()} {frame.f_code.co_qualname}")
            frame = frame.f_back
        return "seen"

    return app


async def post(endpoint: Callable[..., Any], body: dict[str, Any], **headers: str) -> dict[str, str]:
    """Post a message to an ASGI application; gives the headers of the answer."""
    given = {
        "host": "localhost",
        "content-type": names.MEDIA_JSON,
        "accept": f"{names.MEDIA_JSON}, {names.MEDIA_SSE}",
        **{key.replace("_", "-"): value for key, value in headers.items()},
    }
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "query_string": b"",
        "headers": [(key.encode(), value.encode()) for key, value in given.items()],
    }
    got: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps({"jsonrpc": "2.0", **body}).encode()}

    async def send(event: dict[str, Any]) -> None:
        got.append(event)

    await endpoint(scope, receive, send)
    return {key.decode(): value.decode() for key, value in got[0]["headers"]}


CALL: dict[str, Any] = {
    "id": 2,
    "method": names.TOOLS_CALL,
    "params": {"name": "look", "arguments": {"number": 1}},
}


async def test_the_frames_of_a_stateless_call_over_http() -> None:
    seen: list[str] = []
    revision = STATELESS[-1]
    meta = {names.META_PROTOCOL_VERSION: revision, names.META_CLIENT_CAPABILITIES: {}}
    app = the_app(seen)
    await post(
        app.asgi(),
        {**CALL, "params": {**CALL["params"], names.META: meta}},
        mcp_protocol_version=revision,
        mcp_method=names.TOOLS_CALL,
        mcp_name="look",
    )
    await app.service.stop()
    assert seen == told_frames(f"{revision} http")


async def test_the_frames_of_a_stateful_call_over_http() -> None:
    seen: list[str] = []
    revision = STATEFUL[-1]
    app = the_app(seen)
    endpoint = app.asgi()
    opening = {
        "protocolVersion": revision,
        "capabilities": {},
        "clientInfo": {"name": "looker", "version": "1"},
    }
    opened = await post(endpoint, {"id": 1, "method": names.INITIALIZE, "params": opening})
    session = {"mcp_session_id": opened[names.HEADER_SESSION], "mcp_protocol_version": revision}
    await post(endpoint, {"method": names.NOTIFY_INITIALIZED}, **session)
    await post(endpoint, CALL, **session)
    await app.service.stop()
    told = told_frames(f"{revision} http")
    # Since Python 3.12 the request's task takes the first step of the call's: its frames are above.
    if sys.version_info >= (3, 12):
        del seen[: seen.index(told[0])]
    assert seen == told


async def test_the_frames_of_a_call_in_memory() -> None:
    seen: list[str] = []
    revision = STATELESS[-1]
    async with Client(the_app(seen), revision=revision) as client:
        await client.call_tool("look", {"number": 1})
    assert seen == told_frames(f"{revision} memory")


def test_the_targets_of_make_that_pages_name_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8")))
    for page in EVERY_PAGE:
        named = set(re.findall(r"`make ([a-z]+)", page.read_text(encoding="utf-8")))
        assert named <= targets, page.name
