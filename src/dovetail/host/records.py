"""The audit log of a host: what was decided, and what came of it.

Theory of operation. Each decision is recorded before anything is done by it, and what is not recorded is not done: a
log that can't be written refuses. The end of a call is recorded, too. Arguments are a digest unless they are asked for,
since they may hold what nobody should read in a log. A record is a line of its own, also behind one that a process did
not finish which was killed while it wrote.

Specification: server/tools, "Security Considerations" ("log tool usage for audit purposes").
"""

import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ..logs import get_logger

__all__ = ["HostRecord", "RecordSink", "HostRecorder"]

log = get_logger("dovetail.host")
MAX_ARGUMENTS: Final = 64 * 1024
"""Bytes of arguments in a record."""


class HostRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``event``: "decision", or "call" for the end of one. ``time``: seconds since the epoch.

    ``server``, ``kind``, ``name``: of the `ConsentRequest`; the ``kind`` "completion", at a gateway, is one of an
    argument of the prompt or resource template of that name. ``allowed``, and ``by`` whom or what: "policy",
    "remembered", "person", "nobody"; ``why``: in words. ``outcome`` of a call: "ok", "tool_error", or the name of the
    error; ``duration`` in seconds. ``digest``: of the arguments; ``arguments``: as JSON, where they are wanted.
    ``fingerprint``: of the tool's definition. ``scopes``: that a login asked for. ``principal``: who called, at a
    gateway that knows its callers: a digest, unless names are asked for.
    """

    time: float
    event: Literal["decision", "call"]
    server: str
    kind: str
    name: str = ""
    allowed: bool = True
    by: str = ""
    why: str = ""
    outcome: str = ""
    duration: float = 0.0
    digest: str = ""
    arguments: str = ""
    fingerprint: str = ""
    scopes: tuple[str, ...] = ()
    principal: str = ""


RecordSink = Callable[[HostRecord], Any]


class HostRecorder:
    """Hands records on. ``sink``: a function, which must not block, or the path of a file to append lines of JSON to,
    for nobody else to read; None: to nobody. ``arguments``: whether records have them.
    """

    def __init__(
        self, sink: RecordSink | str | os.PathLike[str] | None, *, arguments: bool, tell: RecordSink
    ) -> None:
        self._sink = sink if callable(sink) else None
        self._path = None if sink is None or callable(sink) else Path(sink)
        self._arguments = arguments
        self._tell = tell

    def put(self, event: Literal["decision", "call"], arguments: str = "", **members: Any) -> None:
        """Record something. Raises what the sink raises, OSError."""
        shown = arguments[:MAX_ARGUMENTS] if self._arguments else ""
        digest = (
            hashlib.sha256(arguments.encode("utf-8", "backslashreplace")).hexdigest() if arguments else ""
        )
        record = HostRecord(time=time.time(), event=event, digest=digest, arguments=shown, **members)
        if self._sink is not None:
            self._sink(record)
        if self._path is not None:
            handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(handle, "ab") as file:
                before = b"\n" if _is_cut(self._path, file.fileno()) else b""
                file.write(before + msgspec.json.encode(record) + b"\n")
        self._tell(record)


def _is_cut(path: Path, handle: int) -> bool:
    """Whether the last line of a file has no end. What can't be read, or is no plain file, has no last line."""
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode) or not about.st_size:
        return False
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:
        return False
