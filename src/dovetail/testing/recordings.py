"""A recording in the place of a server, for the length of a test.

Specification: none; docs/recording.md, "In tests".
"""

import contextlib
import os
from collections.abc import Generator

from ..recording import Capture
from ..recording.serving import ReplayServer
from ..server.app import App

__all__ = ["replayed"]


@contextlib.contextmanager
def replayed(
    recording: str | os.PathLike[str] | Capture, *, strict: bool = False, complete: bool = False
) -> Generator[App]:
    """An app that answers as the server of a recording did: ``with replayed("talk.jsonl") as target``, and then
    ``async with Client(target) as client``, or `connected` for a transport of your choice.

    ``strict``: as of `dovetail.recording.replay_app`. ``complete``: raise AssertionError at the end for recorded
    requests that were not made. Raises OSError and `CaptureInvalid` for a file that is none, ValueError for a recording
    in which nothing was answered.
    """
    capture = recording if isinstance(recording, Capture) else Capture.read(recording)
    server = ReplayServer(capture, strict=strict)
    yield server.app()
    if complete and (left := server.unasked):
        shown = ", ".join(f"{each.method} (line {each.line})" for each in left)
        raise AssertionError(f"{capture.name}: nobody asked for what was recorded: {shown}")
