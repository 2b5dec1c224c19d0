"""The file of checks: which servers there are, what is asked of them, what has to come back.

Theory of operation. A file is read whole and held against its form before anything is started: a name that nothing has,
a variable that no earlier check keeps, a pattern that is none is told with its place. Paths in a file are below the
folder that it stands in.

Specification: TOML 1.0; docs/inspect-checks.md has the form.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from dovetail.revisions import REVISIONS
from dovetail.schemas import SchemaError, compile_schema

from .matching import MatcherInvalid, judged_of
from .variables import names_in

__all__ = [
    "AUTO",
    "CheckAnswers",
    "CheckCall",
    "CheckExpect",
    "CheckFile",
    "CheckFileInvalid",
    "CheckServer",
    "SavedCheck",
    "read_checks",
]

AUTO: Final = "auto"
_MOST: Final = 16 * 1024 * 1024
_KINDS: Final = ("tool", "read", "prompt", "list", "request")
TargetText = str | list[str]


class CheckFileInvalid(ValueError):
    """A file of checks that can't be run; the text says where in it and why."""


class _TOMLTable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file."""


class CheckServer(_TOMLTable, frozen=True):
    """A server. ``target``: as of `dovetail.Client` (a file, a command, a URL); or ``targets``: several ways to the
    same server, by names of their own, such as ``stdio`` and ``http``: each check runs over each. ``env``, ``cwd``: of
    one that is started; ``headers``: of one at a URL; ``timeout``: seconds of a call without an answer or progress.
    """

    target: TargetText | UnsetType = UNSET
    targets: dict[str, TargetText] = {}
    env: dict[str, str] = {}
    cwd: str = "."
    headers: dict[str, str] = {}
    timeout: float = 30.0


class CheckCall(_TOMLTable, frozen=True):
    """What is asked: one of ``tool`` (with ``arguments``), ``read`` (a URI, or a template with ``variables``),
    ``prompt`` (with ``arguments``), ``list`` (a kind), ``request`` (a method, with ``params``).
    """

    tool: str = ""
    read: str = ""
    prompt: str = ""
    list: Literal["tools", "resources", "templates", "prompts", ""] = ""
    request: str = ""
    arguments: dict[str, Any] = {}
    variables: dict[str, Any] = {}
    params: dict[str, Any] = {}
    meta: dict[str, Any] = {}

    @property
    def kind(self) -> str:
        """Which of them it is."""
        return next(each for each in _KINDS if getattr(self, each))

    @property
    def name(self) -> str:
        """Of what."""
        return getattr(self, self.kind)


class CheckAnswers(_TOMLTable, frozen=True):
    """What is answered when the server asks. ``form``: the fields; ``sampling``: the text of the model; either may be a
    list, for one question after the other, and "decline" or "cancel" (a form) says no. ``visit``: whether addresses are
    agreed to. ``roots``: the folders.
    """

    form: Any = UNSET
    sampling: str | list[str] | UnsetType = UNSET
    visit: bool | UnsetType = UNSET
    roots: list[str] | UnsetType = UNSET


class CheckExpect(_TOMLTable, frozen=True):
    """What has to come back; see docs/inspect-checks.md."""

    is_error: bool = False
    error: Any = UNSET
    text: Any = UNSET
    structured: dict[str, Any] = {}
    result: dict[str, Any] = {}
    schema: Literal["listed"] | dict[str, Any] | UnsetType = UNSET
    within: float | UnsetType = UNSET
    listed: list[str] | UnsetType = UNSET
    lint: bool = False


class SavedCheck(_TOMLTable, frozen=True):
    """A call and what is expected of it. ``revisions`` and ``transports``: those in which it runs, by default all of
    the file and the server. ``needs``: checks without which it makes no sense. ``keep``: variables for later checks, as
    JSON pointers into the result.
    """

    name: str
    call: CheckCall
    server: str = ""
    answers: CheckAnswers = CheckAnswers()
    expect: CheckExpect = CheckExpect()
    revisions: list[str] = []
    transports: list[str] = []
    needs: list[str] = []
    keep: dict[str, str] = {}


class CheckFile(_TOMLTable, frozen=True):
    """All of a file. ``server``: of checks that name none. ``folder``: where it stands."""

    check: list[SavedCheck] = field(default_factory=list[SavedCheck])
    servers: dict[str, CheckServer] = field(default_factory=dict[str, CheckServer])
    server: str = ""
    revisions: list[str] = field(default_factory=lambda: [AUTO])
    folder: Path = Path()

    def server_of(self, check: SavedCheck) -> str:
        """The name of the server of a check."""
        return check.server or self.server

    def revisions_of(self, check: SavedCheck) -> list[str]:
        """The revisions that a check runs in."""
        return check.revisions or self.revisions


def read_checks(text: str | bytes, *, name: str = "the checks", folder: Path | None = None) -> CheckFile:
    """The checks of a text. ``name``: what it is called in errors. ``folder``: what its paths are below, by default
    where the program runs. Raises `CheckFileInvalid`.
    """
    if len(text) > _MOST:
        raise CheckFileInvalid(f"{name} is longer than {_MOST // 1024**2} MiB")
    plain: dict[str, Any] = {}
    try:
        plain = tomllib.loads(text if isinstance(text, str) else text.decode())
        plain.pop("folder", None)
        found = msgspec.convert(plain, CheckFile)
    except UnicodeDecodeError as problem:
        raise CheckFileInvalid(f"{name} is no UTF-8: {problem}") from None
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise CheckFileInvalid(f"{name} is no TOML: {problem}") from None
    except msgspec.ValidationError as problem:
        raise CheckFileInvalid(f"{name}: {_place(str(problem), plain)}") from None
    for said in _wrong(found):
        raise CheckFileInvalid(f"{name}: {said}")
    return msgspec.structs.replace(found, folder=(folder or Path()).resolve())


def _place(problem: str, plain: dict[str, Any]) -> str:
    """What is wrong with the form, with the name of the check that has it."""
    matched = re.search(r" - at `\$\.check\[(\d+)\]", problem)
    checks: Any = plain.get("check")
    if matched is None or not isinstance(checks, list):
        return problem
    listed = cast("list[Any]", checks)
    at = int(matched[1])
    check: Any = listed[at] if at < len(listed) else None
    named: Any = cast("dict[str, Any]", check).get("name") if isinstance(check, dict) else None
    return f"check {at + 1}{f' ({named!r:.80})' if named else ''}: {problem}"


def _wrong(file: CheckFile) -> Iterator[str]:
    """What a form can't say."""
    if not file.check:
        yield "there is no [[check]]"
    yield from _wrong_revisions(file.revisions, "revisions")
    for name, server in file.servers.items():
        if (server.target is UNSET) == (not server.targets):
            yield f"the server {name!r} has to have either target or targets"
        if server.timeout <= 0:
            yield f"the timeout of the server {name!r} is a number of seconds above zero"
    names: set[str] = set()
    kept: set[str] = set()
    for check in file.check:
        for said in _wrong_check(file, check, names, kept):
            yield f"check {check.name!r:.80}: {said}"
        names.add(check.name)
        kept |= check.keep.keys()


def _wrong_check(file: CheckFile, check: SavedCheck, names: set[str], kept: set[str]) -> Iterator[str]:
    if not check.name.strip():
        yield "it has no name"
    if check.name in names:
        yield "another one has this name"
    if not file.server_of(check):
        yield 'it names no server; write server = "..." in it, or at the top for all'
    asked = [each for each in _KINDS if getattr(check.call, each)]
    if len(asked) != 1:
        yield f"call has one of {', '.join(_KINDS)}, not {', '.join(asked) or 'none'}"
    else:
        yield from _wrong_parts(check.call)
    yield from _wrong_revisions(check.revisions, "revisions")
    server = file.servers.get(file.server_of(check))
    known = {""} if server is None or not server.targets else server.targets.keys()
    yield from (f"its server has no target {each!r}" for each in check.transports if each not in known)
    yield from (f"it needs {each!r}, which no earlier check is" for each in check.needs if each not in names)
    used = names_in(msgspec.to_builtins([check.call, check.answers, check.expect]))
    yield from (f"no earlier check keeps ${{{each}}}" for each in used if each not in kept)
    yield from (f"{each!r} is no JSON pointer" for each in check.keep.values() if not _is_pointer(each))
    yield from _wrong_expect(check)


def _wrong_parts(call: CheckCall) -> Iterator[str]:
    """Members that another kind of call has."""
    takes = {"tool": ("arguments", "meta"), "read": ("variables", "meta"), "prompt": ("arguments", "meta")}
    takes |= {"list": (), "request": ("params",)}
    for each in ("arguments", "variables", "params", "meta"):
        if getattr(call, each) and each not in takes[call.kind]:
            yield f"a {call.kind} takes no {each}"


def _wrong_expect(check: SavedCheck) -> Iterator[str]:
    expect = check.expect
    for pointer in (*expect.structured, *expect.result):
        if not _is_pointer(pointer):
            yield f"{pointer!r} is no JSON pointer: it is empty or begins with a slash"
    yield from _wrong_error(expect.error)
    for each in (expect.text, *expect.structured.values(), *expect.result.values()):
        try:
            judged_of(each)
        except MatcherInvalid as problem:
            yield str(problem)
    if expect.listed is not UNSET and check.call.kind != "list":
        yield "listed is for a call that lists"
    if expect.structured and check.call.kind != "tool":
        yield "structured is for a call of a tool; result reaches everything else"
    if isinstance(expect.schema, dict):
        try:
            compile_schema(expect.schema)
        except SchemaError as problem:
            yield f"its schema can't be used: {problem}"
    elif expect.schema == "listed" and check.call.kind != "tool":
        yield 'schema = "listed" is for a call of a tool'


def _wrong_error(wanted: Any) -> Iterator[str]:
    """``error`` is true, a code, or a table of conditions for ``code`` and ``message``."""
    if wanted is UNSET or wanted is True or (isinstance(wanted, int) and not isinstance(wanted, bool)):
        return
    if not isinstance(wanted, dict) or not wanted or not wanted.keys() <= {"code", "message"}:
        yield "error is true, a code, or a table with code and message"
        return
    for each in cast("dict[str, Any]", wanted).values():
        try:
            judged_of(each)
        except MatcherInvalid as problem:
            yield str(problem)


def _wrong_revisions(revisions: list[str], what: str) -> Iterator[str]:
    for each in revisions:
        if each != AUTO and each not in REVISIONS:
            yield f"{what}: there is no {each!r}; there are {', '.join(REVISIONS)}, and {AUTO!r}"


def _is_pointer(text: str) -> bool:
    return not text or text.startswith("/")
