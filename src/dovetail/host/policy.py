"""What a host may do without asking, and what it may not do at all: rules, written as values or in a TOML file.

Theory of operation. A rule fits by patterns of what is to be done. Of all that fit, one that denies decides; then the
first. Where none fits, the default does: what a person starts themselves, or is shown anyway (prompts, resources,
forms), is allowed, all else is asked. A flow says of two servers that nothing which the first one gave may go to the
second. Since nobody can tell what a model makes of what it read, it holds for all calls of the second from the first
result of the first one on, until the session ends.

Nothing is decided by what a server says of itself or of its tools.

    default = "ask"

    [[rules]]
    decision = "allow"
    server = "files"
    tool = "read_*"
    arguments = { path = "/home/me/notes/*" }

    [[rules]]
    decision = "deny"
    kind = "visit"
    host = "*.example"

    [[rules]]
    decision = "ask"
    kind = "tool"
    scope = ["admin", "*:write"]

    [[flows]]
    source = "mail"
    target = "web"

Specification: index, "Security and Trust & Safety"; server/tools, "Security Considerations".
"""

import os
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from ..errors import DovetailError
from .consent import ConsentKind, ConsentRequest
from .patterns import arguments_fit, name_fits, scopes_fit, uri_fits

__all__ = ["HostPolicy", "PolicyDecision", "PolicyFlow", "PolicyInvalid", "PolicyRule", "PolicyVerdict"]

PolicyDecision = Literal["allow", "deny", "ask"]
_SHOWN_ANYWAY: Final[frozenset[ConsentKind]] = frozenset({"resource", "prompt", "form"})


class PolicyInvalid(DovetailError):
    """A file of a policy can't be read: the text says where it is wrong. No rule of it is in force."""


class PolicyVerdict(NamedTuple):
    """A ``decision``, and ``why``. ``always``: it is to be asked, whatever was agreed to before."""

    decision: PolicyDecision
    why: str
    always: bool = False


class PolicyRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is decided where everything fits: patterns of the ``server``, of the ``kind`` (see `ConsentRequest`), of the
    ``tool`` by the server's own name (or prompt, or URI), of ``arguments`` by their names, of the ``host`` of an
    address to visit, and of scopes: those that a login asks for, else those of the token that the server is used with.
    A rule of visits is one of logins with an address, too.

    Of a URI all spellings count, and a text with a step ``..`` may lead anywhere: a rule that allows fits where there
    is no doubt, one that denies or asks where there is.

    ``scope``: one pattern or several. A rule that allows fits where there are scopes and all of them fit; one that
    denies or asks, where any does, or nobody knows them (a token of one's own).
    """

    decision: PolicyDecision
    server: str = "*"
    kind: str = "*"
    tool: str = "*"
    arguments: Mapping[str, str] = {}
    host: str = "*"
    scope: str | tuple[str, ...] = "*"

    def fits(self, request: ConsentRequest) -> bool:
        """Whether the rule is for this."""
        in_doubt = self.decision != "allow"
        own_name = request.tool.name if request.tool is not None else request.name
        if not (name_fits(self.server, request.server) and self._fits_kind(request)):
            return False
        if request.kind == "resource":
            if self.tool != "*" and not uri_fits(self.tool, own_name, in_doubt=in_doubt):
                return False
        elif not name_fits(self.tool, own_name):
            return False
        if self.host != "*" and (
            request.visit is None or not name_fits(self.host.lower(), request.visit.host.lower())
        ):
            return False
        if self.scope != "*":
            patterns = (self.scope,) if isinstance(self.scope, str) else self.scope
            if not scopes_fit(patterns, request.scopes, every=self.decision == "allow"):
                return False
        return arguments_fit(self.arguments, request.arguments, in_doubt=in_doubt)

    def _fits_kind(self, request: ConsentRequest) -> bool:
        visits = request.kind == "login" and request.visit is not None
        return name_fits(self.kind, request.kind) or (visits and name_fits(self.kind, "visit"))


class PolicyFlow(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Nothing from servers that fit ``source`` goes to others that fit ``target``; or, with ``decision`` "ask", only
    after a person agreed.
    """

    source: str
    target: str
    decision: Literal["deny", "ask"] = "deny"


class HostPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rules and flows. ``default``: where no rule fits; None: "ask", but "allow" for prompts, resources and forms."""

    default: PolicyDecision | None = None
    rules: tuple[PolicyRule, ...] = ()
    flows: tuple[PolicyFlow, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "HostPolicy":
        """The policy in a TOML file. Raises `PolicyInvalid`, OSError."""
        text = Path(path).read_bytes()
        try:
            return msgspec.convert(tomllib.loads(text.decode()), cls)
        except (ValueError, RecursionError) as problem:
            raise PolicyInvalid(f"the policy {os.fspath(path)!r} can't be read: {problem}") from None

    def decide(self, request: ConsentRequest) -> "PolicyVerdict":
        """What is decided."""
        fitting = [each for each in self.rules if each.fits(request)]
        if any(each.decision == "deny" for each in fitting):
            return PolicyVerdict("deny", "a rule of the policy")
        flow, source = self._flow(request.server, request.sources)
        if flow is not None and flow.decision == "deny":
            return PolicyVerdict("deny", f"what {source!r} gave may not go to {request.server!r}")
        if flow is not None:
            why = f"something that {source!r} gave may go to {request.server!r}"
            return PolicyVerdict("ask", why, always=True)
        if fitting:
            return PolicyVerdict(fitting[0].decision, "a rule of the policy")
        default = self.default or ("allow" if request.kind in _SHOWN_ANYWAY else "ask")
        return PolicyVerdict(default, "the default of the policy")

    def _flow(self, target: str, sources: Collection[str]) -> tuple[PolicyFlow | None, str]:
        """The flow that forbids most, and its source."""
        found = [
            (flow, source)
            for flow in self.flows
            for source in sources
            if source != target and name_fits(flow.source, source) and name_fits(flow.target, target)
        ]
        found.sort(key=lambda each: each[0].decision == "ask")
        return found[0] if found else (None, "")
