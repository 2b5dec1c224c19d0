"""What every request has to pass before its body is read, on every route and for every method.

The order is that of cost and of what may be said: who is asking from where (Host, Origin, Sec-Fetch-Site),
the method, the shape of the body, what the client can read. No answer carries a CORS header unless origins
are configured; then they go into each answer to such an origin, refusals included, for else a page could
not read them. Specification: basic/transports "Security Warning"; 2026-07-28
basic/transports/streamable-http "Security & Endpoint"; the "CORS protocol" section of the WHATWG Fetch
standard.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ...protocol import names
from ...protocol.bindings.media import accepts, is_json_content_type
from ...protocol.bindings.origins import OriginPolicy, OriginRefusal, parse_host
from .answering import HeaderList, HTTPRefusal
from .head import Head

_EXPOSED: Final = (
    f"{names.HEADER_SESSION}, {names.HEADER_PROTOCOL_VERSION}, www-authenticate, retry-after".encode()
)
_ALLOWED: Final = (
    "accept",
    "authorization",
    "content-type",
    names.HEADER_LAST_EVENT_ID,
    names.HEADER_METHOD,
    names.HEADER_NAME,
    names.HEADER_PROTOCOL_VERSION,
    names.HEADER_SESSION,
)
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]{1,128}")
_MAX_REMEMBERED: Final = 256
_MAX_ASKED: Final = 64
_JSON: Final = names.MEDIA_JSON.encode()

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")

JSON_OK: Final = 1
SSE_OK: Final = 2


def with_loopback(hosts: Sequence[str]) -> tuple[str, ...] | None:
    """The names to serve besides those of loopback; None, which says loopback, when there are no others."""
    named = [parse_host(each) for each in hosts]
    if all(each is not None and each.is_loopback for each in named):
        return None
    return (*_LOOPBACK, *hosts)


class OriginCheck:
    """The rules of one endpoint, and what they said of the senders seen last."""

    def __init__(self, policy: OriginPolicy, *, cross_origin: bool) -> None:
        self._policy = policy
        self._cross_origin = cross_origin
        self._judged: dict[tuple[bytes | None, bytes | None, bytes | None], OriginRefusal | None] = {}
        self._readable: dict[bytes | None, int] = {}

    def admit(self, head: Head) -> None:
        """Let the sender pass, or raise `HTTPRefusal`. Notes the CORS headers of the answer, if it is to have
        any.
        """
        headers = head.headers
        sender = (headers.get(b"host"), headers.get(b"origin"), headers.get(b"sec-fetch-site"))
        try:
            refusal = self._judged[sender]
        except KeyError:
            refusal = self._judge(sender)
        if refusal is not None:
            raise HTTPRefusal(refusal.status, refusal.reason, reason="origin")
        if self._cross_origin and sender[1] is not None:
            head.extra = (
                (b"access-control-allow-origin", sender[1]),
                (b"access-control-expose-headers", _EXPOSED),
                (b"vary", b"Origin"),
            )
        if head.repeated is not None:
            head.check_repeated()

    def check_post(self, head: Head) -> int:
        """What the client of a POST can read (`JSON_OK`, `SSE_OK`), or `HTTPRefusal` for a body or an answer of
        no use.
        """
        headers = head.headers
        declared = headers.get(b"content-type")
        if declared != _JSON and not is_json_content_type(declared):
            raise HTTPRefusal(415, f"the content type of a message is {names.MEDIA_JSON}")
        coding = headers.get(b"content-encoding")
        if coding is not None and coding.strip().lower() != b"identity":
            raise HTTPRefusal(415, "messages are taken without a content coding")
        readable = self._can_read(headers.get(b"accept"))
        if not readable:
            raise HTTPRefusal(406, f"the client has to accept {names.MEDIA_JSON} and {names.MEDIA_SSE}")
        return readable

    def check_get(self, head: Head) -> None:
        """Raise `HTTPRefusal` unless the client reads event streams."""
        if not self._can_read(head.headers.get(b"accept")) & SSE_OK:
            raise HTTPRefusal(406, f"the client has to accept {names.MEDIA_SSE}")

    def preflight(self, head: Head, methods: Sequence[str]) -> HeaderList | None:
        """The headers that answer a CORS preflight, None when the request is none or origins are not
        configured.
        """
        asked = head.headers.get(b"access-control-request-method")
        if not head.extra or asked is None:
            return None
        wanted = head.headers.get(b"access-control-request-headers", b"").decode("latin-1").lower()
        mirrored = [
            name
            for name in (part.strip() for part in wanted.split(",")[:_MAX_ASKED])
            if name.startswith(names.HEADER_PARAM_PREFIX) and _TOKEN.fullmatch(name)
        ]
        return (
            *head.extra,
            (b"access-control-allow-methods", ", ".join(methods).encode()),
            (b"access-control-allow-headers", ", ".join((*_ALLOWED, *mirrored)).encode()),
            (b"access-control-max-age", b"600"),
        )

    def _judge(self, sender: tuple[bytes | None, bytes | None, bytes | None]) -> OriginRefusal | None:
        if len(self._judged) >= _MAX_REMEMBERED:
            self._judged.clear()
        found = self._judged[sender] = self._policy.judge(*sender)
        return found

    def _can_read(self, accept: bytes | None) -> int:
        known = self._readable.get(accept)
        if known is None:
            if len(self._readable) >= _MAX_REMEMBERED:
                self._readable.clear()
            known = (JSON_OK if accepts(accept, names.MEDIA_JSON) else 0) | (
                SSE_OK if accepts(accept, names.MEDIA_SSE) else 0
            )
            self._readable[accept] = known
        return known
