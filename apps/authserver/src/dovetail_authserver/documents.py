"""Clients whose id is the address of a document that describes them (Client ID Metadata Documents).

Theory of operation. The document is fetched when a client shows up with such an id, by the fetcher that goes to public
https addresses only, in bounded time and size, and at most so many at once; a host gets only so many fetches, for
anybody can make us fetch by naming an address. What comes back has to be JSON of which `client_id` is that very
address. It is kept as long as its HTTP headers allow, at most a day, in a bounded cache; failures are kept for
nobody. Documents of this machine are read only where the operator said so.

Specification: basic/authorization/client-registration, "Client ID Metadata Documents"; OAuth Client ID Metadata
Document (draft) sections 3, 4 and 6; RFC 9111 section 5.2.2.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from dovetail.auth.oauth import ClientMetadata, MetadataInvalid, parse_client
from dovetail.security import Fetched, Fetcher, FetchFailed, FetchRefused, RateLimiter, parse_url

from . import redirects
from .refusals import OAuthError
from .settings import Bounds

__all__ = ["ClientDocuments", "is_document_id"]

_LONGEST: Final = 86_400.0
_UNSAID: Final = 300.0
_MAX_ID: Final = 1024
_MAX_AGE: Final = re.compile(r"(?:^|,)\s*max-age\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_DOTS: Final = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)


def is_document_id(id: str) -> bool:
    """Whether a client id is an address, and so to be found there or nowhere."""
    return id[:8].lower() == "https://" or id[:7].lower() == "http://"


class ClientDocuments:
    """Fetches and keeps them. `trusts`: a hook that may refuse an address, by its host for one."""

    def __init__(
        self,
        fetcher: Fetcher,
        bounds: Bounds,
        *,
        loopback: bool = False,
        trusts: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fetcher = fetcher
        self._bounds = bounds
        self._loopback = loopback
        self._trusts = trusts
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, ClientMetadata]] = OrderedDict()
        self._slots = asyncio.Semaphore(bounds.fetches)
        self._hosts = RateLimiter(0.5, 20, clock=clock)

    async def get(self, id: str) -> ClientMetadata:
        """The document of this client. Raises `OAuthError` (``invalid_client``)."""
        kept = self._kept.get(id)
        if kept is not None and kept[0] > self._clock():
            self._kept.move_to_end(id)
            return kept[1]
        host = self._check_id(id)
        if self._hosts.take(host) > 0:
            raise _refused("too many documents of its host were asked for; try again in a minute", status=503)
        try:
            async with self._slots:
                answer = await self._fetcher.get(id)
        except (FetchRefused, FetchFailed):
            # Why exactly would tell a stranger what can be reached from here.
            raise _refused("the document at this address can't be fetched") from None
        document = self._judge(id, answer)
        self._keep(id, document, _lifetime(answer))
        return document

    def _check_id(self, id: str) -> str:
        try:
            location = parse_url(id)
        except FetchRefused:
            raise _refused("the client id is no plain URL") from None
        if location.scheme != "https" and not (self._loopback and location.is_local_name):
            raise _refused("the client id must be an https URL")
        if len(id) > _MAX_ID or location.path in ("", "/") or _DOTS.search(location.path) or "#" in id:
            raise _refused("the client id must have a path, and no fragment or dot segments")
        if self._trusts is not None and not self._trusts(id):
            raise _refused("clients of this host are not accepted here")
        return location.host

    def _judge(self, id: str, answer: Fetched) -> ClientMetadata:
        kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        if answer.status != 200 or answer.url != id:
            raise _refused("there is no document at this address")
        if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
            raise _refused("the document is not served as JSON")
        if len(answer.body) > self._bounds.registration:
            raise _refused(f"the document has more than {self._bounds.registration} bytes")
        try:
            found = parse_client(answer.body)
        except MetadataInvalid as problem:
            raise _refused(str(problem)) from None
        if found.client_id != id:
            raise _refused("the document is for another client_id")
        if not found.client_name or not found.redirect_uris:
            raise _refused("the document lacks client_name or redirect_uris")
        if found.client_secret is not None or (found.token_endpoint_auth_method or "").startswith(
            "client_secret"
        ):
            raise _refused("a published client can't have a secret")
        for uri in found.redirect_uris:
            if problem := redirects.problem_of(uri, application_type=found.application_type or "native"):
                raise _refused(problem)
        return found

    def _keep(self, id: str, document: ClientMetadata, seconds: float) -> None:
        self._kept.pop(id, None)
        if seconds > 0:
            self._kept[id] = (self._clock() + seconds, document)
            while len(self._kept) > self._bounds.documents:
                self._kept.popitem(last=False)


def _lifetime(answer: Fetched) -> float:
    control = answer.headers.get("cache-control", "")
    if "no-store" in control.lower() or "no-cache" in control.lower():
        return 0.0
    found = _MAX_AGE.search(control)
    return _UNSAID if found is None else min(float(found[1]), _LONGEST)


def _refused(reason: str, *, status: int = 400) -> OAuthError:
    return OAuthError("invalid_client", f"This client can't be used: {reason}.", status=status, failure=True)
