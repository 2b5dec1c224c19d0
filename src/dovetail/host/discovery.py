"""Progressive discovery: where definitions would take too much of a model's context, it looks for tools itself.

Theory of operation. Up to a share of the context window the model is told of all tools; above, of a few that never
change: ``search_tools``, ``get_tool_details`` and ``call_tool``, and where there are servers to be had on demand, three
more for these. What was decided for a conversation holds until the next one, and tools that come later are told of
after those before: so the beginning of what a model is sent stays the same, and caches of it stay good.

A call by ``call_tool`` is a call of the host like any other: asked for, recorded, bounded. What is found is what
servers wrote; what nobody sees in it is written out.

Specification: client best practices, "Progressive Tool Discovery", "Dynamic Server Management".
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from msgspec import Struct

from ..errors import LocalProtocolError, ToolError
from ..models import CallAnswer, FormatName, ModelCall, OfferedTool
from ..security import one_line
from .host import Host
from .model_loop import ModelLoop, answer_of
from .naming import check_server_name, tool_name
from .offers import HostTool
from .tool_index import Embed, ToolIndex

__all__ = ["MAX_TOLD", "AvailableServer", "ToolDiscovery"]

MAX_TOLD: Final = 128
"""Tools that a model is told of at once; OpenAI and Google refuse more."""
_PER_TOKEN: Final = 4
_FOUND: Final = 8
_MOST: Final = 50
_SHORT: Final = 300
_PATIENCE: Final = 60.0
_NAME: Final[dict[str, Any]] = {
    "type": "string",
    "description": "The name of a tool, as search_tools gives it.",
}


class AvailableServer(Struct, frozen=True, kw_only=True):
    """A server that a model may have connected when it needs it. ``target``: as `Host` takes it. ``description``: what
    it is for, in a sentence.
    """

    target: Any
    description: str


class _MetaTool(Struct, frozen=True):
    """A tool of the discovery itself."""

    name: str
    description: str
    properties: dict[str, Any]
    required: tuple[str, ...]
    run: Callable[..., Awaitable[CallAnswer]]

    def definition(self) -> dict[str, Any]:
        """What a model is told."""
        return {
            "name": self.name,
            "description": self.description,
            "input_schema": {
                "type": "object",
                "properties": self.properties,
                "required": list(self.required),
                "additionalProperties": False,
            },
        }


class ToolDiscovery:
    """The tools of a ``host`` for one conversation with a model: all of them, or tools to find them by.

    ``context_window``: tokens that the model's context has (200,000). ``share``: of it, that definitions may take
    before the model has to look for tools (0.03); 0: it always has to. So it has where there are more than 128 tools,
    which some APIs refuse. ``embed``: makes vectors of texts, for a search by meaning beside the one by words.
    ``available``: servers that the model may have connected and let go of, by their names; what stands there is
    started without asking anybody, and asked for before it is called. With any, the model always has to look.

    Raises `LocalProtocolError` for a share or a name that makes no sense, and where SQLite has no FTS5.
    """

    def __init__(
        self,
        host: Host,
        *,
        context_window: int = 200_000,
        share: float = 0.03,
        embed: Embed | None = None,
        available: Mapping[str, AvailableServer] | None = None,
    ) -> None:
        if not 0 <= share <= 1 or context_window < 1:
            raise LocalProtocolError("share= is from 0 to 1, and context_window= a number of tokens")
        self._host = host
        self._room = int(context_window * share)
        self._available = dict(available or {})
        for name in self._available:
            check_server_name(name)
        self._enabled: set[str] = set()
        self._index = ToolIndex(embed)
        self._progressive: bool | None = None
        self._told: dict[str, None] = {}
        self._meta = {each.name: each for each in self._meta_tools()}
        self._changing = asyncio.Lock()
        self._loop = ModelLoop(self._offered, self._use)

    @property
    def progressive(self) -> bool | None:
        """Whether the model has to look for tools; None before `tools_for` was asked in this conversation."""
        return self._progressive

    def new_conversation(self) -> None:
        """Decide anew: the context of the model is empty again."""
        self._progressive = None
        self._told.clear()

    async def tools_for(self, format: FormatName) -> list[Any]:
        """What the model is told of, as `Host.tools_for`."""
        return await self._loop.tools_for(format)

    async def run_tool_call(self, format: FormatName, call: ModelCall) -> list[dict[str, Any]]:
        """Make one call, as `Host.run_tool_call`. A tool that was found may be called by its own name, too."""
        return await self._loop.run_tool_call(format, call)

    async def run_tool_calls(self, format: FormatName, response: Any) -> list[dict[str, Any]]:
        """Make all calls of a response, as `Host.run_tool_calls`."""
        return await self._loop.run_tool_calls(format, response)

    # What the model is told of

    async def _offered(self) -> Iterable[OfferedTool]:
        tools = await self._tools()
        if self._progressive is None:
            size = sum(len(json.dumps(each.definition(), ensure_ascii=False)) for each in tools.values())
            too_much = size > self._room * _PER_TOKEN or len(tools) > MAX_TOLD
            self._progressive = bool(self._available) or too_much
        if self._progressive:
            return self._meta.values()
        self._told = {name: None for name in self._told if name in tools}
        self._told.update(dict.fromkeys(tools))
        return [tools[name] for name in self._told]

    async def _tools(self) -> dict[str, HostTool]:
        servers = list(self._host.servers.values())
        found: dict[str, HostTool] = {}
        for server, tools in zip(
            servers, await asyncio.gather(*(each.tools() for each in servers)), strict=True
        ):
            for own, tool in tools.items():
                name = tool_name(server.name, own)
                found.setdefault(name, HostTool(name=name, server=server.name, tool=tool))
        return found

    async def _use(self, name: str, arguments: dict[str, Any]) -> CallAnswer:
        meta = self._meta.get(name) if self._progressive is not False else None
        if meta is None:
            return answer_of(await self._host.call(name, arguments))
        unknown = [each for each in arguments if each not in meta.properties]
        missing = [each for each in meta.required if each not in arguments]
        if unknown or missing:
            takes = ", ".join(meta.properties)
            what = f"is missing {missing[0]!r}" if missing else f"has no parameter {unknown[0]!r}"
            raise ToolError(f"{name} {what}; it takes: {takes}")
        return await meta.run(**arguments)

    def _meta_tools(self) -> list[_MetaTool]:
        found = [
            _MetaTool(
                "search_tools",
                "Find tools by words that say what you want to do. Tools that are found are called by call_tool. An "
                "empty query shows the servers that there are, with the number of their tools.",
                {
                    "query": {"type": "string", "description": "Words, such as: create calendar event"},
                    "server": {"type": "string", "description": "Only tools of this server."},
                    "detail": {
                        "type": "string",
                        "enum": ["names", "descriptions", "schemas"],
                        "description": "How much to show of each (descriptions).",
                    },
                    "limit": {
                        "type": "integer",
                        "minimum": 1,
                        "maximum": _MOST,
                        "description": f"How many at most ({_FOUND}).",
                    },
                },
                ("query",),
                self._search,
            ),
            _MetaTool(
                "get_tool_details",
                "The whole descriptions and the parameters of tools that search_tools found.",
                {"names": {"type": "array", "items": _NAME, "maxItems": _MOST}},
                ("names",),
                self._details,
            ),
            _MetaTool(
                "call_tool",
                "Call a tool that search_tools found, with arguments that fit its schema.",
                {
                    "name": _NAME,
                    "arguments": {"type": "object", "description": "As the tool's input_schema has them."},
                },
                ("name",),
                self._call,
            ),
        ]
        if self._available:
            found += self._server_tools()
        return found

    def _server_tools(self) -> list[_MetaTool]:
        name = {
            "name": {"type": "string", "description": "The name of a server, as search_servers gives it."}
        }
        return [
            _MetaTool(
                "search_servers",
                "Servers that can be connected when you need their tools; an empty query shows all of them.",
                {"query": {"type": "string", "description": "Words that say what is needed."}},
                (),
                self._search_servers,
            ),
            _MetaTool(
                "enable_server",
                "Connect a server; then search_tools finds its tools.",
                name,
                ("name",),
                self._enable,
            ),
            _MetaTool(
                "disable_server", "Let go of a server that was connected.", name, ("name",), self._disable
            ),
        ]

    # Tools

    async def _search(
        self, query: Any, server: Any = "", detail: Any = "descriptions", limit: Any = _FOUND
    ) -> CallAnswer:
        await self._index.update((await self._tools()).values())
        most = min(max(limit, 1), _MOST) if isinstance(limit, int) else _FOUND
        server = str(server or "")
        if server and server not in self._host.servers:
            raise ToolError(f"there is no server {server!r}; there are: {', '.join(self._host.servers)}")
        if not str(query).strip() and not server:
            return self._servers()
        found = await self._index.search(str(query), server=server, limit=most)
        if not found:
            return _told({"servers": {}, "note": "No tool fits. Try other words, or an empty query."})
        grouped: dict[str, list[Any]] = {}
        for each in found:
            grouped.setdefault(each.server, []).append(_shown(each, str(detail)))
        return _told({"servers": grouped})

    def _servers(self) -> CallAnswer:
        counts = dict.fromkeys(self._host.servers, 0)
        for each in self._index.tools.values():
            counts[each.server] = counts.get(each.server, 0) + 1
        return _told({"servers": {name: {"tools": number} for name, number in counts.items()}})

    async def _details(self, names: Any) -> CallAnswer:
        wanted = [str(each) for each in (cast("list[Any]", names) if isinstance(names, list) else [names])]
        tools = await self._tools()
        found = [tools[each].definition() for each in wanted[:_MOST] if each in tools]
        unknown = [each for each in wanted if each not in tools]
        if not found:
            raise ToolError(
                f"there is no tool {', '.join(unknown) or 'of no name'}; search_tools finds what there is"
            )
        return _told({"tools": found, **({"unknown": unknown} if unknown else {})})

    async def _call(self, name: Any, arguments: Any = None) -> CallAnswer:
        if isinstance(arguments, str):  # as some models write what is in an object
            try:
                arguments = msgspec.json.decode(arguments or "{}")
            except (msgspec.DecodeError, RecursionError) as problem:
                raise ToolError(f"the arguments of {name} are no JSON: {problem}") from None
        if not isinstance(arguments or {}, dict):
            raise ToolError(f"the arguments of {name} have to be an object")
        return answer_of(await self._host.call(str(name), arguments or {}))

    # Servers on demand

    async def _search_servers(self, query: Any = "") -> CallAnswer:
        words = str(query).lower().split()
        found = {
            name: {"description": each.description, "enabled": name in self._enabled}
            for name, each in self._available.items()
            if not words or any(word in f"{name} {each.description}".lower() for word in words)
        }
        note = {} if found else {"note": "No server fits; an empty query shows all of them."}
        return _told({"servers": found, **note})

    async def _enable(self, name: Any) -> CallAnswer:
        offered = self._available.get(name)
        if offered is None:
            raise ToolError(
                f"there is no server {str(name)!r} to be had; search_servers shows those that there are"
            )
        async with self._changing:
            if name not in self._enabled:
                server = await self._host.add(name, offered.target)
                try:
                    status = await server.wait_for("ready", "failed", "needs_login", timeout=_PATIENCE)
                except BaseException:
                    await self._host.remove(name)
                    raise
                if status.state != "ready":
                    await self._host.remove(name)
                    raise ToolError(f"the server {name!r} can't be used: it is {one_line(str(status))}")
                self._enabled.add(name)
        count = len(await self._host.server(name).tools())
        return _told(
            {"enabled": name, "tools": count, "note": f"search_tools with server={name!r} shows them."}
        )

    async def _disable(self, name: Any) -> CallAnswer:
        name = str(name)
        async with self._changing:
            if name not in self._enabled:
                raise ToolError(f"the server {name!r} was not enabled here")
            self._enabled.discard(name)
            await self._host.remove(name)
        return _told({"disabled": name})


def _shown(tool: HostTool, detail: str) -> Any:
    told = tool.definition()
    if detail == "names":
        return told["name"]
    if detail == "schemas":
        return told
    text: str = told["description"]
    return {"name": told["name"], "description": text if len(text) <= _SHORT else f"{text[:_SHORT]} [cut]"}


def _told(value: Mapping[str, Any] | Sequence[Any]) -> CallAnswer:
    return CallAnswer(parts=(json.dumps(value, ensure_ascii=False),), structured=value)
