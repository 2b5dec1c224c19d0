"""``dovetail conformance``: the official conformance suite against a server at a URL.

Theory of operation. The suite is a package of npm; `npx` runs it in a pinned version, and Node has to be there. Most of
its scenarios call tools that the suite itself prescribes ("test_simple_text"), which no ordinary server has. So by
default those run that any server can pass; ``--all`` runs them all. Each scenario is a process of its own, and what it
found is read from the file it writes, never from its prose.

The suite talks to a relay of ours, which adds the credentials that the options name, so that a protected server can be
tried, and keeps what is said. When the suite has ended, each message of the server's is held against its
revision (`dovetail.linting.judging`): the suite looks at what its scenarios are about, this at everything.
"""

import asyncio
import json as jsonlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Final, cast

import msgspec
from msgspec import Struct

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..client import Client
from ..linting.judging import MessageFault
from ..protocol import names
from ..protocol.safe_text import one_line
from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError
from .relaying import relayed

__all__ = ["conformance"]

PACKAGE: Final = "@modelcontextprotocol/conformance"
RELEASE: Final = "0.2.0-alpha.12"
_OLDEST_NODE: Final = 22
_LIMIT: Final = 120.0
_TOLD: Final = 20
_SETUP: Final = 300.0
#: The scenarios that need nothing of a server but that it speaks the protocol.
_GENERAL: Final = frozenset(
    {
        "server-initialize",
        "server-session-lifecycle",
        "server-stateless",
        "logging-set-level",
        names.PING,
        "tools-list",
    }
    | {"resources-list", "prompts-list", "dns-rebinding-protection", "http-header-validation"}
)
#: The scenario whose point is what a relay would not pass on: it goes to the server itself, without credentials.
_DIRECT: Final = "dns-rebinding-protection"
#: What a server has to offer for a scenario to mean anything.
_OFFERED: Final = {
    "logging-set-level": "logging",
    "prompts-list": "prompts",
    "resources-list": "resources",
    "tools-list": "tools",
}
#: How the suite says that the server lacks what a check needs.
_UNTESTED: Final = "Not testable"
_ENTRY: Final = re.compile(r"^ +- (?P<name>[^\s\[]+)(?: \[(?P<tags>[^\]]*)\])?$", re.MULTILINE)


class ScenarioResult(Struct, frozen=True):
    """What a scenario found: how many checks passed, what is wrong, what should be otherwise, and how many checks need
    tools that the server does not have.
    """

    name: str
    passed: int
    problems: list[str]
    warnings: list[str]
    untested: int


async def conformance(
    target: str,
    /,
    *,
    everything: Annotated[
        bool,
        Parameter(
            "--all",
            negative="",
            help="Also the scenarios that need the tools which the suite prescribes.",
        ),
    ] = False,
    only: Annotated[
        list[str] | None,
        Parameter(negative="", help="Scenarios whose name is this, or begins so; may be repeated."),
    ] = None,
    suite: Annotated[str, Parameter(help="The release of the suite.")] = RELEASE,
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Run the official conformance suite against a server at a URL, and judge all that it said. Needs Node 22 or later.

    The revision is that of --revision, by default the newest that the server speaks. With credentials (--header,
    --auth, DOVETAIL_TOKEN) the suite is let in by them. Ends with 1 where a check failed, or a message was wrong.
    """
    session = CommandSession(target, words, common)
    place, options = await session.settled()
    if not isinstance(place, str) or not place[:6].lower().startswith(("http:", "https:")):
        raise UsageError(
            "the suite talks to a URL: serve it first, as in dovetail run server.py --http 8000, and name its URL"
        )
    if not re.fullmatch(r"[0-9A-Za-z.+-]{1,40}", suite):
        raise UsageError(f"--suite {suite!r} is no version, such as {RELEASE}")
    if common.store:
        raise UsageError("--store has no effect here: each scenario is a client of its own")
    command = [await _npx(), "--yes", f"{PACKAGE}@{suite}"]
    results: list[ScenarioResult] = []
    async with relayed(place, options) as relay:
        async with Client(place, **relay.options) as client:
            revision, offered = client.revision, client.server_capabilities
        chosen = _chosen(await _asked(command), revision, only or [], everything=everything)
        if not only:
            chosen = _sensible(chosen, offered, protected=bool({"auth", "headers"} & options.keys()))
        session.screen.note(f"{len(chosen)} scenarios of {PACKAGE} {suite}, revision {revision}")
        for name in chosen:
            result = await _scenario(command, place if name == _DIRECT else relay.url, name, revision)
            results.append(result)
            if not common.json:
                _show(session, result)
        faults, messages = relay.judged()
    bad = [each for each in results if each.problems]
    if common.json:
        scenarios, wrong = ([msgspec.to_builtins(each) for each in found] for found in (results, faults))
        said = {"judged": messages, "faults": wrong}
        session.screen.json({"suite": suite, "revision": revision, "scenarios": scenarios, "messages": said})
    else:
        _show_messages(session, faults, messages)
        session.screen.line(f"{len(results) - len(bad)} of {len(results)} scenarios passed", "bold")
    return FAILED if bad or faults else OK


def _sensible(chosen: Sequence[str], offered: Any, *, protected: bool) -> list[str]:
    """The scenarios that mean something to a server that offers this. ``protected``: it lets no stranger in."""
    return [
        each
        for each in chosen
        if (each not in _OFFERED or getattr(offered, _OFFERED[each], None) is not None)
        and not (protected and each == _DIRECT)
    ]


def _show_messages(session: CommandSession, faults: Sequence[MessageFault], messages: int) -> None:
    word, style = ("FAILED", "red") if faults else ("ok", "green")
    told = f"{messages} of the server's, {len(faults) or 'nothing'} wrong"
    session.screen.line(f"{word:8} messages  {told}", style)
    for each in faults[:_TOLD]:
        times = f" ({each.count} times)" if each.count > 1 else ""
        where = " ".join(part for part in (each.method, each.revision) if part)
        session.screen.line(f"{'':8} {one_line(where)}: {one_line(each.what)}{times}")
    if len(faults) > _TOLD:
        session.screen.line(f"{'':8} and {len(faults) - _TOLD} more: --json has them all")


def _show(session: CommandSession, result: ScenarioResult) -> None:
    word, style = ("FAILED", "red") if result.problems else ("ok", "green")
    untested = f", {result.untested} need tools of the suite" if result.untested else ""
    session.screen.line(f"{word:8} {result.name}  {result.passed} checks passed{untested}", style)
    for each in result.problems:
        session.screen.line(f"{'':8} {one_line(each)}")
    for each in result.warnings:
        session.screen.line(f"{'':8} warning: {one_line(each)}")


async def _npx() -> str:
    """npx, of a Node that is new enough. Raises `UsageError`, which says what to install."""
    node, npx = shutil.which("node"), shutil.which("npx")
    needed = f"the suite is a program for Node: install Node {_OLDEST_NODE} or later"
    if node is None or npx is None:
        raise UsageError(f"{needed}, with npx on the PATH")
    found = re.match(r"v(\d+)\.", (await _run([node, "--version"], 30.0))[1])
    if found is None or int(found[1]) < _OLDEST_NODE:
        raise UsageError(f"{needed}; {node} is {found[0].rstrip('.') if found else 'something else'}")
    return npx


async def _asked(command: Sequence[str]) -> dict[str, set[str]]:
    """The scenarios for servers, each with the revisions that it is for."""
    status, said = await _run([*command, "list", "--server"], _SETUP)
    found = {each["name"]: set((each["tags"] or "").split(",")) for each in _ENTRY.finditer(said)}
    if status or not found:
        raise UsageError(f"the suite can't be run: {one_line(said[-600:]) or 'it says nothing'}")
    return found


def _chosen(
    listed: dict[str, set[str]], revision: str, only: Sequence[str], *, everything: bool
) -> list[str]:
    for wanted in only:
        if not any(name.startswith(wanted) for name in listed):
            raise UsageError(f"there is no scenario {wanted!r}; there are {', '.join(listed)}")
    if only:
        return [name for name in listed if any(name.startswith(wanted) for wanted in only)]
    return [name for name, tags in listed.items() if revision in tags and (everything or name in _GENERAL)]


async def _scenario(command: Sequence[str], url: str, name: str, revision: str) -> ScenarioResult:
    with tempfile.TemporaryDirectory(prefix="dovetail-") as folder:
        arguments = [
            "server",
            "--url",
            url,
            "--scenario",
            name,
            "--spec-version",
            revision,
            "--force",
            "-o",
            folder,
        ]
        status, said = await _run([*command, *arguments], _LIMIT)
        checks = _checks(folder)
    missed = [each for each in checks if str(each.get("errorMessage") or "").startswith(_UNTESTED)]
    checks = [each for each in checks if each not in missed]
    problems = [_told(each) for each in checks if each.get("status") == "FAILURE"]
    warnings = [_told(each) for each in checks if each.get("status") == "WARNING"]
    passed = sum(1 for each in checks if each.get("status") == "SUCCESS")
    if status is None:
        problems.append(f"it did not end within {_LIMIT:g} s")
    elif not checks:
        problems.append(f"it made no checks (exit {status}): {said[-300:]}")
    elif not passed and not problems:
        problems.append("it proved nothing: every check was skipped")
    return ScenarioResult(name, passed, problems, warnings, len(missed))


def _checks(folder: str) -> list[dict[str, Any]]:
    """What the suite wrote of its checks."""
    found: list[dict[str, Any]] = []
    for file in sorted(Path(folder).rglob("checks.json")):
        with suppress(ValueError, OSError):
            found += cast("list[dict[str, Any]]", jsonlib.loads(file.read_text("utf-8")))
    return found


def _told(check: dict[str, Any]) -> str:
    why = check.get("errorMessage") or ""
    return f"{check.get('id')}: {check.get('description')}{f': {why}' if why else ''}"


async def _run(command: Sequence[str], limit: float) -> tuple[int | None, str]:
    """Run a program to its end; gives its status (None: time ran out) and what it said. Raises `UsageError`."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as problem:
        raise UsageError(f"{command[0]} can't be started: {problem.strerror}") from None
    try:
        async with asyncio.timeout(limit):
            said, _ = await process.communicate()
    except BaseException as problem:
        _kill(process)
        await process.wait()
        if not isinstance(problem, TimeoutError):
            raise
        return None, ""
    return process.returncode, said.decode("utf-8", "replace")


def _kill(process: asyncio.subprocess.Process) -> None:
    """End a program and all that it started: npx starts the suite as a process of its own."""
    with suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
