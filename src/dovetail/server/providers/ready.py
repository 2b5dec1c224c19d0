"""Transforms that are ready: names, words, arguments, results, and who sees what.

Specification: none.
"""

import re
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final, Literal

from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from ...logs import get_logger
from ...protocol import codec
from ...protocol.call import Call
from ...protocol.types import (
    CallToolResult,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    Result,
    TextContent,
    Tool,
    ToolAnnotations,
)
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded, Handler
from ...security.principal import Principal
from ..checks import TOOL_NAME, TOOL_NAMES_HAVE
from .calls import has_uris, renamed, typed, with_uris
from .provider import ListKind, Provided
from .transform import Transform
from .versions import version_key

log = get_logger("dovetail.server")

_PREFIX: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")
_AUTHORITY: Final = "://"


def namespace(prefix: str) -> Transform:
    """Put a prefix before all names: the tool ``find`` becomes ``prefix_find``, the resource ``shop://books``
    ``shop://prefix/books``; a URI without ``://`` stays as it is. Results and changes name resources as they are shown.
    Raises ValueError for a prefix that is not made of 1 to 64 letters, digits, ``_``, ``-`` and ``.``, with a letter or
    digit at both ends.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"{prefix!r:.100} can't stand before names: a prefix has 1 to 64 letters, digits, '_', '-' and '.', and"
            " begins and ends with a letter or a digit"
        )
    return _Prefixed(prefix)


class _Prefixed(Transform):
    by_name = True

    def __init__(self, prefix: str) -> None:
        self._names = f"{prefix}_"
        self._uris = f"{prefix}/"

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool]:
        name = found.described.name
        shown = replace(found.described, name=self._names + name)
        return replace(found, described=shown, answer=self._answer(found.answer, name, CallToolResult))

    def prompt(self, found: Provided[Prompt], principal: Principal | None) -> Provided[Prompt]:
        name = found.described.name
        return replace(
            found,
            described=replace(found.described, name=self._names + name),
            answer=self._answer(found.answer, name, Result),
            complete=found.complete and _under(found.complete, name),
        )

    def resource(self, found: Provided[Resource], principal: Principal | None) -> Provided[Resource]:
        shown = replace(found.described, uri=self.shown_uri(found.described.uri))
        return replace(found, described=shown, answer=self._read(found.answer))

    def template(
        self, found: Provided[ResourceTemplate], principal: Principal | None
    ) -> Provided[ResourceTemplate]:
        template = found.described.uri_template
        return replace(
            found,
            described=replace(found.described, uri_template=self.shown_uri(template)),
            answer=self._read(found.answer),
            complete=found.complete and _under(found.complete, template),
        )

    def inner_name(self, kind: ListKind, name: str) -> str | None:
        if kind in ("tools", "prompts"):
            return name[len(self._names) :] if name.startswith(self._names) else None
        scheme, authority, rest = name.partition(_AUTHORITY)
        if not authority:
            return name
        return f"{scheme}{_AUTHORITY}{rest[len(self._uris) :]}" if rest.startswith(self._uris) else None

    def shown_uri(self, uri: str) -> str:
        scheme, authority, rest = uri.partition(_AUTHORITY)
        return f"{scheme}{_AUTHORITY}{self._uris}{rest}" if authority else uri

    def _read(self, inner: Handler) -> Handler:
        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            params: Any = call.params
            uri = self.inner_name("resources", params.uri)
            result = await inner(renamed(call, channel, params.uri if uri is None else uri), channel)
            return with_uris(result, ReadResourceResult, self.shown_uri)

        return answer

    def _answer(self, inner: Handler, name: str, kind: type[Result]) -> Handler:
        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            result = await inner(renamed(call, channel, name), channel)
            return with_uris(result, kind, self.shown_uri) if has_uris(result) else result

        return answer


def _under(inner: Handler, name: str) -> Handler:
    """A handler that is asked for another name than its own."""

    def answer(call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        return inner(renamed(call, channel, name), channel)

    return answer


def rename(
    names: Mapping[str, str], *, kind: Literal["tools", "prompts", "resources"] = "tools"
) -> Transform:
    """Show things of one kind under other names (resources: other URIs): ``{"old": "new"}``. Raises ValueError if two
    would have one name, and for a name that tools can't have: they have 1 to 128 letters, digits, ``_``, ``-`` and
    ``.`` (server/tools, "Tool Names").
    """
    for new in names.values() if kind == "tools" else ():
        if not TOOL_NAME.fullmatch(new):
            raise ValueError(f"no tool can have the name {new[:140]!r}: {TOOL_NAMES_HAVE}")
    if len(set(names.values())) < len(names):
        raise ValueError(f"two {kind} would have one name: {dict(names)!r:.200}")
    return _Rename(dict(names), kind)


class _Rename(Transform):
    by_name = True

    def __init__(self, names: dict[str, str], kind: ListKind) -> None:
        self._new = names
        self._old = {new: old for old, new in names.items()}
        self._kind: ListKind = kind

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool] | None:
        return self._shown(found, "name") if self._kind == "tools" else found

    def prompt(self, found: Provided[Prompt], principal: Principal | None) -> Provided[Prompt] | None:
        return self._shown(found, "name") if self._kind == "prompts" else found

    def resource(self, found: Provided[Resource], principal: Principal | None) -> Provided[Resource] | None:
        if self._kind != "resources" or (shown := self._shown(found, "uri")) is None:
            return found if self._kind != "resources" else None
        return replace(shown, answer=_showing(shown.answer, self.shown_uri))

    def inner_name(self, kind: ListKind, name: str) -> str | None:
        if kind != self._kind:
            return name
        return self._old.get(name, None if name in self._new else name)

    def shown_uri(self, uri: str) -> str:
        return self._new.get(uri, uri) if self._kind == "resources" else uri

    def _shown(self, found: Provided[Any], member: str) -> Provided[Any] | None:
        old = found.name
        new = self._new.get(old)
        if new is None:
            return None if old in self._old else found  # its name is another one's now
        return replace(
            found,
            described=replace(found.described, **{member: new}),
            answer=_under(found.answer, old),
            complete=found.complete and _under(found.complete, old),
        )


def _showing(inner: Handler, show: Callable[[str], str]) -> Handler:
    async def answer(call: Call, channel: Channel) -> Result | Encoded:
        return with_uris(await inner(call, channel), ReadResourceResult, show)

    return answer


Sees = Callable[[Provided[Any], Principal | None], bool]
"""Whether a caller (None: one on this machine, who may see all) is to see a thing."""


def visible(sees: Sees) -> Transform:
    """Show what a predicate on the thing and its caller lets through, and nothing else: it is in no list, and can't be
    used or listened to. A predicate that fails, or gives anything but True, hides.
    """
    return _Chosen(sees, by_caller=True)


def only(*names: str, tags: Collection[str] = (), kind: ListKind | None = None) -> Transform:
    """Show what has one of these names (URIs, URI templates) or one of these tags, and nothing else of that ``kind``
    (default: of all kinds). ``*`` in a name stands for any characters.
    """
    return _Chosen(_chosen(names, tags, kind, others=False))


def hide(*names: str, tags: Collection[str] = (), kind: ListKind | None = None) -> Transform:
    """Show all but what has one of these names (URIs, URI templates) or one of these tags; as `only`."""
    return _Chosen(_chosen(names, tags, kind, others=True))


def versions(*, at_least: str | None = None, below: str | None = None) -> Transform:
    """Show of tools that have versions (`dovetail.server.ToolOptions`) those from ``at_least`` on and ``below`` another
    one; of each the highest is listed, and called. What has no versions is shown all the same.
    """
    least = None if at_least is None else version_key(at_least)[:1]
    limit = None if below is None else version_key(below)[:1]

    def sees(found: Provided[Any], _principal: Principal | None) -> bool:
        if found.version is None:
            return True
        place = version_key(found.version)[:1]
        return (least is None or place >= least) and (limit is None or place < limit)

    return _Chosen(sees)


def _chosen(names: Iterable[str], tags: Collection[str], kind: ListKind | None, *, others: bool) -> Sees:
    if isinstance(tags, str):
        raise ValueError(f"tags is a list of texts: [{tags!r}]")
    patterns = [re.compile(".*".join(map(re.escape, each.split("*"))), re.DOTALL) for each in names]
    chosen = frozenset(tags)
    described = None if kind is None else _DESCRIBED[kind]

    def sees(found: Provided[Any], _principal: Principal | None) -> bool:
        if described is not None and not isinstance(found.described, described):
            return True
        named = any(each.fullmatch(found.name) for each in patterns)
        return (named or not chosen.isdisjoint(found.tags)) is not others

    return sees


_DESCRIBED: Final[dict[ListKind, type]] = {
    "tools": Tool,
    "resources": Resource,
    "templates": ResourceTemplate,
    "prompts": Prompt,
}


class _EachKind(Transform):
    """A transform that does the same with things of all kinds."""

    def each(self, found: Provided[Any], principal: Principal | None) -> Provided[Any] | None:
        raise NotImplementedError  # each transform below says what it does with one thing

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool] | None:
        return self.each(found, principal)

    def resource(self, found: Provided[Resource], principal: Principal | None) -> Provided[Resource] | None:
        return self.each(found, principal)

    def template(
        self, found: Provided[ResourceTemplate], principal: Principal | None
    ) -> Provided[ResourceTemplate] | None:
        return self.each(found, principal)

    def prompt(self, found: Provided[Prompt], principal: Principal | None) -> Provided[Prompt] | None:
        return self.each(found, principal)


class _Chosen(_EachKind):
    def __init__(self, sees: Sees, *, by_caller: bool = False) -> None:
        self._sees = sees
        self.by_caller = by_caller

    def each(self, found: Provided[Any], principal: Principal | None) -> Provided[Any] | None:
        try:
            return found if self._sees(found, principal) is True else None
        except Exception:
            log.exception("a predicate on %r failed; it is not shown", found.name)
            return None


def tag(*tags: str) -> Transform:
    """Give everything these tags, beside those that it has."""
    return _Tagged(frozenset(tags))


class _Tagged(_EachKind):
    by_name = True

    def __init__(self, tags: frozenset[str]) -> None:
        self._tags = tags

    def each(self, found: Provided[Any], principal: Principal | None) -> Provided[Any]:
        return replace(found, tags=found.tags | self._tags)


class Described(Struct, frozen=True, kw_only=True):
    """Other words for a thing; what is None stays as it is. ``annotations`` are a tool's."""

    title: str | None = None
    description: str | None = None
    annotations: ToolAnnotations | None = None


def describe(words: Mapping[str, str | Described]) -> Transform:
    """Describe things by name (URI, URI template) in other words: a text is the description."""
    found = {
        name: Described(description=said) if isinstance(said, str) else said for name, said in words.items()
    }
    return _Words(found)


class _Words(_EachKind):
    by_name = True

    def __init__(self, words: Mapping[str, Described]) -> None:
        self._words = words

    def each(self, found: Provided[Any], principal: Principal | None) -> Provided[Any]:
        words = self._words.get(found.name)
        if words is None:
            return found
        said = {name: said for name in ("title", "description") if (said := getattr(words, name)) is not None}
        if words.annotations is not None and isinstance(found.described, Tool):
            said["annotations"] = words.annotations
        return replace(found, described=replace(found.described, **said))


class Argument(Struct, frozen=True, kw_only=True):
    """What becomes of one argument of a tool.

    ``name``: what it is called from now on. ``description``: other words for it. ``default``: what it is where it is
    not given, so that it need not be. ``value``: what it always is; it is not shown, and can't be given. A function is
    called with the caller's `Principal` for each call, and gives the value.
    """

    name: str | None = None
    description: str | None = None
    default: Any = UNSET
    value: Any = UNSET


def arguments(tool: str, **changes: Argument) -> Transform:
    """Change arguments of a tool, by their names: other names, other words, defaults, values that are fixed. Names that
    the tool does not have are left alone.
    """
    return _Arguments(tool, changes)


class _Arguments(Transform):
    def __init__(self, tool: str, changes: Mapping[str, Argument]) -> None:
        self._tool = tool
        self._changes = changes
        self._inner = {each.name or old: old for old, each in changes.items() if each.value is UNSET}
        self._fixed = {old: each.value for old, each in changes.items() if each.value is not UNSET}
        self._gone = {old for old, each in changes.items() if each.value is not UNSET or each.name} - set(
            self._inner
        )

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool]:
        if found.described.name != self._tool:
            return found
        has = found.described.input_schema.get("properties")
        if (
            has and not self._changes.keys() <= has.keys()
        ):  # another transform, or another version, took some away
            left = {old: each for old, each in self._changes.items() if old in has}
            return _Arguments(self._tool, left).tool(found, principal)
        shown = replace(found.described, input_schema=self._schema(found.described.input_schema))
        return replace(found, described=shown, answer=self._answer(found.answer))

    def _schema(self, schema: Any) -> Any:
        properties: dict[str, Any] = schema.get("properties", {})
        required: list[str] = schema.get("required", [])
        shown: dict[str, Any] = {}
        needed: list[str] = []
        for old, said_of in properties.items():
            change = self._changes.get(old)
            if change is None:
                shown[old] = said_of
            elif change.value is UNSET:
                said = {} if change.description is None else {"description": change.description}
                if change.default is not UNSET and not callable(change.default):
                    said["default"] = change.default
                shown[change.name or old] = {**said_of, **said} if isinstance(said_of, dict) else said_of
            if old in required and (change is None or (change.value is UNSET and change.default is UNSET)):
                needed.append((change.name if change else None) or old)
        rest = {key: value for key, value in schema.items() if key not in ("properties", "required")}
        return {**rest, "properties": shown, **({"required": needed} if needed else {})}

    def _answer(self, inner: Handler) -> Handler:
        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            params: Any = call.params
            given: object = codec.decode(params.arguments) if params.arguments else {}
            if not isinstance(given, dict):
                return await inner(call, channel)  # whose error it is
            try:
                meant = codec.encode(self._meant(codec.tree(given), channel.principal))
            except _NoSuchArgument as problem:
                return CallToolResult(content=[TextContent(text=str(problem))], is_error=True)
            return await inner(replace(call, params=replace(params, arguments=Raw(meant))), channel)

        return answer

    def _meant(self, given: dict[str, Any], principal: Principal) -> dict[str, Any]:
        """The arguments as the tool is given them. Raises `_NoSuchArgument`."""
        for name in given:
            if name in self._gone:
                raise _NoSuchArgument(f"there is no argument {name[:128]!r}")
        meant = {self._inner.get(name, name): value for name, value in given.items()}
        for old, each in self._changes.items():
            if each.default is not UNSET and old not in meant:
                meant[old] = _made(each.default, principal)
        return {**meant, **{old: _made(value, principal) for old, value in self._fixed.items()}}


class _NoSuchArgument(Exception):
    """A caller gave an argument that is not shown."""


def _made(value: Any, principal: Principal) -> Any:
    return value(principal) if callable(value) else value


def map_results(
    change: Callable[[CallToolResult], CallToolResult | Awaitable[CallToolResult]], *names: str
) -> Transform:
    """Change what tools give, those of these names or (default) all. What asks for input passes as it is."""
    return _Results(change, frozenset(names))


class _Results(Transform):
    def __init__(
        self,
        change: Callable[[CallToolResult], CallToolResult | Awaitable[CallToolResult]],
        names: frozenset[str],
    ) -> None:
        self._change = change
        self._names = names

    def tool(self, found: Provided[Tool], principal: Principal | None) -> Provided[Tool]:
        if self._names and found.described.name not in self._names:
            return found
        inner = found.answer

        async def answer(call: Call, channel: Channel) -> Result | Encoded:
            result = typed(await inner(call, channel), CallToolResult)
            if not isinstance(result, CallToolResult):
                return result
            changed = self._change(result)
            return changed if isinstance(changed, CallToolResult) else await changed

        return replace(found, answer=answer)


__all__ = [
    "Argument",
    "Described",
    "Sees",
    "arguments",
    "describe",
    "hide",
    "map_results",
    "namespace",
    "only",
    "rename",
    "tag",
    "versions",
    "visible",
]
