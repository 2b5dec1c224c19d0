"""A relay that runs: its capture, its faults, and the word to others that it is there.

Theory of operation. On stdio a host starts this process, so standard output belongs to the protocol: what is said to
people goes to standard error. What helps only those who watch (the capture, being found) never keeps the server from
being served: where it can't be had, that is said, and everything passes all the same.

While there is no fault, the relay has no interceptor, and looks into nothing.

Specification: basic/transports.
"""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from os import getpid, kill
from pathlib import Path
from typing import Final

from dovetail.recording import CaptureWriter, PipeRelay, Redaction
from dovetail.security import one_line

from .faults import Fault, Transport
from .live import LiveRelay, LiveUnavailable, own_folder, registered, state_folder
from .pipe_faults import PipeFaults
from .striking import FaultSet

__all__ = ["HostEntry", "Relaying", "relay_command", "relay_url"]

MAX_BYTES: Final = 256 * 1024 * 1024
"""Bytes of a capture, by default (256 MiB); what passes later is not in it, and passes all the same."""


class HostEntry:
    """Which server of which host's configuration is relayed; both empty where nobody said."""

    def __init__(self, host: str = "", server: str = "") -> None:
        self.host: Final = host
        self.server: Final = server


class Relaying:
    """What a relay is run with. ``faults``: those in force from the beginning. ``output``: the capture (default: a new
    file in the Inspector's own folder); ``max_bytes``: how long that may get. ``entry``: which entry of a configuration
    it is started by. ``say``: told what people should know (default: a line on standard error).
    """

    def __init__(
        self,
        faults: Sequence[Fault] = (),
        *,
        output: Path | None = None,
        max_bytes: int | None = None,
        entry: HostEntry | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.faults: Final = tuple(faults)
        self.output: Final = output
        self.max_bytes: Final = max_bytes
        self.entry: Final = entry or HostEntry()
        self.say: Final = say or _to_stderr

    @contextmanager
    def writer(self, transport: Transport) -> Generator[CaptureWriter]:
        """The capture. Raises OSError, ValueError and `LiveUnavailable` for a file that can't be had."""
        path = self.output or _new_capture()
        writer = CaptureWriter(
            path,
            redaction=Redaction(defaults=False),
            max_bytes=self.max_bytes or MAX_BYTES,
            place="pipe" if transport == "stdio" else "relay",
        )
        try:
            yield writer
        finally:
            writer.close()

    @contextmanager
    def announced(
        self, faults: FaultSet, target: str, capture: Path, url: str = ""
    ) -> Generator[LiveRelay | None]:
        """Be found by others while the block runs; None, with a word to people, where that can't be."""
        entry, target = self.entry, Redaction().text(target)
        found = registered(
            faults, target=target, capture=capture, url=url, host=entry.host, server=entry.server
        )
        try:
            relay = found.__enter__()
        except LiveUnavailable as problem:
            self.say(f"this relay can't be found by others: {problem}")
            yield None
            return
        try:
            yield relay
        finally:
            found.__exit__(None, None, None)


def relay_command(
    command: Sequence[str],
    relaying: Relaying,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> int:
    """Run a server on the standard streams of this process until it ends. Gives its exit code, negative for the signal
    that ended it. In the main thread. Raises `ConnectFailed` for a command that can't be started, `FaultInvalid` for a
    fault that is not of stdio, and what `Relaying.writer` raises.
    """
    faults = _set(relaying.faults, "stdio")
    with relaying.writer("stdio") as writer:
        relay = PipeRelay(command, writer, env=env, cwd=cwd)
        interceptor = PipeFaults(faults)

        def change() -> None:
            relay.interceptor = interceptor if faults else None
            if not faults:
                interceptor.release()

        faults.on_change = change
        change()
        with relaying.announced(faults, shlex.join(command), writer.path):
            return relay.run()


def relay_url(
    url: str,
    relaying: Relaying,
    *,
    headers: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    port: int = 8001,
) -> None:
    """Serve on this machine, and pass on to ``url``, until a signal ends it. ``headers`` are sent with each request.
    The address is told to people once it is served. Raises `FaultInvalid` for a fault that is not of HTTP, what
    `Relaying.writer` raises, and what `dovetail.recording.HTTPRelay` and its ``run`` raise.
    """
    from dovetail.recording import HTTPRelay  # a relay of pipes, which a host waits for, needs neither

    from .http_faults import HTTPFaults

    faults = _set(relaying.faults, "http")
    with relaying.writer("http") as writer:
        relay = HTTPRelay(url, writer, headers=headers)
        interceptor = HTTPFaults(faults)

        def change() -> None:
            relay.interceptor = interceptor if faults else None

        faults.on_change = change
        change()
        with ExitStack() as held:

            def served(at: str) -> None:
                held.enter_context(relaying.announced(faults, url, writer.path, at))
                relaying.say(f"{at} leads to {Redaction().text(url)}")

            relay.run(host, port, announce=served)


def end_like(code: int) -> int:
    """End this process by the signal that ended the server, for whoever started it to see; else give the exit code."""
    if code >= 0:
        return code
    if sys.platform != "win32":
        with suppress(OSError, ValueError):
            signal.signal(-code, signal.SIG_DFL)
        kill(getpid(), -code)
    return 128 - code


def _set(faults: Sequence[Fault], transport: Transport) -> FaultSet:
    found = FaultSet(transport)
    for each in faults:
        found.add(each)
    return found


def _new_capture() -> Path:
    """A file that is not there yet."""
    folder = own_folder(state_folder() / "captures")
    stem = f"{datetime.now(UTC).strftime('%Y-%m-%dT%H-%M-%S')}-{getpid()}"
    for number in count():
        path = folder / (f"{stem}-{number}.jsonl" if number else f"{stem}.jsonl")
        if not path.exists():
            return path
    raise AssertionError("there is no end to numbers")


def _to_stderr(line: str) -> None:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"dovetail inspect: {one_line(line)}\n")
        sys.stderr.flush()
