"""Streams of calls that are read at another worker than the one that writes them.

Theory of operation. Whoever resumes a stream at a worker reads it from the log of the store. That worker tells the one
that writes the stream, which from then on rings at each message and at the end; nothing is said where nobody reads
elsewhere, and what is said while a ring is on its way is told by one more. Where the writer does not answer, the log is
looked into now and then. Specification: 2025-11-25 basic/transports "Resumability and Redelivery".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from .claims import Claims
from .endpoint_processes import EndpointProcesses, StreamGrew, StreamRead
from .live_sessions import link_of, name_of
from .sessions import Sessions

__all__ = ["StreamReaders"]

#: How many processes a stream rings at most.
MAX_READERS: Final = 64


class _Ringing:
    """Rings the processes that read a stream, one ring at a time."""

    __slots__ = ("_again", "_name", "_processes", "_task", "readers")

    def __init__(self, name: str, processes: EndpointProcesses) -> None:
        self.readers: set[str] = set()
        self._name = name
        self._processes = processes
        self._again = False
        self._task: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        self._again = True
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._ring())

    async def _ring(self) -> None:
        try:
            while self._again:
                self._again = False
                for process in tuple(self.readers):
                    await self._processes.say(process, StreamGrew(self._name))
        finally:
            self._task = None


class StreamReaders:
    """Both ends: what this process reads of others, and who reads what it writes."""

    def __init__(self, processes: EndpointProcesses, claims: Claims, sessions: Sessions) -> None:
        self._processes = processes
        self._claims = claims
        self._sessions = sessions
        self._reading: dict[str, list[Callable[[], None]]] = {}
        processes.hear(StreamGrew, self._heard)
        processes.answer(StreamRead, self._answer)
        processes.missed(self._wake_all)

    def read(self, name: str, wake: Callable[[], None]) -> Callable[[], None]:
        """Have ``wake`` called when a stream may have grown. Gives what ends that."""
        wakes = self._reading.setdefault(name, [])
        wakes.append(wake)

        def end() -> None:
            wakes.remove(wake)
            if not wakes:
                self._reading.pop(name, None)

        return end

    async def look(self, session: str, id: str, name: str, link: str) -> bool:
        """See after the writer of a stream: where it has died, the stream is ended; else it is told that this process
        reads. Whether it rings from now on. Raises `StoreError`.
        """
        process = await self._claims.settle(name, link)
        return process is not None and await self._processes.ask(process, StreamRead(session, id)) is True

    def _heard(self, word: StreamGrew) -> None:
        for wake in self._reading.get(word.stream, ()):
            wake()

    def _wake_all(self) -> None:
        for wakes in self._reading.values():
            for wake in wakes:
                wake()

    async def _answer(self, asked: StreamRead, process: str) -> bool:
        live = self._sessions.known_by(asked.session)
        stream = None if live is None else live.streams.get(asked.stream)
        if stream is None:  # the claim is ours all the same: it has ended, or that was not seen to the end
            await self._claims.settle(name_of(asked.session, asked.stream), link_of(asked.session))
            return False
        if not isinstance(stream.grown, _Ringing):
            stream.grown = _Ringing(stream.name, self._processes)
        if len(stream.grown.readers) < MAX_READERS:
            stream.grown.readers.add(process)
        return process in stream.grown.readers
