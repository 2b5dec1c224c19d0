"""What the client knows of a server's tools from the last listing: schemas to check, arguments to mirror in headers.

Over HTTP in the stateless era a tool whose header annotations are invalid is dropped from listings: calling it could
not work. A schema that can't be compiled checks nothing. The client's warnings tell of both.

Names and URIs are kept as far as they decide how something is sent: a URI that the server listed goes back byte for
byte, however odd, and what was listed as a prompt is one, whatever its name looks like.
Specification: server/tools "Output Schema", basic/transports/streamable-http "Schema Extension".
"""

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import UNSET

from ..protocol import names
from ..protocol.bounded import Bounded
from ..protocol.errors import LocalProtocolError
from ..protocol.header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from ..protocol.json_size import json_size
from ..protocol.schema.validator import SchemaError, Validator, compile_schema, explain
from ..protocol.types import Prompt, PromptReference, Resource, ResourceReference, ResourceTemplate, Tool
from ..protocol.uris import legal_uri
from .results import OutputInvalid, ToolResult
from .server_warnings import ServerWarning

LIMIT: Final = 10_000
"""Tools that are remembered; and as many names of other things, of each kind."""
MAX_BYTES: Final = 32 * 1024 * 1024
"""Bytes that the descriptions of these tools have together, as JSON; a compiled schema counts for a multiple."""
MAX_NAMES: Final = 4 * 1024 * 1024
"""Bytes of names of one kind."""
_COMPILED: Final = 16
"""By how much a compiled schema is larger than the schema, about."""
_WORK: Final = "work"


class _ListedTool:
    __slots__ = ("aged", "broken", "headers", "size", "tool", "validator")

    def __init__(self, tool: Tool, headers: tuple[HeaderParameter, ...], size: int) -> None:
        self.tool = tool
        self.headers = headers
        self.size = size
        self.validator: Validator | None = None
        self.broken = ""
        self.aged = False


class Catalogue:
    """The tools listed last, by name, and what else of the listings decides how something is sent.

    ``warn`` is told of tools that can't be used as listed.
    """

    def __init__(self, warn: Callable[[ServerWarning], None]) -> None:
        self._warn = warn
        self._entries: Bounded[str, _ListedTool] = Bounded(LIMIT, MAX_BYTES)
        self._prompts: Bounded[str, bool] = Bounded(LIMIT, MAX_NAMES)
        self._resources: Bounded[str, bool] = Bounded(LIMIT, MAX_NAMES)
        self._odd: Bounded[str, bool] = Bounded(LIMIT, MAX_NAMES)

    def take(self, tools: Iterable[Tool], *, mirrored: bool) -> list[Tool]:
        """Note tools as listed, and give those that can be used. ``mirrored``: arguments are repeated in headers."""
        usable: list[Tool] = []
        for tool in tools:
            headers: tuple[HeaderParameter, ...] = ()
            if mirrored:
                try:
                    headers = header_parameters(tool.input_schema)
                except InvalidHeaderAnnotation as problem:
                    self._warn(
                        ServerWarning(
                            kind="headers",
                            message=f"the tool {tool.name[:128]!r} was left out of the list: {problem}",
                            method=names.TOOLS_LIST,
                            subject=tool.name[:256],
                        )
                    )
                    self._entries.pop(tool.name)
                    continue
            usable.append(tool)
            known = self._entries.get(tool.name)
            if known is None or known.tool != tool:
                size = len(tool.name) + json_size(tool, MAX_BYTES)
                self._entries.put(tool.name, _ListedTool(tool, headers, size), size)
            else:
                known.aged = False
        return usable

    def note_prompts(self, prompts: Iterable[Prompt]) -> None:
        """Note prompts as listed."""
        for prompt in prompts:
            _note(self._prompts, prompt.name)

    def note_resources(self, listed: Iterable[Resource | ResourceTemplate]) -> None:
        """Note resources and templates as listed."""
        for each in listed:
            uri = each.uri if isinstance(each, Resource) else each.uri_template
            if not _looks_like_uri(uri):
                _note(self._resources, uri)
            if isinstance(each, Resource) and not _is_legal(uri):
                _note(self._odd, uri)

    def uri(self, given: str | Resource) -> str:
        """The URI to send: of a resource that the server told of, or listed, as it wrote it.

        Raises `LocalProtocolError` for another that is none.
        """
        if isinstance(given, Resource):
            if not _is_legal(given.uri):
                _note(self._odd, given.uri)  # as it is a name from here on
            return given.uri
        if not isinstance(given, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers need no type checker
            raise LocalProtocolError(f"a URI is text, or a Resource from a list, not {given!r}")
        return given if given in self._odd else legal_uri(given)

    def reference(self, name: str) -> PromptReference | ResourceReference:
        """What a name is the name of: what it was listed as; else of a resource if it looks like a URI or template."""
        if name in self._prompts or not (name in self._resources or _looks_like_uri(name)):
            return PromptReference(name=name)
        return ResourceReference(uri=name)

    def tool(self, name: str) -> Tool | None:
        """A tool as it was listed last; None for one that was not, or is forgotten."""
        entry = self._entries.get(name)
        return None if entry is None else entry.tool

    def headers(self, name: str) -> tuple[HeaderParameter, ...]:
        """The arguments of a tool that headers repeat; empty for an unknown tool."""
        entry = self._entries.get(name)
        return () if entry is None else entry.headers

    def check(self, result: ToolResult, version: str | None = None) -> None:
        """Raise `OutputInvalid` when a tool's output is not what its schema promises. ``version``: the one that was
        asked for, whose schema may be another than that of the one which is listed.
        """
        entry = self._entries.get(result.tool)
        if entry is None:
            return
        if version is not None and (entry.tool.meta or {}).get(names.META_VERSION) != version:
            result.unchecked_because = f"version {version[:64]!r} of the tool is not the one that was listed"
            return
        if entry.tool.output_schema is None:
            result.unchecked_because = "the tool has no output schema"
            return
        if result.is_error:
            result.unchecked_because = "the tool reported an error"
            return
        if entry.broken:
            result.unchecked_because = entry.broken
            return
        if entry.validator is None:
            try:
                entry.validator = compile_schema(entry.tool.output_schema)
            except SchemaError as problem:
                entry.broken = f"the output schema of {result.tool[:128]!r} can't be used: {problem}"
                self._unchecked(result, entry.broken)
                return
            compiled = _COMPILED * json_size(entry.tool.output_schema, MAX_BYTES)
            self._entries.put(result.tool, entry, entry.size + compiled)
        if result.raw.structured_content is UNSET:
            raise OutputInvalid(f"the tool {result.tool!r} promises structured content and gave none", result)
        violations = entry.validator.check(result.raw.structured_content)
        if not violations:
            result.unchecked_because = None
        elif violations[0].keyword == _WORK:
            self._unchecked(result, f"to check the output of {result.tool[:128]!r} would take too much work")
        else:
            raise OutputInvalid(
                f"the output of {result.tool!r} breaks its schema: {explain(violations)}", result
            )

    def _unchecked(self, result: ToolResult, reason: str) -> None:
        result.unchecked_because = reason
        self._warn(
            ServerWarning(kind="schema", message=reason, method=names.TOOLS_CALL, subject=result.tool[:256])
        )

    def age(self) -> None:
        """What answers now may be another server. Names are forgotten; of tools the description of before holds until
        the next listing has another.
        """
        for name in tuple(self._entries):
            entry = self._entries.get(name)
            if entry is not None:
                entry.aged = True
        for kept in (self._prompts, self._resources, self._odd):
            kept.clear()

    def is_aged(self, name: str) -> bool:
        """Whether a tool was listed before the server was opened anew, and not since."""
        entry = self._entries.get(name)
        return entry is not None and entry.aged

    def forget_aged(self, name: str) -> None:
        """Forget a tool that a listing did not have again."""
        if self.is_aged(name):
            self._entries.pop(name)


def _note(kept: Bounded[str, bool], name: str) -> None:
    kept.put(name, True, len(name))


def _looks_like_uri(name: str) -> bool:
    """Whether a name is that of a resource by its looks: a prompt may well be called "code:review"."""
    return "://" in name or "{" in name


def _is_legal(uri: str) -> bool:
    try:
        return legal_uri(uri) == uri
    except LocalProtocolError:
        return False
