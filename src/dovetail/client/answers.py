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
    Root,
)


class ElicitRequest(Struct, frozen=True, kw_only=True):
    """A form that the server wants the person to fill in.

    ``server`` says who asks and is to be shown. ``schema`` describes a flat object; ``defaults`` are what it suggests.
    Specification: client/elicitation, "Form Mode".
    """

    server: str
    message: str
    schema: dict[str, Any]

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
    ``host`` is the address's host as it will be resolved (international names in their ASCII form).
    Specification: client/elicitation, "URL Mode".
    """

    server: str
    message: str
    url: str
    host: str
    elicitation_id: str | None = None


class Accept(Struct, frozen=True):
    """The person filled in the form; fields left out take the suggested values."""

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

ElicitationHandler = Callable[[ElicitRequest], ElicitAnswer | Awaitable[ElicitAnswer]]
ApproveHandler = Callable[[Visit], bool | None | Awaitable[bool | None]]
SamplingHandler = Callable[
    [CreateMessageParams], CreateMessageResult | str | Awaitable[CreateMessageResult | str]
]
RootLike = Root | str | Path
RootsSource = Sequence[RootLike] | Callable[[], Sequence[RootLike] | Awaitable[Sequence[RootLike]]]
LogHandler = Callable[[MessageNotice], Any]
ProgressHandler = Callable[[ProgressNotice], Any]
ChangeHandler = Callable[[Change], Any]
NotificationHandler = Callable[[str, Any], Any]
RoundsMode = Literal["auto", "manual"]
