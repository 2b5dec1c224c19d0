"""How the messages of a client come to be recorded: the parts of a recorded client, in the place of the plain ones. A
client that records nothing imports none of this.

Theory of operation. On channels that carry nothing but messages a `RecordedChannel` tells the capture of each; over
HTTP a `RecordedBackend` stands around the one that moves the bytes, so that requests, responses and events are told of
as they are, with their headers.

Specification: none; docs/recording.md.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..capture.writing import CapturedExchange, CaptureLink, CaptureWriter
from ..logs import get_logger
from ..protocol.errors import LocalProtocolError
from ..transports.client_transport import Outgoing
from ..transports.http1.client.http_backend import BackendResponse, Headers, HTTPBackend
from ..transports.shared_channel import SharedChannel

__all__ = ["Recorder", "recorder_of"]

_log: Final = get_logger("dovetail.recording")


class Recorder:
    """What records one client. ``own``: the capture was made for this client, and ends with it."""

    def __init__(self, writer: CaptureWriter, *, own: bool) -> None:
        self._writer: Final = writer
        self._own: Final = own

    def channel(self, target: str) -> "type[SharedChannel] | Any":
        """What makes the channel of one transport, which leads to ``target``."""

        def make(name: str, *given: Any, **options: Any) -> SharedChannel:
            return RecordedChannel(self._writer.link(name, target), name, *given, **options)

        return make

    def process(self, target: str, on_stderr: Callable[[str], None] | None) -> dict[str, Any]:
        """How the transport of a server is made that is started: what it writes besides messages is recorded, too."""
        links: list[CaptureLink] = []

        def make(name: str, *given: Any, **options: Any) -> SharedChannel:
            links[:] = [self._writer.link(name, target)]
            return RecordedChannel(links[0], name, *given, **options)

        def stderr(line: str) -> None:
            links[0].stderr(line)
            if on_stderr is not None:
                on_stderr(line)

        def noise(line: str) -> None:
            links[0].message("server", line.encode("utf-8", "replace"))
            _log.warning("the server %s printed something that is no message: %.200s", target, line)

        return {"channel": make, "on_stderr": stderr, "on_noise": noise}

    def backend(self, backend: HTTPBackend, target: str) -> HTTPBackend:
        """A backend, recorded."""
        return RecordedBackend(backend, self._writer.link("http", target))

    def close(self) -> None:
        """Write nothing more, if the capture was made for this client."""
        if self._own:
            self._writer.close()


class RecordedChannel(SharedChannel):
    """A channel that tells a capture of each message."""

    def __init__(self, link: CaptureLink, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._captured: Final = link

    async def _send(self, out: Outgoing) -> None:
        self._captured.message("client", out.data)
        await super()._send(out)

    def accept(self, data: bytes) -> None:
        """Take one message (or batch) from the peer."""
        if self.ended is None:
            self._captured.message("server", data)
        super().accept(data)

    def _shut(self, error: Any) -> None:
        if self.ended is None:
            self._captured.mark("close")
        super()._shut(error)


class RecordedBackend:
    """An HTTP client that tells a capture of what it sends and gets."""

    def __init__(self, backend: HTTPBackend, link: CaptureLink) -> None:
        self._backend: Final = backend
        self._link: Final = link
        self._closed = False

    async def request(
        self, method: str, url: str, headers: Headers, body: bytes | None = None, *, repeatable: bool = False
    ) -> BackendResponse:
        """See `HTTPBackend.request`."""
        parts = urlsplit(url)
        target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        exchange = self._link.request(method, target, headers, body)
        try:
            response = await self._backend.request(method, url, headers, body, repeatable=repeatable)
        except BaseException:
            exchange.end(broken=True)
            raise
        exchange.begin(response.status, response.headers.items())
        if response.ended:  # it has no body, so nobody reads it
            exchange.end()
        return _RecordedResponse(response, exchange)

    async def close(self) -> None:
        """Close all connections."""
        if not self._closed:
            self._closed = True
            self._link.mark("close")
        await self._backend.close()


class _RecordedResponse:
    """A response, told as it is read."""

    def __init__(self, response: BackendResponse, exchange: CapturedExchange) -> None:
        self._response = response
        self._exchange = exchange

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    @property
    def ended(self) -> bool:
        return self._response.ended

    async def read(self) -> bytes:
        try:
            chunk = await self._response.read()
        except BaseException:
            self._exchange.end(broken=True)
            raise
        if chunk:
            self._exchange.feed(chunk)
        if not chunk or self._response.ended:
            self._exchange.end()
        return chunk

    def close(self) -> None:
        with suppress(Exception):
            self._exchange.end(broken=not self._response.ended)
        self._response.close()


def recorder_of(given: Any) -> Recorder:
    """What ``record=`` means: a path, or a `CaptureWriter`. Raises `LocalProtocolError`."""
    if isinstance(given, CaptureWriter):
        return Recorder(given, own=False)
    if isinstance(given, (str, os.PathLike)):
        path = os.fspath(cast("str | os.PathLike[str]", given))
        try:
            return Recorder(CaptureWriter(path), own=True)
        except (OSError, ValueError) as problem:
            raise LocalProtocolError(f"record={path!r} can't be written: {problem}") from None
    raise LocalProtocolError(
        f"record is the path of a file or a dovetail.recording.CaptureWriter, not {given!r:.100}"
    )
