"""The views that are open: each is opened for a call of a tool, told what became of that, and served while it is seen.

Theory of operation. A view is a document in a browser's sandbox, which a face carries messages to and from; what they
mean is decided by its bridge, whose deeds are carried out here. Whatever a view asks of its server becomes a call like
those of the person, so it stands in the conversation and in the list of calls. The person is asked before a view's call
of a tool is made, unless the settings of the server say otherwise, and before any address is opened. Each message is
told as an event, long ones by their number alone.

Specification: MCP Apps 2026-01-26, "Lifecycle" and "Security Implications".
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Literal, cast, get_args
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from dovetail import DovetailError
from dovetail.types import ContentBlock

from ..session.calls import CallRequest, Calls
from ..session.questions import AnswerRefused, PersonAnswer, PersonQuestions
from ..session.server import InspectedServer
from ..views import AppMessageView, AppSender, AppView, CallView, ServerView
from .bridge import (
    MODES,
    Cancelled,
    Deed,
    Deliver,
    DisplayMode,
    Resized,
    Unload,
    ViewAsk,
    ViewBridge,
    ViewClosed,
    ViewContext,
    ViewHeard,
    ViewRunning,
    ViewShown,
)
from .judging import INVALID_PARAMS, REFUSED
from .metadata import AppDocument, AppDocumentInvalid, document_of, resource_uri, visible_to
from .policy import SandboxPolicy, policy_of

__all__ = ["AppSurroundings", "AppUnavailable", "AppViews"]

MAX_OPEN: Final = 16
"""Views at once; of more the oldest is ended."""
MAX_KEPT: Final = 1000
"""Messages of a view that are kept ..."""
MAX_KEPT_BYTES: Final = 24 * 1024 * 1024
"""... and their characters; the newest is kept, however long it is."""
MAX_BLOCKED: Final = 100
"""Reports of a browser about one view that are kept."""
TEARDOWN: Final = 2.0
"""Seconds that a view has to end when it is asked to."""
_TOLD: Final = 32 * 1024
"""Characters of a message that is told whole."""
_MAX_HEIGHT: Final = 2000
_INTERNAL: Final = -32603
_LISTED: Final = {
    "tools/list": ("tools", "tools"),
    "resources/list": ("resources", "resources"),
    "resources/templates/list": ("templates", "resourceTemplates"),
    "prompts/list": ("prompts", "prompts"),
}
_BLOCKS: Final[dict[str, Any]] = {
    {"resource_link": "resourceLink"}.get(each, each): {}
    for each in (str(kind.__struct_config__.tag) for kind in get_args(ContentBlock))
    if each.isascii()
}
"""Content that is taken, as the extension names it."""


class AppUnavailable(ValueError):
    """A view can't be opened; the text says why."""


class AppSurroundings(Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """What is around a view where it is seen: ``width`` and ``height`` of the place for it, in pixels."""

    theme: Literal["light", "dark"]
    width: float
    height: float
    locale: str = ""
    time_zone: str = ""
    touch: bool = False
    hover: bool = True


class _Hosted(Struct):
    view: AppView
    bridge: ViewBridge
    policy: SandboxPolicy
    around: AppSurroundings
    tools: dict[str, dict[str, Any]]
    kept: deque[AppMessageView]
    count: int = 0
    size: int = 0
    reports: int = 0
    trusted: bool = False
    told: bool = False
    tasks: dict[int | str, asyncio.Task[None]] = {}
    tokens: dict[str, tuple[int | str, int]] = {}
    ending: asyncio.TimerHandle | None = None


class AppViews:
    """The views of one Inspector. ``server``: one by its id, or `LookupError`; ``told``: called with each event."""

    def __init__(
        self,
        server: Callable[[str], InspectedServer],
        calls: Calls,
        questions: PersonQuestions,
        told: Callable[[str, Any], None],
    ) -> None:
        self._server: Final = server
        self._calls: Final = calls
        self._questions: Final = questions
        self._told: Final = told
        self._all: OrderedDict[str, _Hosted] = OrderedDict()
        self._count = 0

    # Opening and ending

    async def open(
        self,
        server: str,
        call: str,
        around: AppSurroundings,
        *,
        frame: Callable[[str], str] = lambda _: "",
        own_ports: Sequence[int] = (),
    ) -> AppView:
        """Open the view of the tool that a call is of. ``frame``: the address of the sandbox of a view, by its id;
        ``own_ports``: those that no view may reach.

        Raises `LookupError`, `AppUnavailable`, and what calls raise.
        """
        inspected, made = self._server(server), self._calls.view(call)
        if made.server != server or made.kind != "tool":
            raise AppUnavailable("a view is opened for a call of a tool of its own server")
        tools = {str(each.get("name")): each for each in await inspected.listed("tools")}
        tool = tools.get(made.name, {})
        uri = resource_uri(tool)
        if not uri:
            raise AppUnavailable(f"the tool {made.name} has no view: it names no ui:// resource")
        document = await self._document(inspected, uri)
        policy = policy_of(document.ui, own_ports)
        self._count += 1
        id = f"a{self._count}"
        border = document.ui.get("prefersBorder")
        view = AppView(
            id=id,
            server=server,
            call=call,
            tool=made.name,
            uri=uri,
            state="loading",
            frame=frame(id),
            allow=policy.allow,
            policy=policy.directives,
            declared=policy.declared,
            permissions=policy.permissions,
            refused=[f"{each.kind}: {each.value}: {each.reason}" for each in policy.refused],
            prefers_border=border if isinstance(border, bool) else None,
            modes=list(MODES),
            notes=document.notes,
        )
        bridge = _bridge(document, policy, tool, around)
        hosted = _Hosted(view, bridge, policy, around, tools, deque())
        self._all[id] = hosted
        self._forget()
        self._told("app", view)
        arguments = made.params.get("arguments", {})
        self._do(
            hosted,
            bridge.tool_input(cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else {}),
        )
        self.called(self._calls.view(call))
        return hosted.view

    def __contains__(self, id: str) -> bool:
        """Whether there is such a view, open or ended."""
        return id in self._all

    def view(self, id: str) -> AppView:
        """One of them. Raises `LookupError`."""
        return self._one(id).view

    def policy(self, id: str) -> SandboxPolicy:
        """What a browser is to keep one to. Raises `LookupError`."""
        return self._one(id).policy

    def message(self, id: str, n: int) -> AppMessageView:
        """A message, whole. Raises `LookupError` for one that is not kept any more."""
        found = next((each for each in self._one(id).kept if each.n == n), None)
        if found is None:
            raise LookupError(f"the message {n} of {id} is not kept any more")
        return found

    def close(self, id: str, reason: str = "the person closed it") -> AppView:
        """Have a view end: it is told, and has a moment for it. Raises `LookupError`."""
        hosted = self._one(id)
        self._do(hosted, hosted.bridge.tear_down(reason))
        if hosted.bridge.state == "closing" and hosted.ending is None:
            self._change(hosted, state="closing")
            loop = asyncio.get_running_loop()
            hosted.ending = loop.call_later(TEARDOWN, self._abandon, hosted, reason)
        return hosted.view

    def end(self) -> None:
        """End all of them."""
        for each in list(self._all.values()):
            self._abandon(each, "the Inspector ends")

    # What comes from a face

    def receive(
        self, id: str, messages: Sequence[str], *, too_long: Sequence[int] = (), missed: int = 0
    ) -> None:
        """What a view said, each message as JSON. ``too_long``: lengths of those that were not carried; ``missed``: how
        many more there were. Raises `LookupError`.
        """
        hosted = self._one(id)
        for each in messages:
            self._do(hosted, hosted.bridge.receive(each, time.monotonic()))
        for length in too_long:
            self._do(hosted, hosted.bridge.too_long(length, time.monotonic()))
        self._do(hosted, hosted.bridge.miss(missed))

    def surround(self, id: str, around: AppSurroundings) -> None:
        """What is around a view is other than it was. Raises `LookupError`."""
        hosted = self._one(id)
        hosted.around = around
        self._do(hosted, hosted.bridge.change_context(_context(around, hosted.bridge.mode)))

    def show(self, id: str, mode: DisplayMode) -> None:
        """The person wants a view shown another way. Raises `LookupError`."""
        hosted = self._one(id)
        self._do(hosted, hosted.bridge.show(mode))

    def blocked(self, id: str, report: Mapping[str, Any]) -> None:
        """A browser says what it kept a view from. Raises `LookupError`."""
        hosted = self._one(id)
        hosted.reports += 1
        if hosted.reports > MAX_BLOCKED:
            return
        directive, place = (_text(report.get(each)) for each in ("effective-directive", "blocked-uri"))
        what = f"{directive or 'policy'}: {place or 'something'}"
        if what not in hosted.view.blocked:
            self._change(hosted, blocked=[*hosted.view.blocked, what])
        note = f"the browser did not allow it: {what}"
        self._keep(hosted, "browser", dict(report), size=len(msgspec.json.encode(report)), note=note)

    # What happens elsewhere

    def called(self, call: CallView) -> None:
        """A call is other than it was: views are told that were opened for it, or made it."""
        for hosted in list(self._all.values()):
            if hosted.view.call == call.id and call.state != "running" and not hosted.told:
                hosted.told = True
                self._do(hosted, _outcome(hosted.bridge, call))
            token = hosted.tokens.get(call.id)
            if token is not None and len(call.progress) > token[1]:
                hosted.tokens[call.id] = (token[0], len(call.progress))
                step = call.progress[-1]
                told: dict[str, Any] = {"progress": step.progress}
                told |= {} if step.total is None else {"total": step.total}
                told |= {"message": step.message} if step.message else {}
                self._do(hosted, hosted.bridge.progress(token[0], told))

    def changed(self, server: str, what: str) -> None:
        """A server says that its lists of this kind are others now."""
        if what not in ("tools", "resources", "prompts"):
            return
        for hosted in list(self._all.values()):
            if hosted.view.server == server:
                if what == "tools":
                    hosted.tools = {}  # asked for when the next call of the view needs them
                self._do(hosted, hosted.bridge.list_changed(what))

    def server_changed(self, server: ServerView) -> None:
        """A server is other than it was: where nobody speaks to it any more, its views end."""
        if server.state not in ("ready", "renewing"):
            for hosted in list(self._all.values()):
                if hosted.view.server == server.id:
                    self._abandon(hosted, "the server is not connected any more")

    # Carrying out

    def _do(self, hosted: _Hosted, deeds: list[Deed]) -> None:
        for deed in deeds:
            match deed:
                case Deliver(message):
                    self._keep(hosted, "host", message)
                case ViewHeard(message, size, note):
                    self._keep(hosted, "view", message, size=size, note=note)
                case ViewAsk():
                    self._ask(hosted, deed)
                case Cancelled(id):
                    task = hosted.tasks.get(id)
                    if task is not None:
                        task.cancel()
                case ViewRunning(app, capabilities):
                    modes = capabilities.get("availableDisplayModes")
                    can = [each for each in MODES if each in modes] if modes else list(MODES)
                    self._change(hosted, state="running", app=_short_enough(app), modes=can)
                case ViewShown(mode):
                    self._change(hosted, mode=mode)
                    around = _context(hosted.around, mode)
                    self._do(hosted, hosted.bridge.change_context(around))
                case Resized(width, height):
                    self._change(hosted, width=width, height=height)
                case ViewContext(content, structured):
                    told = {"content": content, "structuredContent": structured}
                    context = {key: value for key, value in told.items() if value is not None}
                    self._change(hosted, context=_short_enough(context))
                case Unload():
                    self.close(hosted.view.id, "the view asked for it")
                case ViewClosed(reason):
                    self._ended(hosted, reason)
                case _:
                    pass  # what would be said to a model stands among the messages: there is no model here
        if hosted.bridge.dropped != hosted.view.dropped:
            self._change(hosted, dropped=hosted.bridge.dropped)

    def _ask(self, hosted: _Hosted, ask: ViewAsk) -> None:
        task = asyncio.get_running_loop().create_task(
            self._carry_out(hosted, ask), name=f"{ask.method} of {hosted.view.id}"
        )
        hosted.tasks[ask.id] = task
        task.add_done_callback(lambda _: hosted.tasks.pop(ask.id, None))

    async def _carry_out(self, hosted: _Hosted, ask: ViewAsk) -> None:
        try:
            match ask.method:
                case "tools/call":
                    deeds = await self._call(hosted, ask)
                case "resources/read":
                    request = CallRequest(kind="read", uri=ask.params["uri"])
                    deeds = _answer(hosted.bridge, ask, await self._made(hosted, ask, request))
                case "ui/open-link":
                    deeds = await self._open_link(hosted, ask)
                case _:
                    kind, member = _LISTED[ask.method]
                    items = await self._server(hosted.view.server).listed(kind)
                    if kind == "tools":
                        items = [each for each in items if visible_to(each, "app")]
                    deeds = hosted.bridge.answer(ask.id, {member: items})
        except (DovetailError, LookupError, ValueError, OSError) as problem:
            deeds = hosted.bridge.refuse(ask.id, str(problem) or type(problem).__name__)
        self._do(hosted, deeds)

    async def _call(self, hosted: _Hosted, ask: ViewAsk) -> list[Deed]:
        name, arguments = ask.params["name"], ask.params.get("arguments", {})
        server = self._server(hosted.view.server)
        if not hosted.tools:
            hosted.tools = {str(each.get("name")): each for each in await server.listed("tools")}
        tool = hosted.tools.get(name)
        if tool is None:
            return hosted.bridge.refuse(ask.id, f"Unknown tool: {name}", INVALID_PARAMS)
        if not visible_to(tool, "app"):
            return hosted.bridge.refuse(ask.id, f'{name} is no tool for views: its visibility has no "app"')
        if server.settings.ask_app_calls and not hosted.trusted:
            answer = await self._questions.ask(
                hosted.view.server,
                "app-call",
                call=hosted.view.call,
                message=f"The view of {hosted.view.tool} wants to call {name}.",
                params={"name": name, "arguments": arguments},
                check=_consent,
            )
            if answer.action != "accept":
                return hosted.bridge.refuse(ask.id, "Tool call denied by user")
            hosted.trusted = hosted.trusted or answer.content == "always"
        meta = cast("dict[str, Any]", ask.params.get("_meta", {}))
        own = {key: value for key, value in meta.items() if key != "progressToken"}
        request = CallRequest(kind="tool", name=name, arguments=arguments, meta=own or None)
        token = meta.get("progressToken")
        call = await self._made(hosted, ask, request, token if isinstance(token, int | str) else None)
        return _answer(hosted.bridge, ask, call)

    async def _made(
        self, hosted: _Hosted, ask: ViewAsk, request: CallRequest, token: int | str | None = None
    ) -> CallView:
        """A call that has come to its end; it is cancelled where nobody waits for it any more."""
        del ask
        call = self._server(hosted.view.server).call(request)
        if token is not None:
            hosted.tokens[call.id] = (token, 0)
        try:
            return await self._calls.over(call.id)
        except asyncio.CancelledError:
            with suppress(LookupError):
                self._calls.cancel(call.id)
            raise
        finally:
            hosted.tokens.pop(call.id, None)

    async def _open_link(self, hosted: _Hosted, ask: ViewAsk) -> list[Deed]:
        url = str(ask.params["url"])
        host = _host_of(url)
        if not host:
            return hosted.bridge.refuse(ask.id, "Invalid URL: only http and https addresses are opened")
        answer = await self._questions.ask(
            hosted.view.server,
            "app-link",
            call=hosted.view.call,
            message=f"The view of {hosted.view.tool} wants to open an address.",
            url=url,
            host=host,
        )
        if answer.action != "accept":
            return hosted.bridge.refuse(ask.id, "Link opening denied by user")
        return hosted.bridge.answer(ask.id, {})

    async def _document(self, server: InspectedServer, uri: str) -> AppDocument:
        """The document at an address. Raises `AppUnavailable`, and what calls raise."""
        call = await self._calls.over(server.call(CallRequest(kind="read", uri=uri)).id)
        if call.state != "done":
            reason = call.error.message if call.error is not None else "the call was cancelled"
            raise AppUnavailable(f"the view {uri} can't be read: {reason}")
        result = cast("dict[str, Any]", call.result)
        try:
            document = document_of(uri, result)
            if document.ui:
                return document
            # What the contents say goes before what the list says, which is asked only where they say nothing.
            with suppress(DovetailError):
                listed = {each.get("uri"): each for each in await server.listed("resources")}
                return document_of(uri, result, listed.get(uri))
        except AppDocumentInvalid as problem:
            raise AppUnavailable(f"the view can't be shown: {problem}") from None
        return document

    # Keeping

    def _keep(
        self, hosted: _Hosted, sender: AppSender, message: Any, *, size: int | None = None, note: str = ""
    ) -> None:
        length = len(msgspec.json.encode(message)) if size is None else size
        said = cast("dict[str, Any]", message) if isinstance(message, dict) else {}
        hosted.count += 1
        entry = AppMessageView(
            app=hosted.view.id,
            n=hosted.count,
            time=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            sender=sender,
            method=_text(said.get("method")),
            id=_short_id(said.get("id")),
            size=length,
            message=message,
            note=note,
        )
        hosted.kept.append(entry)
        hosted.size += length
        while len(hosted.kept) > MAX_KEPT or (hosted.size > MAX_KEPT_BYTES and len(hosted.kept) > 1):
            hosted.size -= hosted.kept.popleft().size
        omitted = message is not None and length > _TOLD
        self._told("app-message", replace(entry, message=None, omitted=True) if omitted else entry)

    def _change(self, hosted: _Hosted, **members: Any) -> None:
        changed = replace(hosted.view, **members)
        if changed != hosted.view:
            hosted.view = changed
            self._told("app", changed)

    def _ended(self, hosted: _Hosted, reason: str) -> None:
        if hosted.ending is not None:
            hosted.ending.cancel()
        for task in list(hosted.tasks.values()):
            task.cancel()
        self._change(hosted, state="closed", reason=reason)

    def _abandon(self, hosted: _Hosted, reason: str) -> None:
        self._do(hosted, hosted.bridge.abandon(reason))

    def _one(self, id: str) -> _Hosted:
        found = self._all.get(id)
        if found is None:
            raise LookupError(f"there is no view {id}")
        return found

    def _forget(self) -> None:
        """Keep no more than there may be: those that ended go first, then the oldest."""
        while len(self._all) > MAX_OPEN:
            ended = next((id for id, each in self._all.items() if each.bridge.state == "closed"), None)
            oldest = next(iter(self._all)) if ended is None else ended
            self._abandon(self._all[oldest], f"{MAX_OPEN} views are open, and this was the oldest")
            del self._all[oldest]


def _bridge(
    document: AppDocument, policy: SandboxPolicy, tool: dict[str, Any], around: AppSurroundings
) -> ViewBridge:
    permissions = {each: dict[str, Any]() for each in policy.permissions}
    csp = {kind: origins for kind, origins in policy.domains.items() if origins}
    return ViewBridge(
        html=document.html,
        sandbox={"csp": csp, "permissions": permissions},
        host={"name": "dovetail-inspector", "version": version("dovetail-inspector")},
        capabilities={
            "openLinks": {},
            "serverTools": {"listChanged": True},
            "serverResources": {"listChanged": True},
            "logging": {},
            "message": _BLOCKS,
            "updateModelContext": {**_BLOCKS, "structuredContent": {}},
            "sandbox": {"permissions": permissions, "csp": csp},
        },
        context={"toolInfo": {"tool": tool}, **_context(around, "inline")},
        now=time.monotonic(),
    )


def _context(around: AppSurroundings, mode: DisplayMode) -> dict[str, Any]:
    """The host context, as far as it is about where the view is seen."""
    width, height = round(around.width), round(around.height)
    fixed = {"width": width, "height": height}
    return {
        "theme": around.theme,
        "displayMode": mode,
        "availableDisplayModes": list(MODES),
        "containerDimensions": fixed if mode == "fullscreen" else {"width": width, "maxHeight": _MAX_HEIGHT},
        **({"locale": around.locale} if around.locale else {}),
        **({"timeZone": around.time_zone} if around.time_zone else {}),
        "userAgent": f"dovetail-inspector/{version('dovetail-inspector')}",
        "platform": "web",
        "deviceCapabilities": {"touch": around.touch, "hover": around.hover},
    }


def _outcome(bridge: ViewBridge, call: CallView) -> list[Deed]:
    """What a view is told of the end of the call that it was opened for."""
    if call.state == "done" and isinstance(call.result, dict):
        return bridge.tool_result(cast("dict[str, Any]", call.result))
    return bridge.tool_cancelled(call.error.message if call.error is not None else "the call was cancelled")


def _answer(bridge: ViewBridge, ask: ViewAsk, call: CallView) -> list[Deed]:
    """The answer to a request of a view that became a call."""
    if call.state == "done":
        return bridge.answer(ask.id, cast("dict[str, Any]", call.result or {}))
    if call.error is None:
        return bridge.refuse(ask.id, "the call was cancelled", REFUSED)
    code = _INTERNAL if call.error.code is None else call.error.code
    return bridge.refuse(ask.id, call.error.message, code, call.error.data)


def _host_of(url: str) -> str:
    """The host of an address that may be opened; "" for one that may not."""
    # A browser takes a backslash for a slash: what stands before it would be the host that it goes to.
    if any(each.isspace() or each == "\\" or not each.isprintable() for each in url) or len(url) > 8192:
        return ""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _consent(answer: PersonAnswer) -> None:
    if answer.action == "accept" and answer.content not in (None, "always"):
        raise AnswerRefused(
            'a call of a view is allowed once, or with the content "always" for as long as it is open'
        )


def _short_enough(value: dict[str, Any]) -> dict[str, Any]:
    """What a view said, for what is told of the view each time that anything about it changes."""
    length = len(msgspec.json.encode(value))
    if length <= _TOLD:
        return value
    return {"omitted": f"{length:,} characters: they stand among the messages of the view"}


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _short_id(value: Any) -> Any:
    return value[:200] if isinstance(value, str) else value if isinstance(value, int) else None
