"""What a server shows, from a live client or from what a capture has of it, and what changed between two of these.

Theory of operation. `dovetail.surface` judges; here the surface of a capture is put together from the lists in it: the
newest listing of each kind, its pages from the one that was asked for without a cursor on.

Specification: server/tools, server/resources, server/prompts; server/utilities/pagination.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from msgspec import UNSET, Struct

from dovetail.recording import CaptureLine
from dovetail.surface import Surface, SurfaceUnreadable, compare
from dovetail.types import encode

from ..messages import SaidMessage, key_of, messages_of, plain, short

__all__ = ["SurfaceDifference", "compare_surfaces", "surface_of_capture"]

_LISTS: Final = {
    "tools/list": "tools",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
    "prompts/list": "prompts",
}
_OPENING: Final = frozenset({"initialize", "server/discover"})
_KINDS: Final = {
    "tool": ("tools", "name"),
    "resource": ("resources", "uri"),
    "template": ("resourceTemplates", "uriTemplate"),
    "prompt": ("prompts", "name"),
}
_SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"
_MOST_OPEN: Final = 10_000
_MOST_ENTRIES: Final = 10_000


class SurfaceDifference(Struct, frozen=True, kw_only=True):
    """A change of what a server shows. ``severity``, ``kind``, ``name``, ``where``, ``what`` and ``why``: as of
    `dovetail.surface.SurfaceChange`. ``before`` and ``after``: what stands at ``where``, None for nothing.
    """

    severity: str
    kind: str
    name: str
    where: str
    what: str
    why: str = ""
    before: Any = None
    after: Any = None


def compare_surfaces(a: Surface, b: Surface) -> list[SurfaceDifference]:
    """What changed from one to the other, the worst first."""
    old, new = a.to_json(), b.to_json()
    return [
        SurfaceDifference(
            severity=each.severity,
            kind=each.kind,
            name=each.name,
            where=each.where,
            what=each.what,
            why=each.why,
            before=_at(old, each.kind, each.name, each.where),
            after=_at(new, each.kind, each.name, each.where),
        )
        for each in compare(a, b)
    ]


def surface_of_capture(lines: Iterable[CaptureLine], link: int | None = None) -> Surface:
    """What a server showed in a capture. ``link``: of this connection alone; by default of all. Raises
    `SurfaceUnreadable` where something that it listed is not as the protocol has it.
    """
    found: dict[str, Any] = {
        "format": "dovetail surface 1",
        "server": {},
        "revisions": [],
        "capabilities": {},
        "instructions": None,
    }
    lists: dict[str, list[Any]] = {name: [] for name in _LISTS.values()}
    asked: dict[tuple[int, Any], tuple[str, bool]] = {}
    for line in lines:
        if link is not None and line.link != link:
            continue
        for message in messages_of(line):
            key = (line.link, key_of(message.id))
            if line.sender == "client" and message.is_request:
                if message.method in _LISTS or message.method in _OPENING:
                    if len(asked) >= _MOST_OPEN:
                        asked.pop(next(iter(asked)))
                    asked[key] = message.method, "cursor" in _members(plain(message.params))
            elif line.sender == "server" and message.result is not UNSET and key in asked:
                method, goes_on = asked.pop(key)
                _take(found, lists, method, message, goes_on=goes_on, revision=line.revision)
    surface = Surface.from_text(encode({**found, **lists}), source="what the capture lists")
    return Surface.from_text(surface.to_text())  # sorted, as one that is taken is


def _take(
    found: dict[str, Any],
    lists: dict[str, list[Any]],
    method: str,
    message: SaidMessage,
    *,
    goes_on: bool,
    revision: str,
) -> None:
    """Note what a result says."""
    result = _members(plain(message.result))
    if method in _LISTS:
        name = _LISTS[method]
        items: Any = result.get(name)
        before = lists[name] if goes_on else []
        lists[name] = [*before, *(cast("list[Any]", items) if isinstance(items, list) else [])]
        if len(lists[name]) > _MOST_ENTRIES:
            raise SurfaceUnreadable(f"the capture lists more than {_MOST_ENTRIES} entries by {method}")
        return
    info = _members(result.get("serverInfo")) or _members(_members(result.get("_meta")).get(_SERVER_INFO))
    said: Any = result.get("supportedVersions") or [result.get("protocolVersion") or revision]
    known = cast("list[Any]", said) if isinstance(said, list) else []
    found["server"] = info or found["server"]
    found["revisions"] = sorted({*found["revisions"], *(short(each) for each in known[:100])} - {""})
    found["capabilities"] = _members(result.get("capabilities")) or found["capabilities"]
    if isinstance(result.get("instructions"), str):
        found["instructions"] = result["instructions"]


def _members(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _at(surface: dict[str, Any], kind: str, name: str, where: str) -> Any:
    """What stands at a place, of the entry of this name: its place may be another in each surface."""
    parts = [each.replace("~1", "/").replace("~0", "~") for each in where.split("/")[1:]]
    found: Any = surface
    if kind in _KINDS and len(parts) > 1:
        member, named = _KINDS[kind]
        found = next((each for each in surface[member] if each.get(named) == name), None)
        parts = parts[2:]
    for part in parts:
        if isinstance(found, dict):
            found = cast("dict[str, Any]", found).get(part)
        elif isinstance(found, list):
            items = cast("list[Any]", found)
            found = items[int(part)] if part.isdecimal() and int(part) < len(items) else None
        else:
            return None
    return found
