"""Questions to clients of the stateful era, answered at whichever worker the answer reaches.

Theory of operation. The id of a question names the process that asks. Before it is asked, an entry is made in the
store, which only says whose session it is of. A worker that gets the answer to a question of another one replaces that
entry by the answer, if it is there and of that session: so the first answer wins, a forged one finds nothing, and what
was accepted is not lost, whatever becomes of a word. Then a word goes to the process that asks, which reads the answer
and removes the entry. Where words were lost, and now and then as long as questions wait, it looks for the answers
itself. Where there is no entry, since the store was away when the question was asked, that process is asked whether it
waits. Specification: 2025-11-25 basic/transports "Sending Messages to the Server".
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from msgspec import Raw, Struct

from ...logs import get_logger
from ...protocol import codec
from ...protocol.call import PeerResponse
from ...protocol.correlation import OpenRequests
from ...protocol.errors import RPCError
from ...protocol.types.requests import RequestId
from ...stores.contracts import KeyValue
from ...stores.errors import StoreError, StoreFull, ValueTooLarge
from .answering import HTTPRefusal
from .endpoint_processes import EndpointProcesses, QuestionAnswered, QuestionOpen
from .limits import RETRY_SOON

__all__ = ["StoredQuestions", "process_of"]

log = get_logger("dovetail.http")

#: The part of the store that questions and their answers may take, and the part of that which is one session's.
SHARE: Final = 1 / 16
SESSION_SHARE: Final = 1 / 2
#: Seconds after which it is looked for answers of which no word came.
LOOK: Final = 10.0
#: Seconds for which an entry outlasts its question.
_LONGER: Final = 60.0
_ASKED: Final = b"asked"
_ID: Final = re.compile(r"s([0-9a-f]{16})\.[0-9a-f]{8}-[0-9]{1,20}")
_ID_IN: Final = re.compile(rb'"(s[0-9a-f]{16}\.[0-9a-f]{8}-[0-9]{1,20})"')


class _StoredAnswer(Struct, frozen=True):
    """``problem``: what is wrong with an answer that could not be read."""

    body: Raw = Raw(b"null")
    failed: bool = False
    problem: str | None = None


def process_of(id: RequestId | None) -> str | None:
    """The process that asks a question, by its id; None for what is no such id."""
    match = _ID.fullmatch(id) if isinstance(id, str) else None
    return None if match is None else match[1]


class _OpenQuestion(Struct, eq=False):
    """A question of this process's: its session, and where its waiter is found."""

    session: str
    asked: OpenRequests[asyncio.Future[PeerResponse]]


class StoredQuestions:
    """The questions of this process that wait for answers, and the way of an answer to those of others."""

    def __init__(self, kv: KeyValue, processes: EndpointProcesses, answer_timeout: float) -> None:
        self._kv = kv.within("http/questions/", share=SHARE)
        self._processes = processes
        self._ttl = answer_timeout + _LONGER
        self._open: dict[str, _OpenQuestion] = {}
        self._due: set[str] = set()
        self._looking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        processes.hear(QuestionAnswered, self._heard)
        processes.answer(QuestionOpen, self._is_open)
        processes.missed(self._look_for_all)

    def _of(self, session: str) -> KeyValue:
        return self._kv.within(f"{session[:32]}/", share=SESSION_SHARE)

    # Asking

    async def register(
        self, id: RequestId, session: str, asked: OpenRequests[asyncio.Future[PeerResponse]]
    ) -> None:
        """Let the answer to a question come by any worker. Where the store fails, that worker will ask this one."""
        text = str(id)
        self._open[text] = _OpenQuestion(session, asked)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LOOK, self._look_again)
        try:
            await self._processes.hold(text)
            await self._of(session).add(text, _ASKED, ttl=self._ttl)
        except StoreError as problem:
            log.warning("the store knows nothing of a question: %s", problem)

    async def forget(self, id: RequestId) -> None:
        """A question waits no more."""
        text = str(id)
        question = self._open.pop(text, None)
        if question is None:
            return
        self._processes.release(text)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            await self._of(question.session).delete(text)
        except StoreError as problem:  # it expires
            log.debug("a question could not be removed from the store: %s", problem)

    async def _is_open(self, asked: QuestionOpen, _: str) -> bool:
        question = self._open.get(asked.id)
        return question is not None and question.session == asked.session

    def _heard(self, word: QuestionAnswered) -> None:
        if word.id in self._open:
            self._due.add(word.id)
            self._look()

    def _look_again(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(LOOK, self._look_again)
        self._look_for_all()

    def _look_for_all(self) -> None:
        if self._open:
            self._due.update(self._open)
            self._look()

    def _look(self) -> None:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._take_answers())

    async def _take_answers(self) -> None:
        while self._due:
            id = self._due.pop()
            question = self._open.get(id)
            if question is None:
                continue
            try:
                found = await self._of(question.session).get(id)
            except StoreError as problem:
                log.debug("it could not be seen whether a question was answered: %s", problem)
                continue
            if found is None or found == _ASKED:
                continue
            try:
                stored = codec.reader(_StoredAnswer).read(found)
            except codec.DECODE_ERRORS as damage:
                stored = _StoredAnswer(problem=f"the client's answer can't be read any more: {damage}")
            waiter = question.asked.take(id)
            if waiter is None or waiter.done():
                continue
            if stored.problem is None:
                waiter.set_result(PeerResponse(id, stored.body, stored.failed))
            else:
                waiter.set_exception(RPCError(stored.problem))

    # Answering

    async def pass_on(self, session: str, answer: PeerResponse) -> None:
        """Take an answer that a client of ``session`` gave to a question of another process, if it is one. Raises
        `HTTPRefusal`: 413 and 503 where it can't be kept, 400 where nobody waits for it because that process has died.
        """
        process = process_of(answer.id)
        if process is not None and process != self._processes.id:
            await self._put(process, str(answer.id), session, _StoredAnswer(answer.body, answer.failed))

    async def pass_on_unreadable(
        self, session: str, id: RequestId | None, data: bytes, problem: Exception
    ) -> None:
        """End a question of another process which an unreadable message was to answer. Raises `HTTPRefusal`."""
        if id is None and (match := _ID_IN.search(data)) is not None:
            id = match[1].decode()
        process = process_of(id)
        if process is not None and process != self._processes.id:
            text = f"the client's answer is malformed: {problem}"
            await self._put(process, str(id), session, _StoredAnswer(problem=text))

    async def _put(self, process: str, id: str, session: str, answer: _StoredAnswer) -> None:
        kv = self._of(session)
        try:
            data = codec.encode(answer)
            if not await kv.compare_and_set(id, _ASKED, data, ttl=self._ttl) and not (
                await self._is_missing(process, id, session)
                and await kv.compare_and_set(id, None, data, ttl=self._ttl)
            ):
                return  # of no open question of this session's: as one that was answered before
            if not await self._processes.lives(process):
                await kv.delete(id)
                raise HTTPRefusal(
                    400,
                    "the worker that asked this has died, and the call with it: nobody waits for the answer",
                )
        except ValueTooLarge as problem:
            raise HTTPRefusal(
                413, f"the answer has {problem.size} bytes; at most {problem.limit} can be passed on"
            ) from None
        except StoreFull:
            raise HTTPRefusal(
                503, "there is no room now for an answer to another worker; send it again", headers=RETRY_SOON
            ) from None
        await self._processes.say(process, QuestionAnswered(id))

    async def _is_missing(self, process: str, id: str, session: str) -> bool:
        """Whether a question waits that the store has nothing of. Raises `HTTPRefusal` (503) where nobody says."""
        if await self._of(session).get(id) is not None or not await self._processes.lives(process):
            return False
        waits = await self._processes.ask(process, QuestionOpen(session, id))
        if waits is None and await self._processes.lives(process):
            text = "the worker that asked this does not say whether it waits; send the answer again"
            raise HTTPRefusal(503, text, headers=RETRY_SOON)
        return bool(waits)
