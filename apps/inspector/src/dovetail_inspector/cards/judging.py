"""What is wrong with a card: with what it says, and with how it is served.

Specification: SEP-2127, "ServerCard"; discovery, "CORS Requirements", "Caching", "Transport Security", "Information
Disclosure".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any, Final, Literal, cast
from urllib.parse import urlsplit

from dovetail.schemas import compile_schema
from dovetail.security import in_place

from ..views import FindingView
from .fetching import CARD_TYPE, FetchedCard
from .schema import CARD_SCHEMA

__all__ = ["judge_card"]

_RANGE: Final = re.compile(r"^\s*[\^~<>=]|\s\|\|\s|(^|\.)[xX*]($|\.)|\s-\s")
_SEMANTIC: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
_VARIABLE: Final = re.compile(r"\{([a-zA-Z_][a-zA-Z0-9_]*)\}")
_PRIMITIVES: Final = ("tools", "resources", "prompts", "capabilities")
_LOCAL: Final = ("localhost", ".local", ".internal", ".localdomain", ".lan", ".home.arpa")
_MOST: Final = 100
"""Things wrong that are told of one card."""


def judge_card(fetched: FetchedCard) -> list[FindingView]:
    """What is wrong with a card that came, how it was served first."""
    found = list(_served(fetched))
    if fetched.problem:
        found.append(_note("card-json", "error", fetched.problem, of="ServerCard"))
    else:
        found += _said(fetched.content)
    return found[:_MOST]


def _note(
    rule: str, severity: Literal["error", "warning", "hint"], what: str, *, where: str = "", of: str
) -> FindingView:
    return FindingView(
        rule=rule, severity=severity, what=what, where=where, requirement=f"SEP-2127, {of}", sender="server"
    )


def _served(fetched: FetchedCard) -> Iterator[FindingView]:
    headers = fetched.headers
    location, cors, caching = "Hosted Server Card Location", "CORS Requirements", "Caching"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != CARD_TYPE:
        what = f"it is served as {kind or 'nothing in particular'}, and should be as {CARD_TYPE}"
        yield _note("card-type", "warning", what, where="content-type", of=location)
    if urlsplit(fetched.url).scheme != "https" and not _is_here(urlsplit(fetched.url).hostname or ""):
        yield _note("card-https", "error", "it is served without encryption", of="Transport Security")
    allowed = fetched.shared.get("access-control-allow-origin", headers.get("access-control-allow-origin"))
    if allowed != "*" or fetched.shared_status not in (200, 304):
        answered = f"status {fetched.shared_status}" if fetched.shared_status else "nothing"
        what = (
            f"a page of another origin can't read it: it is answered with {answered} and {allowed or 'no'} "
            "Access-Control-Allow-Origin, which has to be *"
        )
        yield _note("card-cors", "error", what, where="access-control-allow-origin", of=cors)
    if "cache-control" not in headers:
        what = "it does not say for how long it may be kept, such as public, max-age=3600"
        yield _note("card-cache", "hint", what, where="cache-control", of=caching)
    if "etag" not in headers:
        what = "it has no entity tag, so a client has to load all of it to see whether it changed"
        yield _note("card-etag", "hint", what, where="etag", of=caching)
        return
    if fetched.again != 304:
        what = f"asked whether it changed, with its own entity tag, it answers {fetched.again or 'nothing'}, not 304"
        yield _note("card-revalidation", "hint", what, where="etag", of=caching)
    exposed = {
        each.strip().lower() for each in fetched.shared.get("access-control-expose-headers", "").split(",")
    }
    if not exposed & {"etag", "*"}:
        what = "a page of another origin can't read its entity tag: ETag is none of Access-Control-Expose-Headers"
        yield _note("card-expose", "warning", what, where="access-control-expose-headers", of=cors)


def _said(card: Any) -> Iterator[FindingView]:
    of = "ServerCard"
    for each in compile_schema(CARD_SCHEMA).check(card):
        place = each.path or "the whole"
        yield _note(
            "card-schema",
            "error",
            f"{place}: expected {each.expected}, got {each.got}",
            where=each.path,
            of=of,
        )
    if not isinstance(card, dict):
        return
    members = cast("dict[str, Any]", card)
    version = members.get("version")
    if isinstance(version, str) and _RANGE.search(version):
        what = f"version is a range ({version}), and has to be one version"
        yield _note("card-version", "error", what, where="version", of=of)
    elif isinstance(version, str) and not _SEMANTIC.fullmatch(version):
        what = f"version ({version}) is not of semantic versioning, so nobody knows which of two is newer"
        yield _note("card-version", "hint", what, where="version", of=of)
    for name in _PRIMITIVES:
        if name in members:
            what = f"{name} have no place in a card: a client asks for them when it is connected"
            yield _note("card-primitives", "warning", what, where=name, of="Server Cards")
    for name in ("name", "title", "description"):
        text = members.get(name)
        if isinstance(text, str) and in_place(text) != text:
            what = f"{name} has characters that are not seen, or break lines: {in_place(text)}"
            yield _note("card-hidden", "warning", what, where=name, of=of)
    remotes = members.get("remotes")
    for at, remote in enumerate(cast("list[Any]", remotes) if isinstance(remotes, list) else []):
        if isinstance(remote, dict):
            yield from _remote(cast("dict[str, Any]", remote), f"remotes[{at}]")


def _remote(remote: dict[str, Any], where: str) -> Iterator[FindingView]:
    """What is wrong with one place that a card names."""
    url, given = remote.get("url"), remote.get("variables")
    if isinstance(url, str):
        known = set(cast("dict[str, Any]", given)) if isinstance(given, dict) else set[str]()
        for name in _VARIABLE.findall(url):
            if name not in known:
                what = f"the variable {name} of its address is described nowhere"
                yield _note("card-variable", "warning", what, where=f"{where}.url", of="Remote")
        host = _host(url)
        if host and not _is_here(host) and _is_inside(host):
            what = f"{host} is a place inside a network, and a card is public"
            yield _note("card-private", "warning", what, where=f"{where}.url", of="Information Disclosure")
    headers = remote.get("headers")
    for at, each in enumerate(cast("list[Any]", headers) if isinstance(headers, list) else []):
        header: dict[str, Any] = cast("dict[str, Any]", each) if isinstance(each, dict) else {}
        value = header.get("value", header.get("default"))
        if header.get("isSecret") is True and isinstance(value, str) and not _VARIABLE.search(value):
            what = f"the secret of the header {header.get('name')} stands in it, for everybody to read"
            place = f"{where}.headers[{at}]"
            yield _note("card-secret", "error", what, where=place, of="Information Disclosure")


def _host(url: str) -> str:
    """The host of an address, "" where a variable stands there."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return "" if "{" in host else host


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _is_inside(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)
    return not address.is_global
