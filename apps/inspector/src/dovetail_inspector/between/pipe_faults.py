"""What faults do to the lines of a `PipeRelay`.

Theory of operation. Each direction is a `_Lane`: whole lines leave it one at a time, also those that were held back and
are let go by a timer. A fault that takes its time takes it in the thread of its direction, so what follows waits, as on
a slow line. What is held back goes at the latest when its direction ends, or when no fault is left.

Specification: basic/transports, "stdio".
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from dovetail.recording import PipeInterceptor, RelayedPipe

from .faults import Cut, Delay, Disconnect, Drip, Drop, Duplicate, Error, HalfClose, Reorder
from .messages import Sender, SubjectTracker, decoded
from .striking import FaultSet, Strike, altered

__all__ = ["PipeFaults", "error_response", "seconds_of"]


class PipeFaults(PipeInterceptor):
    """An interceptor that does what a `FaultSet` says."""

    def __init__(self, faults: FaultSet) -> None:
        self._faults = faults
        self._conversation = SubjectTracker()
        self._heard = threading.Lock()
        self._lanes: dict[Sender, _Lane] = {"client": _Lane("client"), "server": _Lane("server")}

    def message(self, sender: Sender, line: bytes, pipe: RelayedPipe) -> None:
        """See `PipeInterceptor`."""
        lane = self._lanes[_other(sender)]
        lane.pipe = pipe
        data = line.rstrip(b"\r\n")
        value = decoded(data)
        with self._heard:
            subjects = self._conversation.heard(sender, value)
        strikes = self._faults.striking("message", sender, subjects) if data.strip() else []
        if not strikes:
            lane.pass_on(line)
            return
        self._strike(sender, line, data, strikes, pipe)

    def ended(self, sender: Sender, pipe: RelayedPipe) -> None:
        """See `PipeInterceptor`."""
        with suppress(OSError):
            self._lanes[_other(sender)].release()

    def release(self) -> None:
        """Let go what is held back."""
        for lane in self._lanes.values():
            with suppress(OSError):
                lane.release()

    def _strike(
        self, sender: Sender, line: bytes, data: bytes, strikes: Sequence[Strike], pipe: RelayedPipe
    ) -> None:
        to = _other(sender)
        lane = self._lanes[to]
        said, copies, drip, close, hold = data, 1, None, False, None
        for strike in strikes:
            fault = strike.fault
            before, said = said, altered(fault, said)
            pipe.link.fault(strike.about, said if said != before else None)
            match fault:
                case Drop():
                    return
                case Error():
                    answer = error_response(data, fault)
                    if answer is not None:
                        self._lanes[sender].pipe = pipe
                        self._lanes[sender].pass_on(answer + b"\n")
                    return
                case Disconnect():
                    _disconnect(pipe)
                    return
                case Cut(bytes=most):
                    with suppress(OSError):
                        lane.pass_on(said[: most or len(said) // 2])
                    _disconnect(pipe)
                    return
                case Delay(overtaken=False):
                    lane.wait(seconds_of(fault, strike))
                case Delay():
                    hold = (0, seconds_of(fault, strike))
                case Reorder(behind=behind, seconds=seconds):
                    hold = (behind, seconds)
                case Duplicate(copies=times):
                    copies *= times
                case Drip():
                    drip = fault
                case HalfClose():
                    close = True
                case _:
                    pass
        whole = said + line[len(data) :]
        if hold is not None:
            lane.hold(whole * copies, *hold)
        else:
            for _ in range(copies):
                lane.pass_on(whole, drip)
        if close:
            lane.release()
            pipe.close(to)


class _Lane:
    """Lines on their way to one end. ``pipe``: set before anything is sent."""

    def __init__(self, to: Sender) -> None:
        self._to: Final[Sender] = to
        self.pipe: RelayedPipe | None = None
        self._sending = threading.RLock()
        self._held: list[_Held] = []
        self._stop = threading.Event()

    def wait(self, seconds: float) -> None:
        """Hold up this direction."""
        self._stop.wait(seconds)

    def pass_on(self, line: bytes, drip: Drip | None = None) -> None:
        """Send a line, then what was held back until after it. Raises OSError where the end is closed."""
        with self._sending:
            self._send(line, drip)
            due: list[_Held] = []
            for each in self._held:
                each.behind -= 1
                if each.behind == 0:
                    due.append(each)
            for each in due:
                self._let_go(each)

    def hold(self, line: bytes, behind: int, seconds: float) -> None:
        """Send a line after so many others (0: any number), or after this time."""
        held = _Held(line, behind)
        held.timer = threading.Timer(seconds, self._late, [held])
        held.timer.daemon = True
        with self._sending:
            self._held.append(held)
        held.timer.start()

    def release(self) -> None:
        """Send what is held back, now. Raises OSError where the end is closed."""
        self._stop.set()
        with self._sending:
            self._stop.clear()
            while self._held:
                self._let_go(self._held[0])

    def _late(self, held: _Held) -> None:
        with self._sending, suppress(OSError):
            if held in self._held:
                self._let_go(held)

    def _let_go(self, held: _Held) -> None:
        self._held.remove(held)
        if held.timer is not None:
            held.timer.cancel()
        self._send(held.line, None)

    def _send(self, line: bytes, drip: Drip | None) -> None:
        if self.pipe is None:
            return
        if drip is None:
            self.pipe.send(self._to, line)
            return
        for at in range(0, len(line), drip.bytes):
            self.pipe.send(self._to, line[at : at + drip.bytes])
            if at + drip.bytes < len(line):
                self.wait(drip.seconds)


class _Held:
    """A line that is held back: behind so many others."""

    def __init__(self, line: bytes, behind: int) -> None:
        self.line = line
        self.behind = behind
        self.timer: threading.Timer | None = None


def error_response(data: bytes, fault: Error) -> bytes | None:
    """The answer to a request in its place; None for what is no request."""
    value = decoded(data)
    if not isinstance(value, dict) or "method" not in value or "id" not in value:
        return None
    error = {"code": fault.code, "message": fault.message}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": value["id"], "error": error})


def seconds_of(fault: Delay, strike: Strike) -> float:
    return fault.seconds + max(0.0, fault.up_to - fault.seconds) * strike.chance


def _other(sender: Sender) -> Sender:
    return "server" if sender == "client" else "client"


def _disconnect(pipe: RelayedPipe) -> None:
    pipe.close("client")
    pipe.close("server")
