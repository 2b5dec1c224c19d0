"""What faults do to the requests and responses of an `HTTPRelay`.

Theory of operation. A request is struck as a whole (refused, its headers changed), then as the message in it; the
response as a whole (its headers, where it is cut), then each message in it: the document, or the events of a stream.
Without a fault that could strike, the response passes in pieces as it comes. A stream keeps its order but for events
that are held back behind others.

Specification: basic/transports; WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Final

from dovetail.recording import Forward, HTTPInterceptor, RelayedRequest, RelayedResponse

from .faults import (
    ChangedHeader,
    Cut,
    Delay,
    Disconnect,
    Drip,
    Drop,
    Duplicate,
    Error,
    HalfClose,
    Reorder,
    Status,
)
from .http_streams import HeldStream, drip, event_data, events, with_data
from .messages import Subject, SubjectTracker, decoded
from .pipe_faults import error_response, seconds_of
from .striking import FaultSet, Strike, altered

__all__ = ["HTTPFaults"]

_LINKS: Final = 1000
_STREAM: Final = "text/event-stream"


class HTTPFaults(HTTPInterceptor):
    """An interceptor that does what a `FaultSet` says."""

    def __init__(self, faults: FaultSet) -> None:
        self._faults = faults
        self._conversations: OrderedDict[int, SubjectTracker] = OrderedDict()
        self._passed = 0
        self._waiting: list[tuple[int, asyncio.Event]] = []

    async def __call__(self, request: RelayedRequest, forward: Forward) -> RelayedResponse:
        """See `HTTPInterceptor`."""
        own = SubjectTracker()
        subjects = self._subjects(request, own)
        refusal, request = self._head_of_request(request, subjects)
        if refusal is not None:
            return refusal
        strikes = self._faults.striking("message", "client", subjects)
        done = await self._message_of_request(request, strikes)
        if isinstance(done, RelayedResponse):
            return done
        request, copies, behind = done
        if behind is not None:
            await self._after_others(*behind)
        self._one_more()
        for _ in range(copies - 1):
            async for _ in (await forward(request)).body:
                pass
        response = await forward(request)
        return await self._response(
            request, response, _Judge(self._faults, request, subjects, (own, self._shared(request)))
        )

    def _subjects(self, request: RelayedRequest, own: SubjectTracker) -> list[Subject]:
        """What a request is about: its messages, or its verb where it has none."""
        if not request.body:
            return [Subject(request.method)]
        value = decoded(request.body)
        return _first(own.heard("client", value), self._shared(request).heard("client", value))

    def _shared(self, request: RelayedRequest) -> SubjectTracker:
        """What is said on the link of a request, by other requests, too."""
        number = request.link.number
        found = self._conversations.setdefault(number, SubjectTracker())
        self._conversations.move_to_end(number)
        if len(self._conversations) > _LINKS:
            self._conversations.popitem(last=False)
        return found

    def _head_of_request(
        self, request: RelayedRequest, subjects: Sequence[Subject]
    ) -> tuple[RelayedResponse | None, RelayedRequest]:
        """A refusal, or the request as it goes on."""
        for strike in self._faults.striking("request", "client", subjects):
            request.link.fault(strike.about, exchange=request.exchange)
            match strike.fault:
                case Status() as fault:
                    return _refusal(fault), request
                case ChangedHeader() as fault:
                    request = replace(request, headers=_headers(request.headers, fault))
                case _:
                    pass
        return None, request

    async def _message_of_request(
        self, request: RelayedRequest, strikes: Sequence[Strike]
    ) -> RelayedResponse | tuple[RelayedRequest, int, tuple[int, float] | None]:
        """An answer in its place; or the request as it goes on, how often, and behind how many others for how long."""
        copies, behind = 1, None
        for strike in strikes:
            fault, body = strike.fault, altered(strike.fault, request.body)
            request.link.fault(strike.about, body if body != request.body else None, request.exchange)
            request = replace(request, body=body)
            match fault:
                case Drop():
                    if not _is_request(request.body):
                        return RelayedResponse(status=202, headers=[], body=_whole(b""))
                    await _for_ever()
                case Error():
                    answer = error_response(request.body, fault)
                    status = 400 if answer is None else 200
                    headers = [("content-type", "application/json")]
                    return RelayedResponse(status=status, headers=headers, body=_whole(answer or b""))
                case Disconnect():
                    raise ConnectionResetError("a fault that was asked for")
                case Delay():
                    await asyncio.sleep(seconds_of(fault, strike))
                case Duplicate(copies=times):
                    copies *= times
                case Reorder(behind=count, seconds=seconds):
                    behind = (count, seconds)
                case _:
                    pass
        return request, copies, behind

    def _one_more(self) -> None:
        """A request goes on: who waits for it may be next."""
        self._passed += 1
        for count, event in self._waiting:
            if self._passed >= count:
                event.set()

    async def _after_others(self, count: int, seconds: float) -> None:
        """Wait until so many other requests have gone on, or for that time."""
        entry = (self._passed + count, asyncio.Event())
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(seconds):
                await entry[1].wait()
        except TimeoutError:
            pass
        finally:
            self._waiting.remove(entry)

    async def _response(
        self, request: RelayedRequest, response: RelayedResponse, judge: _Judge
    ) -> RelayedResponse:
        cut: Cut | None = None
        for strike in self._faults.striking("response", "server", judge.subjects):
            request.link.fault(strike.about, exchange=request.exchange)
            match strike.fault:
                case ChangedHeader() as fault:
                    response = replace(response, headers=_headers(response.headers, fault))
                case Cut() as fault:
                    cut = fault
                case _:
                    pass
        kind = next((value for name, value in response.headers if name.lower() == "content-type"), "")
        if kind.startswith(_STREAM):
            body = _stream(response.body, judge)
        else:
            body = await _document(response.body, judge)
        if cut is not None:
            body = _cut(body, cut)
        return replace(response, body=body)


class _Judge:
    """Says what strikes the messages of one response. ``subjects``: what its request is about. ``conversations``: that
    of the request, and that of its link, for ids of the one say nothing about the other.
    """

    def __init__(
        self,
        faults: FaultSet,
        request: RelayedRequest,
        subjects: Sequence[Subject],
        conversations: tuple[SubjectTracker, SubjectTracker],
    ) -> None:
        self.subjects: Final = subjects
        self._faults = faults
        self._request = request
        self._own, self._shared = conversations

    def strikes(self, data: bytes) -> list[Strike]:
        """Those that strike a message."""
        value = decoded(data)
        heard = _first(self._own.heard("server", value), self._shared.heard("server", value))
        if value is None:  # no JSON: the answer to the request, whatever it says
            heard = list(self.subjects)
        return self._faults.striking("message", "server", heard)

    def note(self, strike: Strike, data: bytes | None) -> None:
        """Write into the capture what was done."""
        self._request.link.fault(strike.about, data, self._request.exchange)


async def _document(body: AsyncGenerator[bytes], judge: _Judge) -> AsyncGenerator[bytes]:
    """A response that is one message. Waits for all of it, since a fault may be about any part."""
    data = b"".join([chunk async for chunk in body])
    copies, slow, silent = 1, None, False
    for strike in judge.strikes(data) if data else []:  # an acknowledgement without a body is no message
        fault, before, data = strike.fault, data, altered(strike.fault, data)
        judge.note(strike, data if data != before else None)
        match fault:
            case Drop():
                await _for_ever()
            case Disconnect():
                raise ConnectionResetError("a fault that was asked for")
            case Delay():
                await asyncio.sleep(seconds_of(fault, strike))
            case Reorder(seconds=seconds):
                await asyncio.sleep(seconds)  # nothing follows it in its response
            case Duplicate(copies=times):
                copies *= times
            case Drip():
                slow = fault
            case HalfClose():
                silent = True
            case _:
                pass
    return _said(data * copies, slow, silent=silent)


async def _said(data: bytes, slow: Drip | None, *, silent: bool) -> AsyncGenerator[bytes]:
    async for piece in drip(data, slow):
        yield piece
    if silent:
        await _for_ever()


async def _stream(body: AsyncGenerator[bytes], judge: _Judge) -> AsyncGenerator[bytes]:
    """A stream of events."""
    async with aclosing(events(body)) as whole_events:
        held = HeldStream(whole_events)
        async with aclosing(held.read()) as coming:
            async for event, is_new in coming:
                async for piece in _event(event, held, judge, is_new=is_new):
                    yield piece


async def _event(event: bytes, held: HeldStream, judge: _Judge, *, is_new: bool) -> AsyncGenerator[bytes]:
    """What becomes of one event."""
    data = event_data(event)
    strikes = judge.strikes(data) if is_new and data else []
    if not strikes:
        yield event
        if is_new:
            held.passed()
        return
    said, copies, slow, silent, back = data, 1, None, False, None
    for strike in strikes:
        fault, before, said = strike.fault, said, altered(strike.fault, said)
        judge.note(strike, said if said != before else None)
        match fault:
            case Drop():
                copies = 0
            case Disconnect():
                raise ConnectionResetError("a fault that was asked for")
            case Delay(overtaken=False):
                await asyncio.sleep(seconds_of(fault, strike))
            case Delay():
                back = (0, seconds_of(fault, strike))
            case Reorder(behind=behind, seconds=seconds):
                back = (behind, seconds)
            case Duplicate(copies=times):
                copies *= times
            case Drip():
                slow = fault
            case HalfClose():
                silent = True
            case _:
                pass
    whole = (event if said == data else with_data(event, said)) * copies
    if back is not None:
        held.hold(whole, *back)
        return
    async for piece in drip(whole, slow):
        yield piece
    held.passed()
    if silent:
        await _for_ever()


async def _cut(body: AsyncGenerator[bytes], cut: Cut) -> AsyncGenerator[bytes]:
    """A body until it is to break off."""
    seen = 0
    if cut.events:
        async with aclosing(events(body)) as coming:
            async for event in coming:
                yield event
                seen += bool(event_data(event))
                if seen >= cut.events:
                    raise ConnectionResetError("a fault that was asked for")
        return
    yield b""  # the head
    async for chunk in body:
        if seen + len(chunk) >= cut.bytes:
            yield chunk[: cut.bytes - seen]
            raise ConnectionResetError("a fault that was asked for")
        seen += len(chunk)
        yield chunk


def _first(some: Sequence[Subject], others: Sequence[Subject]) -> list[Subject]:
    """What is known of each message, by the one or by the other."""
    return [one if one.method else other for one, other in zip(some, others, strict=True)]


def _refusal(fault: Status) -> RelayedResponse:
    headers = [("content-type", "text/plain; charset=utf-8")]
    if fault.status == 401:
        headers.append(("www-authenticate", "Bearer"))
    return RelayedResponse(status=fault.status, headers=headers, body=_whole(fault.text.encode()))


def _headers(headers: Sequence[tuple[str, str]], fault: ChangedHeader) -> list[tuple[str, str]]:
    kept = [(name, value) for name, value in headers if name.lower() != fault.name.lower()]
    return kept if fault.value is None else [*kept, (fault.name, fault.value)]


def _is_request(body: bytes) -> bool:
    value = decoded(body)
    return isinstance(value, list) or (isinstance(value, dict) and "method" in value and "id" in value)


async def _whole(data: bytes) -> AsyncGenerator[bytes]:
    yield data


async def _for_ever() -> None:
    """Until the client leaves, which cancels this."""
    await asyncio.Event().wait()
