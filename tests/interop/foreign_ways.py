"""The three ways to a foreign server: the command line, `Client`, and `Client.sync`.

Theory of operation: each way opens the server anew, lists its tools and makes one call, and tells what came as a
`Came`. Both clients run in this process, where the oracle hears every frame; the command line is a process like any
user's. A server over HTTP is started here, on a free port of the loopback interface, once for all ways; over stdio each
way starts its own. What is started has the cell's folder in its environment, as its home: by that it is known if it
is left behind. Names of proxies lead nowhere, so that what would reach beyond this machine fails at once.

Follows: no page of the specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Never

from dovetail import Client, Declined, DovetailError, RPCError
from interop.conversation import END_SECONDS, free_port, listens, stop
from interop.foreign_servers import Foreign, Installed
from interop.installing import ROOT

#: Seconds for one way: opening, listing, calling, closing.
PATIENCE = 60.0
PAGE = b"<html><head><title>here</title></head><body><p>served on this machine</p></body></html>"


class DidNotStart(Exception):
    """A server over HTTP never listened."""


@dataclass(frozen=True)
class Came:
    """What came of one way. ``error``: "" or of the "tool" or of the "protocol"; ``trouble``: why nothing came."""

    revision: str = ""
    tools: tuple[str, ...] = ()
    error: str = ""
    text: str = ""
    trouble: str = ""


@dataclass(frozen=True)
class Place:
    """A server as it is reached: a command with its environment, or a URL."""

    server: Foreign
    target: list[str] | str
    env: dict[str, str]
    folder: Path
    arguments: dict[str, Any]
    says: str


WAYS: dict[str, Callable[[Place], Came]] = {}


def way(name: str) -> Callable[[Callable[[Place], Came]], Callable[[Place], Came]]:
    """Note one of the ways; what it raises becomes its trouble."""

    def note(function: Callable[[Place], Came]) -> Callable[[Place], Came]:
        def told(place: Place) -> Came:
            try:
                return function(place)
            except (DovetailError, OSError, TimeoutError, ValueError, subprocess.SubprocessError) as problem:
                return Came(trouble=f"{type(problem).__name__}: {problem}")

        WAYS[name] = told
        return told

    return note


@way("cli")
def by_command_line(place: Place) -> Came:
    """`dovetail list` and `dovetail call`."""
    listed = _dovetail(place, "list", [])
    if listed.returncode:
        return Came(trouble=f"exit {listed.returncode}: {listed.stderr.strip()[-800:]}")
    tools = tuple(tool["name"] for tool in json.loads(listed.stdout)["tools"])
    given = ["--args", json.dumps(place.arguments)]
    called = _dovetail(place, "call", [place.server.call.tool], given)
    if called.returncode not in (0, 1, 4):
        return Came(tools=tools, trouble=f"exit {called.returncode}: {called.stderr.strip()[-800:]}")
    if called.returncode == 4:
        return Came(tools=tools, error="protocol", text=called.stderr)
    result = json.loads(called.stdout)
    return Came("", tools, "tool" if called.returncode == 1 else "", _text(result))


def _dovetail(
    place: Place, command: str, words: list[str], options: list[str] | None = None
) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "dovetail", command]
    words = [*words, *(options or ()), "--json", "--revision", place.server.pinned]
    if isinstance(place.target, str):
        line += [place.target, *words]
    else:
        environment = [word for key, value in place.env.items() for word in ("-e", f"{key}={value}")]
        line += [*words, *environment, "--", *place.target]
    return subprocess.run(
        line,
        cwd=place.folder,
        env={**os.environ, **place.env, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def _text(result: dict[str, Any]) -> str:
    return "\n".join(block.get("text", "") for block in result.get("content", ()))


@way("Client")
def by_client(place: Place) -> Came:
    """The client of programs with an event loop."""

    async def talk() -> Came:
        async with asyncio.timeout(PATIENCE), Client(place.target, **_options(place)) as client:
            tools = tuple([tool.name async for tool in client.tools()])
            try:
                result = await client.call_tool(place.server.call.tool, place.arguments)
            except RPCError as problem:
                return Came(client.revision, tools, "protocol", problem.message)
            return Came(client.revision, tools, "tool" if result.is_error else "", result.text)

    return asyncio.run(talk())


@way("Client.sync")
def by_blocking_client(place: Place) -> Came:
    """The client of programs without one."""
    with Client.sync(place.target, timeout=PATIENCE, **_options(place)) as client:
        tools = tuple(tool.name for tool in client.tools())
        try:
            result = client.call_tool(place.server.call.tool, place.arguments)
        except RPCError as problem:
            return Came(client.revision, tools, "protocol", problem.message)
        return Came(client.revision, tools, "tool" if result.is_error else "", result.text)


def _options(place: Place) -> dict[str, Any]:
    """As the command line has it: the person can be asked, which some servers offer more tools for."""

    def decline(_asked: object) -> Never:
        raise Declined("nobody is here")

    options: dict[str, Any] = {
        "revision": place.server.pinned,
        "elicitation": decline,
        "approve": lambda _visit: False,
    }
    return options if isinstance(place.target, str) else {**options, "env": place.env, "cwd": place.folder}


@contextlib.contextmanager
def at(server: Foreign, installed: Installed, folder: Path) -> Iterator[Place]:
    """A server, ready to be reached."""
    prepare(folder)
    with page() as address:
        port = free_port()
        fill = partial(filled_in, installed=installed, folder=folder, port=port, page=address)
        env = {
            "HOME": str(folder),
            "PATH": f"{Path(installed.node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "CI": "true",
            "NO_COLOR": "1",
            "HTTP_PROXY": "http://127.0.0.1:9",
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1,localhost",
            **fill(dict(server.env)),
        }
        command = [*installed.command(server), *fill(list(server.arguments))]
        arguments, says = fill(dict(server.call.arguments)), fill(server.call.says)
        if server.transport == "stdio":
            yield Place(server, command, env, folder, arguments, says)
            return
        url = f"http://{server.host}:{port}{server.path}"
        with (
            (folder / "server.log").open("wb") as log,
            subprocess.Popen(
                command,
                cwd=folder,
                env={**env, "PORT": str(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                if not listens(process, port):
                    raise DidNotStart((folder / "server.log").read_text(errors="replace")[-2000:])
                yield Place(server, url, env, folder, arguments, says)
            finally:
                stop(process)


def prepare(folder: Path) -> None:
    """What the calls find: a repository, a note, a script with its rules."""
    repository = folder / "repository"
    repository.mkdir()
    subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    (folder / "note.txt").write_text("a note\n")
    (folder / "script.js").write_text("let unused = 1;\n")
    (folder / "eslint.config.mjs").write_text('export default [{ rules: { "no-unused-vars": "error" } }];\n')


def filled_in(value: Any, *, installed: Installed, folder: Path, port: int, page: str) -> Any:
    """A value with its placeholders filled in, at any depth."""
    if isinstance(value, dict):
        return {
            key: filled_in(each, installed=installed, folder=folder, port=port, page=page)
            for key, each in value.items()
        }
    if isinstance(value, list):
        return [filled_in(each, installed=installed, folder=folder, port=port, page=page) for each in value]
    if not isinstance(value, str):
        return value
    known = {"{folder}": str(folder), "{port}": str(port), "{page}": page, "{node}": installed.node}
    for placeholder, meant in known.items():
        value = value.replace(placeholder, meant)
    return re.sub(r"\{script:([^}]+)\}", lambda found: installed.script(found[1]), value)


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """The page, wherever it is asked for; there are no rules for robots."""
        there = not self.path.endswith("robots.txt")
        self.send_response(200 if there else 404)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextlib.contextmanager
def page() -> Iterator[str]:
    """The address of a page on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{served.server_address[1]}/"
        finally:
            served.shutdown()
            thread.join()


def left_behind(folder: Path) -> list[str]:
    """The commands of processes whose home is the folder, after a while; they are killed. Only Linux tells."""
    until = time.monotonic() + END_SECONDS
    while (found := _at_home(str(folder))) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(found.values())


def _at_home(folder: str) -> dict[int, str]:
    mark = f"HOME={folder}".encode()
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark in entry.read_bytes().split(b"\0"):
                command = (
                    (entry.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
                if command:  # one that ended and was not waited for has none
                    found[int(entry.parent.name)] = command.strip()
    return found
