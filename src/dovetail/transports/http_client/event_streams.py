"""What comes in on the event streams of Streamable HTTP, and whose it is.

Theory of operation. Whoever awaits a stream reads it (`EventStreams.follow`); there is no reader task. What is not
the awaited answer is sorted: an answer to another open call ends that call, anything else goes to the
receiver, marked with the request on whose stream it came. A call is ended from outside by `OpenCall.settle`, whose
cancellation is told from that of the caller.
Specification: 2025-11-25 basic/transports, "Sending Messages to the Server", "Listening for Messages from the
Server".
"""

import asyncio
from types import TracebackType
from typing import Final

from ...logs import get_logger
from ...protocol import envelope
from ...protocol.bindings.sse import EventTooLarge, SSEParser
from ...protocol.envelope import Kind, Message
from ...protocol.errors import ConnectionLost, DovetailError, LocalProtocolError, RemoteProtocolError
from ...protocol.types.requests import RequestId
from ..client_transport import Outgoing, ReceivedResponse, Receiver
from . import answers
from .answers import EndpointResponse
from .requests import RequestSender
from .resumption import Resumption

__all__ = ["EventStreams", "OpenCall"]

_log: Final = get_logger("dovetail.transports")
_AT_ONCE: Final = 256


class OpenCall:
    """One request whose answer is awaited inside its ``with`` block; left early where `settle` says the outcome."""

    __slots__ = ("_cancelling", "_outcome", "_struck", "_task")

    def __init__(self) -> None:
        self._outcome: ReceivedResponse | DovetailError | None = None
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._struck = False

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise LocalProtocolError("a request is awaited inside a task of an event loop")
        self._task = task
        self._cancelling = task.cancelling()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> bool:
        task, self._task = self._task, None
        if not self._struck:
            return False
        ours = task is not None and task.uncancel() <= self._cancelling
        return ours and kind is not None and issubclass(kind, asyncio.CancelledError)

    def settle(self, outcome: ReceivedResponse | DovetailError) -> None:
        """End the wait with this outcome, unless it has ended."""
        if self._outcome is None and self._task is not None:
            self._outcome = outcome
            self._task.get_loop().call_soon(self._strike)

    def _strike(self) -> None:
        if self._task is not None:
            self._struck = True
            self._task.cancel()

    def settled(self) -> ReceivedResponse:
        """The outcome, once the block was left early. Raises it where it is an error."""
        if isinstance(self._outcome, ReceivedResponse):
            return self._outcome
        raise self._outcome or LocalProtocolError("the wait was not ended")


class EventStreams:
    """The open calls of one client, and the way of everything else to the ``receiver``.

    ``late`` counts answers that nobody waited for, ``malformed`` messages that were none.
    """

    def __init__(self, requests: RequestSender, max_message: int) -> None:
        self.receiver: Receiver | None = None
        self.calls: Final[dict[RequestId, OpenCall]] = {}
        self.late = 0
        self.malformed = 0
        self._requests = requests
        self._max_message = max_message
        self._endings: set[asyncio.Task[None]] = set()

    async def follow(
        self, answer: EndpointResponse, progress: Resumption, out: Outgoing | None
    ) -> Message | None:
        """Read one stream to the awaited answer, or to its end (None); what else comes is handed over."""
        parser = SSEParser(self._max_message)
        parser.last_event_id = progress.last_event_id
        while True:
            try:
                chunk = await answer.read()
            except ConnectionLost as problem:
                progress.broke(problem)
                return None
            if not chunk:
                return None
            too_large: EventTooLarge | None = None
            try:
                events = parser.feed(chunk)
            except EventTooLarge as problem:
                events, too_large = problem.events, problem
            progress.heard(parser.last_event_id, parser.retry)
            for number, event in enumerate(events, 1):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)  # handing over waits for nobody, and others want to run too
                if event.data and event.event == "message":
                    found = await self._sort(event.data, out, progress)
                    if found is not None:
                        self.let_end(answer)
                        return found
            if too_large is not None:
                raise too_large

    async def _sort(self, data: bytes, out: Outgoing | None, progress: Resumption) -> Message | None:
        """Sort one message of a stream: give the answer to ``out``, pass on anything else."""
        try:
            message = self._requests.opened(data, self._requests.revision if out is None else out.revision)
        except RemoteProtocolError as problem:
            self.malformed += 1
            progress.problem = problem
            return None
        response = message.kind is Kind.RESULT or message.kind is Kind.ERROR
        if response and message.id is not None:
            if out is not None and message.id == out.id:
                return message
            call = self.calls.get(message.id)
            if call is None:
                message = envelope.under_number(message, self.calls) or message
                if out is not None and message.id == out.id:
                    return message
                call = None if message.id is None else self.calls.get(message.id)
            if call is None:
                self.late += 1
            else:
                call.settle(ReceivedResponse(message, 200))
            return None
        if response and out is not None:
            return Message(Kind.ERROR, out.id, body=message.body)
        await self._hand_over(message, None if out is None else out.id)
        return None

    def missed(self) -> None:
        """Tell the receiver that messages which belong to no call may have been lost."""
        if self.receiver is not None:
            self.receiver.missed()

    async def _hand_over(self, message: Message, related: RequestId | None) -> None:
        try:
            if self.receiver is not None:
                await self.receiver.message(message, related)
        except Exception as problem:  # noqa: BLE001 - a faulty receiver must not end the call whose stream this is
            _log.error("http: taking in %s failed: %s", message.kind.name.lower(), type(problem).__name__)

    def let_end(self, answer: EndpointResponse) -> None:
        """The answer is there; read what little may follow, so that the connection can be used again."""
        if answer.ended or self._requests.endpoint.closed:
            answer.close()
            return
        task = asyncio.create_task(answers.read_out(answer), name="dovetail: end of a stream")
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)
        task.add_done_callback(lambda _: answer.close())  # a task cancelled before it began runs no finally

    async def close(self, error: DovetailError) -> None:
        """End all calls with this error, and what is still being read. Bounded."""
        for call in tuple(self.calls.values()):
            call.settle(error)
        current = asyncio.current_task()
        endings = [task for task in self._endings if task is not current]
        for task in endings:
            task.cancel()
        if endings:
            await asyncio.wait(endings)
