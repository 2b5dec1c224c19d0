"""``dovetail inspect``: look at servers, in the browser.

Specification: none; docs/inspector.md.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dovetail.security import one_line

from .between.command import is_between, split
from .between.command import main as between
from .browser import open_browser

__all__ = ["main"]

_DEFAULT_PORT = 6280

_CANNOT_START = 3
_INTERRUPTED = 130
_STARTERS = ("npx", "uv", "pipx", "node", "python", "bun", "deno", "pnpm", "yarn", "docker", "podman")
_WORDS = ("run", "exec", "tool", "dlx", "stdio")


def main(words: Sequence[str]) -> int:
    """Look at servers until interrupted, and give the exit code: 0 stopped, 2 usage, 3 cannot start, 130 interrupted.

    ``words``: those after ``dovetail inspect``. Ends with `SystemExit` for a mistake in them.
    """
    if is_between(words):
        return between(words)
    given, command = split(words)
    parser = _parser()
    options = parser.parse_args(given)
    if options.run is not None:
        if command or options.target:
            parser.error("--run takes its servers from its file")
        if options.tui:
            parser.error(
                "--run and --tui do not go together: run without it, or open the file in the view Checks"
            )
        return _run_checks(options)
    if options.only or options.junit:
        parser.error("--only and --junit are for --run")
    if command and options.target:
        parser.error("name a target, or a COMMAND after --, not both")
    if command:
        options.target = [command[0]]
        options.arguments = command[1:]
    else:
        options.arguments = None
    try:
        asyncio.run(_inspect(options))
    except asyncio.CancelledError:
        return 0
    except KeyboardInterrupt:
        return _INTERRUPTED
    except _CannotStart as problem:
        print(f"dovetail inspect: {one_line(str(problem))}", file=sys.stderr)
        return _CANNOT_START
    return 0


class _CannotStart(Exception):
    """Something keeps it from starting; the text says what."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dovetail inspect",
        usage="dovetail inspect [options] [TARGET ...]\n"
        "       dovetail inspect [options] -- COMMAND ...\n"
        "       dovetail inspect --run checks.toml [--junit FILE]\n"
        "       dovetail inspect --between ... (see dovetail inspect --between --help)",
        description="Look at MCP servers in the browser: what they offer, what is said, what is wrong with it.",
        epilog="TARGET: a Python file, a URL, or a capture (.jsonl). Exit codes: 0 stopped, 2 usage, 3 cannot start, "
        "130 interrupted.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("target", nargs="*", metavar="TARGET", help="what to look at")
    add(
        "--port",
        type=int,
        default=None,
        help=f"where the page is served (default: {_DEFAULT_PORT}, or any free one if that is taken; 0: any free one)",
    )
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="sent with each request to a URL",
    )
    add("--env", "-e", action="append", default=[], metavar="NAME=VALUE", help="for a server that is started")
    add("--cwd", metavar="FOLDER", help="where a server is started")
    add("--revision", default="auto", help="speak this revision (default: what the server speaks)")
    add(
        "--keep",
        metavar="FOLDER",
        type=Path,
        help="keep the captures there (default: they are removed at the end)",
    )
    add(
        "--keep-logins",
        action="store_true",
        help="keep logins where `dovetail auth` does, and use those that are there (default: forget them at the end)",
    )
    add("--checks", metavar="FILE", type=Path, help="the saved calls that the page shows and keeps")
    add("--tui", action="store_true", help="in the terminal instead of the browser (the extra tui)")
    add("--run", metavar="FILE", type=Path, help="run the saved calls of a file, without a page")
    add(
        "--only",
        action="append",
        default=[],
        metavar="NAME",
        help="with --run: this one alone; may be repeated",
    )
    add("--junit", metavar="FILE", type=Path, help="with --run: write a report for builds")
    add("--no-browser", action="store_true", help="only print the address")
    return parser


def _run_checks(options: argparse.Namespace) -> int:
    from dovetail.linting import Linter

    from .checks.command import RunOptions, run
    from .checks.running import CheckSettings

    settings = CheckSettings(names=tuple(options.only), judge=Linter, captures=options.keep)
    return run(options.run, RunOptions(settings=settings, junit=options.junit))


async def _inspect(options: argparse.Namespace) -> None:
    """Serve the page until a signal comes. Raises `_CannotStart`, and `asyncio.CancelledError` at a signal."""
    _end_at_signals()
    try:
        from .inspection import Inspection
        from .web.access import Access
        from .web.serving import WebFace, serve
    except ImportError as problem:
        raise _CannotStart(f"{problem}; install it with: pip install dovetail-inspector") from None
    tokens = _kept_tokens() if options.keep_logins else None
    async with Inspection(options.keep, checks=options.checks, tokens=tokens) as inspection:
        if options.tui:
            await _in_terminal(inspection, options)
            return
        with _listener(options.port) as listener:
            begin = _add_targets(inspection, options)
            port = listener.getsockname()[1]
            access = Access(port)
            place = f"http://127.0.0.1:{port}"
            address = f"{place}/#token={access.token}"

            def started() -> None:
                print(one_line(address), flush=True)
                print("The Inspector is at the address above; Ctrl-C stops it.", file=sys.stderr, flush=True)
                begin()
                if not options.no_browser:
                    open_browser(f"{place}/#token={access.ticket()}")

            await serve(WebFace(inspection, access), listener, started=started)


def _kept_tokens() -> Any:
    """Where `dovetail auth` keeps tokens."""
    from dovetail.auth.login import FileTokens

    return FileTokens()


def _end_at_signals() -> None:
    """End in good order where a process is told to end, or its terminal is closed: there are captures to remove."""
    loop, inspecting = asyncio.get_running_loop(), asyncio.current_task()
    told: list[None] = []

    def end() -> None:
        if inspecting is not None and not told:  # once: what ends must not be cancelled itself
            told.append(None)
            inspecting.cancel()

    for each in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, each, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            with suppress(NotImplementedError):  # on Windows
                loop.add_signal_handler(number, end)


async def _in_terminal(inspection: Any, options: argparse.Namespace) -> None:
    """Show it in the terminal until the person leaves. Raises `_CannotStart`."""
    from .terminal.command import NoTerminal, check_terminal, run

    try:
        check_terminal()
        _add_targets(inspection, options)()
        await run(inspection)
    except (ImportError, NoTerminal) as problem:
        raise _CannotStart(str(problem)) from None


def _listener(port: int | None) -> socket.socket:
    """The socket of the page: the usual port if it is free. Raises `_CannotStart`."""
    from .web.serving import listener

    try:
        return listener(_DEFAULT_PORT if port is None else port)
    except (OSError, OverflowError) as problem:
        if port is None:
            return listener(0)
        raise _CannotStart(f"port {port} can't be had: {problem}") from None


def _add_targets(inspection: Any, options: argparse.Namespace) -> Callable[[], None]:
    """The servers and captures of the command line; gives what connects to the servers. Raises `_CannotStart`."""
    from dovetail.recording import CaptureInvalid

    from .targets import TargetUnclear, target_of
    from .views import ConnectionSettings

    settings = ConnectionSettings(revision=options.revision)
    servers: list[Any] = []
    for each in options.target:
        try:
            if options.arguments is None and each.endswith(".jsonl"):
                inspection.open_capture(Path(each))
                continue
            target = target_of(
                each, options.arguments, env=options.env, headers=options.header, cwd=options.cwd or ""
            )
        except (TargetUnclear, CaptureInvalid, OSError) as problem:
            raise _CannotStart(str(problem)) from None
        servers.append(
            inspection.add(_name(each, options.arguments or ()), target, settings, source="the command line")
        )

    def begin() -> None:
        for each in servers:
            each.connect()

    return begin


def _name(target: str, arguments: Sequence[str]) -> str:
    """What a target is called: what a program that starts others is told to start, not that program."""
    if "://" in target:
        return target
    name = Path(target).name
    if name.startswith(_STARTERS) and "-c" not in arguments:
        told = (each for each in arguments if not each.startswith("-") and each not in _WORDS)
        name = Path(next(told, name)).name
    return name or target
