"""What is different between two surfaces of a server, and what it does to those who call it.

Theory of operation. Entries are matched by name (resources and templates by URI). What a caller relies on is compared
by what it means to callers; whatever else differs is told as cosmetic, so that no difference is left out: two surfaces
without a change between them are the same but for their order.

Specification: server/tools, server/resources, server/prompts; basic/versioning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, cast

from .changes import SEVERITIES, Severity, SurfaceChange
from .misfits import shown
from .schema_changes import Direction, schema_changes
from .snapshot import Surface

__all__ = ["compare"]

_Kind = Literal["server", "tool", "resource", "template", "prompt"]
_VARIABLE: Final = re.compile(r"\{[+#./;?&]?([^{}]*)\}")
_READ: Final = "models read it, and may act otherwise"


def compare(old: Surface, new: Surface) -> list[SurfaceChange]:
    """What changed from one surface to another, the worst first.

    Arguments are judged from callers to the server, results from the server to callers: a change is "compatible" only
    if that could be proven (see `SurfaceChange`).
    """
    found = [
        *_server(old, new),
        *_listed(old, new, "tools", "tool", "name", _tool),
        *_listed(old, new, "resources", "resource", "uri", _resource),
        *_listed(old, new, "resourceTemplates", "template", "uriTemplate", _resource),
        *_listed(old, new, "prompts", "prompt", "name", _prompt),
    ]
    return sorted(found, key=lambda each: SEVERITIES.index(each.severity))


class _Entry(NamedTuple):
    """An entry of one name in both surfaces, and where it stands in the new one."""

    kind: _Kind
    name: str
    where: str
    old: dict[str, Any]
    new: dict[str, Any]

    def changed(self, severity: Severity, member: str, what: str, why: str = "") -> SurfaceChange:
        """A change of one of its members."""
        where = f"{self.where}/{member}" if member else self.where
        return SurfaceChange(
            severity=severity, kind=self.kind, name=self.name, where=where, what=what, why=why
        )

    def differs(self, member: str) -> bool:
        """Whether a member is another."""
        return self.old.get(member) != self.new.get(member)


def _server(old: Surface, new: Surface) -> Iterator[SurfaceChange]:
    entry = _Entry("server", "", "/server", old.server, new.server)
    for member in sorted(old.server.keys() | new.server.keys()):
        if entry.differs(member):
            was, now = old.server.get(member), new.server.get(member)
            if member == "name":
                why = "hosts keep what was agreed to by it"
                yield entry.changed(
                    "warning", member, f"the server is called {shown(now)}; it was {shown(was)}", why
                )
            elif member == "description":
                yield entry.changed("warning", member, "the description of the server is another", _READ)
            else:
                yield entry.changed("cosmetic", member, f"the server's {member} {_became(was, now)}")
    top = _Entry("server", "", "", {"instructions": old.instructions}, {"instructions": new.instructions})
    if top.differs("instructions"):
        yield top.changed("warning", "instructions", "the instructions are others", _READ)
    for revision in old.revisions:
        if revision not in new.revisions:
            why = "clients that speak no other one cannot connect"
            yield top.changed("breaking", "revisions", f"revision {revision} is no longer spoken", why)
    for revision in new.revisions:
        if revision not in old.revisions:
            yield top.changed("compatible", "revisions", f"revision {revision} is spoken, too")
    yield from _capabilities(top, old.capabilities, new.capabilities, ())


def _capabilities(
    top: _Entry, old: Mapping[str, Any], new: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[SurfaceChange]:
    """Capabilities that came and went. One that is false is as good as none."""
    for name in sorted(old.keys() | new.keys()):
        was, now = old.get(name), new.get(name)
        inner = (*path, name)
        where, told = "/".join(("capabilities", *map(_escaped, inner))), ".".join(inner)
        if was == now:
            continue
        if now is None or now is False:
            if was not in (None, False):
                why = "clients that use it are refused, or wait for nothing"
                yield top.changed("breaking", where, f"the capability {told} is gone", why)
        elif was is None or was is False:
            yield top.changed("compatible", where, f"the capability {told} is new")
        elif isinstance(was, dict) and isinstance(now, dict):
            yield from _capabilities(top, cast("dict[str, Any]", was), cast("dict[str, Any]", now), inner)
        else:
            why = "what it means is said by its own specification"
            yield top.changed("possible", where, f"the capability {told} {_became(was, now)}", why)


def _listed(
    old: Surface,
    new: Surface,
    member: str,
    kind: _Kind,
    key: str,
    inside: Callable[[_Entry], Iterator[SurfaceChange]],
) -> Iterator[SurfaceChange]:
    before = _by(old.to_json()[member], key)
    after = _by(new.to_json()[member], key)
    index = {name: number for number, name in enumerate(each[key] for each in new.to_json()[member])}
    for name in sorted(before.keys() - after.keys()):
        where = f"/{member}/{[each[key] for each in old.to_json()[member]].index(name)}"
        entry = _Entry(kind, name, where, before[name], {})
        yield entry.changed(
            "breaking", "", f"the {kind} is gone{_successor(entry, before, after)}", _GONE[kind]
        )
    for name in sorted(after.keys() - before.keys()):
        yield _Entry(kind, name, f"/{member}/{index[name]}", {}, after[name]).changed(
            "compatible", "", f"the {kind} is new"
        )
    for name in sorted(before.keys() & after.keys()):
        entry = _Entry(kind, name, f"/{member}/{index[name]}", before[name], after[name])
        yield from inside(entry)
        yield from _rest(entry, _KNOWN[kind])


_GONE: Final[Mapping[str, str]] = {
    "tool": "who calls it is told that there is none",
    "resource": "who reads it is told that there is none",
    "template": "URIs that were made of it lead nowhere",
    "prompt": "who asks for it is told that there is none",
}
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "tool": frozenset({"description", "inputSchema", "outputSchema", "annotations", "execution"}),
    "resource": frozenset({"description", "mimeType"}),
    "template": frozenset({"description", "mimeType"}),
    "prompt": frozenset({"description", "arguments"}),
}


def _by(entries: Iterable[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    """Entries by name; of two with one name the first, which is what most clients take."""
    found: dict[str, dict[str, Any]] = {}
    for each in entries:
        found.setdefault(str(each[key]), each)
    return found


def _successor(entry: _Entry, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """A hint where something new looks the same."""
    if entry.kind == "template":
        for name, each in after.items():
            if name not in before and each.get("name") == entry.old.get("name"):
                lost = sorted(_variables(entry.name) - _variables(name))
                came = sorted(_variables(name) - _variables(entry.name))
                changes = [f"without {', '.join(lost)}"] if lost else []
                changes += [f"with {', '.join(came)}"] if came else []
                return f"; {name} has its name{', ' if changes else ''}{' and '.join(changes)}"
        return ""
    own = {name: each for name, each in entry.old.items() if name not in ("name", "title", "uri")}
    for name, each in after.items():
        other = {member: value for member, value in each.items() if member not in ("name", "title", "uri")}
        if name not in before and own and own == other:
            return f"; {name} is the same under another name"
    return ""


def _variables(template: str) -> set[str]:
    """The names of a template's variables."""
    listed = (each for inside in _VARIABLE.findall(template) for each in inside.split(","))
    return {each.partition(":")[0].rstrip("*").strip() for each in listed}


def _tool(entry: _Entry) -> Iterator[SurfaceChange]:
    yield from _description(entry)
    yield from _annotations(entry)
    yield from _execution(entry)
    yield from _schemas(
        entry, "inputSchema", "input", entry.old.get("inputSchema"), entry.new.get("inputSchema")
    )
    was, now = entry.old.get("outputSchema"), entry.new.get("outputSchema")
    if was is not None and now is None:
        why = "who reads the structured result may find none"
        yield entry.changed("breaking", "outputSchema", "results have no schema any more", why)
    elif was is None and now is not None:
        yield entry.changed("compatible", "outputSchema", "results have a schema now")
    else:
        yield from _schemas(entry, "outputSchema", "output", was, now)


def _schemas(entry: _Entry, member: str, direction: Direction, was: Any, now: Any) -> Iterator[SurfaceChange]:
    if was == now or not isinstance(was, dict) or not isinstance(now, dict):
        return
    word = "argument" if direction == "input" else "result"
    for each in schema_changes(cast("dict[str, Any]", was), cast("dict[str, Any]", now), direction):
        path = "".join(each if each.startswith("[") else f".{each}" for each in each.path).lstrip(".")
        subject = f"{word} {path}: " if path else ("" if direction == "input" else "result: ")
        yield SurfaceChange(
            severity=each.severity,
            kind=entry.kind,
            name=entry.name,
            where=f"{entry.where}/{member}/{each.place}".rstrip("/"),
            what=f"{subject}{each.what}",
            why=each.why,
            example=each.example,
        )


#: Each hint with its default, the value that promises more, and what a host does by it.
_PROMISES: Final = (
    ("readOnlyHint", False, True, "hosts let tools that only read run unasked"),
    ("destructiveHint", True, False, "hosts ask before what may destroy something"),
    ("idempotentHint", False, True, "who repeats a call after a lost answer does the work twice"),
    ("openWorldHint", True, False, "hosts treat what comes from outside with suspicion"),
)


def _annotations(entry: _Entry) -> Iterator[SurfaceChange]:
    """Hints by which hosts trust a tool. A promise that is taken back breaks that trust."""
    was: dict[str, Any] = entry.old.get("annotations") or {}
    now: dict[str, Any] = entry.new.get("annotations") or {}
    for hint, default, promise, why in _PROMISES:
        before, after = was.get(hint, default), now.get(hint, default)
        told = f"{hint} is {shown(after)} now; it was {shown(before)}"
        if before == promise and after != promise:
            broken = f"it breaks trust: {why}"
            yield entry.changed("breaking", f"annotations/{hint}", told, broken)
        elif before != after:
            yield entry.changed("compatible", f"annotations/{hint}", told)
        elif was.get(hint) != now.get(hint):
            yield entry.changed(
                "cosmetic", f"annotations/{hint}", f"{hint} is said otherwise and means the same"
            )
    known = {each[0] for each in _PROMISES}
    for name in sorted((was.keys() | now.keys()) - known):
        if was.get(name) != now.get(name):
            told = f"the annotation {name} {_became(was.get(name), now.get(name))}"
            yield entry.changed("cosmetic", f"annotations/{_escaped(name)}", told)


def _execution(entry: _Entry) -> Iterator[SurfaceChange]:
    """Whether calls may, or have to, become tasks."""
    was: dict[str, Any] = entry.old.get("execution") or {}
    now: dict[str, Any] = entry.new.get("execution") or {}
    before, after = was.get("taskSupport") or "forbidden", now.get("taskSupport") or "forbidden"
    if before != after:
        told, place = f"tasks are {after} now; they were {before}", "execution/taskSupport"
        if after == "required":
            yield entry.changed("breaking", place, told, "plain calls are refused")
        elif after == "forbidden":
            yield entry.changed("breaking", place, told, "calls as tasks are refused")
        elif before == "required":
            yield entry.changed("compatible", place, told)
        else:
            yield entry.changed("compatible", place, told)
    elif was != now:
        yield entry.changed("cosmetic", "execution", f"execution {_became(was, now)}")


def _resource(entry: _Entry) -> Iterator[SurfaceChange]:
    yield from _description(entry)
    if entry.differs("mimeType"):
        was, now = entry.old.get("mimeType"), entry.new.get("mimeType")
        if was is None:
            yield entry.changed("compatible", "mimeType", f"its type is told now: {shown(now)}")
        else:
            why = "who reads it by its type takes it for something else"
            yield entry.changed("breaking", "mimeType", f"its type {_became(was, now)}", why)


def _prompt(entry: _Entry) -> Iterator[SurfaceChange]:
    yield from _description(entry)
    before = _by(entry.old.get("arguments") or [], "name")
    after = _by(entry.new.get("arguments") or [], "name")
    names = list(after)
    for name in sorted(before.keys() | after.keys()):
        was, now = before.get(name), after.get(name)
        place = f"arguments/{names.index(name)}" if name in after else "arguments"
        told = f"argument {name}:"
        if now is None:
            yield entry.changed(
                "breaking", place, f"{told} it is gone", "what is given for it is refused, or lost"
            )
        elif was is None:
            needed = bool(now.get("required"))
            why = "who does not give it is refused" if needed else ""
            what = f"{told} it is new, and {'required' if needed else 'may be left out'}"
            yield entry.changed("breaking" if needed else "compatible", place, what, why)
        else:
            yield from _argument(entry, place, told, was, now)
    if list(before) != names and before.keys() == after.keys():
        yield entry.changed("cosmetic", "arguments", "the arguments stand in another order")


def _argument(
    entry: _Entry, place: str, told: str, was: dict[str, Any], now: dict[str, Any]
) -> Iterator[SurfaceChange]:
    for member in sorted(was.keys() | now.keys()):
        before, after = was.get(member), now.get(member)
        if before == after:
            continue
        where = f"{place}/{_escaped(member)}"
        if member == "required" and bool(before) != bool(after):
            if after:
                yield entry.changed(
                    "breaking", where, f"{told} it is required now", "who does not give it is refused"
                )
            else:
                yield entry.changed("compatible", where, f"{told} it may be left out now")
        elif member == "description":
            yield entry.changed("warning", where, f"{told} the description {_became(before, after)}", _READ)
        else:
            yield entry.changed("cosmetic", where, f"{told} {member} {_became(before, after)}")


def _description(entry: _Entry) -> Iterator[SurfaceChange]:
    if entry.differs("description"):
        told = _became(entry.old.get("description"), entry.new.get("description"))
        yield entry.changed("warning", "description", f"the description {told}", _READ)


def _rest(entry: _Entry, told: frozenset[str]) -> Iterator[SurfaceChange]:
    """Whatever else is different."""
    for member in sorted((entry.old.keys() | entry.new.keys()) - told):
        if entry.differs(member):
            what = f"{member} {_became(entry.old.get(member), entry.new.get(member))}"
            yield entry.changed("cosmetic", _escaped(member), what)


def _became(was: Any, now: Any) -> str:
    if was is None:
        return f"is new: {shown(now)}"
    if now is None:
        return f"is gone; it was {shown(was)}"
    return f"is {shown(now)} now; it was {shown(was)}"


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
