"""Doing what a page says, in an empty folder, as its reader would.

Theory of operation: each page has a folder and a Python namespace of its own, and its blocks are done in order. Python
runs in this process, so that the schema oracle sees the messages; ``await`` at the top level works as in
``python -m asyncio``, on one event loop for the whole page. Code is compiled under the page's name and line
numbers: a traceback points at the page. Shell blocks run under ``bash -e`` with this environment's programs first on
the path. Port 8000, which the pages write, becomes a free port; a server that a page starts ends when it starts
another, or with the page.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import io
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from page_blocks import Block

from dovetail.client import eras

PORT = "8000"
PATIENCE = 120.0


class Differs(AssertionError):
    """A block did not do what the page says."""


class PageRun:
    """One page, being done in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._names: dict[str, Any] = {"__name__": "__main__"}
        self._loop = asyncio.Runner()
        self._said = ""
        self._servers: list[subprocess.Popen[bytes]] = []
        self._port = _free_port()
        self._put_away: dict[str, Any] = {}
        self.done: list[str] = []

    def __enter__(self) -> PageRun:
        eras.clear()  # the file names of one page are those of another
        self._before = Path.cwd(), list(sys.path)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.chdir(self._before[0])
        sys.path[:] = self._before[1]
        for name, module in tuple(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{self.folder}{os.sep}"):
                del sys.modules[name]
        sys.modules.update(self._put_away)
        self._loop.close()
        self._stop_servers()

    def do(self, block: Block) -> None:
        """Do one block. Raises what goes wrong; what differs from the page as `Differs`."""
        text = block.text.replace(PORT, self._port)
        if block.language == "json":
            json.loads(text)
        elif block.language == "toml":
            tomllib.loads(text)
        if block.verb == "file":
            path = self.folder / block.object
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            self._make_way_for(path)
        elif block.verb == "output":
            self._compare(block, text)
        elif block.verb == "serve":
            self._serve(block, text)
        elif block.verb == "run":
            self._said = self._shell(block, text)
        elif block.language == "python" and block.verb != "not run":
            self._said = self._python(block, text)
        else:
            return
        self.done.append(f"{block.language} {block.verb}".strip())

    def _make_way_for(self, path: Path) -> None:
        """Let a file of the page be imported by its name, whatever other tests have imported by that."""
        found = sys.modules.get(path.stem) if path.suffix == ".py" else None
        if found is not None and getattr(found, "__file__", None) != str(path):
            self._put_away[path.stem] = sys.modules.pop(path.stem)
        importlib.invalidate_caches()

    def _python(self, block: Block, text: str) -> str:
        source = "\n" * (block.line - 1) + text
        code = compile(source, block.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out):
                waiting = eval(code, self._names)
                if inspect.iscoroutine(waiting):
                    self._loop.run(waiting)
        except Exception as problem:
            if type(problem).__name__ == block.object:
                return str(problem)
            raise
        if block.verb == "raises":
            raise Differs(f"{block.where}: raised nothing, and should have raised {block.object}")
        return out.getvalue()

    def _shell(self, block: Block, text: str) -> str:
        # `head` may leave before its writer has ended: which status the writer has then depends on who is faster.
        strict = [] if "| head" in text else ["-o", "pipefail"]
        done = subprocess.run(
            ["bash", "-e", *strict, "-c", text],
            cwd=self.folder,
            env=_environment(self.folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE,
            check=False,
        )
        said = done.stdout.decode()
        if done.returncode:
            raise Differs(f"{block.where}: ended with status {done.returncode}:\n{said}")
        return said

    def _serve(self, block: Block, text: str) -> None:
        self._stop_servers()  # as a reader has to, for the port is the same
        log = (self.folder / f".served-{block.line}.log").open("wb")
        with log:
            server = subprocess.Popen(
                ["bash", "-e", "-c", text],
                cwd=self.folder,
                env=_environment(self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers.append(server)
        place = urlsplit(block.object.replace(PORT, self._port))
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((place.hostname, place.port), 1):
                return
            time.sleep(0.02)  # nothing tells when a port of another process begins to listen
        raise Differs(f"{block.where}: nothing listens at {block.object}:\n{Path(log.name).read_text()}")

    def _stop_servers(self) -> None:
        while self._servers:
            _stop(self._servers.pop())

    def _compare(self, block: Block, text: str) -> None:
        wanted = "\n".join(line.rstrip() for line in text.strip().splitlines())
        got = "\n".join(
            line.rstrip() for line in self._said.replace(str(self.folder), ".").strip().splitlines()
        )
        pattern = "\n".join(map(_pattern, wanted.splitlines()))
        if re.fullmatch(pattern, got) is None:
            raise Differs(f"{block.where}: the page says\n{wanted}\n\nand what was printed is\n{got}")


def _free_port() -> str:
    """A port that nobody listens on, from the range that the system does not give away by itself."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return str(port)
    raise OSError("there is no free port")


def _pattern(line: str) -> str:
    """What a line of the page stands for."""
    return ".*(?:\n.*)*" if line == "..." else re.escape(line).replace(re.escape("..."), ".*")


def _environment(folder: Path) -> dict[str, str]:
    """What a reader's shell has, with a home of the page's own."""
    home = folder / ".home"
    home.mkdir(exist_ok=True)
    programs = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    kept = {key: os.environ[key] for key in ("LANG", "TMPDIR", "PYTHONPATH") if key in os.environ}
    return {**kept, "HOME": str(home), "PATH": programs, "COLUMNS": "100", "NO_COLOR": "1"}


def _stop(server: subprocess.Popen[bytes]) -> None:
    """End a server with everything it started; its group is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait(10)
