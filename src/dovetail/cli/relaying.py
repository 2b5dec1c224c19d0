"""A relay between a program and a server at a URL: it adds what shows who we are, and keeps what is said.

The program is given the relay's address, so that it needs no credentials, and none of them is among its words or in its
environment. Specification: none.
"""

import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

from ..client import ClientOptions
from ..client.options import settle
from ..client.targets import place_of
from ..linting.judging import MessageFault, judge
from ..recording import Capture, CaptureWriter, Redaction
from ..recording.relay import HTTPRelay
from ..security.client_auth import ClientAuth
from ..testing.serving import served
from .exits import UsageError

__all__ = ["Relayed", "relayed"]


class Relayed:
    """A relay that runs. ``url``: where it listens; ``options``: those for clients of the server itself, with the same
    credentials.
    """

    def __init__(self, url: str, options: ClientOptions, writer: CaptureWriter, path: Path) -> None:
        self.url: Final = url
        self.options: Final = options
        self._writer = writer
        self._path = path

    def judged(self) -> tuple[list[MessageFault], int]:
        """What was wrong with what the server said, and how many messages it said. Nothing is recorded after that."""
        self._writer.close()
        return judge(Capture.read(self._path))


@asynccontextmanager
async def relayed(url: str, options: ClientOptions) -> AsyncGenerator[Relayed]:
    """A relay to the server at ``url``, with the credentials and the recording that ``options`` name. Raises
    ImportError without what serves HTTP, and `UsageError` for a recording that can't be written.
    """
    given = cast("dict[str, Any]", {**options})
    record = given.pop("record", None)
    place = place_of(url, settle(cast("ClientOptions", given)))
    auth = place.auth or given.get("auth")
    if auth is not None:
        given["auth"] = auth
    with tempfile.TemporaryDirectory(prefix="dovetail-") as folder:
        path = Path(record or Path(folder, "talk.jsonl"))
        try:  # what is gone with its folder keeps its secrets, or a text in the place of one would be judged
            writer = CaptureWriter(path, redaction=Redaction(defaults=record is not None), place="relay")
        except (OSError, ValueError) as problem:
            raise UsageError(
                f"--record {record!r}: {getattr(problem, 'strerror', None) or problem}"
            ) from None
        relay = HTTPRelay(url, writer, headers=given.get("headers"), auth=cast("ClientAuth | None", auth))
        try:
            async with served(relay) as at:
                here = urlsplit(at)._replace(path=relay.path, query=urlsplit(url).query).geturl()
                yield Relayed(here, cast("ClientOptions", given), writer, path)
        finally:
            await relay.drain()
            writer.close()
            if place.auth is not None:
                await place.auth.close()
