"""Questions that a handler may put to the client: a form, an address to visit, a message of its model, its
roots.

A `Question` knows what it needs of the client, how it looks on the wire in a given revision, and how its
answer is read. How it travels, as a request or inside an input-required result, is not its business.
Specification: client/elicitation, client/sampling, client/roots.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, Generic, Literal, TypedDict, TypeVar, cast

from msgspec import Raw

from ..protocol import codec, names
from ..protocol.errors import (
    Declined,
    Dismissed,
    LocalProtocolError,
    MissingCapability,
    URLElicitationRequired,
)
from ..protocol.messages import join
from ..protocol.revisions import Feature, Profile
from ..protocol.rounds import WireQuestion
from ..protocol.types import (
    ClientCapabilities,
    CreateMessageParams,
    CreateMessageResult,
    ElicitParams,
    ElicitResult,
    ListRootsParams,
    ListRootsResult,
    ModelPreferences,
    Params,
    Root,
    SamplingMessage,
    TextContent,
    Tool,
    ToolChoice,
)
from .forms import Form

T = TypeVar("T")
#: Characters of a message up to which its question is remembered.
_REMEMBERED: Final = 1024
_elicited: Final = codec.reader(ElicitResult)


class Question(ABC, Generic[T]):
    """Something to ask. ``method`` is the request it is on the wire."""

    method: str

    @abstractmethod
    def needs(self) -> dict[str, Any]:
        """The capability that the client has to declare, as it would declare it."""

    @abstractmethod
    def params(self, profile: Profile) -> Params | Raw:
        """The parameters on the wire, encoded already or not."""

    def wire(self, profile: Profile) -> WireQuestion:
        """The question as it travels."""
        return WireQuestion(self.method, profile.encode(self.params(profile)))

    @abstractmethod
    def read(self, answer: Raw) -> T:
        """The answer as the author wants it. Raises `Declined`, `Dismissed`, or what makes the answer
        invalid.
        """

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        """Raise `MissingCapability` unless revision and client can be asked this."""
        if self.method not in profile.server_requests:
            raise missing(self.needs(), f"revision {profile.revision} has no {self.method}")


class Elicit(Question[T]):
    """Ask the person to fill in a form (revision 2025-06-18 and later)."""

    method = names.ELICITATION_CREATE

    def __init__(self, message: str, form: Form[T]) -> None:
        self.message = message
        self.form = form

    def needs(self) -> dict[str, Any]:
        return {"elicitation": {}}

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        if self.method not in profile.server_requests:
            super().check(profile, capabilities)
        declared = capabilities.elicitation
        # Neither mode named means form alone (2025-11-25, client/elicitation "Capabilities").
        if declared is None or (declared.form is None and declared.url is not None):
            raise missing(self.needs(), "the client can't fill in forms")

    def params(self, profile: Profile) -> Raw:
        return Raw(join(codec.encode({"message": self.message}), _form_params(self.form, profile)))

    def wire(self, profile: Profile) -> WireQuestion:
        if len(self.message) > _REMEMBERED:
            return super().wire(profile)
        return _form_question(self.message, self.form, profile)

    def read(self, answer: Raw) -> T:
        result = _elicited.read(answer)
        if result.action != "accept":
            raise _refusal(result, self.message)
        return self.form.read(result.content or {}, size=memoryview(answer).nbytes)


@lru_cache(maxsize=256)
def _form_params(form: Form[Any], profile: Profile) -> bytes:
    """The parameters that ask for a form, but for the message: the same in each round, so they are encoded once."""
    schema = form.schema(
        defaults=profile.has(Feature.ELICITATION_DEFAULTS),
        enum_forms=profile.has(Feature.ELICITATION_ENUM_FORMS),
    )
    whole = codec.decode(profile.encode(ElicitParams(message="", mode="form", requested_schema=schema)))
    return codec.encode({name: item for name, item in whole.items() if name != "message"})


@lru_cache(maxsize=256)
def _form_question(message: str, form: Form[Any], profile: Profile) -> WireQuestion:
    """A question by form. Each round puts the same ones again, and most calls of a tool do."""
    return WireQuestion(Elicit.method, bytes(Elicit(message, form).params(profile)))


class ElicitURL(Question[None]):
    """Ask the person to visit an address, for what must not pass through the client (2025-11-25 and later).

    ``url``: the whole address, with https; http on this machine alone. ``elicitation_id``: tells this visit from
    others; by default a random one. Raises `LocalProtocolError` for an address that clients would refuse.
    Specification: client/elicitation, "URL Mode" and "Safe URL Handling".
    """

    method = names.ELICITATION_CREATE

    def __init__(self, message: str, url: str, elicitation_id: str | None = None) -> None:
        from ..protocol.uris import visit_host  # few servers ask for this

        try:
            visit_host(url)
        except ValueError as problem:
            raise LocalProtocolError(f"a person can't be sent to {url[:100]!r}: {problem}") from None
        self.message = message
        self.url = url
        self.elicitation_id = elicitation_id or os.urandom(16).hex()
        self._own_id = bool(elicitation_id)

    def needs(self) -> dict[str, Any]:
        return {"elicitation": {"url": {}}}

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        super().check(profile, capabilities)
        declared = capabilities.elicitation
        if not profile.has(Feature.ELICITATION_MODES) or declared is None or declared.url is None:
            raise missing(self.needs(), "the client can't send the person to an address")

    def params(self, profile: Profile) -> ElicitParams:
        return ElicitParams(
            message=self.message, mode="url", url=self.url, elicitation_id=self.elicitation_id
        )

    def wire(self, profile: Profile) -> WireQuestion:
        """The question. An id that nobody gave it is another one when a task puts it again."""
        question = super().wire(profile)
        if self._own_id:
            return question
        params = ElicitParams(message=self.message, mode="url", url=self.url)
        return WireQuestion(question.method, question.params, profile.encode(params))

    def read(self, answer: Raw) -> None:
        result = _elicited.read(answer)
        if result.action != "accept":
            raise _refusal(result, self.message)


class SampleOptions(TypedDict, total=False):
    """What `Context.sample` may be told besides the messages; all of it is optional, and means what `Sample` says."""

    max_tokens: int
    system_prompt: str | None
    preferences: ModelPreferences | None
    include_context: Literal["none", "thisServer", "allServers"] | None
    temperature: float | None
    stop_sequences: list[str] | None
    metadata: dict[str, Any] | None
    tools: list[Tool] | None
    tool_choice: ToolChoice | None


class Sample(Question[CreateMessageResult]):
    """Ask the client's model for a message. Deprecated since 2026-07-28: call a model provider instead.

    ``messages``: the conversation so far; a text is one message of the user. ``max_tokens``: of the answer.
    ``preferences``: what matters when the client picks a model. ``temperature`` and ``stop_sequences`` are the model's;
    ``metadata`` is for its provider. ``include_context``: deprecated; other than "none", the client has to declare it
    (since 2025-11-25). ``tools`` and ``tool_choice`` (since 2025-11-25): what the model may use; its answer then asks
    for calls, and you ask again with their results. Raises `LocalProtocolError` where uses and results of tools do not
    match. Specification: client/sampling.
    """

    method = names.SAMPLING_CREATE_MESSAGE

    def __init__(
        self,
        messages: str | Sequence[SamplingMessage],
        *,
        max_tokens: int = 1000,
        system_prompt: str | None = None,
        preferences: ModelPreferences | None = None,
        include_context: Literal["none", "thisServer", "allServers"] | None = None,
        temperature: float | None = None,
        stop_sequences: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        tools: list[Tool] | None = None,
        tool_choice: ToolChoice | None = None,
    ) -> None:
        from ..protocol.tool_balance import imbalance  # few servers ask for this

        if isinstance(messages, str):
            messages = [SamplingMessage(role="user", content=TextContent(text=messages))]
        problem = imbalance(messages)
        if problem is not None:
            raise LocalProtocolError(f"the model can't be asked this: {problem}")
        self._params = CreateMessageParams(
            messages=list(messages),
            max_tokens=max_tokens,
            system_prompt=system_prompt,
            model_preferences=preferences,
            include_context=include_context,
            temperature=temperature,
            stop_sequences=stop_sequences,
            metadata=metadata,
            tools=tools,
            tool_choice=tool_choice,
        )

    def needs(self) -> dict[str, Any]:
        lacking = {"tools": self._with_tools, "context": self._with_context}
        return {"sampling": {name: {} for name, wanted in lacking.items() if wanted}}

    @property
    def _with_tools(self) -> bool:
        return self._params.tools is not None or self._params.tool_choice is not None

    @property
    def _with_context(self) -> bool:
        return self._params.include_context not in (None, "none")

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        super().check(profile, capabilities)
        declared = capabilities.sampling
        if declared is None:
            raise missing(self.needs(), "the client does not lend its model")
        if self._with_tools and (not profile.has(Feature.SAMPLING_TOOLS) or declared.tools is None):
            raise missing(self.needs(), "the client's model can't be given tools")
        if self._with_context and profile.has(Feature.SAMPLING_CONTEXT) and declared.context is None:
            raise missing(self.needs(), "the client's model can't be given the context of servers")

    def params(self, profile: Profile) -> CreateMessageParams:
        return self._params

    def read(self, answer: Raw) -> CreateMessageResult:
        return codec.reader(CreateMessageResult).keep(answer)


class Roots(Question[list[Root]]):
    """Ask which folders the client works in. Deprecated since 2026-07-28: take paths as arguments instead."""

    method = names.ROOTS_LIST

    def needs(self) -> dict[str, Any]:
        return {"roots": {}}

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        super().check(profile, capabilities)
        if capabilities.roots is None:
            raise missing(self.needs(), "the client has no roots to tell of")

    def params(self, profile: Profile) -> ListRootsParams:
        return ListRootsParams()

    def read(self, answer: Raw) -> list[Root]:
        return codec.reader(ListRootsResult).keep(answer).roots


def missing(needed: dict[str, Any], why: str) -> MissingCapability:
    """The error for a client that can't be asked; it names what the client would have to declare."""
    name = next(iter(needed))
    return MissingCapability(
        f"this request needs the client capability {name!r}: {why}", data={"requiredCapabilities": needed}
    )


def visits_in(problem: URLElicitationRequired) -> list[ElicitURL]:
    """The addresses that an error of an author's lists. Raises `LocalProtocolError` unless it lists some."""
    data: Any = problem.data
    listed: Any = cast("dict[str, Any]", data).get("elicitations") if isinstance(data, dict) else None
    try:
        found = codec.reader(list[ElicitParams]).read(codec.encode(listed))
        visits = [ElicitURL(each.message, each.url or "", each.elicitation_id) for each in found]
    except (*codec.DECODE_ERRORS, TypeError):
        visits = []
    if not visits:
        raise LocalProtocolError(
            "URLElicitationRequired has to list where to go; make it with `visit_first(ElicitURL(...))`"
        )
    return visits


def visit_first(
    *visits: ElicitURL, message: str = "addresses have to be visited first"
) -> URLElicitationRequired:
    """The error to raise when nothing can be done before the person has visited addresses.

    It is -32042 in 2025-11-25; in 2026-07-28 the addresses are asked in a round instead. Raises `LocalProtocolError`
    for what is no `ElicitURL`, or for none at all.
    """
    given: tuple[object, ...] = visits  # authors' code is not always checked
    for each in given or (None,):
        if not isinstance(each, ElicitURL):
            raise LocalProtocolError(
                "visit_first takes the addresses as visit_first(ElicitURL(text, url)), one or several"
                + (f", not {each!r:.100}" if given else "; there was none")
            )
    listed = [
        {"mode": "url", "message": each.message, "url": each.url, "elicitationId": each.elicitation_id}
        for each in visits
    ]
    return URLElicitationRequired(message, data={"elicitations": listed})


def _refusal(result: ElicitResult, message: str) -> Declined | Dismissed:
    if result.action == "decline":
        return Declined(f"the person declined: {message}")
    return Dismissed(f"the person did not answer: {message}")
