"""What a browser may do for a view: its Content Security Policy and permissions, of what its server declares.

Theory of operation. Nothing is allowed but what is declared, and of that only what can be read as an origin: a value is
taken into a policy whole or not at all, so that none can end a directive and begin another. The Inspector's own
addresses are refused, whoever declares them. What was refused is kept with the reason, for the person to see.

Specification: MCP Apps 2026-01-26, "Host Behavior" and "Content Security Policy Enforcement"; Content Security Policy
3; Permissions Policy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, cast

from msgspec import Struct

__all__ = ["MOST_DOMAINS", "RefusedDomain", "SandboxPolicy", "policy_of"]

MOST_DOMAINS: Final = 64
"""Origins of one kind that are taken."""
_LONGEST: Final = 300
_LABEL: Final = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_ORIGIN: Final = re.compile(
    rf"(?P<scheme>https?|wss?)://(?P<any>\*\.)?(?P<host>{_LABEL}(?:\.{_LABEL})*)(?::(?P<port>\d{{1,5}}))?/?",
    re.ASCII,
)
_HERE: Final = ("localhost", "127.0.0.1", "0.0.0.0")
_KINDS: Final = ("connectDomains", "resourceDomains", "frameDomains", "baseUriDomains")
_FEATURES: Final = {
    "camera": "camera",
    "microphone": "microphone",
    "geolocation": "geolocation",
    "clipboardWrite": "clipboard-write",
}


class RefusedDomain(Struct, frozen=True):
    """A value that is in no policy. ``kind``: the member it stood in; ``reason``: why."""

    kind: str
    value: str
    reason: str


class SandboxPolicy(Struct, frozen=True):
    """The policy of a view. ``declared``: whether its server declared any; ``domains``: origins by kind, as taken.
    ``permissions``: names of the extension, such as ``clipboardWrite``.
    """

    declared: bool
    domains: dict[str, list[str]]
    permissions: list[str]
    refused: list[RefusedDomain]

    @property
    def directives(self) -> str:
        """The Content Security Policy."""
        connect, resources, frames, bases = (self.domains.get(each, []) for each in _KINDS)
        # Where nothing is declared this is the default that the specification prescribes, word for word.
        table = {
            "default-src": ["'none'"],
            "script-src": ["'self'", "'unsafe-inline'", *resources],
            "style-src": ["'self'", "'unsafe-inline'", *resources],
            "img-src": ["'self'", "data:", *resources],
            "media-src": ["'self'", "data:", *resources],
            "font-src": resources or ["'none'"],
            "connect-src": connect or ["'none'"],
            "frame-src": frames or ["'none'"],
            "object-src": ["'none'"],
            "base-uri": bases or ["'self'"],
            "form-action": ["'none'"],
        }
        return "; ".join(" ".join((name, *values)) for name, values in table.items())

    @property
    def features(self) -> list[str]:
        """What is allowed to it, by the names of Permissions Policy."""
        return [_FEATURES[each] for each in self.permissions]

    @property
    def allow(self) -> str:
        """The ``allow`` of its frames."""
        return "; ".join(self.features)


def policy_of(ui: dict[str, Any], own_ports: Iterable[int] = ()) -> SandboxPolicy:
    """The policy for a view whose ``_meta.ui`` is given. ``own_ports``: of this machine, those of the Inspector."""
    csp, permissions = ui.get("csp"), ui.get("permissions")
    refused: list[RefusedDomain] = []
    said = cast("dict[str, Any]", csp) if isinstance(csp, dict) else {}
    if csp is not None and not isinstance(csp, dict):
        refused.append(RefusedDomain("csp", _short(csp), "it is no object"))
    ports = frozenset(own_ports)
    domains = {kind: _taken(kind, said.get(kind), refused, ports) for kind in _KINDS}
    wanted = cast("dict[str, Any]", permissions) if isinstance(permissions, dict) else {}
    refused += [
        RefusedDomain(
            "permissions", _short(each), "there is no such permission, or it is not declared by an object"
        )
        for each, value in list(wanted.items())[:MOST_DOMAINS]
        if each not in _FEATURES or not isinstance(value, dict)
    ]
    granted = [each for each in _FEATURES if isinstance(wanted.get(each), dict)]
    return SandboxPolicy(bool(said), domains, granted, refused)


def _taken(kind: str, given: Any, refused: list[RefusedDomain], own_ports: frozenset[int]) -> list[str]:
    if given is None:
        return []
    if not isinstance(given, list):
        refused.append(RefusedDomain(kind, _short(given), "it is no list"))
        return []
    taken: list[str] = []
    values = cast("list[Any]", given)
    for each in values[:MOST_DOMAINS]:
        reason = _reason(each, own_ports)
        if reason:
            refused.append(RefusedDomain(kind, _short(each), reason))
        elif (origin := each.lower().removesuffix("/")) not in taken:
            taken.append(origin)
    if len(values) > MOST_DOMAINS:
        what = f"{len(values) - MOST_DOMAINS} more"
        refused.append(RefusedDomain(kind, what, f"at most {MOST_DOMAINS} are taken"))
    return taken


def _reason(value: Any, own_ports: frozenset[int]) -> str:
    """Why a value is no origin that could be allowed; "" for one that is."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return "it is no text, or too long a one"
    found = _ORIGIN.fullmatch(value.lower())
    if found is None:
        return "it is no origin, such as https://api.example.com or https://*.example.com"
    if found["any"] and "." not in found["host"]:
        return "a wildcard stands for names below a domain, not for everything"
    port = int(found["port"] or 0)
    if port > 65535:
        return "there is no such port"
    if (found["host"] in _HERE or found["host"].endswith((".localhost", ".0.0.1"))) and port in own_ports:
        return "that is the Inspector itself"
    return ""


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
