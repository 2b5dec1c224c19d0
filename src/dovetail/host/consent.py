"""What a person is asked before something is done for a model or a server, and what they may answer.

Theory of operation. A `ConsentRequest` has all that is needed to decide: who asks, what is to be done with which
arguments, what changed since it was last agreed to, what is odd about it. What a server wrote is in it as it came, and
``text`` shows it so that it can do nothing to a terminal, that blanks do not push what follows to another line, and
that what a server says of itself is no longer than somebody reads. What is to be decided on is shown whole.
Annotations of a tool are what the server says of itself: they are shown as that, and nothing is decided by them.

Specification: server/tools, "User Interaction Model", "Security Considerations"; client/elicitation, "Safe URL
Handling"; client/sampling, "Security Considerations".
"""

import ipaddress
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

from msgspec import Struct

from ..client import ElicitRequest, Visit
from ..errors import DovetailError
from ..security import in_place
from ..types import CreateMessageParams, CreateMessageResult, Tool
from .tool_definitions import ToolChange

__all__ = [
    "Approve",
    "ConsentAnswer",
    "ConsentHandler",
    "ConsentKind",
    "ConsentRefused",
    "ConsentRequest",
    "Refuse",
    "Remember",
    "warnings_of_address",
]

ConsentKind = Literal["tool", "resource", "prompt", "form", "visit", "login", "sampling", "answer", "roots"]
Remember = Literal["once", "session", "always"]
_LABELS: Final = 5
MAX_SAID: Final = 4000
"""Characters of what a server says of itself that a person is shown; how many more there are is said."""
_AROUND: Final = 200
"""Characters before the first one that changed, which are shown with it."""
MAX_FIELDS: Final = 100
"""Fields of a form that a question names."""
_WIDE: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
_BLANKS: Final = re.compile(rf"[ {_WIDE}]{{16,}}|[{_WIDE}]{{4,}}")
"""So many that a terminal would show empty lines."""


class ConsentRequest(Struct, frozen=True, kw_only=True):
    """May this be done? ``server`` is the host's name of the server that it is for, or that asks.

    By ``kind``: "tool": a model wants ``tool`` called with ``arguments``, ``name`` is the tool's in this host.
    "resource", "prompt": ``name`` is to be read, with ``arguments``. "form": the server wants ``form`` filled in.
    "visit": it wants the person to go to an address (``visit``). "login": it wants the person to log in there, so that
    it can be used with ``scopes``; without an address, the credentials of the program are to have these. "sampling":
    it wants the model to answer ``sampling``; "answer": the model's ``answer`` is to be sent to it. "roots": it wants
    to know the folders ``roots``.

    ``why``: what led to the question. ``changed``: how the tool differs from the one that was agreed to last.
    ``shadows``: other servers that have a tool of the same name. ``hidden``: characters in the tool's definition that
    nobody sees. ``sources``: servers whose results are in the conversation, from which something may flow to this one.
    ``warnings``: what is suspicious about the address.

    ``scopes``: of a login, those that it asks for; else those of the token that the server is used with, None where
    nobody knows them. ``added``: those of a login that the token before it had not.
    """

    kind: ConsentKind
    server: str
    name: str = ""
    tool: Tool | None = None
    arguments: Mapping[str, Any] | None = None
    form: ElicitRequest | None = None
    visit: Visit | None = None
    sampling: CreateMessageParams | None = None
    answer: CreateMessageResult | None = None
    roots: tuple[str, ...] = ()
    why: str = ""
    changed: tuple[ToolChange, ...] = ()
    shadows: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    scopes: tuple[str, ...] | None = ()
    added: tuple[str, ...] = ()

    @property
    def address(self) -> tuple[str, str, str] | None:
        """The whole address to visit in three parts: what is before the host, the host, to be highlighted, the rest."""
        if self.visit is None:
            return None
        before, slashes, rest = self.visit.url.partition("//")
        end = min((rest.find(each) for each in "/?#" if each in rest), default=len(rest))
        return before + slashes, rest[:end], rest[end:]

    def text(self) -> str:
        """The whole question in lines that are safe to show."""
        lines = [self._head().format(server=self.server, name=in_place(self.name))]
        if self.tool is not None:
            lines.append(f"  it says of itself: {_said(self.tool.description or '(nothing)')}")
            if self.tool.annotations is not None:
                lines.append(
                    f"  it claims (nobody checked it): {_said(_json(self.tool.annotations.to_wire()))}"
                )
        if self.arguments is not None:
            lines.append(f"  with: {_whole(_json(self.arguments))}")
        lines += [f"  it says: {_said(each.message)}" for each in (self.form, self.visit) if each is not None]
        if self.address is not None:
            before, host, after = (in_place(each) for each in self.address)
            lines.append(f"  address: {before}[{host}]{after}")
        if self.form is not None:
            names = list(self.form.fields)
            lines += [f"  asks for: {_said(name)}" for name in names[:MAX_FIELDS]]
            lines += [f"  asks for: {len(names) - MAX_FIELDS} more"] if len(names) > MAX_FIELDS else []
        told = [each.to_wire() for each in (self.sampling, self.answer) if each is not None]
        lines += [f"  text: {_whole(_json(each))}" for each in told]
        lines += [f"  folder: {in_place(each)}" for each in self.roots]
        if self.scopes:
            what = "scopes that it asks for" if self.kind == "login" else "scopes of the login"
            lines.append(f"  {what}: {', '.join(map(in_place, self.scopes))}")
        if self.added:
            lines.append(f"  MORE THAN BEFORE: {', '.join(map(in_place, self.added))}")
        lines += [f"  CHANGED since it was agreed to: {_change(each)}" for each in self.changed]
        lines += [f"  HIDDEN: {in_place(each)}" for each in self.hidden]
        lines += [f"  WARNING: {in_place(each)}" for each in self.warnings]
        if self.shadows:
            lines.append(f"  the same name is used by: {', '.join(self.shadows)}")
        if self.sources:
            lines.append(f"  results in the conversation: {', '.join(self.sources)}")
        return "\n".join(lines)

    def _head(self) -> str:
        if self.kind == "login" and self.visit is None:
            return "The server {server} wants more of the credentials that it is used with."
        return _HEADS[self.kind]


_HEADS: Final[Mapping[ConsentKind, str]] = {
    "tool": "The model wants to call {name} of the server {server}.",
    "resource": "The resource {name} of the server {server} is to be read.",
    "prompt": "The prompt {name} of the server {server} is to be used.",
    "form": "The server {server} asks for information.",
    "visit": "The server {server} wants you to visit an address.",
    "login": "The server {server} wants you to log in.",
    "sampling": "The server {server} wants the model to answer.",
    "answer": "The model's answer is to be sent to the server {server}.",
    "roots": "The server {server} wants to know your folders.",
}


class Approve(Struct, frozen=True, kw_only=True):
    """Yes. ``remember``: for this once, for the session (`Host.new_session` ends it), or always, if the host keeps
    decisions. ``reach``, of what is remembered: these very "arguments", the "tool" with any, or all tools that the
    "server" lists now. ``matching``: any arguments of the tool in which those named are texts that fit these patterns
    (``*``, ``?``, ``[...]``; a text with a ``..`` among its steps fits none). ``replacement``: what is to be used in
    place of the arguments, of the request to the model, or of its answer.

    An address is never agreed to beforehand: of visits and logins no approval is remembered, only refusals.
    """

    remember: Remember = "once"
    reach: Literal["arguments", "tool", "server"] = "tool"
    matching: Mapping[str, str] | None = None
    replacement: Any = None


class Refuse(Struct, frozen=True, kw_only=True):
    """No. ``reason``: for the model, or whoever made the call. ``remember``, ``reach``: as of `Approve`."""

    reason: str = ""
    remember: Remember = "once"
    reach: Literal["arguments", "tool", "server"] = "tool"


ConsentAnswer = Approve | Refuse | bool | None
"""What a consent handler may return: True and False are `Approve` and `Refuse` for this once; None refuses, too."""
ConsentHandler = Callable[[ConsentRequest], ConsentAnswer | Awaitable[ConsentAnswer]]


class ConsentRefused(DovetailError):
    """It was not allowed, and nothing was sent: by a person, by the policy, or because nobody was there to ask.
    ``request`` is what was asked for; ``by``: "person", "remembered", "policy", "nobody" or "audit".
    """

    def __init__(self, message: str, *, request: ConsentRequest, by: str) -> None:
        super().__init__(message)
        self.request = request
        self.by = by


def warnings_of_address(visit: Visit) -> tuple[str, ...]:
    """What is suspicious about an address: names that look like others, hosts that are numbers or have many parts."""
    host, found = visit.host, list[str]()
    labels = host.split(".")
    if any(label.lower().startswith("xn--") for label in labels):
        found.append(
            f"the host {host} stands for a name with other letters ({_decoded(host)}), made to look like another?"
        )
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        if len(labels) > _LABELS:
            found.append(
                f"the host has many parts; whom it belongs to is said at its end: {'.'.join(labels[-3:])}"
            )
    else:
        found.append("the host is a number, not a name")
    if visit.url.lower().startswith("http:"):
        found.append("what is sent there is not encrypted")
    return tuple(found)


def _decoded(host: str) -> str:
    try:
        return host.encode("ascii").decode("idna")
    except UnicodeError:
        return "which can't be read"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _change(change: ToolChange) -> str:
    before, after = change.before, change.after
    if max(len(before), len(after)) > MAX_SAID:  # what is the same at the beginning would hide what is not
        differ = (at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new)
        at = next(differ, min(len(before), len(after))) - _AROUND
        before, after = (f"...{each[at:]}" if at > 0 and each else each for each in (before, after))
    return f"{_said(change.part)} was {_said(before) or 'absent'}, is {_said(after) or 'absent'}"


def _said(text: str) -> str:
    """What a server wrote, as much of it as somebody reads."""
    if len(text) <= MAX_SAID:
        return _whole(text)
    return f"{_whole(text[:MAX_SAID])}... ({len(text) - MAX_SAID:,} more characters, which are not shown)"


def _whole(text: str) -> str:
    """All of a text in one place, where many blanks are shown as the escapes that JSON writes for them."""
    return _BLANKS.sub(lambda found: "".join(f"\\u{ord(each):04x}" for each in found[0]), in_place(text))
