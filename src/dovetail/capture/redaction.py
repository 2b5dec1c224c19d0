"""What of a conversation is secret, and what stands in its place.

Theory of operation. Three rules say what is secret: the name that a value stands under (of a member, a header, a
variable of a query), its place (a JSON pointer), and its looks (a pattern, such as what follows ``Bearer``). A
`Redactor` goes over each message twice: first it finds secrets by these rules, then it looks for each secret that it
knows in all other texts, since servers repeat what they are told. A secret always becomes the same placeholder
(``[redacted-1]``), so that what belongs together still does: a session and the requests in it, a state and the request
that brings it back.

Names of schemas are no names of values: a tool may have a parameter ``password``, and its schema stays as it is but for
defaults and examples. What a schema calls secret (``writeOnly``, ``format: password``) is one from then on.

What is said before it is known to be a secret stays.

Specification: none; docs/recording.md, "What is left out".
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from typing import Any, Final, cast
from urllib.parse import parse_qsl, quote, urlsplit

from msgspec import Struct

from ..protocol import codec, names
from ..protocol.bindings.headers import InvalidHeaderValue, decode_value

__all__ = ["PLACEHOLDER", "Redaction", "Redactor", "is_active"]

PLACEHOLDER: Final = re.compile(r"\[redacted-[0-9]+\]")

#: A name with one of these words is that of a secret, unless its value is a number or a truth.
_WORDS: Final = frozenset(
    {
        "accesskey", "apikey", "assertion", "authorization", "bearer", "cookie", "cookies", "credential", "credentials",
        "csrf", "cvv", "dpop", "jwt", "otp", "passcode", "passphrase", "passwd", "password", "passwords", "pin",
        "privatekey", "pwd", "secret", "secretkey", "secrets", "ssn", "token", "tokens", "xsrf",
    }
)  # fmt: skip
#: Of these, a number is one, too.
_NUMBERS: Final = frozenset(
    {"cvv", "otp", "passcode", "passwd", "password", "pin", "pwd", "secret", "secrets", "ssn"}
)
#: A name that ends in one of these, or is it.
_LAST: Final = frozenset({"key", "keys", "auth", "pass", "signature"})
_PAIRS: Final = (
    ("session", "id"), ("request", "state"), ("code", "verifier"), ("authorization", "code"), ("auth", "code"),
    ("device", "code"), ("user", "code"),
)  # fmt: skip
#: How words end that others were put together with.
_ENDS: Final = ("apikey", "passwd", "password", "secret", "sessionid", "token")
#: Variables of a query that say which session or which login it is.
_IN_QUERIES: Final = frozenset({"assertion", "code", "session", "sessid", "sid", "sig", "state"})
#: Headers whose names don't sound so.
_HEADERS: Final = frozenset({"authentication-info", "proxy-authentication-info"})
#: Members that name what stands beside them, and what they may name.
_NAMING: Final = ("name", "key", "header", "variable")
_NAMED: Final = frozenset({"value", "val", "content", "values"})
#: Members that may hold bytes in base64.
_BYTES: Final = frozenset({"blob", "data"})
_LONGEST_BYTES: Final = 1024 * 1024
#: Names of the protocol that only sound so.
_HARMLESS: Final = frozenset({names.META_PROGRESS_TOKEN.lower(), "maxtokens", "stopreason"})
_SCHEMAS: Final = frozenset({"inputSchema", "outputSchema", "requestedSchema"})
_CAPABILITIES: Final = frozenset({"capabilities", names.META_CLIENT_CAPABILITIES})
_VALUES: Final = frozenset({"arguments", "structuredContent", "content"})
#: What stands under these is a word of the protocol, where it is not inside of a value.
_WORDS_OF_PROTOCOL: Final = frozenset(
    {"jsonrpc", "method", "role", "mode", "action", "resultType", "type", "level", "protocolVersion"}
)
_SAMPLES: Final = frozenset({"default", "const", "example", "examples"})
_QUESTIONS: Final = "inputRequests"
_ANSWERS: Final = "inputResponses"
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_NAME_PATTERN: Final = (
    r"(?:[A-Za-z0-9_-]{0,32}[_-])?(?:access_?token|refresh_?token|id_?token|auth_?token|token|client_?secret|secret"
    r"|password|passwd|passphrase|api[_-]?key|access_?key|private_?key|secret_?key|credentials?)"
)
_TO_LINE_END: Final = r"[\"']?([^\s\"']{4,4096})[\"']?[ \t\r]{0,8}$"
#: What a text shows by its looks; the first group that takes part is the secret.
_PATTERNS: Final = tuple(
    re.compile(each)
    for each in (
        r"(?i)\b(?:bearer|basic|dpop|negotiate)\s+([A-Za-z0-9._~+/=-]{8,})",
        r"\b(eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*)",
        r"\b((?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,})",
        r"\b((?:ghp|gho|ghu|ghs|ghr|github_pat|glpat|npm|pypi|hf)[-_][A-Za-z0-9_-]{16,})",
        r"\b(xox[a-z]-[A-Za-z0-9-]{8,})",
        r"\b((?:AKIA|ASIA)[0-9A-Z]{16})\b",
        r"\b(AIza[0-9A-Za-z_-]{35})",
        r"(-----BEGIN [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=\s\\:.,()]*"  # noqa: ISC004 - one pattern
        r"(?:-----END [A-Z ]{0,32}PRIVATE KEY(?: BLOCK)?-----)?)",
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,32}://[^\s/:@]{0,256}:([^\s/@]{1,256})@",
        r"\b[A-Za-z][A-Za-z0-9+.-]{1,32}://(?=[^\s/:@]{0,256}[0-9])([^\s/:@]{16,256})@",
        rf"(?i)\b{_NAME_PATTERN}=([^\s&\"'<>;,]{{1,4096}})",
        rf"(?i)\b{_NAME_PATTERN}\s{{0,4}}=\s{{0,4}}\\?[\"']([^\"'\\]{{1,4096}})",
        r"\b[A-Z0-9_]{0,64}_(?:KEY|TOKEN|SECRET|PASS|PWD|AUTH)\s{0,4}[=:]\s{0,4}[\"']?([^\s\"']{6,4096})",
        rf"(?im)^[ \t-]{{0,64}}[\"']?{_NAME_PATTERN}[\"']?[ \t]{{0,8}}:[ \t]{{0,8}}{_TO_LINE_END}",
        rf"(?i)\b{_NAME_PATTERN}\s{{0,4}}:\s{{0,4}}(?=[^\s\"']{{0,256}}[0-9])([^\s\"',;]{{8,4096}})",
        r"(?im)^[ \t]{0,8}(?:(?:proxy-)?authorization|(?:set-)?cookie)[ \t]{0,8}:[ \t]{0,8}([^\r\n]{4,8192})\r?$",
        rf"(?i)(?<![\w-])--?{_NAME_PATTERN}[ =]{{1,4}}[\"']?([^\s\"']{{4,4096}})",
        r"(?<![\w-])(?:-u|--user)[ =]{1,4}[\"']?[^\s:\"']{1,256}:([^\s\"']{1,4096})",
        r"(?:[?&]|^)(?:code|state|sid|session|sig|assertion|(?:user|device)_code|code_verifier)=([^\s&\"'<>#]{8,4096})",
        rf"(?i)[\"']{_NAME_PATTERN}\\?[\"']\s{{0,8}}:\s{{0,8}}\\?[\"']([^\"'\\]{{1,4096}})",
    )
)
#: Characters from which on a known secret is looked for in other texts: as a word, and anywhere.
_SCANNED: Final = 6
_ANYWHERE: Final = 10
#: Characters up to which it is; and how many are looked for at most.
_LONG: Final = 4096
_MOST: Final = 10_000


class Redaction(Struct, frozen=True, kw_only=True):
    """What is secret in a recording: the rules that Dovetail knows, and those of one's own.

    ``names``: more names (of members, headers, variables of queries) whose values are secret; case does not count.
    ``pointers``: JSON pointers into messages, such as ``/params/arguments/note``; ``*`` stands for any one member or
    item. ``patterns``: regular expressions; what their first group finds (without one, all that they find) is secret in
    any text. ``keep``: names whose values are no secrets after all. ``defaults``: whether the rules of Dovetail hold,
    too; ``Redaction(defaults=False)`` leaves everything as it was. Raises ValueError for a pointer or a pattern that is
    none.
    """

    names: tuple[str, ...] = ()
    pointers: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    defaults: bool = True

    def __post_init__(self) -> None:
        for pointer in self.pointers:
            if not pointer.startswith("/"):
                raise ValueError(f"{pointer!r} is no JSON pointer to a secret: it begins with a slash")
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as problem:
                raise ValueError(f"{pattern!r} is no regular expression: {problem}") from None

    def text(self, text: str) -> str:
        """A text with ``[redacted-1]`` and so on in the place of what looks like a secret."""
        return Redactor(self).by_looks(text)

    def is_secret(self, name: str, value: object = "") -> bool:
        """Whether what stands under a name is a secret. ``value``: what does; a number seldom is one."""
        return Redactor(self).is_secret(name, value)


def is_active(rules: Redaction) -> bool:
    """Whether there is any rule."""
    return rules.defaults or bool(rules.names or rules.pointers or rules.patterns)


class Redactor:
    """Takes what is secret out of the messages of one capture."""

    def __init__(self, rules: Redaction) -> None:
        self._rules, self._active = rules, is_active(rules)
        self._names = {each.lower() for each in rules.names}
        self._kept = {each.lower() for each in rules.keep}
        self._pointers = [_parts(each) for each in rules.pointers]
        self._patterns = (*(_PATTERNS if rules.defaults else ()), *map(re.compile, rules.patterns))
        self._placeholders: dict[str, str] = {}
        self._count = 0
        self._scanned: dict[str, re.Pattern[str]] = {}

    def placeholder(self, secret: str, *, scanned: bool = True) -> str:
        """What stands for a secret. ``scanned``: it is looked for in other texts from now on."""
        found = self._placeholders.get(secret)
        if found is None:
            self._count += 1
            found = self._placeholders[secret] = f"[redacted-{self._count}]"
        if scanned and _SCANNED <= len(secret) <= _LONG and len(self._scanned) < _MOST:
            quoted = re.escape(secret)
            self._scanned.setdefault(
                secret, re.compile(quoted if len(secret) >= _ANYWHERE else rf"(?<!\w){quoted}(?!\w)")
            )
            for other in _written_otherwise(secret):
                self._placeholders.setdefault(other, found)
                self._scanned.setdefault(other, re.compile(re.escape(other)))
        return found

    def body(self, value: Any) -> Any:
        """A message, as plain values, without its secrets. Raises RecursionError for one that is nested too deeply."""
        if not self._active:
            return value
        found = _Search(self).value(value, ())
        return self._without_known(found, values=False) if self._scanned else found

    def text(self, text: str) -> str:
        """A text without what looks like a secret, or is known to be one."""
        return self._scrubbed(self.by_looks(text))

    def by_looks(self, text: str) -> str:
        """A text without what looks like a secret."""
        for pattern in self._patterns:
            text = pattern.sub(self._replaced, text)
        return text

    def in_place(self, text: str, found: Any) -> str:
        """JSON without the secrets that ``found`` is without: written as it was, where that can be."""
        found = self._without_known(found, values=True)
        shown = self._scrubbed(text)
        try:
            return shown if codec.decode(shown.encode()) == found else codec.encode(found).decode()
        except codec.DECODE_ERRORS:
            return codec.encode(found).decode()

    def hides_wide(self, data: bytes) -> bool:
        """Whether bytes are a text in UTF-16 with a secret in it, which nothing could be put in the place of."""
        wide = (data.decode(each, "ignore") for each in ("utf-16-le", "utf-16-be"))
        return b"\0" in data and any(self.text(each) != each for each in wide)

    def headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """HTTP headers, names in lower case; of several of a name all values, joined as HTTP joins them."""
        found: dict[str, str] = {}
        for name, value in headers:
            lowered = name.lower()
            shown = self._header(lowered, value)
            found[lowered] = f"{found[lowered]}, {shown}" if lowered in found else shown
        return found

    def target(self, target: str) -> str:
        """The path and the query of a request, or a whole URL."""
        if not self._active:
            return target
        try:
            parts = urlsplit(target)
            pairs = parse_qsl(parts.query, keep_blank_values=True)
        except ValueError:
            return self.text(target)
        if pairs:
            query = "&".join(
                f"{quote(name)}={quote(self._named(name, value, _IN_QUERIES), safe='[]')}"
                for name, value in pairs
            )
            target = parts._replace(query=query).geturl()
        return self.text(target)

    def is_secret(self, name: str, value: object = "") -> bool:
        """Whether what stands under a name is a secret."""
        lowered = name.lower()
        if lowered in self._kept:
            return False
        if lowered in self._names:
            return True
        return self._rules.defaults and _sounds_secret(name, isinstance(value, (int, float)))

    def is_sure(self, name: str) -> bool:
        """Whether what stands under a name is a secret for sure, and not perhaps the key of an entry."""
        lowered = name.lower()
        return lowered in self._names or any(each.lower() in _WORDS for each in _PARTS.findall(name[-256:]))

    def learn(self, name: str) -> None:
        """A schema calls what stands under a name secret."""
        if self._rules.defaults:
            self._names.add(name.lower())

    def pointed(self, path: tuple[str, ...]) -> bool:
        """Whether a rule points at a place."""
        return any(
            len(each) == len(path)
            and all(part in ("*", there) for part, there in zip(each, path, strict=True))
            for each in self._pointers
        )

    def _named(self, name: str, value: str, more: frozenset[str]) -> str:
        sounds = self._rules.defaults and name.lower() in more and name.lower() not in self._kept
        secret = value and (sounds or self.is_secret(name))
        return self.placeholder(value) if secret else self.text(value)

    def _header(self, name: str, value: str) -> str:
        if not self._active:
            return value
        stem = name.removeprefix(names.HEADER_PARAM_PREFIX)
        if name in _HEADERS and self._rules.defaults and name not in self._kept:
            return self.placeholder(value)
        if not self.is_secret(stem) and not self.is_secret(name):
            try:
                plain = decode_value(value)
            except InvalidHeaderValue:
                plain = value
            shown = self.text(plain)
            return value if shown == plain else shown
        scheme, space, rest = value.partition(" ")
        if space and name.endswith("authorization") and rest.strip():
            return f"{scheme} {self.placeholder(rest.strip())}"
        if name in ("cookie", "set-cookie"):
            return _COOKIE.sub(lambda each: f"{each[1]}={self.placeholder(each[2])}", value)
        try:
            return self.placeholder(decode_value(value))
        except InvalidHeaderValue:
            return self.placeholder(value)

    def _replaced(self, match: re.Match[str]) -> str:
        group = next((at for at in range(1, (match.re.groups or 0) + 1) if match[at] is not None), 0)
        secret = match[group]
        if not secret or PLACEHOLDER.fullmatch(secret):
            return match[0]
        start, end = match.span(group)
        whole, begin = match[0], match.start()
        return f"{whole[: start - begin]}{self.placeholder(secret)}{whole[end - begin :]}"

    def _scrubbed(self, text: str) -> str:
        for secret, pattern in self._scanned.items():
            if secret in text:
                text = pattern.sub(self._placeholders[secret], text)
        return text

    def _without_known(self, value: Any, *, values: bool) -> Any:
        """A message without known secrets in its texts. ``values``: its names are somebody's, not the protocol's."""
        if isinstance(value, str):
            return self._scrubbed(value)
        if isinstance(value, dict):
            found: dict[str, Any] = {}
            for name, item in cast("dict[str, Any]", value).items():
                if name in _WORDS_OF_PROTOCOL and not values:
                    found[name] = item
                else:
                    below = self._without_known(item, values=values or name in _VALUES)
                    found[self._scrubbed(name) if values else name] = below
            return found
        if isinstance(value, list):
            return [self._without_known(item, values=values) for item in cast("list[Any]", value)]
        return value


_WORD: Final = re.compile(r"[A-Za-z]*|[0-9]*|.{1,7}")
#: Looked for where a word begins alone: from each place of a long one would take the square of its length.
_COOKIE: Final = re.compile(r"(?<![^=;,\s])([^=;,\s]+)=([^;,\s]+)")


class _Search:
    """One walk through a message, which finds secrets by their names, places and looks."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def value(self, value: Any, path: tuple[str, ...]) -> Any:
        redactor = self._redactor
        if redactor.pointed(path):
            return self.leaves(value, numbers=True)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return self._items(cast("list[Any]", value), path)
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            beside = self._is_named_secret(members)
            return {
                redactor.by_looks(name): self.leaves(item, numbers=True)
                if beside and name in _NAMED
                else self._member(name, item, path)
                for name, item in members.items()
            }
        return value

    def text(self, text: str) -> str:
        """A text; JSON in it is looked at as that."""
        if text.lstrip()[:1] in _OPENS and len(text) <= _LONGEST_BYTES:
            try:
                value = codec.decode(text.encode())
                found = self.value(value, _INSIDE)
            except (*codec.DECODE_ERRORS, RecursionError, UnicodeEncodeError):
                return self._redactor.by_looks(text)
            return text if found == value else self._redactor.in_place(text, found)
        return self._redactor.by_looks(text)

    def bytes(self, text: str) -> str:
        """Bytes in base64, which may be a text."""
        if len(text) > _LONGEST_BYTES:
            return text
        try:
            plain = base64.b64decode(text, validate=True).decode()
        except ValueError:
            return self.text(text)
        found = self._redactor.text(self.text(plain))
        return text if found == plain else base64.b64encode(found.encode()).decode()

    def _items(self, items: list[Any], path: tuple[str, ...]) -> list[Any]:
        """Those of a list. What follows the option of a command, such as ``--token``, is its value."""
        found: list[Any] = []
        option = False
        for at, item in enumerate(items):
            if option and isinstance(item, str):
                found.append(self.leaves(item, numbers=True))
            else:
                found.append(self.value(item, (*path, str(at))))
            name = item.lstrip("-") if isinstance(item, str) and item.startswith("-") else ""
            option = bool(name) and "=" not in name and self._redactor.is_secret(name)
        return found

    def _is_named_secret(self, members: dict[str, Any]) -> bool:
        """Whether one member names what another one holds, and that is a secret."""
        if _NAMED.isdisjoint(members):
            return False
        said = (members.get(each) for each in _NAMING)
        return any(isinstance(each, str) and self._redactor.is_secret(each) for each in said)

    def leaves(self, value: Any, *, numbers: bool, sure: bool = True) -> Any:
        """All texts below a secret, and all numbers, if those are. ``sure``: they are looked for elsewhere, too, though
        they may be words.
        """
        if isinstance(value, dict):
            members = cast("dict[str, Any]", value)
            return {name: self.leaves(item, numbers=numbers, sure=sure) for name, item in members.items()}
        if isinstance(value, list):
            return [self.leaves(item, numbers=numbers, sure=sure) for item in cast("list[Any]", value)]
        if isinstance(value, str):
            known = not value or PLACEHOLDER.fullmatch(value)
            scanned = sure or not _WORD.fullmatch(value)
            return value if known else self._redactor.placeholder(value, scanned=scanned)
        if numbers and isinstance(value, (int, float)) and not isinstance(value, bool):
            return self._redactor.placeholder(codec.encode(value).decode())
        return value

    def _member(self, name: str, item: Any, path: tuple[str, ...]) -> Any:
        redactor, below = self._redactor, (*path, name)
        above = path[-1] if path else ""
        if name in _SCHEMAS and isinstance(item, dict) and not _VALUES.intersection(path):
            return self._schema(cast("dict[str, Any]", item), below)
        if above in (_QUESTIONS, _ANSWERS) and not _VALUES.intersection(path) and isinstance(item, dict):
            return self._question(name, cast("dict[str, Any]", item), below, answer=above == _ANSWERS)
        names_only = not _CAPABILITIES.isdisjoint(path) and _VALUES.isdisjoint(path)  # of what there is
        declared = names_only and not isinstance(item, str)
        if name in _BYTES and isinstance(item, str) and not redactor.pointed(below):
            return self.bytes(item)
        if declared or isinstance(item, bool) or item is None or redactor.pointed(below):
            return self.value(item, below)
        if redactor.is_secret(name, cast("object", item)):
            if name == _STATE and isinstance(item, str):  # it is long, and nobody repeats it but the client
                return redactor.placeholder(item, scanned=False) if item else item
            return self.leaves(item, numbers=redactor.is_secret(name, 0), sure=redactor.is_sure(name))
        return self.value(item, below)

    def _question(self, key: str, item: dict[str, Any], path: tuple[str, ...], *, answer: bool) -> Any:
        """A question of a round, or an answer: its key is the name of what is asked for."""
        if not answer or not self._redactor.is_secret(key):
            return self.value(item, path)
        return {
            name: self.leaves(each, numbers=True) if name == "content" else self.value(each, (*path, name))
            for name, each in item.items()
        }

    def _schema(self, schema: dict[str, Any], path: tuple[str, ...], *, secret: bool = False) -> Any:
        """A schema: its names are none of values."""
        found: dict[str, Any] = {}
        for name, item in schema.items():
            below = (*path, name)
            if secret and name in _SAMPLES:
                found[name] = self.leaves(item, numbers=True)
            elif name in ("properties", "patternProperties", "$defs", "definitions") and isinstance(
                item, dict
            ):
                found[name] = {
                    each: self._property(each, inner, (*below, each))
                    for each, inner in cast("dict[str, Any]", item).items()
                }
            elif isinstance(item, dict):
                found[name] = self._schema(cast("dict[str, Any]", item), below, secret=secret)
            elif isinstance(item, list):
                found[name] = [
                    self._schema(cast("dict[str, Any]", each), (*below, str(at)), secret=secret)
                    if isinstance(each, dict)
                    else self.value(each, (*below, str(at)))
                    for at, each in enumerate(cast("list[Any]", item))
                ]
            else:
                found[name] = self.value(item, below)
        return found

    def _property(self, name: str, schema: Any, path: tuple[str, ...]) -> Any:
        redactor = self._redactor
        if not isinstance(schema, dict):  # no schema, whatever it calls itself
            secret = redactor.is_secret(name, schema) and not isinstance(schema, bool)
            return self.leaves(schema, numbers=True) if secret else self.value(schema, path)
        members = cast("dict[str, Any]", schema)
        if members.get("writeOnly") is True or members.get("format") == "password":
            redactor.learn(name)
        return self._schema(members, path, secret=redactor.is_secret(name))


_STATE: Final = "requestState"
_OPENS: Final = ("{", "[")
_INSIDE: Final = ("arguments",)
"""The place of JSON in a text: its names are somebody's, not the protocol's."""


def _written_otherwise(secret: str) -> set[str]:
    """A secret as it stands in URLs, and as base64."""
    if len(secret) < _ANYWHERE:
        return set()
    data = secret.encode("utf-8", "surrogatepass")
    return {quote(data, safe=""), quote(data), base64.b64encode(data).decode().rstrip("=")} - {secret}


@lru_cache(maxsize=4096)
def _sounds_secret(name: str, number: bool) -> bool:
    if name.lower() in _HARMLESS:
        return False
    words = [each.lower() for each in _PARTS.findall(name[-256:].rpartition("/")[2])]
    if number:
        return not _NUMBERS.isdisjoint(words)
    if not _WORDS.isdisjoint(words) or (words and words[-1] in _LAST):
        return True
    return any(pair == both for pair in pairwise(words) for both in _PAIRS) or any(
        each.endswith(_ENDS) for each in words
    )


def _parts(pointer: str) -> tuple[str, ...]:
    return tuple(each.replace("~1", "/").replace("~0", "~") for each in pointer[1:].split("/"))
