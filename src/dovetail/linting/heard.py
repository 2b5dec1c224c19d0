"""A message on its way through the rules, and how they say what they find.

Specification: none.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..capture.lines import CaptureLine, Sender
from ..protocol import names
from ..protocol.revisions import Profile
from ..protocol.safe_text import one_line
from .findings import Finding
from .memory import HeardConversation, HTTPExchange, Key, Memory, RequestRecord, key_of
from .rules import RULES

__all__ = ["Heard", "LineReport", "items", "member", "objects", "other", "pointer", "shown"]

_LONGEST: Final = 400
_MOST: Final = 200
_MOST_WHERE: Final = 300


class LineReport:
    """What is found in one line."""

    __slots__ = ("_begin", "_line", "_revision", "_sender", "errors", "found")

    def __init__(self, line: CaptureLine) -> None:
        self._line = line.n
        self._revision = line.revision
        self._sender: Sender = "server" if line.sender == "server" else "client"
        self._begin = ""
        #: Where errors of this message were found: the schema has nothing to add there.
        self.errors: list[str] = []
        self.found: list[Finding] = []

    def begin(self, prefix: str) -> None:
        """Another message of the line; ``prefix`` is where it stands in it."""
        self._begin = prefix
        self.errors = []

    def __call__(
        self, rule: str, what: str, where: str = "", about: int = 0, *, sender: Sender | None = None
    ) -> None:
        """Something was found. At most 200 findings of one line are kept."""
        row = RULES[rule]
        if row.severity == "error":
            self.errors.append(where)
        if len(self.found) >= _MOST:
            return
        requirement, page = row.of(self._revision)
        text = one_line(what)
        self.found.append(
            Finding(
                line=self._line,
                rule=rule,
                severity=row.severity,
                what=text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}...",
                where=one_line((self._begin + where)[:_MOST_WHERE]),
                requirement=requirement,
                page=page,
                sender=sender or self._sender,
                about=about,
            )
        )


class Heard:
    """One message: a request, a notification (``is_call``), or an answer (``asked`` is what it answers, if that is
    known). ``place``: what ids are unique within.
    """

    __slots__ = (
        "asked", "exchange", "id", "is_call", "is_request", "line", "memory", "message", "method", "params", "place",
        "profile", "result", "say", "sender", "size", "talk",
    )  # fmt: skip

    def __init__(
        self,
        message: dict[str, Any],
        line: CaptureLine,
        say: LineReport,
        memory: Memory,
        talk: HeardConversation,
        exchange: HTTPExchange | None,
        profile: Profile | None,
        size: int,
    ) -> None:
        self.message = message
        self.line = line
        self.say = say
        self.memory = memory
        self.talk = talk
        self.exchange = exchange
        self.profile = profile
        self.size = size
        self.sender: Sender = "server" if line.sender == "server" else "client"
        method = message.get("method")
        self.is_call = "method" in message
        self.is_request = self.is_call and "id" in message
        self.method = method if isinstance(method, str) else ""
        self.id: Any = message.get("id")
        self.params = objects(message.get("params"))
        result = message.get("result")
        self.result: dict[str, Any] | None = (
            cast("dict[str, Any]", result) if isinstance(result, dict) else None
        )
        self.asked: RequestRecord | None = None
        alone = exchange is not None and profile is not None and profile.stateless
        self.place: Key = (
            (talk.number, exchange.number) if alone and exchange is not None else (talk.number, 0)
        )

    @property
    def stateless(self) -> bool:
        """Whether the message is of a stateless revision."""
        return self.profile is not None and self.profile.stateless

    @property
    def stateful(self) -> bool:
        """Whether the message is of a stateful revision."""
        return self.profile is not None and not self.profile.stateless

    @property
    def meta(self) -> dict[str, Any]:
        """The ``_meta`` of the parameters."""
        return objects(self.params.get(names.META))

    def request_key(self, sender: Sender, id: object) -> Key:
        """Where the request of a sender is remembered."""
        return (*self.place, sender, type(id) is str, key_of(id))


def objects(value: object) -> dict[str, Any]:
    """The value, where it is an object; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """The value, where it is an array; else an empty one."""
    return cast("list[Any]", value) if isinstance(value, list) else []


def member(value: Any, *path: str) -> Any:
    """A member of a member; None where there is none."""
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def other(sender: Sender) -> Sender:
    """The other side."""
    return "client" if sender == "server" else "server"


def pointer(*steps: str | int) -> str:
    """A JSON pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def shown(value: object) -> str:
    """A value for a sentence, short."""
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
