"""WWW-Authenticate: what a refusal asks for, read and written.

Theory of operation. A header may hold several challenges, and a challenge several parameters, both separated
by commas; only the shape of an element says which it is. So the value is first cut at the commas outside of
quoted strings, and then each element is a parameter of the challenge before it, or begins a new one. A
challenge with anything malformed in it is dropped whole, its neighbours stay. Everything is one pass, and
counts are bounded. One leniency: a value that should have been quoted (a URL) is taken as it stands.

Specification: RFC 9110 sections 5.6 and 11.6.1; RFC 6750 section 3; RFC 9728 section 5.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

__all__ = ["Challenge", "parse_challenges", "render_challenge"]

_MAX_LENGTH: Final = 16 * 1024
_MAX_CHALLENGES: Final = 16
_MAX_PARAMETERS: Final = 32
_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_NAME: Final = re.compile(_WORD)
_BEGINNING: Final = re.compile(rf"({_WORD})(?:[ \t]+(.+))?", re.DOTALL)
_PARAMETER: Final = re.compile(
    rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))',
    re.DOTALL,
)
_TOKEN68: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)


class Challenge(msgspec.Struct, frozen=True):
    """One challenge. ``scheme`` is lower case, as are the names in ``parameters``; ``token68`` is the rare
    form without names.
    """

    scheme: str
    parameters: Mapping[str, str]
    token68: str = ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of the ``scope`` parameter, in order, each once."""
        return tuple(dict.fromkeys(self.parameters.get("scope", "").split()))


def parse_challenges(values: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges in the values of WWW-Authenticate headers, in order.

    At most 16 KiB are read and 16 challenges returned; malformed ones are left out. Never raises.
    """
    found: list[Challenge] = []
    budget = _MAX_LENGTH
    for value in values:
        if len(value) > budget:
            break
        budget -= len(value)
        found += _challenges(value)
    return tuple(found[:_MAX_CHALLENGES])


def render_challenge(scheme: str, parameters: Mapping[str, str]) -> str:
    """One challenge as a header value; every parameter is quoted.

    What a header cannot carry (controls, anything outside ASCII) becomes a question mark. Raises ValueError
    for a scheme or a name that is not a token.
    """
    for name in (scheme, *parameters):
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not a token")
    pairs = ", ".join(f'{name}="{_quoted(value)}"' for name, value in parameters.items())
    return f"{scheme} {pairs}" if pairs else scheme


def _quoted(value: str) -> str:
    plain = "".join(character if " " <= character <= "~" else "?" for character in value)
    return plain.replace("\\", "\\\\").replace('"', '\\"')


def _challenges(value: str) -> Iterator[Challenge]:
    """The challenges of one header value."""
    scheme, token68, parameters, sound = "", "", dict[str, str](), False
    for element in _elements(value):
        rest = element
        if not _PARAMETER.fullmatch(element):
            beginning = _BEGINNING.fullmatch(element)
            if beginning is None:
                sound = False
                continue
            if scheme and sound:
                yield Challenge(scheme, parameters, token68)
            token68, parameters, sound = "", {}, True
            scheme, rest = beginning[1].lower(), (beginning[2] or "").strip(" \t")
            if not rest:
                continue
            if _TOKEN68.fullmatch(rest):
                token68 = rest
                continue
        parameter = _PARAMETER.fullmatch(rest)
        name = parameter[1].lower() if parameter else ""
        if parameter is None or token68 or name in parameters or len(parameters) >= _MAX_PARAMETERS:
            sound = False
            continue
        quoted = parameter[2]
        parameters[name] = parameter[3] if quoted is None else _ESCAPE.sub(r"\1", quoted)
    if scheme and sound:
        yield Challenge(scheme, parameters, token68)


def _elements(value: str) -> Iterator[str]:
    """The parts between the commas that stand outside of quoted strings; empty ones are left out.

    A string that is never closed makes its element malformed, which is what the caller finds out.
    """
    start, quoted, escaped = 0, False, False
    for index, character in enumerate(value):
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            if element := value[start:index].strip(" \t"):
                yield element
            start = index + 1
    if element := value[start:].strip(" \t"):
        yield element
