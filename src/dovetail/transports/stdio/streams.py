"""The server's side of stdio: standard output belongs to the protocol, whatever else runs in the process.

Theory of operation
-------------------
One stray ``print``, one progress bar of a C library or one ``subprocess.run`` in a tool would break the
session. So `claim_stdio` takes the two descriptors away from everybody before anything can use them:

* Descriptor 1 is copied to a private one that no child inherits, and then made the same as descriptor 2. What
  Python, C code and children print goes to standard error, where the host expects logs.
* Descriptor 0 is copied likewise and replaced by the null device, so that ``input()`` or a child that reads
  finds the end of the file instead of eating messages.
* ``sys.stdout`` becomes UTF-8 text, line by line, on standard error; text that waited in the old one ends up
  there too.
* A child made by ``fork`` alone has no exec that would close the private copies, so they are closed in it.

A stream that was closed when the process started is no error: closed input is an ended input, and writing to
closed output raises `PeerGone`. ``release`` puts everything back.

Specification: basic/transports, "stdio": nothing but messages on standard output, UTF-8 text on standard
error.
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TextIO

from ...protocol.bindings.lines import DEFAULT_MAX_LINE, LineSplitter, LineTooLong, frame
from ...protocol.errors import TransportError
from .descriptor_io import DescriptorReader, DescriptorWriter, PeerGone
from .intake import LineIntake
from .threaded_io import ThreadedReader, ThreadedWriter

__all__ = ["PeerGone", "StdioStreams", "claim_stdio"]

_POSIX: Final = sys.platform != "win32"


class _StdioClaim:
    """The one claim of this process."""

    lock = threading.Lock()
    holder: StdioStreams | None = None
    fork_hook_set = False


class StdioStreams:
    """The claimed streams: messages in by `lines`, out by `write`. From `claim_stdio`; for one event loop."""

    def __init__(
        self,
        source: int | None,
        sink: int | None,
        *,
        max_line: int = DEFAULT_MAX_LINE,
        undo: list[Callable[[], None]] | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._max_line = max_line
        self._reader = None if source is None else _reader(source)
        self._writer = None if sink is None else _writer(sink)
        self._intake: LineIntake | None = None
        self._released = False
        self._undo = undo or []

    async def lines(self, on_oversize: Callable[[LineTooLong], None] | None = None) -> AsyncIterator[bytes]:
        """The peer's lines, without line ends, none blank, until it closes its side or `release`.

        A line over ``max_line`` bytes is dropped and reported to ``on_oversize``; reading goes on after it.
        While nobody asks for the next line at most about 512 KiB are read ahead. One consumer at a time.
        """
        splitter = LineSplitter(self._max_line)
        while self._reader is not None and not self._released:
            chunk = await self._read()
            if not chunk:
                break
            try:
                lines = splitter.feed(chunk)
            except LineTooLong as error:
                lines = error.lines
                if on_oversize is not None:
                    on_oversize(error)
            for line in lines:
                yield line
        last = splitter.close()
        if last is not None and not self._released:
            yield last

    async def serve(
        self,
        take: Callable[[bytes], Awaitable[None] | None],
        on_oversize: Callable[[LineTooLong], None] | None = None,
    ) -> None:
        """Give the peer's lines to ``take``, in order, until it closes its side or `release`; see `LineIntake`. Raises
        what ``take`` raises, or what it gives to be awaited.
        """
        writer = self._writer if isinstance(self._writer, DescriptorWriter) else None
        intake = self._intake = LineIntake(self._max_line, take, on_oversize, writer)
        if self._reader is None or self._source is None:
            return
        try:
            await intake.run(self._reader)
        except OSError:
            if intake.begun:
                raise
            self._reader = ThreadedReader(self._source)  # the loop cannot watch it
            await intake.run(self._reader)

    def put(self, message: bytes) -> Awaitable[None] | None:
        """Send one message as one line, as far as that goes at once. Gives what is left to be awaited, if anything; the
        message has its place in the line. Raises as `write` does.
        """
        if self._writer is None:
            raise PeerGone("standard output is closed")
        return self._writer.put(frame(message))

    async def write(self, message: bytes) -> None:
        """Send one message as one line; returns when the system has all of it. Any number of tasks may write.

        Raises `PeerGone` when nobody reads any more, `TransportError` for other failures. If the task is
        cancelled, a line that has begun is still completed by the event loop and no line is ever sent in
        part.
        """
        if self._writer is None:
            raise PeerGone("standard output is closed")
        await self._writer.write(frame(message))

    async def flush(self) -> None:
        """Return when the system has all that was written, gathered lines too. Raises as `write` does."""
        if isinstance(self._writer, DescriptorWriter):
            await self._writer.flush()

    async def unread(self, patience: float) -> None:
        """Return once something waits to be written of which the peer has taken nothing for ``patience`` seconds."""
        writer = self._writer
        while writer is not None:
            await writer.crowded()
            before = writer.taken
            await asyncio.sleep(patience)
            if writer.waiting and writer.taken == before:
                return
        await asyncio.get_running_loop().create_future()

    async def deserted(self, patience: float) -> None:
        """Return once the peer has closed its side and takes nothing either: see `unread`."""
        await self.unread(patience)
        while self._reader is not None and not self._reader.ended:
            await self.unread(patience)

    def give_up(self, reason: TransportError) -> None:
        """Write nothing more: what waits, and every later `write`, fails with ``reason``."""
        if self._writer is not None:
            self._writer.close(reason)

    def release(self) -> None:
        """Give the descriptors, ``sys.stdout`` and ``sys.stderr`` back. May be called more than once.

        Ends `lines` and `serve`; writers that still wait get `PeerGone`.
        """
        with _StdioClaim.lock:
            if self._released:
                return
            self._released = True
            if _StdioClaim.holder is self:
                _StdioClaim.holder = None
        if self._intake is not None:
            self._intake.stop()
        if self._reader is not None:
            self._reader.stop()
        if self._writer is not None:
            self._writer.close()
        while self._undo:
            self._undo.pop()()
        self._close_private()

    def _close_private(self) -> None:
        # A thread may sit in a read that nothing can interrupt; its descriptor stays open rather than be
        # reused.
        busy = isinstance(self._reader, ThreadedReader) and self._reader.busy
        if self._source is not None and not busy:
            os.close(self._source)
        if self._sink is not None and not (isinstance(self._writer, ThreadedWriter) and self._writer.busy):
            os.close(self._sink)
        self._source = self._sink = None

    async def _read(self) -> bytes:
        if self._reader is None or self._source is None:
            return b""
        try:
            return await self._reader.read()
        except OSError:
            self._reader = ThreadedReader(self._source)  # the loop cannot watch it
            return await self._reader.read()

    def forget(self) -> None:
        """After ``fork``, in the child: close the private copies, or the peer would wait for it too."""
        for descriptor in (self._source, self._sink):
            if descriptor is not None:
                os.close(descriptor)
        for part in (self._reader, self._writer):
            if isinstance(part, DescriptorReader | DescriptorWriter):
                part.forget()
        self._source = self._sink = self._reader = self._writer = None
        self._undo.clear()


def claim_stdio(*, max_line: int = DEFAULT_MAX_LINE) -> StdioStreams:
    """Take standard input and output for the protocol. ``max_line``: bytes a message may have (default 64
    MiB).

    Call it before the event loop is made: a loop that finds 0, 1 or 2 closed would take them for itself, and
    uvloop cannot work on them. Raises `RuntimeError` if they are claimed already. Give them back with
    ``release``.
    """
    with _StdioClaim.lock:
        if _StdioClaim.holder is not None:
            raise RuntimeError("standard input and output are claimed already; release them first")
        undo: list[Callable[[], None]] = []
        # A closed descriptor's number goes to whatever is opened next, so its place is filled before anything
        # is.
        had_input = _is_standard(0, sys.__stdin__)
        had_output = _is_standard(1, sys.__stdout__)
        had_errors = _is_standard(2, sys.__stderr__)
        _fill_closed()
        source = _private_copy(0) if had_input else None
        sink = _private_copy(1) if had_output else None
        if source is not None:
            _divert_input(source, undo)
        if sink is not None:
            _divert_output(sink, undo, has_errors=had_errors)
        streams = StdioStreams(source, sink, max_line=max_line, undo=undo)
        _StdioClaim.holder = streams
        _close_after_fork()
    return streams


def _reader(source: int) -> DescriptorReader | ThreadedReader:
    if not _POSIX or stat.S_ISREG(os.fstat(source).st_mode):
        return ThreadedReader(source)
    return DescriptorReader(source)


def _writer(sink: int) -> DescriptorWriter | ThreadedWriter:
    if not _POSIX or stat.S_ISREG(os.fstat(sink).st_mode):
        return ThreadedWriter(sink)
    return DescriptorWriter(sink)


def _is_standard(descriptor: int, at_start: TextIO | None) -> bool:
    """Whether the descriptor is the standard stream: open now, and open when the interpreter started.

    If it was closed then, its number may since belong to some file that is none of ours.
    """
    return at_start is not None and _is_open(descriptor)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _fill_closed() -> None:
    for descriptor in (0, 1, 2):
        if not _is_open(descriptor):
            null = os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            else:
                os.set_inheritable(descriptor, True)


def _private_copy(descriptor: int) -> int:
    """A copy that children do not inherit, above the three standard numbers."""
    if _POSIX:
        import fcntl

        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 3)
    import msvcrt

    copy = os.dup(descriptor)
    msvcrt.setmode(copy, os.O_BINARY)
    return copy


def _divert_input(source: int, undo: list[Callable[[], None]]) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)

    def restore() -> None:
        os.dup2(source, 0)

    undo.append(restore)


def _divert_output(sink: int, undo: list[Callable[[], None]], *, has_errors: bool) -> None:
    """Point descriptor 1 at standard error, or at nothing if there was none at the start."""
    if has_errors:
        os.dup2(2, 1)
    else:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    _flush(sys.stdout)
    before = sys.stdout
    text = io.TextIOWrapper(
        io.FileIO(1, "wb", closefd=False),
        encoding="utf-8",
        errors="backslashreplace",
        line_buffering=True,
        write_through=True,
    )
    sys.stdout = text

    def restore() -> None:
        _flush(text)
        _flush(before)
        _flush_c()
        if sys.stdout is text:
            sys.stdout = before
        os.dup2(sink, 1)

    undo.append(restore)
    _speak_utf8(undo)


def _speak_utf8(undo: list[Callable[[], None]]) -> None:
    """Standard error carries UTF-8 (basic/transports, "stdio"), whatever the locale."""
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
        encoding, errors = stream.encoding, stream.errors
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        undo.append(lambda: stream.reconfigure(encoding=encoding, errors=errors))


def _flush(stream: TextIO | None) -> None:
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        return  # a closed stream or a closed descriptor has nothing that could be saved


def _flush_c() -> None:
    """Write what C code printed and holds back: at the end of the process it would go to the wire."""
    try:
        import ctypes

        ctypes.CDLL(None).fflush(None)
    except (ImportError, OSError, TypeError, AttributeError):
        return  # without ctypes, or on Windows, where None names no library


def _close_after_fork() -> None:
    if not _StdioClaim.fork_hook_set and hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork)
        _StdioClaim.fork_hook_set = True


def _after_fork() -> None:
    _StdioClaim.lock = threading.Lock()
    streams, _StdioClaim.holder = _StdioClaim.holder, None
    if streams is not None:
        streams.forget()
