"""Reading and writing file descriptors from an event loop, without a thread and without spoiling them for
others.

Theory of operation
-------------------
``O_NONBLOCK`` belongs to the open file, not to the descriptor: set on a terminal or on a pipe that standard
error shares (``2>&1``), it makes the user's own ``print`` fail with EAGAIN. So neither side sets it on what
it was given:

* Both sides work on an open file of their own where the system lets them open the descriptor again
  (``/proc``, Linux); uvloop sets the flag on whatever it watches.
* Elsewhere, reading needs no flag: the loop says when there is something, and then one ``read`` returns at
  once. Writing uses ``MSG_DONTWAIT`` for sockets, and else writes of at most ``PIPE_BUF`` bytes, each after
  asking whether there is room.

A frame is written whole and in order: the first attempt is made by the caller, and what does not fit waits in
a line that the loop works off, gathering many frames into one system call. A writer that is cancelled takes
its frame back if none of it went out; once it has begun, it goes out to its end, for half a frame would spoil
every frame after it.

Whoever knows that many frames are about to come says so (`DescriptorWriter.gather`): for a moment small ones are
held, their writers do not wait, and they leave together.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import socket
import stat
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from ...protocol.errors import TransportError

__all__ = ["DescriptorReader", "DescriptorWriter", "PeerGone", "gone"]

CHUNK: Final = 256 * 1024
"""Bytes read at once, where much comes."""

_PIECE: Final = 64 * 1024
"""Bytes read at once, where little comes: memory of this size costs no system calls."""

_AHEAD: Final = 2
"""Chunks read ahead of the consumer before reading pauses."""

_WIDE_PIPE: Final = 1024 * 1024
"""Size asked for a pipe once a frame was too large for it, or filled it: what Linux grants to anyone by default."""

_USUAL_PIPE: Final = 64 * 1024
_GATHER: Final = 64
_HELD: Final = 64 * 1024
"""Bytes that are held together, at most."""

_MOMENT: Final = 0.002
"""Seconds that frames are held together, at most: one that takes long to come must not hold up others."""

_DISCONNECTED: Final = frozenset(
    {errno.EPIPE, errno.ECONNRESET, errno.ECONNABORTED, errno.ENOTCONN, errno.EIO, errno.EBADF, errno.ENXIO}
)


class PeerGone(TransportError):
    """The other side of a stream has closed it; nothing more can be written."""


def gone(error: OSError) -> TransportError:
    """The typed error for a failed write: `PeerGone` for a closed stream, else `TransportError` with the
    cause.
    """
    if error.errno in _DISCONNECTED:
        return PeerGone("the peer has closed the stream; end the session")
    return TransportError(f"writing to the peer failed: {error.strerror or type(error).__name__}")


def _opened_again(descriptor: int, access: int) -> int | None:
    """An open file of our own for the same pipe or terminal, non-blocking; None where the system has no way."""
    mode = os.fstat(descriptor).st_mode
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return None
    try:
        return os.open(f"/proc/self/fd/{descriptor}", access | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return None


def _widen(descriptor: int) -> None:
    """Ask for a larger pipe, once and only for large frames: pipe memory is a budget of the user."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _WIDE_PIPE)
    except (ImportError, AttributeError, OSError):
        return


class DescriptorReader:
    """Reads a pipe, socket or terminal: by `read`, or by a listener that gets each piece in the callback of the loop.
    The descriptor stays the caller's.

    Raises `OSError` from ``read`` where the loop cannot watch the descriptor (a regular file): see
    `threaded_io`.
    """

    def __init__(self, descriptor: int) -> None:
        self._own = _opened_again(descriptor, os.O_RDONLY)
        self._descriptor = descriptor if self._own is None else self._own
        self._chunks: deque[bytes] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching = False
        self._widened = False
        self._ended = False
        self._size = _PIECE
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Callable[[bytes], None] | None = None

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Give each piece to ``listener`` as soon as it can be read, and an empty one at the end, until `stop`.

        Raises `OSError` if the loop cannot watch the descriptor.
        """
        self._listener = listener
        self.watch()

    def pause(self) -> None:
        """Read nothing until `watch`."""
        self._unwatch()

    def watch(self) -> None:
        """Begin to read ahead. Raises `OSError` if the loop cannot watch the descriptor."""
        if self._watching or self._ended:
            return
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._descriptor, self._readable)
        self._watching = True

    async def read(self) -> bytes:
        """The next bytes, empty at the end of the stream or after `stop`. One reader at a time."""
        while not self._chunks:
            if self._ended:
                return b""
            if self._waiter is not None:
                raise RuntimeError("a stream has one reader at a time")
            self.watch()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self.watch()
        return chunk

    @property
    def ended(self) -> bool:
        """Whether the peer has closed its side, though there may be more to read."""
        if self._ended or not hasattr(select, "poll"):
            return self._ended
        poll = select.poll()
        poll.register(self._descriptor, select.POLLHUP | getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def stop(self) -> None:
        """Stop watching and end a waiting ``read``."""
        self._ended = True
        self._unwatch()
        self._wake()
        self.forget()

    def forget(self) -> None:
        """Close what the reader opened, and nothing else."""
        if self._own is not None:
            os.close(self._own)
            self._own = None

    def _readable(self) -> None:
        try:
            chunk = os.read(self._descriptor, self._size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            chunk = b""
        if len(chunk) >= _USUAL_PIPE:
            self._size = CHUNK
            if not self._widened:
                self._widened = True
                _widen(self._descriptor)
        elif chunk.endswith(b"\n"):  # else the rest of something large is still to come
            self._size = _PIECE
        if not chunk:
            self._ended = True
            self._unwatch()
        if self._listener is not None:
            self._listener(chunk)
            return
        if chunk:
            self._chunks.append(chunk)
            if len(self._chunks) >= _AHEAD:
                self._unwatch()
        self._wake()

    def _unwatch(self) -> None:
        if self._watching and self._loop is not None:
            self._watching = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._descriptor)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _OutgoingFrame:
    """A frame that waits for room: what is left of it, and who waits for its end, if anybody does."""

    __slots__ = ("begun", "done", "rest")

    def __init__(self, rest: memoryview, *, begun: bool, done: asyncio.Future[None] | None) -> None:
        self.rest = rest
        self.begun = begun
        self.done = done


class DescriptorWriter:
    """Writes frames to a descriptor, each whole, in the order of the calls. The descriptor stays the
    caller's. ``taken``: how many of the bytes that had to wait have gone out.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._own: int | None = None
        self._socket: socket.socket | None = None
        self._cautious = False
        self._pending: deque[_OutgoingFrame] = deque()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._until: float | None = None
        self._watching = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._error: TransportError | None = None
        self._widened = False
        self._crowd: asyncio.Future[None] | None = None
        self.taken = 0
        self._choose_way()

    async def write(self, data: bytes) -> None:
        """Write all of ``data``; returns once the kernel has it, or it is held for a moment with others.

        Raises `PeerGone` when the reader is gone, or `TransportError`. On cancellation a frame that has begun
        is still written to its end by the loop.
        """
        rest = self.put(data)
        if rest is not None:
            await rest

    def put(self, data: bytes) -> Awaitable[None] | None:
        """As `write`: what can be done at once is done, and its place in the line is taken. Gives what is left to be
        awaited, if anything.
        """
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._until is not None and not self._pending:
            if self._hold(data, self._until):
                return None
            self._send_off()
        sent = 0
        if not self._pending:
            sent = self._attempt([data])
            if sent == len(data):
                return None
        return self._queue(memoryview(data)[sent:], begun=sent > 0)

    @property
    def waiting(self) -> bool:
        """Whether there is something that the peer left no room for yet."""
        return bool(self._pending)

    async def crowded(self) -> None:
        """Return once there is. For one task at a time."""
        if not self._pending:
            self._crowd = asyncio.get_running_loop().create_future()
            await self._crowd

    def gather(self) -> None:
        """Many frames are about to come: hold them together, until `gathered`."""
        if self._until is None:
            self._until = time.monotonic() + _MOMENT
            self._loop = asyncio.get_running_loop()

    def gathered(self, expected: int) -> None:
        """What can come at once has come: let it go. Where that is less than ``expected`` frames, the others get two
        turns of the loop to come along.
        """
        if self._until is None:
            return
        if len(self._held) >= expected or self._loop is None:
            self._gathered()
        else:
            self._loop.call_soon(self._loop.call_soon, self._gathered)

    async def flush(self) -> None:
        """Return once the kernel has all that was written so far. Raises as `write` does."""
        self._send_off()
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._pending:
            await self._queue(memoryview(b""), begun=False)

    def close(self, reason: TransportError | None = None) -> None:
        """Fail what still waits, and every later write, with ``reason`` (default: `PeerGone`)."""
        self._send_off()
        self._fail(reason or PeerGone("the stream is closed on this side"))
        self.forget()

    def forget(self) -> None:
        """Close what the writer opened, and nothing else: in a forked child the loop's selector is the
        parent's.
        """
        if self._own is not None:
            os.close(self._own)
            self._own = None
        if self._socket is not None:
            self._socket.detach()
            self._socket = None

    def _choose_way(self) -> None:
        """Find how to write without ever blocking and without touching flags that others share."""
        mode = os.fstat(self._descriptor).st_mode
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=self._descriptor)
        elif not stat.S_ISREG(mode):
            self._own = _opened_again(self._descriptor, os.O_WRONLY)
            self._cautious = self._own is None

    @property
    def _target(self) -> int:
        return self._descriptor if self._own is None else self._own

    def _attempt(self, views: Sequence[bytes | memoryview]) -> int:
        """Write what fits now; the number of bytes. Raises the typed error, which then stays."""
        try:
            if self._socket is not None:
                return self._socket.sendmsg(views, (), socket.MSG_DONTWAIT)
            if self._cautious:
                return self._attempt_cautiously(views[0])
            return os.writev(self._target, views)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError as error:
            raise self._fail(gone(error)) from None

    def _attempt_cautiously(self, view: bytes | memoryview) -> int:
        sent = 0
        while sent < len(view):
            _, writable, _ = select.select([], [self._descriptor], [], 0)
            if not writable:
                break
            sent += os.write(self._descriptor, view[sent : sent + select.PIPE_BUF])
        return sent

    def _queue(self, rest: memoryview, *, begun: bool) -> Awaitable[None]:
        self._loop = asyncio.get_running_loop()
        done = self._loop.create_future()
        frame = _OutgoingFrame(rest, begun=begun, done=done)
        if len(rest) > _USUAL_PIPE:
            self._widen()
        self._pending.append(frame)
        self._watch()
        return self._sent(frame, done)

    async def _sent(self, frame: _OutgoingFrame, done: asyncio.Future[None]) -> None:
        try:
            await done
        except asyncio.CancelledError:
            if not frame.begun and frame in self._pending:
                self._pending.remove(frame)
                self._rest_if_idle()
            raise

    def _writable(self) -> None:
        views = [frame.rest for frame, _ in zip(self._pending, range(_GATHER), strict=False)]
        try:
            sent = self._attempt(views)
        except TransportError:
            return
        self.taken += sent
        while self._pending:
            frame = self._pending[0]
            if sent < len(frame.rest):
                frame.rest = frame.rest[sent:]
                frame.begun = frame.begun or sent > 0
                return
            sent -= len(frame.rest)
            self._pending.popleft()
            if frame.done is not None and not frame.done.done():
                frame.done.set_result(None)
        self._rest_if_idle()

    def _hold(self, data: bytes, until: float) -> bool:
        """Hold a frame with the others, if there is room; those that were held for long enough go out."""
        if self._held_bytes + len(data) > _HELD:
            return False
        self._held.append(data)
        self._held_bytes += len(data)
        now = time.monotonic()
        if now > until:
            self._until = now + _MOMENT
            self._send_off()
        return True

    def _gathered(self) -> None:
        self._until = None
        self._send_off()

    def _send_off(self) -> None:
        """What is held goes out; what of it does not fit waits in the line. Nobody is told if that fails but later
        writers.
        """
        if not self._held:
            return
        data = memoryview(b"".join(self._held))
        self._held.clear()
        self._held_bytes = 0
        with suppress(TransportError):
            sent = self._attempt([data])
            if sent < len(data):
                self._pending.append(_OutgoingFrame(data[sent:], begun=sent > 0, done=None))
                self._watch()

    def _watch(self) -> None:
        if not self._watching and self._loop is not None and not self._loop.is_closed():
            self._watching = True
            self._loop.add_writer(self._target, self._writable)
            if self._crowd is not None and not self._crowd.done():
                self._crowd.set_result(None)

    def _rest_if_idle(self) -> None:
        if not self._pending and self._watching and self._loop is not None:
            self._watching = False
            if not self._loop.is_closed():
                self._loop.remove_writer(self._target)

    def _widen(self) -> None:
        if not self._widened and self._socket is None:
            self._widened = True
            _widen(self._target)

    def _fail(self, error: TransportError) -> TransportError:
        """End every frame that waits, and remember why; the first reason stays."""
        error = self._error = self._error or error
        waiting, self._pending = self._pending, deque()
        self._held.clear()
        self._rest_if_idle()
        for frame in waiting:
            if frame.done is not None and not frame.done.done():
                frame.done.set_exception(error)
        return error
