"""`Host`: many servers behind one face.

Theory of operation. Each server is kept up by a task of its own (`hosted_server`), so a slow or broken one holds nobody
up: lists have what the others offer, and calls of it fail with what is wrong. Tools have names that are unique over all
servers (`naming`), from which a call finds its server. All that is done for a model, and all that servers ask, passes
one gate (`gate`). What happens is told as events (`events`).

Specification: architecture, "Host"; client best practices.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, TypeVar

from msgspec import UNSET

from ..client import (
    Client,
    ElicitationHandler,
    ProgressHandler,
    RootsSource,
    SamplingHandler,
    Seconds,
    ToolResult,
    plain_arguments,
)
from ..errors import (
    Closed,
    DovetailError,
    LocalProtocolError,
    LoginRequired,
    RequestTimeout,
    TransportError,
)
from ..logs import get_logger
from ..models import CallAnswer, FormatName, ModelCall
from ..security import one_line
from ..types import (
    Completion,
    GetPromptResult,
    Icon,
    PromptReference,
    ReadResourceResult,
    Resource,
    ResourceReference,
    Tool,
)
from .consent import ConsentHandler, ConsentKind, ConsentRefused, ConsentRequest
from .decisions import Decisions, identity_of
from .events import EventReader, EventTeller, HostEvent
from .gate import ConsentGate
from .hosted_server import MAX_LISTED, HostedServer, Upkeep
from .icons import safe_icons, url_of
from .model_loop import ModelLoop, answer_of
from .naming import prompt_name, server_of, tool_name
from .offers import HostPrompt, HostResource, HostTool
from .policy import HostPolicy
from .questions import QuestionSettings, SamplingBudget, ServerQuestions
from .records import HostRecord, HostRecorder, RecordSink
from .results import HostResult, ResultLimits, result_of
from .server_targets import check_servers, check_target, target_of
from .tool_definitions import changes_of, definition_of, hidden_in

__all__ = ["Host"]

log = get_logger("dovetail.host")
MAX_INSTRUCTIONS: Final = 4_000
"""Characters of a server's instructions that go into those of the host."""
_CHANGES: Final = 3
T = TypeVar("T")


class Host:
    """Many servers: ``async with Host({"files": "files.py", "web": "https://example.com/mcp"}) as host: ...``.

    ``servers``: by the names that they are to have, what a `Client` takes; or a `Client` that was not opened, whose
    target and options are taken for clients of the host's own. ``on_event``: called at once with each `HostEvent`, must
    not block.

    ``consent``: asked before anything is done that the ``policy`` does not allow or deny; a plain function runs in a
    thread. Without it, all of that is refused. ``policy``: a `HostPolicy`. ``decisions``: a `Decisions`, to keep what
    was decided for the next time. ``audit``: where a `HostRecord` of each decision and call goes: a function that must
    not block, or the path of a file to append to; with ``audit_arguments`` also what calls were made with.

    ``elicitation``: shows a form, as of `Client`. ``open_address``: opens an address that a person agreed to visit,
    where neither model nor program can look in, such as `webbrowser.open`; "done" says that the person has been there.
    ``sampling``: runs the model, within the ``sampling_budget`` of a server; with ``review_answers`` its answers pass
    ``consent``, too. ``roots``: the folders that servers may be told of.

    ``patience``: seconds that a call waits for a server that is being connected, and that lists wait for it in all
    (10). ``connect_timeout``: seconds that connecting may take where nobody has to log in (30). ``attempts``: failures
    in a row after which a server is left alone until it is restarted (8). ``limits``: of results.

    Raises `LocalProtocolError` for a name that no server can have, and for the content of a configuration, which
    `dovetail.host.configuration.configured_clients` takes.
    """

    def __init__(
        self,
        servers: Mapping[str, Any],
        *,
        on_event: Callable[[HostEvent], Any] | None = None,
        consent: ConsentHandler | None = None,
        policy: HostPolicy = HostPolicy(),
        decisions: Decisions | None = None,
        audit: RecordSink | str | os.PathLike[str] | None = None,
        audit_arguments: bool = False,
        elicitation: ElicitationHandler | None = None,
        open_address: Callable[[str], Any] | None = None,
        sampling: SamplingHandler | None = None,
        sampling_budget: SamplingBudget = SamplingBudget(),
        review_answers: bool = False,
        roots: RootsSource | None = None,
        patience: float = 10.0,
        connect_timeout: float = 30.0,
        attempts: int = 8,
        limits: ResultLimits = ResultLimits(),
    ) -> None:
        check_servers(servers, "a host")
        self._upkeep = Upkeep(patience=patience, connect_timeout=connect_timeout, attempts=attempts)
        self._limits = limits
        self._teller = EventTeller(on_event)
        self._recorder = HostRecorder(audit, arguments=audit_arguments, tell=self._recorded)
        self._identities: dict[str, str] = {}
        self._gate = ConsentGate(
            consent,
            policy,
            Decisions() if decisions is None else decisions,
            self._recorder,
            identities=self._identities,
            listed=lambda name: self._servers[name].known_tools,
        )
        self._answering = QuestionSettings(
            elicitation=elicitation,
            open_address=open_address,
            sampling=sampling,
            budget=sampling_budget,
            review_answers=review_answers,
            roots=roots,
        )
        self._questions: dict[str, ServerQuestions] = {}
        self._sources: dict[str, None] = {}
        self._servers: dict[str, HostedServer] = {}
        self._opened = self._closed = False
        self._loop = ModelLoop(self.tools, self._answer)
        for name, given in servers.items():
            self._servers[name] = self._made(name, given)

    def _made(self, name: str, given: Any) -> HostedServer:
        target, options = target_of(given)
        self._identities[name] = identity_of(target, options)
        questions = ServerQuestions(
            name,
            self._gate,
            self._answering,
            options,
            lambda: tuple(self._sources),
            login_begins=partial(self._login_begins, name),
        )
        self._questions[name] = questions
        return HostedServer(
            name,
            target,
            options,
            handlers=questions.handlers(),
            upkeep=self._upkeep,
            tell=partial(self._tell, name),
        )

    def _login_begins(self, name: str) -> None:
        if (server := self._servers.get(name)) is not None:
            server.login_begins()

    def _recorded(self, record: HostRecord) -> None:
        self._teller.tell(record.event, record.server, record)

    def _tell(self, server: str, kind: Any, value: Any) -> None:
        self._teller.tell(kind, server, value)

    # Life

    async def open(self) -> "Host":
        """Begin to connect to all servers, side by side. Waits for none of them. Does nothing when open.

        Raises `Closed`.
        """
        self._check()
        self._opened = True
        for server in self._servers.values():
            server.start()
        return self

    def _check(self) -> None:
        if self._closed:
            raise Closed("the host is closed; make another")

    async def close(self) -> None:
        """Let go of all servers; those that were started are ended. Idempotent, bounded."""
        self._closed = True
        await asyncio.gather(*(server.close() for server in self._servers.values()))
        self._teller.close()

    async def __aenter__(self) -> "Host":
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Servers

    @property
    def servers(self) -> Mapping[str, HostedServer]:
        """The servers by their names."""
        return dict(self._servers)

    def server(self, name: str) -> HostedServer:
        """The server of this name. Raises `LocalProtocolError` if there is none."""
        try:
            return self._servers[name]
        except KeyError:
            known = ", ".join(self._servers) or "none"
            raise LocalProtocolError(f"the host has no server {name!r}; it has: {known}") from None

    async def add(self, name: str, target: Any) -> HostedServer:
        """One more server, as the constructor takes them; it is connected at once if the host is open.

        Raises `LocalProtocolError` for a name that is taken, or that no server can have, and for an entry of a
        configuration; `Closed`.
        """
        self._check()
        if name in self._servers:
            raise LocalProtocolError(f"the host has a server {name!r} already; remove it first")
        check_target(name, target)
        server = self._servers[name] = self._made(name, target)
        if self._opened:
            server.start()
        return server

    async def remove(self, name: str) -> None:
        """Let go of a server. Raises `LocalProtocolError` if there is none."""
        server = self.server(name)
        del self._servers[name], self._questions[name]
        await server.close()

    def restart(self, name: str) -> None:
        """Connect to a server from the beginning: after a login, or once what was wrong is mended. A server that the
        host started is ended and started again. Raises `LocalProtocolError` if there is none.
        """
        self.server(name).restart()

    def visit_done(self, name: str, elicitation_id: str | None = None) -> None:
        """The person has been at the address that a call of this server waits for: it is made again now.

        ``elicitation_id``: of the `Visit`, or its ``url``; None: all visits that calls of the server wait for. To be
        called on the host's event loop. Raises `LocalProtocolError` if there is no such server.
        """
        self.server(name).visit_done(elicitation_id)

    async def settled(self, timeout: float | None = None) -> bool:
        """Wait until every server is ready, failed, or needs a login; whether all got there in ``timeout`` seconds."""
        waits = [
            server.wait_for("ready", "failed", "needs_login", timeout=timeout)
            for server in self._servers.values()
        ]
        found = await asyncio.gather(*waits, return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, RequestTimeout):
                raise each
        return not any(isinstance(each, BaseException) for each in found)

    def new_session(self) -> None:
        """Begin another conversation: what was decided for the session holds no more, budgets are whole again, and
        nothing of the results before is in it. Call it when the model's context is a new one, and not before.
        """
        self._gate.decisions.new_session()
        self._sources.clear()
        for questions in self._questions.values():
            questions.new_session()

    def events(self) -> EventReader:
        """Everything that happens from now on: ``async for event in host.events(): ...``."""
        return self._teller.reader()

    # What they offer

    async def tools(self, *, fresh: bool = False) -> list[HostTool]:
        """The tools of all servers, by server and then as they list them. Of a server that has no connection, what it
        listed before. ``fresh``: ask all of them.
        """
        found: list[HostTool] = []
        every = list(self._servers.values())
        for server, tools in zip(
            every, await asyncio.gather(*(each.tools(fresh=fresh) for each in every)), strict=True
        ):
            found += self._named(server, tools)
        return found

    def _named(self, server: HostedServer, tools: Mapping[str, Tool]) -> list[HostTool]:
        """Tools with their names for models. Two that would share one differ in nothing that a digest shows: the first
        counts.
        """
        named: dict[str, HostTool] = {}
        for own, tool in tools.items():
            name = tool_name(server.name, own)
            if name not in named:
                named[name] = self._shown(name, server.name, tool)
        return list(named.values())

    def _shown(self, name: str, server: str, tool: Tool) -> HostTool:
        definition = definition_of(tool)
        before = self._gate.decisions.shown(server, self._identities[server], tool.name)
        return HostTool(
            name=name,
            server=server,
            tool=tool,
            shadows=tuple(
                each.name
                for each in self._servers.values()
                if each.name != server and tool.name in each.known_tools
            ),
            hidden=hidden_in(definition),
            changed=() if before is None else changes_of(before, definition),
        )

    async def tool(self, name: str) -> HostTool:
        """The tool of this name. Raises `LocalProtocolError` if there is none, `ServerUnavailable` if nobody knows."""
        server = self._server_in(name, "tool")
        found = {each.name: each for each in self._named(server, await server.tools())}
        if name not in found:
            await server.usable()  # else it may have the tool, and can't say so
            raise LocalProtocolError(f"the server {server.name!r} has no tool that is called {name!r} here")
        return found[name]

    def _server_in(self, name: str, what: str) -> HostedServer:
        server = self._servers.get(server_of(name))
        if server is None:
            raise LocalProtocolError(
                f"there is no {what} {name!r} in this host; it begins with no server's name"
            )
        return server

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: Seconds = UNSET,
        progress: ProgressHandler | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> HostResult:
        """Call a tool by its name in this host. A failure of the tool is a result with ``is_error``.

        A server that is being connected is waited for. A call that was refused before any work, because a session or a
        connection was gone, is made once more when there is another. ``timeout``: seconds without an answer or
        progress; ``progress``, ``meta``: as of `Client.call_tool`. Raises what that raises, `ServerUnavailable`, and
        `LocalProtocolError` for an unknown name.
        """
        found, given, request = await self._allowed(
            name, None if arguments is None else plain_arguments(arguments)
        )
        server, agreed = self.server(found.server), definition_of(found.tool)
        heard = None if progress is None else server.progress_for(progress)
        settings: dict[str, Any] = {"timeout": timeout, "progress": heard, "meta": meta}

        async def use(client: Client) -> ToolResult:
            now = server.known_tools.get(found.tool.name)
            if now is None or definition_of(now) != agreed:  # it was connected anew meanwhile
                raise ConsentRefused(
                    f"the tool {name!r} is not what was agreed to any more", request=request, by="policy"
                )
            return await client.call_tool(found.tool.name, given, **settings)

        async def run() -> HostResult:
            async with asyncio.timeout(self._limits.seconds) as clock:
                try:
                    raw = await self._used(server, use)
                except asyncio.CancelledError:
                    if clock.expired():
                        raise RequestTimeout(
                            f"{name!r} took longer than the {self._limits.seconds} seconds of a call"
                        ) from None
                    raise
            return result_of(name, server.name, raw, self._limits)

        return await self._noted(server.name, "tool", name, run)

    # For a model

    async def tools_for(self, format: FormatName) -> list[Any]:
        """The tools of all servers, to be handed to a model: definitions for the API of "openai-chat",
        "openai-responses", "anthropic" or "gemini"; objects of "langchain" or "pydantic-ai", which call the host
        themselves. Raises `LocalProtocolError` for another format; ImportError without the framework.
        """
        return await self._loop.tools_for(format)

    async def run_tool_call(self, format: FormatName, call: ModelCall) -> list[dict[str, Any]]:
        """Make one call of a model (`dovetail.models.calls_of` finds them), as `call`; the messages that answer it.

        What becomes of it is an answer, also that it was refused, or failed. Raises `Closed`, and `LocalProtocolError`
        for a format that is none of an API.
        """
        return await self._loop.run_tool_call(format, call)

    async def run_tool_calls(self, format: FormatName, response: Any) -> list[dict[str, Any]]:
        """Make all calls of a model's response, side by side; the messages that answer them, to be appended after the
        response. None for no calls: then the model has finished. Raises as `run_tool_call`.
        """
        return await self._loop.run_tool_calls(format, response)

    async def _answer(self, name: str, arguments: dict[str, Any]) -> CallAnswer:
        return answer_of(await self.call(name, arguments))

    async def _allowed(
        self, name: str, arguments: dict[str, Any] | None
    ) -> tuple[HostTool, dict[str, Any] | None, ConsentRequest]:
        """The tool, with what it may be called, and what was agreed to. Asked again if it changed while a person
        looked at it; nobody is asked about a server that can't be used.
        """
        await self._server_in(name, "tool").usable()
        found = await self.tool(name)
        looked_at = 0
        while True:
            request = ConsentRequest(
                kind="tool",
                server=found.server,
                name=name,
                tool=found.tool,
                arguments=arguments or {},
                shadows=found.shadows,
                sources=tuple(self._sources),
                scopes=await self._questions[found.server].scopes(),
            )
            if (looked_at := looked_at + 1) > _CHANGES:
                raise ConsentRefused(
                    f"the tool {name!r} changes while it is looked at", request=request, by="policy"
                )
            answer = await self._gate.passed(request)
            now = await self.tool(name)
            if definition_of(now.tool) == definition_of(found.tool):
                given: Any = arguments if answer.replacement is None else answer.replacement
                return now, given, request
            found = now

    async def _noted(self, server: str, kind: ConsentKind, name: str, work: Callable[[], Awaitable[T]]) -> T:
        """What comes of something that was allowed: recorded, and part of the conversation from now on."""
        began, outcome = time.monotonic(), "ok"
        self._sources[server] = None
        try:
            result = await work()
            outcome = "tool_error" if isinstance(result, HostResult) and result.is_error else "ok"
            return result
        except BaseException as problem:
            outcome = type(problem).__name__
            raise
        finally:
            duration = time.monotonic() - began
            self._recorder.put(
                "call", server=server, kind=kind, name=name, outcome=outcome, duration=duration
            )

    async def _read_from(
        self,
        server: HostedServer,
        kind: ConsentKind,
        name: str,
        arguments: Mapping[str, Any] | None,
        use: Callable[[Client], Awaitable[T]],
    ) -> T:
        request = ConsentRequest(
            kind=kind,
            server=server.name,
            name=name,
            arguments=arguments,
            sources=tuple(self._sources),
            scopes=await self._questions[server.name].scopes(),
        )
        await self._gate.passed(request)
        return await self._noted(server.name, kind, name, lambda: self._used(server, use))

    async def _used(self, server: HostedServer, use: Callable[[Client], Any]) -> Any:
        """What comes of a call, made twice where the first did no work for want of a connection."""
        client = await server.usable()
        try:
            return await use(client)
        except (TransportError, RequestTimeout, Closed) as problem:
            server.doubt(problem)
            if not problem.retry_safe or isinstance(problem, LoginRequired) or server.state == "closed":
                raise
            return await use(await server.usable())
        except DovetailError as problem:
            server.doubt(problem)
            raise

    async def resources(self) -> list[HostResource]:
        """The resources of all servers that can be asked now: what each listed in ``patience`` seconds. What fails is
        told as an event.
        """

        async def of(server: HostedServer) -> list[HostResource]:
            found: list[HostResource] = []
            try:
                client = await server.usable()
                offered = client.server_capabilities
                if offered is not None and offered.resources is None:
                    return []
                async with asyncio.timeout(self._upkeep.patience):
                    async for each in client.resources():
                        if len(found) >= MAX_LISTED:
                            self._tell(server.name, "warning", f"it lists more than {MAX_LISTED} resources")
                            break
                        found.append(HostResource(server=server.name, resource=each))
            except TimeoutError as problem:
                if isinstance(problem, DovetailError):
                    server.doubt(problem)
                seconds = self._upkeep.patience
                self._tell(
                    server.name, "warning", f"not all its resources were listed in {seconds:g} seconds"
                )
            except DovetailError as problem:
                server.doubt(problem)
                self._tell(server.name, "warning", f"its resources could not be listed: {problem}")
                return []
            return found

        lists = await asyncio.gather(*(of(server) for server in self._servers.values()))
        return [each for found in lists for each in found]

    async def read(self, server: str, uri: str | Resource) -> ReadResourceResult:
        """What a resource of a server holds. Raises what `Client.read` raises, and `ServerUnavailable`."""
        name = uri.uri if isinstance(uri, Resource) else uri
        return await self._read_from(
            self.server(server), "resource", name, None, lambda client: client.read(uri)
        )

    def icons(self, of: HostTool | HostPrompt | HostResource | str) -> list[Icon]:
        """The icons of a thing of this host that may be drawn, or of a server, by its name: see `safe_icons`. Raises
        `LocalProtocolError` for a server that there is not.
        """
        if isinstance(of, str):
            server = self.server(of)
            icons = None if server.info is None else server.info.icons
        else:
            server = self.server(of.server)
            thing = (
                of.tool
                if isinstance(of, HostTool)
                else of.prompt
                if isinstance(of, HostPrompt)
                else of.resource
            )
            icons = thing.icons
        return safe_icons(icons, url_of(server.target))

    async def prompts(self) -> list[HostPrompt]:
        """The prompts of all servers, as `tools`."""
        every = list(self._servers.values())
        lists = await asyncio.gather(*(each.prompts() for each in every))
        return [
            HostPrompt(name=prompt_name(server.name, own), server=server.name, prompt=prompt)
            for server, found in zip(every, lists, strict=True)
            for own, prompt in found.items()
        ]

    async def prompt(self, name: str, arguments: Mapping[str, Any] | None = None) -> GetPromptResult:
        """The messages of a prompt, by its name in this host (``/server:prompt``). Raises as `call` does."""
        server = self._server_in(name, "prompt")
        own = name[len(prompt_name(server.name, "")) :]
        given = None if arguments is None else plain_arguments(arguments)
        return await self._read_from(
            server, "prompt", own, given, lambda client: client.get_prompt(own, given)
        )

    async def complete(
        self, name: str, argument: str, value: str = "", context: Mapping[str, str] | None = None
    ) -> Completion:
        """Suggestions for an argument of a prompt (``/server:prompt``). Raises as `call` does."""
        server = self._server_in(name, "prompt")
        own = name[len(prompt_name(server.name, "")) :]
        return await self._used(
            server, lambda client: client.complete(PromptReference(name=own), argument, value, context)
        )

    async def complete_template(
        self,
        server: str,
        template: str,
        variable: str,
        value: str = "",
        context: Mapping[str, str] | None = None,
    ) -> Completion:
        """Suggestions for a variable of a resource template of a server. Raises as `call` does."""
        ref = ResourceReference(uri=template)
        return await self._used(
            self.server(server), lambda client: client.complete(ref, variable, value, context)
        )

    def instructions(self) -> str:
        """What the ready servers say about their use, for a system prompt: each below its name, and bounded.

        It is what servers wrote: a model has to be told to trust it no more than their results.
        """
        parts: list[str] = []
        for server in self._servers.values():
            text = server.instructions.strip()
            if len(text) > MAX_INSTRUCTIONS:
                text = f"{text[:MAX_INSTRUCTIONS]} [cut]"
            if text:
                lines = "\n".join(f"> {one_line(line)}" for line in text.splitlines())
                parts.append(
                    f"Server {server.name} (its tools begin with {tool_name(server.name, '')}):\n{lines}"
                )
        return "\n\n".join(parts)
