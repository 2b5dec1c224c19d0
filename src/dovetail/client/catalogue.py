"""What the client knows of a server's tools from the last listing: schemas to check, arguments to mirror in headers.

Over HTTP in the stateless era a tool whose header annotations are invalid is dropped from listings: calling it could
not work. A schema that can't be compiled checks nothing; that is logged once per tool.
Specification: server/tools "Output Schema", basic/transports/streamable-http "Schema Extension".
"""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from msgspec import UNSET

from ..protocol.header_parameters import HeaderParameter, InvalidHeaderAnnotation, header_parameters
from ..protocol.schema import SchemaError, Validator, compile_schema, explain
from ..protocol.types import Tool
from .results import OutputInvalid, ToolResult

log = logging.getLogger("dovetail.client")
LIMIT: Final = 10_000


class _Entry:
    __slots__ = ("broken", "headers", "tool", "validator")

    def __init__(self, tool: Tool, headers: tuple[HeaderParameter, ...]) -> None:
        self.tool = tool
        self.headers = headers
        self.validator: Validator | None = None
        self.broken = False


class Catalogue:
    """The tools listed last, by name."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def take(self, tools: Iterable[Tool], *, mirrored: bool) -> list[Tool]:
        """Note tools as listed, and give those that can be used. ``mirrored``: arguments are repeated in headers."""
        usable: list[Tool] = []
        for tool in tools:
            headers: tuple[HeaderParameter, ...] = ()
            if mirrored:
                try:
                    headers = header_parameters(tool.input_schema)
                except InvalidHeaderAnnotation as problem:
                    log.warning("the tool %r was dropped from the list: %s", tool.name[:128], problem)
                    self._entries.pop(tool.name, None)
                    continue
            usable.append(tool)
            known = self._entries.get(tool.name)
            if known is None or known.tool != tool:
                self._entries[tool.name] = _Entry(tool, headers)
            self._entries.move_to_end(tool.name)
        while len(self._entries) > LIMIT:
            self._entries.popitem(last=False)
        return usable

    def headers(self, name: str) -> tuple[HeaderParameter, ...]:
        """The arguments of a tool that headers repeat; empty for an unknown tool."""
        entry = self._entries.get(name)
        return () if entry is None else entry.headers

    def check(self, result: ToolResult) -> None:
        """Raise `OutputInvalid` when a tool's output is not what its schema promises."""
        entry = self._entries.get(result.tool)
        if entry is None or entry.tool.output_schema is None or entry.broken or result.is_error:
            return
        if entry.validator is None:
            try:
                entry.validator = compile_schema(entry.tool.output_schema)
            except SchemaError as problem:
                entry.broken = True
                log.warning(
                    "the output schema of %r can't be used and is not checked: %s", result.tool[:128], problem
                )
                return
        if result.raw.structured_content is UNSET:
            raise OutputInvalid(f"the tool {result.tool!r} promises structured content and gave none", result)
        violations = entry.validator.check(result.raw.structured_content)
        if violations:
            raise OutputInvalid(
                f"the output of {result.tool!r} breaks its schema: {explain(violations)}", result
            )

    def clear(self) -> None:
        """Forget all."""
        self._entries.clear()
