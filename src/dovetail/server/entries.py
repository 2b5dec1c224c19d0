"""What an app offers, one entry each: a tool, a resource, a template, a prompt.

An entry joins the description that clients see with the function behind it. All that can be known
beforehand is worked out at registration: schema, decoder, result conversion, header parameters.
Specification: server/tools, server/resources, server/prompts.
"""

from collections.abc import Mapping
from typing import Any, Literal, NoReturn, TypeGuard, TypeVar

from msgspec import UNSET
from msgspec.structs import replace

from ..logs import get_logger
from ..protocol import names
from ..protocol.call import Call
from ..protocol.errors import (
    Declined,
    Dismissed,
    FeatureUnavailable,
    InternalError,
    MissingCapability,
    RPCError,
    ToolError,
    URLElicitationRequired,
)
from ..protocol.header_parameters import HeaderParameter, header_parameters
from ..protocol.revisions import Feature
from ..protocol.revisions.projection import WRAPPED
from ..protocol.types import (
    CallToolResult,
    GetPromptResult,
    InputRequired,
    Prompt,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    TextContent,
    Tool,
)
from ..protocol.types.requests import CacheableResult
from ..protocol.uri_template.template import URITemplate
from ..runtime.channel import Channel
from ..runtime.dispatch import Handler
from ..runtime.extension import NO_EXTENSIONS, Extensions, ServedTool, TaskOptions
from .arguments import ArgumentsPlan, BadArguments
from .context import Context, opened_rounds
from .output import OutputPlan
from .running import Runner

R = TypeVar("R", bound=CacheableResult)
CacheScope = Literal["public", "private"]

log = get_logger("dovetail.server")


class ToolEntry:
    """A tool and the function behind it."""

    def __init__(
        self,
        tool: Tool,
        runner: Runner,
        arguments: ArgumentsPlan,
        output: OutputPlan,
        *,
        mask_errors: bool = True,
        task: TaskOptions | None = None,
        extensions: Extensions = NO_EXTENSIONS,
    ) -> None:
        self.tool = tool
        self.served = ServedTool(tool=tool, task=task, asks_first=runner.asks_first)
        self.answer: Handler = extensions.around_tool(self.served, self.call)
        self.single_use = runner.policy.single_use
        self._runner = runner
        self._arguments = arguments
        self._output = output
        self._mask_errors = mask_errors
        self.header_parameters: tuple[HeaderParameter, ...] = header_parameters(tool.input_schema)

    @property
    def name(self) -> str:
        """The tool's name."""
        return self.tool.name

    async def call(self, call: Call, channel: Channel) -> CallToolResult | InputRequired:
        """Run the tool. What the model can act on comes back as an error result; protocol errors are raised."""
        params: Any = call.params
        context: Context | None = None
        if params.request_state is not None:  # judged before anything of the author's sees what came with it
            context = await self._runner.context(call, channel)
        try:
            values = self._arguments.decode(params.arguments)
        except BadArguments as problem:
            return _error(str(problem))
        if channel.lean:
            call.forget()
        if self.single_use:
            return await self._call_redeemed(call, channel, values, context)
        try:
            value = await self._runner.run(call, channel, values, context)
            return value if isinstance(value, InputRequired) else self._result(call, value)
        except URLElicitationRequired as visits:
            return await self._demanded(call, channel, visits)
        except Exception as problem:  # noqa: BLE001 - told to the model, and logged, in one place
            return self._failed(call, channel, problem)

    async def _demanded(
        self, call: Call, channel: Channel, visits: URLElicitationRequired
    ) -> CallToolResult | InputRequired:
        """Ask for visits that the tool demands, as the revision does it, if this client can be asked for them."""
        try:
            return await self._runner.demanded(call, channel, visits)
        except Exception as problem:  # noqa: BLE001 - as in `call`
            return self._failed(call, channel, problem)

    async def _call_redeemed(
        self, call: Call, channel: Channel, values: tuple[Any, ...], context: Context | None
    ) -> CallToolResult | InputRequired:
        """As `call`, but a request that was answered before gets that reply again."""
        if context is None:
            context = await self._runner.context(call, channel)
        known = context
        result = await self._runner.redeemed(
            known, CallToolResult, lambda: self._answer(call, channel, values, known)
        )
        rounds = opened_rounds(known)
        early = rounds is not None and rounds.stepped and not rounds.replayed
        if early and self._runner.policy.once and self._runner.checked:
            log.warning(
                "%s runs once, and has a step before its first question: until a reply has reached the client, "
                "a call has no identity, so that step runs again if the reply is lost; ask first",
                self.name,
            )
        return result

    async def _answer(
        self, call: Call, channel: Channel, values: tuple[Any, ...], context: Context | None = None
    ) -> CallToolResult | InputRequired:
        try:
            value = await self._runner.run(call, channel, values, context)
            return value if isinstance(value, InputRequired) else self._result(call, value)
        except Exception as problem:  # noqa: BLE001 - told to the model, and logged, in one place
            return self._failed(call, channel, problem)

    def _result(self, call: Call, value: Any) -> CallToolResult:
        result = self._output.convert(value)
        if self._output.wraps and not call.profile.has(Feature.ANY_STRUCTURED_CONTENT):
            return _wrapped(result)
        return result

    def _failed(self, call: Call, channel: Channel, problem: Exception) -> CallToolResult:
        """What the model is told of a failure. Raises and is called as `failed_tool`."""
        return failed_tool(self.name, call, channel, problem, mask=self._mask_errors)


class ResourceEntry:
    """A resource, or a family of them, and the function that reads it. ``ttl`` in seconds, for clients that
    cache.
    """

    def __init__(
        self,
        described: Resource | ResourceTemplate,
        runner: Runner,
        *,
        template: URITemplate | None = None,
        ttl: float = 0.0,
        scope: CacheScope = "private",
        mask_errors: bool = True,
    ) -> None:
        from .contents import ContentsPlan  # what a server of tools alone does without
        from .texts import TextArguments

        self.described = described
        self.template = template
        self.single_use = runner.policy.single_use
        uri = described.uri if isinstance(described, Resource) else described.uri_template
        self._called = f"resource {uri!r}"
        self._mask_errors = mask_errors
        self._runner = runner
        self._texts = TextArguments(runner.plan)
        self._contents = ContentsPlan(runner.plan, described.mime_type)
        self._ttl_ms = int(max(ttl, 0.0) * 1000)
        self._scope: CacheScope = scope

    async def read(
        self, call: Call, channel: Channel, uri: str, variables: Mapping[str, str | list[str]]
    ) -> ReadResourceResult | InputRequired:
        """The contents of one resource."""
        context = await self._runner.judged(call, channel)
        values = self._texts.read(variables)
        try:
            if self.single_use and context is not None:

                async def answer() -> ReadResourceResult | InputRequired:
                    return self._result(call, uri, await self._runner.run(call, channel, values, context))

                return await self._runner.redeemed(context, ReadResourceResult, answer)
            try:
                value = await self._runner.run(call, channel, values, context)
            except URLElicitationRequired as visits:
                value = await self._runner.demanded(call, channel, visits)
            return self._result(call, uri, value)
        except Exception as problem:  # noqa: BLE001 - raised again, or told and logged, in one place
            tell_failure(self._called, problem, channel, mask=self._mask_errors)

    def _result(self, call: Call, uri: str, value: Any) -> ReadResourceResult | InputRequired:
        if isinstance(value, InputRequired):
            return value
        result = self._contents.result(value, uri)
        if not call.profile.has(Feature.CACHE_HINTS):
            return result
        return hinted(result, self._ttl_ms, self._scope)


class PromptEntry:
    """A prompt and the function that writes it."""

    def __init__(self, prompt: Prompt, runner: Runner, *, mask_errors: bool = True) -> None:
        from .messages import MessagesPlan  # as above
        from .texts import TextArguments

        self.prompt = prompt
        self.single_use = runner.policy.single_use
        self._mask_errors = mask_errors
        self._runner = runner
        self._texts = TextArguments(runner.plan)
        self._said = MessagesPlan(runner.plan, prompt.description)

    async def get(
        self, call: Call, channel: Channel, arguments: Mapping[str, str]
    ) -> GetPromptResult | InputRequired:
        """The messages of the prompt. Raises `InvalidParams` for arguments that are missing, bad or not its own."""
        context = await self._runner.judged(call, channel)
        self._texts.refuse_strangers(arguments)
        values = self._texts.read(arguments)
        try:
            if self.single_use and context is not None:

                async def answer() -> GetPromptResult | InputRequired:
                    return self._result(await self._runner.run(call, channel, values, context))

                return await self._runner.redeemed(context, GetPromptResult, answer)
            try:
                value = await self._runner.run(call, channel, values, context)
            except URLElicitationRequired as visits:
                value = await self._runner.demanded(call, channel, visits)
            return self._result(value)
        except Exception as problem:  # noqa: BLE001 - raised again, or told and logged, in one place
            tell_failure(f"prompt {self.prompt.name!r}", problem, channel, mask=self._mask_errors)

    def _result(self, value: Any) -> GetPromptResult | InputRequired:
        return value if isinstance(value, InputRequired) else self._said.result(value)


def hinted(result: R, ttl_ms: int, scope: CacheScope) -> R:
    """A cacheable result with its hints, unless it has its own. Specification: server/utilities/caching."""
    if result.ttl_ms is not None and result.cache_scope is not None:
        return result
    return replace(
        result,
        ttl_ms=ttl_ms if result.ttl_ms is None else result.ttl_ms,
        cache_scope=scope if result.cache_scope is None else result.cache_scope,
    )


def received(problem: Exception) -> TypeGuard[RPCError]:
    """Whether an error is what somebody else answered a request of the function's own with: a server that it called by
    a `Client`, or the client that it asked. Its code is about that request, and no answer to the caller's: a caller
    would hear that it called a method which there is not. What can still be answered stays what it is: visits are
    asked, and a capability is named.
    """
    if not isinstance(problem, RPCError) or isinstance(problem, (MissingCapability, URLElicitationRequired)):
        return False
    return bool(problem.method or problem.server)


def raise_received(what: str, problem: Exception, *, mask: bool = True) -> None:
    """Raise an internal error that tells of an error that was `received`; do nothing for any other."""
    if received(problem):
        raise InternalError(_told(what, problem, mask=mask)) from problem


def _told(what: str, problem: RPCError, *, mask: bool) -> str:
    """What a caller is told of an error that was received: not from where, unless errors are told in full."""
    from ..protocol.safe_text import one_line  # only once an error is shown

    log.warning("the %s failed: %s", what, problem)
    if not mask:
        return f"The {what} failed: {problem}"
    asked = problem.method or "the opening of a connection"
    return f"The {what} failed: {asked} was answered with: {one_line(problem.message)} (code {problem.code})"


def failed_tool(name: str, call: Call, channel: Channel, problem: Exception, *, mask: bool) -> CallToolResult:
    """What the model is told of a tool that failed; protocol errors are raised again, but those that the tool received
    itself. To be called in the handler of the exception.

    A client that can't be asked is told by an error of the protocol where that has one (basic/index, "_meta").
    Before, there was none, and -32600 would say that the request was wrong: so it is a result that a model can
    read, and what is missing stands in its ``_meta``.
    """
    if channel.failing is not None:
        problem = channel.failing(problem)
    if isinstance(problem, MissingCapability) and not call.profile.stateless:
        return replace(_error(problem.message), meta={names.META_MISSING: problem.required})
    if received(problem):
        return _error(_told(f"tool {name!r}", problem, mask=mask))
    if isinstance(problem, RPCError):
        raise problem
    if isinstance(problem, FeatureUnavailable):
        _log_lack(f"the tool {name!r}", problem)
        return _error(str(problem))
    if isinstance(problem, (ToolError, Declined, Dismissed)):
        return _error(str(problem))
    log.exception("the tool %r failed", name)
    if channel.durable is not None:
        channel.durable.failed(problem)
    return _error(f"The tool {name!r} failed." if mask else f"{type(problem).__name__}: {problem}")


def tell_failure(what: str, problem: Exception, channel: Channel, *, mask: bool) -> NoReturn:
    """Raise what a resource or prompt that failed is answered with; anything unforeseen is logged here. To be called
    in the handler of the exception.
    """
    if channel.failing is not None:
        problem = channel.failing(problem)
    raise_received(what, problem, mask=mask)
    if isinstance(problem, FeatureUnavailable):
        _log_lack(f"the {what}", problem)
    if isinstance(problem, (RPCError, FeatureUnavailable, ToolError, Declined, Dismissed)):
        raise problem
    log.exception("the %s failed", what)
    text = f"The {what} failed." if mask else f"{type(problem).__name__}: {problem}"
    raise InternalError(text) from problem


def _log_lack(what: str, problem: FeatureUnavailable) -> None:
    """Log what is not there, with what the author can do about it, which stands in the exception's notes."""
    notes: list[str] = getattr(problem, "__notes__", [])
    log.warning("%s needs what is not there: %s", what, "; ".join([str(problem), *notes]))


def _error(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _wrapped(result: CallToolResult) -> CallToolResult:
    """Structured content under a schema that is no object's, for revisions that allow objects alone."""
    if result.structured_content is UNSET:
        return result
    meta = {**(result.meta or {}), names.META_WRAPPED: True}
    return replace(result, structured_content={WRAPPED: result.structured_content}, meta=meta)
