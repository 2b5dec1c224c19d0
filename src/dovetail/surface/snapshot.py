"""`Surface`: what a server shows to its clients, as a value and as a file that is read in reviews.

Theory of operation. Everything is sorted: entries by their names, members by theirs, and what is a set in a schema
(``required``, several types) as well, so that a server that lists in another order has the same file. What fits on a
line stands on one; so a change of one argument changes a line or two. Members that this version does not know are kept.

Specification: server/tools, server/resources, server/prompts (their data types); basic/lifecycle, server/discover.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from msgspec import Struct

from ..errors import DovetailError
from ..types import DECODE_ERRORS, Prompt, Resource, ResourceTemplate, Tool, decode, encode, reader

__all__ = ["FORMAT", "MAX_SURFACE", "Surface", "SurfaceUnreadable"]

FORMAT: Final = "dovetail surface 1"
MAX_SURFACE: Final = 64 * 1024 * 1024
"""Bytes that a file with a surface may have."""
_WIDTH: Final = 110
_LEVELS: Final = 3
_DATA: Final = frozenset({"const", "default", "enum", "example", "examples"})
_NAMED: Final = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
_SETS: Final = frozenset({"required", "type"})

T = TypeVar("T", bound=Struct)


class SurfaceUnreadable(DovetailError):
    """A file that holds no surface. The message says which, and why."""


class Surface(Struct, frozen=True, kw_only=True):
    """What a server shows to its clients: what it says of itself, and what it lists, sorted by name.

    ``server``: its name, version and whatever else it says of itself. ``revisions``: those of the specification that it
    is known to speak, oldest first. ``capabilities``: as it declares them, without what only this connection has.
    """

    server: dict[str, Any]
    revisions: tuple[str, ...] = ()
    capabilities: dict[str, Any] = {}
    instructions: str | None = None
    tools: tuple[Tool, ...] = ()
    resources: tuple[Resource, ...] = ()
    resource_templates: tuple[ResourceTemplate, ...] = ()
    prompts: tuple[Prompt, ...] = ()

    @property
    def name(self) -> str:
        """What the server calls itself; "" if it does not say."""
        return str(self.server.get("name") or "")

    def to_json(self) -> dict[str, Any]:
        """As plain values, sorted, in the form of the file."""
        return {
            "format": FORMAT,
            "server": _sorted(self.server),
            "revisions": list(self.revisions),
            "capabilities": _sorted(self.capabilities),
            "instructions": self.instructions,
            "tools": [_tool(each) for each in sorted(self.tools, key=lambda each: each.name)],
            "resources": _entries(sorted(self.resources, key=lambda each: each.uri)),
            "resourceTemplates": _entries(
                sorted(self.resource_templates, key=lambda each: each.uri_template)
            ),
            "prompts": _entries(sorted(self.prompts, key=lambda each: each.name)),
        }

    def to_text(self) -> str:
        """As the text of a file: JSON, the same for the same surface."""
        return f"{_written(self.to_json(), '')}\n"

    @classmethod
    def from_text(cls, text: str | bytes, *, source: str = "the text") -> Surface:
        """The surface in a text. ``source``: what it is called in errors. Raises `SurfaceUnreadable`."""
        data = text.encode() if isinstance(text, str) else text
        if len(data) > MAX_SURFACE:
            raise SurfaceUnreadable(f"{source} is larger than {MAX_SURFACE // 1024**2} MiB; it is no surface")
        try:
            found: Any = decode(data)
        except DECODE_ERRORS as problem:
            raise SurfaceUnreadable(f"{source} is no JSON: {problem}") from None
        members = cast("dict[str, Any]", found if isinstance(found, dict) else {})
        if not str(members.get("format", "")).startswith("dovetail surface"):
            raise SurfaceUnreadable(f'{source} holds no surface; write one with "dovetail snapshot TARGET"')
        if members["format"] != FORMAT:
            raise SurfaceUnreadable(
                f"{source} is of another version ({str(members['format'])[:60]}); write it anew with dovetail snapshot"
            )
        instructions = members.get("instructions")
        return cls(
            server=_object(members, "server", source),
            revisions=tuple(str(each) for each in _list(members, "revisions", source)),
            capabilities=_object(members, "capabilities", source),
            instructions=instructions if isinstance(instructions, str) else None,
            tools=_read(members, "tools", Tool, source),
            resources=_read(members, "resources", Resource, source),
            resource_templates=_read(members, "resourceTemplates", ResourceTemplate, source),
            prompts=_read(members, "prompts", Prompt, source),
        )

    @classmethod
    def load(cls, path: str | Path) -> Surface:
        """The surface in a file. Raises `SurfaceUnreadable`, also where the file can't be read."""
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_SURFACE + 1)
        except OSError as problem:
            raise SurfaceUnreadable(f"the file {str(path)!r} can't be read: {problem.strerror}") from None
        return cls.from_text(data, source=f"the file {str(path)!r}")

    def save(self, path: str | Path) -> None:
        """Write it to a file. Raises `OSError` where that is not possible."""
        Path(path).write_text(self.to_text(), "utf-8", newline="\n")


def _tool(tool: Tool) -> dict[str, Any]:
    members = tool.to_wire()
    for name in ("inputSchema", "outputSchema"):
        if name in members:
            members[name] = _stable(members[name])
    return _sorted(members)


def _entries(entries: Iterable[Any]) -> list[dict[str, Any]]:
    return [_sorted(each.to_wire()) for each in entries]


def _sorted(value: Any) -> Any:
    """A value whose objects have their members sorted."""
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        return {name: _sorted(members[name]) for name in sorted(members)}
    if isinstance(value, list):
        return [_sorted(each) for each in cast("list[Any]", value)]
    return value


def _stable(schema: Any) -> Any:
    """A schema whose sets are sorted; what is data in it stays as it is."""
    if isinstance(schema, list):
        return [_stable(each) for each in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for keyword, value in cast("dict[str, Any]", schema).items():
        if keyword in _DATA:
            found[keyword] = value
        elif keyword in _NAMED and isinstance(value, dict):
            found[keyword] = {name: _stable(each) for name, each in cast("dict[str, Any]", value).items()}
        elif keyword in _SETS and isinstance(value, list):
            found[keyword] = sorted(cast("list[Any]", value), key=str)
        else:
            found[keyword] = _stable(value)
    return found


def _written(value: Any, indent: str, depth: int = 0) -> str:
    """JSON on one line where it fits and is no entry of a list of the file, else one member a line."""
    line = json.dumps(value, ensure_ascii=False)
    if not isinstance(value, dict | list) or not value:
        return line
    count = len(cast("dict[str, Any] | list[Any]", value))
    entry = depth < 1 or (depth == 1 and isinstance(value, list)) or (depth == 2 and count > 3)
    if not entry and len(line) + len(indent) <= _WIDTH and _levels(value) <= _LEVELS:
        return line
    inner = f"{indent}  "
    if isinstance(value, list):
        if depth == 1 and not any(isinstance(each, dict) for each in cast("list[Any]", value)):
            return line
        lines = [f"{inner}{_written(each, inner, depth + 1)}" for each in cast("list[Any]", value)]
        return "[\n" + ",\n".join(lines) + f"\n{indent}]"
    lines = [
        f"{inner}{json.dumps(name, ensure_ascii=False)}: {_written(each, inner, depth + 1)}"
        for name, each in cast("dict[str, Any]", value).items()
    ]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"


def _levels(value: Any) -> int:
    """How deep a value goes. Members of a schema that has several have a line each."""
    if isinstance(value, list):
        return 1 + max(map(_levels, cast("list[Any]", value)), default=0)
    if not isinstance(value, dict):
        return 0
    members = cast("dict[str, Any]", value)
    several = any(isinstance(members.get(each), dict) and len(members[each]) > 1 for each in _NAMED)
    return _LEVELS + 1 if several else 1 + max(map(_levels, members.values()), default=0)


def _object(members: dict[str, Any], name: str, source: str) -> dict[str, Any]:
    found = members.get(name, {})
    if not isinstance(found, dict):
        raise SurfaceUnreadable(f"{source}: {name!r} is no object")
    return cast("dict[str, Any]", found)


def _list(members: dict[str, Any], name: str, source: str) -> list[Any]:
    found = members.get(name, [])
    if not isinstance(found, list):
        raise SurfaceUnreadable(f"{source}: {name!r} is no list")
    return cast("list[Any]", found)


def _read(members: dict[str, Any], name: str, kind: type[T], source: str) -> tuple[T, ...]:
    found: list[T] = []
    for index, each in enumerate(_list(members, name, source)):
        try:
            found.append(reader(kind).keep(encode(each)))
        except DECODE_ERRORS as problem:
            raise SurfaceUnreadable(f"{source}: {name}[{index}] can't be read: {problem}") from None
    return tuple(found)
