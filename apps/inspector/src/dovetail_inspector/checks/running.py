"""Running checks against real servers: each server in each revision over each of its targets, one after the other.

Theory of operation. A `CheckCell` is one connection: a server, a target of it, a revision. Its checks run in the order
of the file over one client, so that what one of them does is there for the next; variables are kept within a cell.
Where a server can't be reached, that is what became of all checks of the cell. A check whose needs did not pass, or
whose variables nobody kept, is skipped.

What the server asks is answered by what the check says; what it has no answer for is declined, and fails the check.

Specification: basic/lifecycle, server/tools, server/resources, server/prompts, client/elicitation, client/sampling.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, cast

from msgspec import UNSET, Struct, field, to_builtins

from dovetail import Client
from dovetail.client import ClientOptions
from dovetail.errors import DovetailError, RPCError
from dovetail.host.configuration import (
    HOSTS,
    Approvals,
    ConfigurationFile,
    ServerSecrets,
    Variables,
    resolve,
)
from dovetail.schemas import Validator, compile_schema

from .answering import CheckAnswering
from .expecting import CheckOutcome, failures_of
from .hearing import HeardCell, LineJudge
from .reading import CheckFile, CheckServer, SavedCheck
from .variables import Environment, at_pointer, filled, names_in

__all__ = ["CheckCell", "CheckResult", "CheckSettings", "CheckState", "cells_of", "run_checks"]

CheckState = Literal["passed", "failed", "error", "skipped"]


class CheckCell(Struct, frozen=True):
    """A connection that checks run over. ``transport``: the name of the target, "" for the only one."""

    server: str
    transport: str
    revision: str

    def __str__(self) -> str:
        said = ", ".join(each for each in (self.revision, self.transport) if each)
        return f"{self.server} ({said})"


class CheckResult(Struct, kw_only=True):
    """What came of a check in a cell. ``failures``: what was otherwise; of a check that was skipped or could not be
    run, why. ``problem``: the exception that kept it from running. ``revision``: the one that was spoken.
    """

    name: str
    cell: CheckCell
    state: CheckState
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list[str])
    problem: BaseException | None = None
    revision: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return self.state == "passed"


class CheckSettings(Struct, kw_only=True):
    """How checks run. ``names``: only these, and what they need; ``revisions``: only these. ``captures``: a folder for
    what was said, a file for each cell, without secrets. ``judge``: makes what judges each line, for ``lint = true``.
    ``environment``: what ``env:NAME`` reads. ``options``: more options of the clients.
    """

    names: tuple[str, ...] = ()
    revisions: tuple[str, ...] = ()
    captures: Path | None = None
    judge: Callable[[], LineJudge] | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    options: ClientOptions = field(default_factory=ClientOptions)


def cells_of(file: CheckFile, settings: CheckSettings | None = None) -> dict[CheckCell, list[SavedCheck]]:
    """The cells of a file, each with its checks in their order."""
    settings = settings or CheckSettings()
    wanted = _needed(file, settings.names)
    found: dict[CheckCell, list[SavedCheck]] = {}
    for check in file.check:
        if check.name not in wanted:
            continue
        server = file.server_of(check)
        declared = file.servers.get(server)
        targets = list(declared.targets) if declared is not None and declared.targets else [""]
        for transport in check.transports or targets:
            for revision in file.revisions_of(check):
                if not settings.revisions or revision in settings.revisions:
                    found.setdefault(CheckCell(server, transport, revision), []).append(check)
    return found


async def run_checks(file: CheckFile, settings: CheckSettings | None = None) -> AsyncIterator[CheckResult]:
    """Run all checks of a file; gives each result as it comes. Raises `EnvironmentMissing` before anything is asked for
    a variable that is not set.
    """
    settings = settings or CheckSettings()
    environment = Environment(settings.environment)
    cells = cells_of(file, settings)
    for checks in cells.values():
        for check in checks:
            _resolve_all(check, file, environment)
    for cell, checks in cells.items():
        async for each in _CellRun(file, cell, checks, settings, environment).run():
            yield each


def _needed(file: CheckFile, names: tuple[str, ...]) -> set[str]:
    """The checks of these names, with all that they need or take variables from."""
    if not names:
        return {each.name for each in file.check}
    found: set[str] = set(names)
    for check in reversed(file.check):
        if check.name in found:
            found |= set(check.needs)
            used = set(names_in(to_builtins([check.call, check.answers, check.expect])))
            found |= {each.name for each in file.check if used & each.keep.keys()}
    return found


def _resolve_all(check: SavedCheck, file: CheckFile, environment: Environment) -> None:
    """Look every variable of the environment up that a check names."""
    declared = file.servers.get(file.server_of(check), CheckServer())
    for each in (*declared.env.values(), *declared.headers.values()):
        environment.value(each)
    _look_up(to_builtins([check.call, check.answers, check.expect]), environment)


def _look_up(value: Any, environment: Environment) -> None:
    if isinstance(value, str):
        environment.value(value)
    elif isinstance(value, dict):
        _look_up(list(cast("dict[str, Any]", value).values()), environment)
    elif isinstance(value, list):
        for each in cast("list[Any]", value):
            _look_up(each, environment)


class _CellRun:
    """The checks of one cell, over one client."""

    def __init__(
        self,
        file: CheckFile,
        cell: CheckCell,
        checks: list[SavedCheck],
        settings: CheckSettings,
        environment: Environment,
    ) -> None:
        self._file, self._cell, self._checks = file, cell, checks
        self._settings, self._environment = settings, environment
        self._kept: dict[str, Any] = {}
        self._states: dict[str, CheckState] = {}
        self._schemas: dict[str, Validator | None] | None = None
        self._answering = CheckAnswering([each.answers for each in checks])
        self._heard: HeardCell | None = None

    async def run(self) -> AsyncIterator[CheckResult]:
        """Connect, run each, let go."""
        heard = any(each.expect.lint for each in self._checks) or self._settings.captures is not None
        with tempfile.TemporaryDirectory(prefix="dovetail-checks-") as folder:
            if heard:
                judge = self._settings.judge() if self._settings.judge is not None else None
                self._heard = HeardCell(Path(folder) / "talk.jsonl", judge)
            try:
                async for each in self._run():
                    self._states[each.name] = each.state
                    yield each
            finally:
                if self._heard is not None:
                    self._heard.end(self._place())

    async def _run(self) -> AsyncIterator[CheckResult]:
        began = time.perf_counter()
        try:
            client = self._client()
            await client.open()
        except (DovetailError, OSError, ValueError) as problem:
            said = self._environment.hide(f"{self._cell.server!r} can't be asked: {problem}")
            seconds = time.perf_counter() - began
            for check in self._checks:
                yield CheckResult(
                    name=check.name,
                    cell=self._cell,
                    state="error",
                    seconds=seconds,
                    failures=[said],
                    problem=problem,
                )
                seconds = 0.0
            return
        try:
            for check in self._checks:
                yield await self._check(client, check)
        finally:
            await client.close()

    async def _check(self, client: Client, check: SavedCheck) -> CheckResult:
        found = CheckResult(name=check.name, cell=self._cell, state="skipped", revision=client.revision)
        missing = [each for each in check.needs if self._states.get(each) != "passed"]
        if missing:
            found.failures.append(f"it needs {missing[0]!r}, which did not pass")
            return found
        began = time.perf_counter()
        try:
            call, expect, answers = (
                filled(_plain(each), self._kept, self._environment)
                for each in (check.call, check.expect, check.answers)
            )
        except KeyError as problem:
            found.failures.append(f"no check before it kept ${{{problem.args[0]}}}")
            return found
        self._answering.next(answers)
        try:
            outcome = await self._asked(client, check, call)
        except (DovetailError, OSError) as problem:
            lost = client.state in ("lost", "closed")
            found.state, found.problem = ("error" if lost else "failed"), problem
            found.seconds = time.perf_counter() - began
            found.failures.append(self._environment.hide(f"{type(problem).__name__}: {problem}"))
            return found
        found.seconds = outcome.seconds
        failures = [
            *self._answering.unanswered,
            *failures_of(_expect(check, expect), outcome, tool=check.call.kind == "tool"),
            *self._keep(check, outcome),
            *(self._faults() if check.expect.lint else ()),
        ]
        if self._heard is not None and not check.expect.lint:
            self._heard.faults()  # those of this check are nobody's after it
        found.failures += [self._environment.hide(each) for each in failures]
        found.state = "failed" if failures else "passed"
        return found

    async def _asked(self, client: Client, check: SavedCheck, call: dict[str, Any]) -> CheckOutcome:
        """Make the call."""
        output = None
        if check.expect.schema == "listed":
            output = (await self._outputs(client)).get(call["tool"])
        began = time.perf_counter()
        outcome = CheckOutcome(output=output)
        try:
            outcome.result = await _result(client, check.call.kind, call)
        except RPCError as problem:
            outcome.error = {"code": problem.code, "message": problem.message, "data": problem.data}
        outcome.seconds = time.perf_counter() - began
        return outcome

    async def _outputs(self, client: Client) -> dict[str, Validator | None]:
        """The output schemas of the server's tools."""
        if self._schemas is None:
            self._schemas = {}
            async for tool in client.tools():
                schema = tool.output_schema
                self._schemas[tool.name] = None if schema is None else compile_schema(schema)
        return self._schemas

    def _keep(self, check: SavedCheck, outcome: CheckOutcome) -> Iterable[str]:
        for name, pointer in check.keep.items():
            value, exists = at_pointer(outcome.result, pointer)
            if not exists:
                yield f"there is nothing at {pointer or 'all'} to keep as {name}"
            else:
                self._kept[name] = value

    def _faults(self) -> list[str]:
        return [] if self._heard is None else self._heard.faults()

    def _client(self) -> Client:
        """The client of the cell. Raises what resolving a configured server does."""
        cell, name = self._cell, self._cell.server
        declared = self._file.servers.get(name)
        options: ClientOptions = {
            "on_stderr": None,
            "cache": False,
            **self._answering.options(),
            **self._settings.options,
        }
        options["revision"] = cell.revision
        if self._heard is not None:
            options["record"] = self._heard.writer
        if declared is None:
            target, more = _configured(name)
            return Client(self._below(target), **{**options, **more})
        given = declared.targets[cell.transport] if cell.transport else declared.target
        target = self._below(given)
        options["timeout"] = declared.timeout
        if isinstance(target, str) and target[:5].lower().startswith("http"):
            if declared.headers:
                options["headers"] = self._values(declared.headers)
        else:
            options["cwd"] = self._file.folder / declared.cwd
            if declared.env:
                options["env"] = self._values(declared.env)
        return Client(target, **options)

    def _values(self, given: dict[str, str]) -> dict[str, str]:
        return {name: self._environment.value(value) for name, value in given.items()}

    def _below(self, target: Any) -> Any:
        """A target whose file stands below the folder of the checks."""
        if isinstance(target, str) and target.endswith((".py", ".jsonl")):
            path = self._file.folder / target
            return str(path) if path.is_file() else target
        return target

    def _place(self) -> Path | None:
        folder = self._settings.captures
        if folder is None:
            return None
        parts = (self._cell.server, self._cell.transport, self._cell.revision)
        name = "-".join(
            "".join(c if c.isalnum() or c in "._" else "_" for c in each) for each in parts if each
        )
        return folder / f"{name[:120]}.jsonl"


async def _result(client: Client, kind: str, call: dict[str, Any]) -> dict[str, Any]:
    """What a call gives, as on the wire."""
    meta: Any = call["meta"] or None
    if kind == "tool":
        return (await client.call_tool(call["tool"], call["arguments"], meta=meta)).to_wire()
    if kind == "read":
        variables: Any = call["variables"] or None
        return (await client.read(call["read"], variables, meta=meta)).to_wire()
    if kind == "prompt":
        return (await client.get_prompt(call["prompt"], call["arguments"], meta=meta)).to_wire()
    if kind == "request":
        return await client.request(call["request"], call["params"])
    listing = {
        "tools": (client.tools, "tools"),
        "resources": (client.resources, "resources"),
        "templates": (client.resource_templates, "resourceTemplates"),
        "prompts": (client.prompts, "prompts"),
    }
    entries, member = listing[call["list"]]
    return {member: [each.to_wire() async for each in cast("AsyncIterator[Any]", entries())]}


def _plain(part: Struct) -> dict[str, Any]:
    """A part of a check as plain values, without what is not set."""
    return {name: value for name in part.__struct_fields__ if (value := getattr(part, name)) is not UNSET}


def _expect(check: SavedCheck, given: dict[str, Any]) -> Any:
    return type(check.expect)(**given)


def _configured(name: str) -> tuple[Any, ClientOptions]:
    """What a name of our configuration means; any other is a target as it is. Raises `ConfigurationError` and what
    goes with it.
    """
    if not HOSTS["dovetail"].file().is_file():
        return name, ClientOptions()
    definition = ConfigurationFile("dovetail").servers.get(name)
    if definition is None:
        return name, ClientOptions()
    Approvals().check(definition)

    def secret(each: str) -> str:
        return ServerSecrets().get(definition.name, each)

    target, options = resolve(definition, Variables(secrets=secret))
    return target, options
