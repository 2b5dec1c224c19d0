"""The bridge between a view and its host, as a state machine: it is given what a view said and what happened, and gives
what is to be done.

Theory of operation. A bridge does nothing by itself: each method gives deeds, in their order. `Deliver` goes to the
view, `ViewHeard` was judged and is shown, and the others are what the host has to do; for a `ViewAsk` it says later
what came of it, by `answer` or `refuse`. Of what the host has to tell the view (the tool's input, its result) all
waits until the view said that it is initialized. What a view may cost is bounded: the size of a message, their number a
second, and the requests that wait. Time is given, never read.

Specification: MCP Apps 2026-01-26, "Communication Protocol" and "Lifecycle".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, cast

from msgspec import Struct

from .judging import (
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    REFUSED,
    AppMessage,
    BadMessage,
    BadParams,
    blocks_of,
    number_of,
    read_message,
    text_of,
)

__all__ = [
    "PROTOCOL",
    "ViewAsk",
    "Cancelled",
    "ViewClosed",
    "ViewContext",
    "Deed",
    "Deliver",
    "DisplayMode",
    "ViewHeard",
    "ViewMessage",
    "Resized",
    "ViewRunning",
    "ViewShown",
    "Unload",
    "ViewBridge",
]

PROTOCOL: Final = "2026-01-26"
MAX_MESSAGE: Final = 4 * 1024 * 1024
"""Characters of a message of a view, as JSON."""
RATE: Final = 100.0
"""Messages a second that are read of a view ..."""
BURST: Final = 300
"""... and at once."""
MAX_DROPPED: Final = 10_000
"""Messages beyond that, after which a view is ended."""
MAX_WAITING: Final = 64
"""Requests of a view that wait for their answers."""
DisplayMode = Literal["inline", "fullscreen"]
MODES: Final[tuple[DisplayMode, ...]] = ("inline", "fullscreen")
_KNOWN_MODES: Final = (*MODES, "pip")
_LISTS: Final = ("tools/list", "resources/list", "resources/templates/list", "prompts/list")
_SANDBOX: Final = "ui/notifications/sandbox-"


class Deliver(Struct, frozen=True):
    """A message for the view."""

    message: dict[str, Any]


class ViewHeard(Struct, frozen=True):
    """A message of the view. ``message``: as plain values, None for none that was read; ``note``: what is wrong with
    it, or what was made of it.
    """

    message: Any
    size: int
    note: str = ""


class ViewAsk(Struct, frozen=True):
    """A request of the view that the host carries out and answers: a call of a tool, a resource, a list, a link."""

    id: int | str
    method: str
    params: dict[str, Any]


class Cancelled(Struct, frozen=True):
    """The view does not wait for a request any more."""

    id: int | str


class ViewRunning(Struct, frozen=True):
    """The view is initialized. ``app``: what it says that it is; ``capabilities``: what it can do."""

    app: dict[str, Any]
    capabilities: dict[str, Any]


class ViewShown(Struct, frozen=True):
    """The view is shown another way."""

    mode: DisplayMode


class Resized(Struct, frozen=True):
    """The view says how large it is, in pixels."""

    width: float | None
    height: float | None


class ViewContext(Struct, frozen=True):
    """What a model would be told with what it is told next, in place of what was there."""

    content: list[dict[str, Any]] | None
    structured: dict[str, Any] | None


class ViewMessage(Struct, frozen=True):
    """What would be said to a model, as the person."""

    content: list[dict[str, Any]]


class Unload(Struct, frozen=True):
    """The view asks to be closed."""


class ViewClosed(Struct, frozen=True):
    """There is nothing more to be done with the view. ``reason``: why."""

    reason: str


Deed = (
    Deliver
    | ViewHeard
    | ViewAsk
    | Cancelled
    | ViewRunning
    | ViewShown
    | Resized
    | ViewContext
    | ViewMessage
    | Unload
    | ViewClosed
)
_State = Literal["loading", "greeted", "running", "closing", "closed"]


class ViewBridge:
    """The bridge of one view.

    ``html`` and ``sandbox``: what the sandbox is given to load; ``host``: name and version; ``capabilities`` and
    ``context``: of the host, as the extension calls them. ``now``: seconds, as in `receive`.
    """

    def __init__(
        self,
        *,
        html: str,
        sandbox: Mapping[str, Any],
        host: Mapping[str, Any],
        capabilities: Mapping[str, Any],
        context: Mapping[str, Any],
        now: float = 0.0,
    ) -> None:
        self.state: _State = "loading"
        self.dropped = 0
        self._resource: Final = {"html": html, **sandbox}
        self._host: Final = host
        self._capabilities: Final = capabilities
        self._context: dict[str, Any] = {**context}
        self._modes: list[Any] | None = None
        self._loaded = False
        self._greeting: dict[str, Any] = {}
        self._told: list[tuple[str, dict[str, Any]]] = []
        self._waiting: set[int | str] = set()
        self._asked: dict[str, str] = {}
        self._count = 0
        self._tokens, self._then = float(BURST), now
        self._requests: Final[dict[str, Callable[[AppMessage], list[Deed]]]] = {
            "ui/initialize": self._initialize,
            "ping": lambda message: self._result(message.id, {}),
            "ui/open-link": self._open_link,
            "ui/message": self._message,
            "ui/update-model-context": self._update_context,
            "ui/request-display-mode": self._request_mode,
            "tools/call": self._call_tool,
            "resources/read": lambda message: self._ask(message, text_of(message.params, "uri")),
            **dict.fromkeys(_LISTS, self._ask),
        }
        self._notices: Final[dict[str, Callable[[AppMessage], list[Deed]]]] = {
            "ui/notifications/initialized": self._initialized,
            "ui/notifications/size-changed": self._size_changed,
            "ui/notifications/request-teardown": lambda _: [Unload()],
            "notifications/message": self._logged,
            "notifications/cancelled": self._cancelled,
        }

    @property
    def mode(self) -> DisplayMode:
        """How the view is shown."""
        return self._context.get("displayMode", "inline")

    # What the view says

    def receive(self, text: str, now: float) -> list[Deed]:
        """A message of the view, as JSON."""
        if len(text) > MAX_MESSAGE:
            return self.too_long(len(text), now)
        if self.state == "closed" or not self._admit(now):
            return self._drop(1)
        try:
            message, whole = read_message(text)
        except BadMessage as problem:
            return [
                ViewHeard(None, len(text), str(problem)),
                *self._error(problem.id, problem.code, str(problem)),
            ]
        deeds, note = self._judged(message)
        return [ViewHeard(whole, len(text), note), *deeds]

    def too_long(self, length: int, now: float) -> list[Deed]:
        """The view said something of this length, which was not read."""
        if self.state == "closed" or not self._admit(now):
            return self._drop(1)
        return [ViewHeard(None, length, f"it is longer than {MAX_MESSAGE:,} characters, and was not read")]

    def miss(self, count: int) -> list[Deed]:
        """So many messages of the view were not even looked at: they came faster than they could be carried."""
        return self._drop(count) if count > 0 else []

    # What happened at the host

    def tool_input(self, arguments: dict[str, Any]) -> list[Deed]:
        """The arguments that the tool is called with."""
        return self._tell("ui/notifications/tool-input", {"arguments": arguments})

    def tool_result(self, result: dict[str, Any]) -> list[Deed]:
        """What the tool gave."""
        return self._tell("ui/notifications/tool-result", result)

    def tool_cancelled(self, reason: str) -> list[Deed]:
        """The call has no result, and why."""
        return self._tell("ui/notifications/tool-cancelled", {"reason": reason})

    def list_changed(self, what: str) -> list[Deed]:
        """The server says that its "tools", "resources" or "prompts" are others now."""
        return self._notify(f"notifications/{what}/list_changed", {}) if self.state == "running" else []

    def change_context(self, changes: Mapping[str, Any]) -> list[Deed]:
        """What is around the view is other than it was: members of the host context."""
        news = {name: value for name, value in changes.items() if self._context.get(name) != value}
        self._context |= news
        if not news or self.state != "running":
            return []  # a view that initializes itself is told of all
        return self._notify("ui/notifications/host-context-changed", news)

    def show(self, mode: DisplayMode) -> list[Deed]:
        """The person wants the view shown another way."""
        if mode == self.mode or not self._can(mode):
            return []
        return [ViewShown(mode), *self.change_context({"displayMode": mode})]

    def answer(self, id: int | str, result: dict[str, Any]) -> list[Deed]:
        """What came of a `ViewAsk`."""
        if id not in self._waiting:
            return []
        self._waiting.discard(id)
        return self._result(id, result)

    def refuse(self, id: int | str, message: str, code: int = REFUSED, data: Any = None) -> list[Deed]:
        """A `ViewAsk` was not carried out, and why."""
        if id not in self._waiting:
            return []
        self._waiting.discard(id)
        return self._error(id, code, message, data)

    def progress(self, token: int | str, step: Mapping[str, Any]) -> list[Deed]:
        """A call of the view goes on, of which it wanted to know."""
        if self.state != "running":
            return []
        return self._notify("notifications/progress", {"progressToken": token, **step})

    def tear_down(self, reason: str) -> list[Deed]:
        """The view is to end: it is asked to, where it runs, and ends when it answered or `abandon` is called."""
        if self.state in ("closing", "closed"):
            return []
        if self.state != "running":
            return self.abandon(reason)
        self.state = "closing"
        return self._request("ui/resource-teardown", {"reason": reason}, reason)

    def abandon(self, reason: str) -> list[Deed]:
        """The view ended, whatever it says."""
        if self.state == "closed":
            return []
        self.state = "closed"
        self._waiting.clear()
        return [ViewClosed(reason)]

    # Judging

    def _admit(self, now: float) -> bool:
        self._tokens = min(float(BURST), self._tokens + max(0.0, now - self._then) * RATE)
        self._then = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _drop(self, count: int) -> list[Deed]:
        if self.state == "closed":
            return []
        before, self.dropped = self.dropped, self.dropped + count
        if self.dropped > MAX_DROPPED:
            return self.abandon("it said more than anybody could read")
        if before:
            return []
        return [
            ViewHeard(None, 0, f"more than {RATE:.0f} messages a second: some are not read, nor answered")
        ]

    def _judged(self, message: AppMessage) -> tuple[list[Deed], str]:
        if not message.method:
            return self._answered(message)
        try:
            if message.id is not None:
                return self._asked_for(message), ""
            return self._told_of(message)
        except BadMessage as problem:
            return self._error(problem.id, problem.code, str(problem)), str(problem)
        except BadParams as problem:
            return self._error(message.id, problem.code, str(problem)), str(problem)

    def _asked_for(self, message: AppMessage) -> list[Deed]:
        """A request. Raises `BadMessage`, `BadParams`."""
        if message.id in self._waiting:
            raise BadMessage("a request with this id waits already", INVALID_REQUEST, message.id)
        handle = self._requests.get(message.method)
        if handle is None:
            text = f"this host has no method {message.method}"
            raise BadMessage(text, METHOD_NOT_FOUND, message.id)
        if self.state == "loading" and message.method not in ("ui/initialize", "ping"):
            raise BadMessage("ui/initialize comes first", INVALID_REQUEST, message.id)
        if self.state == "closing":
            raise BadMessage("the view is being closed", REFUSED, message.id)
        return handle(message)

    def _told_of(self, message: AppMessage) -> tuple[list[Deed], str]:
        """A notification. Raises `BadMessage`, `BadParams`, which nothing answers."""
        if message.method.startswith(_SANDBOX):
            return self._sandboxed(message)
        handle = self._notices.get(message.method)
        if handle is None:
            return [], "this host has no such notification; it is ignored"
        if self.state == "loading":
            return [], "ui/initialize comes first; it is ignored"
        return handle(message), ""

    def _answered(self, message: AppMessage) -> tuple[list[Deed], str]:
        reason = self._asked.pop(str(message.id), None)
        if reason is None:
            return [], "it answers nothing that was asked; it is ignored"
        return self.abandon(reason), ""

    def _sandboxed(self, message: AppMessage) -> tuple[list[Deed], str]:
        if message.method != f"{_SANDBOX}proxy-ready":
            return [], "no view says this; it is ignored"
        if self._loaded:
            return [], "the sandbox has its document already; it is ignored"
        self._loaded = True
        return [Deliver(_notification(f"{_SANDBOX}resource-ready", self._resource))], ""

    # Requests

    def _initialize(self, message: AppMessage) -> list[Deed]:
        params = message.params
        text_of(
            params, "protocolVersion"
        )  # whichever it is: this host speaks one, and a view without it ends itself
        app, capabilities = _members(params.get("appInfo")), _members(params.get("appCapabilities"))
        if app is None or not all(isinstance(app.get(each), str) for each in ("name", "version")):
            raise BadParams("params.appInfo has to be an object with name and version")
        if capabilities is None:
            raise BadParams("params.appCapabilities has to be an object")
        modes = capabilities.get("availableDisplayModes")
        if modes is not None and not isinstance(modes, list):
            raise BadParams("params.appCapabilities.availableDisplayModes has to be a list")
        self._modes = modes
        # A document that loaded itself anew begins anew, and is told everything once more.
        self.state = "greeted"
        self._greeting = {"app": app, "capabilities": capabilities}
        result = {
            "protocolVersion": PROTOCOL,
            "hostInfo": self._host,
            "hostCapabilities": self._capabilities,
            "hostContext": dict(self._context),
        }
        return self._result(message.id, result)

    def _open_link(self, message: AppMessage) -> list[Deed]:
        url = message.params.get("url")
        if not isinstance(url, str) or not url:
            raise BadParams("Invalid URL: params.url has to be a text", REFUSED)
        return self._ask(message)

    def _message(self, message: AppMessage) -> list[Deed]:
        if message.params.get("role") != "user":
            raise BadParams('Invalid message format: params.role has to be "user"', REFUSED)
        content = blocks_of(message.params.get("content"))
        return [ViewMessage(content), *self._result(message.id, {})]

    def _update_context(self, message: AppMessage) -> list[Deed]:
        content = message.params.get("content")
        structured = message.params.get("structuredContent")
        blocks = None if content is None else blocks_of(content)
        if structured is not None and _members(structured) is None:
            raise BadParams("Invalid content format: params.structuredContent has to be an object", REFUSED)
        return [ViewContext(blocks, structured), *self._result(message.id, {})]

    def _request_mode(self, message: AppMessage) -> list[Deed]:
        wanted = message.params.get("mode")
        if wanted not in _KNOWN_MODES:
            raise BadParams(f"params.mode has to be one of {', '.join(_KNOWN_MODES)}")
        changed: list[Deed] = []
        if wanted in MODES and wanted != self.mode and self._can(wanted):
            self._context["displayMode"] = wanted
            changed.append(ViewShown(wanted))
        result = self._result(message.id, {"mode": self.mode})
        if changed and self.state == "running":
            result += self._notify("ui/notifications/host-context-changed", {"displayMode": self.mode})
        return [*changed, *result]

    def _call_tool(self, message: AppMessage) -> list[Deed]:
        arguments = message.params.get("arguments", {})
        if not isinstance(arguments, dict):
            raise BadParams("params.arguments has to be an object")
        if not isinstance(message.params.get("_meta", {}), dict):
            raise BadParams("params._meta has to be an object")
        return self._ask(message, text_of(message.params, "name"))

    def _ask(self, message: AppMessage, named: str = "") -> list[Deed]:
        """Have the host carry out a request. ``named``: that it names something has been looked at."""
        del named
        if message.id is None:
            return []
        if len(self._waiting) >= MAX_WAITING:
            raise BadMessage(f"{MAX_WAITING} requests wait already", REFUSED, message.id)
        self._waiting.add(message.id)
        return [ViewAsk(message.id, message.method, message.params)]

    # Notifications

    def _initialized(self, message: AppMessage) -> list[Deed]:
        del message
        if self.state != "greeted":
            return []
        self.state = "running"
        told: list[Deed] = [Deliver(_notification(method, params)) for method, params in self._told]
        return [ViewRunning(**self._greeting), *told]

    def _size_changed(self, message: AppMessage) -> list[Deed]:
        width, height = number_of(message.params, "width"), number_of(message.params, "height")
        return [] if width is None and height is None else [Resized(width, height)]

    def _logged(self, message: AppMessage) -> list[Deed]:
        text_of(message.params, "level")
        return []

    def _cancelled(self, message: AppMessage) -> list[Deed]:
        id = message.params.get("requestId")
        if isinstance(id, bool) or not isinstance(id, int | str) or id not in self._waiting:
            return []
        self._waiting.discard(id)
        return [Cancelled(id)]

    # Saying

    def _can(self, mode: str) -> bool:
        """Whether the view says that it can be shown this way; any, where it does not say."""
        return not self._modes or mode in self._modes

    def _tell(self, method: str, params: dict[str, Any]) -> list[Deed]:
        """Tell the view, now or when it is initialized, and once more should it begin anew."""
        if self.state in ("closing", "closed"):
            return []
        self._told.append((method, params))
        return [Deliver(_notification(method, params))] if self.state == "running" else []

    def _notify(self, method: str, params: Mapping[str, Any]) -> list[Deed]:
        return [Deliver(_notification(method, params))]

    def _request(self, method: str, params: Mapping[str, Any], reason: str) -> list[Deed]:
        self._count += 1
        id = f"host-{self._count}"
        self._asked[id] = reason
        return [Deliver({"jsonrpc": "2.0", "id": id, "method": method, "params": params})]

    def _result(self, id: Any, result: Mapping[str, Any]) -> list[Deed]:
        return [Deliver({"jsonrpc": "2.0", "id": id, "result": result})]

    def _error(self, id: Any, code: int, message: str, data: Any = None) -> list[Deed]:
        """An error for what was asked; nothing where nobody asked."""
        if id is None:
            return []
        error = {"code": code, "message": message} | ({} if data is None else {"data": data})
        return [Deliver({"jsonrpc": "2.0", "id": id, "error": error})]


def _notification(method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": method, "params": params}


def _members(value: Any) -> dict[str, Any] | None:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None
