"""What a host's handlers are asked and what they may answer: forms, addresses to visit, models, folders.

Specification: client/elicitation, client/sampling, client/roots.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from ..protocol.listening import Change
from ..protocol.types import (
    CreateMessageParams,
    CreateMessageResult,
    ElicitResult,
    MessageNotice,
    ProgressNotice,
    RequestId,
    Root,
)
from .server_warnings import ServerWarning


class CallInfo(Struct, frozen=True, kw_only=True):
    """The call that a handler is asked or told something for.

    ``method``: such as "tools/call"; ``name``: of the tool or prompt, or the URI of the resource; empty for a method
    without one. ``id``: of the request, as it went over the wire. ``meta``: what the caller gave as ``meta=``.

    A handler gets it as its second argument, if it takes two. It is None where the call is not known: some messages of
    the stateful era do not say which call they belong to, and several are in progress.
    """

    method: str
    name: str = ""
    id: RequestId | None = None
    meta: Mapping[str, Any] | None = None


class ElicitRequest(Struct, frozen=True, kw_only=True):
    """A form that the server wants the person to fill in.

    ``server`` says who asks and is to be shown. ``schema`` describes a flat object; ``defaults`` are what it suggests.
    A field that may be null is shown as one that may be left out. ``call``: for which call, if that is known.
    Specification: client/elicitation, "Form Mode".
    """

    server: str
    message: str
    schema: dict[str, Any]
    call: CallInfo | None = None

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The schema of each field, by name."""
        return dict(self.schema.get("properties") or {})

    @property
    def defaults(self) -> dict[str, Any]:
        """The fields that come with a suggestion."""
        return {name: field["default"] for name, field in self.fields.items() if "default" in field}


class Visit(Struct, frozen=True, kw_only=True):
    """An address that the server wants the person to visit.

    Show ``server``, ``message`` and the whole ``url``, and ask.

    Nothing has been fetched from the address. Open it only after consent, where neither client nor model can look in.
    ``host`` is the address's host as it will be resolved (international names in their ASCII form). ``call``: for which
    call, if that is known. ``call_waits``: whether the call waits for the end of the visit, to be made again then; in
    2026-07-28 it always may, since the server alone knows whether it does.
    Specification: client/elicitation, "URL Mode".
    """

    server: str
    message: str
    url: str
    host: str
    elicitation_id: str | None = None
    call: CallInfo | None = None
    call_waits: bool = False


class Accept(Struct, frozen=True):
    """The person filled in the form; fields left out take the suggested values. None: an optional field is to be
    empty, whatever was suggested.
    """

    content: Mapping[str, Any] = {}


class Decline(Struct, frozen=True):
    """The person said no."""


class Cancel(Struct, frozen=True):
    """The person closed the question without answering."""


ElicitAnswer = (
    Accept | Decline | Cancel | ElicitResult | Mapping[str, Any] | str | int | float | list[str] | None
)
"""What an elicitation handler may return.

A mapping is accepted content; a plain value answers a form of one field; None means that the person closed the form.
"""

Consent = bool | Literal["done"] | None
"""What an ``approve`` handler may return.

True: the person agreed to visit the address. "done": the person agreed and has been there, so that nothing is waited
for. False: no. None: the question was closed.
"""

_Form = ElicitAnswer | Awaitable[ElicitAnswer]
_Consent = Consent | Awaitable[Consent]
_Sampled = CreateMessageResult | str | Awaitable[CreateMessageResult | str]
# The second form is that of handlers which take the call, too; it says nothing of its parameters, since a function may
# have others of its own, with defaults.
ElicitationHandler = Callable[[ElicitRequest], _Form] | Callable[..., _Form]
ApproveHandler = Callable[[Visit], _Consent] | Callable[..., _Consent]
SamplingHandler = Callable[[CreateMessageParams], _Sampled] | Callable[..., _Sampled]
RootLike = Root | str | Path
_Roots = Sequence[RootLike] | Awaitable[Sequence[RootLike]]
RootsSource = Sequence[RootLike] | Callable[[], _Roots] | Callable[[CallInfo | None], _Roots]
LogHandler = Callable[[MessageNotice], Any] | Callable[..., Any]
ProgressHandler = Callable[[ProgressNotice], Any] | Callable[..., Any]
WarningHandler = Callable[[ServerWarning], Any]
ChangeHandler = Callable[[Change], Any]
NotificationHandler = Callable[[str, Any], Any]
StderrHandler = Callable[[str], Any]
RoundsMode = Literal["auto", "manual"]
