"""Reading and writing descriptors that an event loop cannot watch: regular files anywhere, everything on
Windows.

Theory of operation. One daemon thread per direction for the whole life of the stream, none per line. The
reading thread stops after two chunks that nobody took, so a consumer that is slow holds up the peer and not
the memory. The writing thread takes frames in the order they came; a frame that it took is written to its end
even if its writer was cancelled. The threads are daemons because a blocked ``read`` cannot be interrupted and
must not keep a process alive.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections import deque
from collections.abc import Awaitable, Callable

from ...protocol.errors import TransportError
from .descriptor_io import CHUNK, PeerGone, gone

__all__ = ["ThreadedReader", "ThreadedWriter"]


class ThreadedReader:
    """Reads a descriptor in one thread; same face as `DescriptorReader`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._chunks: deque[bytes] = deque()
        self._room = threading.Semaphore(2)
        self._stopped = False
        self._ended = False
        self._thread: threading.Thread | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._listener: Callable[[bytes], None] | None = None
        self._paused = False

    def listen(self, listener: Callable[[bytes], None]) -> None:
        """Give each piece to ``listener``, and an empty one at the end, until `stop`."""
        self._listener = listener
        self._start()

    def pause(self) -> None:
        """Give nothing to the listener until `watch`."""
        self._paused = True

    def watch(self) -> None:
        """Go on after `pause`."""
        if self._paused:
            self._paused = False
            self._give()

    async def read(self) -> bytes:
        """The next bytes, empty at the end of the stream or after `stop`. One reader at a time."""
        while not self._chunks:
            if self._ended or self._stopped:
                return b""
            if self._waiter is not None:
                raise RuntimeError("a stream has one reader at a time")
            self._start()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        self._room.release()
        return self._chunks.popleft()

    @property
    def busy(self) -> bool:
        """Whether the thread may still be in a read of the descriptor."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def ended(self) -> bool:
        """Whether the end of the stream was seen."""
        return self._ended

    def stop(self) -> None:
        """End a waiting ``read``; the thread ends with the read it is in."""
        self._stopped = True
        self._room.release()
        self._wake()

    def _start(self) -> None:
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="dovetail-stdin", daemon=True
            )
            self._thread.start()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        chunk = b"-"
        while chunk:
            self._room.acquire()
            if self._stopped:
                return
            try:
                chunk = os.read(self._descriptor, CHUNK)
            except OSError:
                chunk = b""
            try:
                loop.call_soon_threadsafe(self._take, chunk)
            except RuntimeError:  # the loop is closed: nobody reads any more
                return

    def _take(self, chunk: bytes) -> None:
        if chunk:
            self._chunks.append(chunk)
        else:
            self._ended = True
        if self._listener is not None:
            self._give()
        else:
            self._wake()

    def _give(self) -> None:
        while self._listener is not None and not (self._paused or self._stopped):
            if self._chunks:
                self._room.release()
                self._listener(self._chunks.popleft())
            else:
                if self._ended:
                    listener, self._listener = self._listener, None
                    listener(b"")
                return

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ThreadedWriter:
    """Writes a descriptor in one thread; same face as `DescriptorWriter`. ``taken``: how many bytes have gone out."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._frames: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]] | None] = queue.SimpleQueue()
        self._unsent: set[asyncio.Future[None]] = set()
        self._thread: threading.Thread | None = None
        self._error: TransportError | None = None
        self._crowd: asyncio.Future[None] | None = None
        self.taken = 0

    async def write(self, data: bytes) -> None:
        """Write all of ``data``. Raises `PeerGone` when the reader is gone, or `TransportError`."""
        await self.put(data)

    def put(self, data: bytes) -> Awaitable[None]:
        """As `write`: the frame's place in the line is taken at once. Gives what is to be awaited."""
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dovetail-stdout", daemon=True)
            self._thread.start()
        done = asyncio.get_running_loop().create_future()
        self._frames.put((data, done))
        self._unsent.add(done)
        if self._crowd is not None and not self._crowd.done():
            self._crowd.set_result(None)
        return self._sent(done)

    async def _sent(self, done: asyncio.Future[None]) -> None:
        try:
            await done
        finally:
            self._unsent.discard(done)

    @property
    def waiting(self) -> bool:
        """Whether there is something that has not gone out yet."""
        return bool(self._unsent)

    async def crowded(self) -> None:
        """Return once there is. For one task at a time."""
        if not self._unsent:
            self._crowd = asyncio.get_running_loop().create_future()
            await self._crowd

    @property
    def busy(self) -> bool:
        """Whether the thread may still be in a write to the descriptor."""
        return self._thread is not None and self._thread.is_alive()

    def close(self, reason: TransportError | None = None) -> None:
        """Fail what still waits, and every later write, with ``reason`` (default: `PeerGone`). The thread ends with the
        write it is in.
        """
        error = self._error = self._error or reason or PeerGone("the stream is closed on this side")
        self._frames.put(None)
        for done in tuple(self._unsent):
            self._settle(done, error)

    def _run(self) -> None:
        while (taken := self._frames.get()) is not None:
            data, done = taken
            try:
                if self._error is None:
                    self._write_all(data)
            except OSError as error:
                self._error = gone(error)
            try:
                done.get_loop().call_soon_threadsafe(self._settle, done, self._error)
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _write_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            sent = os.write(self._descriptor, view)
            self.taken += sent
            view = view[sent:]

    @staticmethod
    def _settle(done: asyncio.Future[None], error: TransportError | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
