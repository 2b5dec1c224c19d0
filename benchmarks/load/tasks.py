"""The load of tasks: calls that are answered with a task, which is asked for until it is as far as it is to be.

Theory of operation: each connection starts a few tasks, one request after the other, and then asks for each of them; so
a server that works meanwhile has ended most before they are asked for. One that is told that a task still works asks
again, but not at once: else the load would take from the server the time in which it works. All tasks are of the
extension io.modelcontextprotocol/tasks (2026-07-28), and every answer is checked.

Who waits for a task hears of it on a stream (`listened`), or asks for it as often as it was told to (`polled`). The
result of such a task is the time at which its body ended, by the clock that all processes of a machine share.
"""

from __future__ import annotations

import gc
import heapq
import random
import re
import socket
import time
from collections.abc import Sequence

from ..processes import Broken, Process
from .answers import Reader, message, passes
from .http import Load, ask, connect, exchange, received
from .streams import Streams
from .waiting import TIMEOUT, Lookout
from .wire import (
    FIRST_ID,
    PREFIX,
    Json,
    Request,
    call,
    encoded,
    http,
    stateless,
    stateless_headers,
    stateless_meta,
)

EXTENSION = "io.modelcontextprotocol/tasks"
BATCH = 4
"""Tasks that a connection starts in a row: with 16 connections, no more than a caller may have by default."""
AGAIN = 0.01
"""Seconds until a task that still works is asked for again by who counts how many there are, and twice as long each
further time.
"""
AT_LAST = 0.16
"""The longest of these pauses."""
LATE = (0.1, 0.3)
"""Seconds that a task works of which somebody waits to hear."""
_READ = 1 << 18
_LENGTH = 7_654_321
_NAME = b"TASK-ID"
_TASK = re.compile(rb'"taskId":"([\w-]+)"')
_ENDED = re.compile(rb'"text":"(\d+\.\d+)"')


def meta() -> Json:
    """What a request says that knows tasks, and can be asked."""
    found = stateless_meta(elicitation=True)
    found[PREFIX + "clientCapabilities"]["extensions"] = {EXTENSION: {}}
    return found


class Asking:
    """The requests that ask for tasks, all the same but for the task."""

    def __init__(self, port: int) -> None:
        name = _NAME.decode()
        params = {"taskId": name, "_meta": meta()}
        body = encoded({"jsonrpc": "2.0", "id": FIRST_ID, "method": "tasks/get", "params": params})
        whole = http(port, body, stateless_headers("tasks/get", name), length=_LENGTH)
        self._before, _, rest = whole.partition(b"%d" % _LENGTH)
        self._pieces = rest.split(_NAME)
        self._rest = len(body) - len(_NAME)

    def of(self, task: bytes) -> bytes:
        """The request that asks for this one."""
        return b"%b%d%b" % (self._before, self._rest + len(task), task.join(self._pieces))


class Lane:
    """A connection that starts tasks and asks for them. ``until``: what the answer has to hold of a task that is as far
    as it is to be.
    """

    __slots__ = ("_asking", "_left", "_request", "_sent", "_until", "pause", "reader", "sock", "tasks")

    def __init__(self, port: int, request: Request, until: bytes) -> None:
        self.sock = connect(port)
        self.reader = Reader()
        self.tasks: list[tuple[bytes, float]] = []
        self.pause = 0.0
        self._request = request
        self._until = until
        self._asking = Asking(port)
        self._left = 0
        self._sent = 0.0

    def begin(self) -> None:
        """Start a few."""
        self._left = BATCH
        self._start()

    def ask(self) -> None:
        """Ask for the first of them."""
        self.sock.sendall(self._asking.of(self.tasks[0][0]))

    def take(self, body: bytes) -> float | None:
        """Take an answer, and send the next request if there is one. Gives how long a task took, if it was one's end;
        ``pause``: the task that was asked for works, and is to be asked for after so long. Raises `Broken` for a wrong
        answer.
        """
        if self._left:
            self._started(body)
            return None
        task, sent = self.tasks[0]
        if task in body and passes(body, self._until):
            del self.tasks[0]
            self.pause = 0.0
            if self.tasks:
                self.ask()
            return time.perf_counter() - sent
        if task not in body or not passes(body, b'"status":"working"'):
            raise Broken(f"a wrong answer: {body[:500].decode('utf-8', 'replace')}")
        self.pause = min(2 * self.pause or AGAIN, AT_LAST)
        return None

    def close(self) -> None:
        """Close the socket."""
        self.sock.close()

    def _start(self) -> None:
        self._sent = time.perf_counter()
        self.sock.sendall(self._request.next())

    def _started(self, body: bytes) -> None:
        self.tasks.append((task_of(body), self._sent))
        self._left -= 1
        if self._left:
            self._start()
        else:
            self.ask()


def task_of(body: bytes) -> bytes:
    """The id of the task that a call was answered with. Raises `Broken` for another answer."""
    found = _TASK.search(body)
    if found is None or not passes(body, b'"resultType":"task"'):
        raise Broken(f"no task: {body[:500].decode('utf-8', 'replace')}")
    return found[1]


def lanes(port: int, count: int, params: Json, until: bytes) -> list[Lane]:
    """So many connections that make tasks of one call."""
    return [Lane(port, stateless(port, "tools/call", params, meta=meta()), until) for _ in range(count)]


def run(
    server: Process, running: Sequence[Lane], seconds: float, *, least: int = 64, spins: bool = True
) -> Load:
    """Run all lanes for so long, and until ``least`` tasks are over; then they are closed. ``spins``: wait without
    sleeping, where nobody else needs the load's core. Raises `Broken` at the first wrong answer.
    """
    by_number = {lane.sock.fileno(): lane for lane in running}
    lookout = Lookout(list(by_number), spins=spins and server.apart)
    gc.collect()
    gc.disable()
    try:
        cpu, began = server.cpu(), time.perf_counter()
        latencies = _loop(server, lookout, by_number, began + seconds, least)
        spent = time.perf_counter() - began
        return Load(len(latencies), spent, server.cpu() - cpu, latencies, 1 - lookout.idle / spent)
    finally:
        gc.enable()
        lookout.close()
        for lane in running:
            lane.close()


def _loop(
    server: Process, lookout: Lookout, by_number: dict[int, Lane], until: float, least: int
) -> list[float]:
    """The loop itself; gives how long each task took."""
    latencies: list[float] = []
    resting: list[tuple[float, int]] = []
    open_ = len(by_number)
    for lane in by_number.values():
        lane.begin()
    while open_:
        now = time.perf_counter()
        while resting and resting[0][0] <= now:
            by_number[heapq.heappop(resting)[1]].ask()
        ready = lookout.ready(resting[0][0] - now if resting else TIMEOUT)
        if not ready and not resting:
            server.check()
            raise Broken(f"no answer within {TIMEOUT:.0f} s")
        for number, _ in ready:
            lane = by_number[number]
            data = lane.sock.recv(_READ)
            if not data:
                server.check()
                raise Broken("the server closed a connection")
            body = lane.reader.feed(data)
            if body is None:
                continue
            took = lane.take(body)
            if took is None and lane.pause:
                heapq.heappush(resting, (time.perf_counter() + lane.pause, number))
            if took is None:
                continue
            latencies.append(took)
            if not lane.tasks:
                if time.perf_counter() < until or len(latencies) < least:
                    lane.begin()
                else:
                    open_ -= 1
    return latencies


def listened(server: Process, port: int, count: int) -> list[float]:
    """How long after the end of its body who listens knows of a task and its result, in seconds: of so many that wait
    for an answer, and get it one after the other. Raises `Broken`.
    """
    with connect(port) as sock, Streams(server) as streams:
        updates = [_waiting(sock, port) for _ in range(count)]
        wanted = {"notifications": {"taskIds": [task for task, _ in updates]}}
        listen = stateless(port, "subscriptions/listen", wanted, meta=meta())
        streams.open(port, listen.next(), b"subscriptions/acknowledged")
        lookout = Lookout([streams.socks[0].fileno()], spins=server.apart)
        try:
            return [_told(server, lookout, sock, streams.socks[0], *each) for each in updates]
        finally:
            lookout.close()


def _waiting(sock: socket.socket, port: int) -> tuple[str, bytes]:
    """A task that waits for an answer, and the request that gives it."""
    task: str = ask(sock, stateless(port, "tools/call", call("last"), meta=meta()))["taskId"]
    asking = Asking(port).of(task.encode())
    pause = AGAIN
    while (found := message(exchange(sock, asking)[1])["result"])["status"] != "input_required":
        time.sleep(pause)
        pause = min(2 * pause, AT_LAST)
    answer = {"action": "accept", "content": {"value": "go on"}}
    params = {
        "taskId": task,
        "inputResponses": dict.fromkeys(found["inputRequests"], answer),
        "_meta": meta(),
    }
    body = encoded({"jsonrpc": "2.0", "id": FIRST_ID, "method": "tasks/update", "params": params})
    return task, http(port, body, stateless_headers("tasks/update", task))


def _told(
    server: Process, lookout: Lookout, sock: socket.socket, stream: socket.socket, task: str, update: bytes
) -> float:
    """How long after its end a task is told of. The stream is read first: the answer to the update can wait."""
    sock.sendall(update)
    name, rest = task.encode(), b""
    while True:
        if not lookout.ready() or not (data := stream.recv(_READ)):
            server.check()
            raise Broken(f"nobody was told of the end of a task: {rest[:500]!r}")
        now = time.monotonic()
        *events, rest = (rest + data).replace(b"\r\n", b"\n").split(b"\n\n")
        ends = [each for each in events if name in each and b'"status":"completed"' in each]
        if ends:
            received(sock)
            return now - _ended_at(ends[0])


def polled(port: int, count: int) -> list[float]:
    """The same of who asks for each task as often as the server said. Raises `Broken`."""
    asking = Asking(port)
    latencies: list[float] = []
    with connect(port) as sock:
        next_looks = [(time.monotonic() + pause, pause, task) for task, pause in _begun(sock, port, count)]
        heapq.heapify(next_looks)
        while next_looks:
            at, pause, task = heapq.heappop(next_looks)
            time.sleep(max(0.0, at - time.monotonic()))
            _, body = exchange(sock, asking.of(task))
            now = time.monotonic()
            if passes(body, b'"status":"completed"'):
                latencies.append(now - _ended_at(body))
            elif passes(body, b'"status":"working"'):
                heapq.heappush(next_looks, (at + pause, pause, task))
            else:
                raise Broken(f"a wrong answer: {body[:500].decode('utf-8', 'replace')}")
    return latencies


def _begun(sock: socket.socket, port: int, count: int) -> list[tuple[bytes, float]]:
    """So many tasks that work for a while, each for another one, and how long to leave between two looks."""
    found: list[tuple[bytes, float]] = []
    for _ in range(count):
        params = call("late", seconds=round(random.uniform(*LATE), 4))
        made = ask(sock, stateless(port, "tools/call", params, meta=meta()))
        found.append((made["taskId"].encode(), made["pollIntervalMs"] / 1000))
    return found


def _ended_at(body: bytes) -> float:
    found = _ENDED.search(body)
    if found is None:
        raise Broken(f"no time in the result: {body[:500].decode('utf-8', 'replace')}")
    return float(found[1])
