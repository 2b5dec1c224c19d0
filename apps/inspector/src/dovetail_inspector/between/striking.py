"""The faults that are in force: which of them strike a message, how often each did, and what they make of its bytes.

Theory of operation. A `FaultSet` is asked from the threads of a pipe or from a loop, and changed from another thread
while the relay runs. Each fault has its own count and its own random numbers, so that the same messages with the same
seeds are struck alike. What a message becomes is arithmetic on bytes (`altered`); who sends them when is said in
`pipe_faults` and `http_faults`.

Specification: none.
"""

from __future__ import annotations

import fnmatch
import random
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from .faults import (
    ChangedMember,
    Fault,
    FaultInvalid,
    InvalidUTF8,
    Oversize,
    Transport,
    Truncate,
    WrongId,
    in_words,
)
from .messages import Sender, Subject, decoded

__all__ = ["FaultSet", "FaultState", "Strike", "altered"]

_MOST: Final = 1000
_META: Final = "_meta"
_PADDING: Final = "dovetail.inspector/padding"


class FaultState(Struct, frozen=True):
    """A fault in force: its ``number``, the ``fault`` in words, how many messages fitted it (``matched``), and how many
    of them it struck (``struck``).
    """

    number: int
    fault: str
    matched: int
    struck: int


class Strike:
    """A fault that strikes now. ``chance``: a random number from 0 to 1 of its own."""

    __slots__ = ("chance", "fault", "number")

    def __init__(self, number: int, fault: Fault, chance: float) -> None:
        self.number: Final = number
        self.fault: Final = fault
        self.chance: Final = chance

    @property
    def about(self) -> str:
        """What is noted in the capture."""
        return f"{self.number}: {in_words(self.fault)}"


class _Active:
    def __init__(self, number: int, fault: Fault) -> None:
        self.number = number
        self.fault = fault
        self.matched = self.struck = 0
        self.random = random.Random(fault.seed)  # noqa: S311 - the same again is the point

    def strikes(self) -> bool:
        fault = self.fault
        self.matched += 1
        if fault.nth and self.matched != fault.nth:
            return False
        if fault.times and self.struck >= fault.times:
            return False
        if fault.share < 1 and self.random.random() >= fault.share:
            return False
        self.struck += 1
        return True


class FaultSet:
    """The faults of one relay, on ``transport``. ``on_change``: called when there are others now, under no lock."""

    def __init__(self, transport: Transport, on_change: Callable[[], None] | None = None) -> None:
        self.transport: Final[Transport] = transport
        self.on_change = on_change
        self._lock = Lock()
        self._active: list[_Active] = []
        self._next = 1

    def __bool__(self) -> bool:
        return bool(self._active)

    def add(self, fault: Fault) -> int:
        """Put one in force, and give its number. Raises `FaultInvalid` for one that can't strike on this transport, and
        where there are 1000 already.
        """
        obstacle = fault.obstacle(self.transport)
        if obstacle:
            raise FaultInvalid(f"{in_words(fault)!r} can't be on {self.transport}: {obstacle}")
        with self._lock:
            if len(self._active) >= _MOST:
                raise FaultInvalid(f"there are {_MOST} faults; remove some first")
            number = self._next
            self._next += 1
            self._active = [*self._active, _Active(number, fault)]
        self._changed()
        return number

    def remove(self, number: int) -> bool:
        """Take one out of force; False where there is none of this number."""
        with self._lock:
            before = len(self._active)
            self._active = [each for each in self._active if each.number != number]
            found = len(self._active) < before
        if found:
            self._changed()
        return found

    def clear(self) -> None:
        """Take all of them out."""
        with self._lock:
            self._active = []
        self._changed()

    def states(self) -> list[FaultState]:
        """All of them, oldest first."""
        with self._lock:
            return [
                FaultState(each.number, in_words(each.fault), each.matched, each.struck)
                for each in self._active
            ]

    def striking(
        self, unit: Literal["message", "request", "response"], sender: Sender, subjects: Sequence[Subject]
    ) -> list[Strike]:
        """Those that strike something that ``sender`` said about ``subjects``, oldest first."""
        found: list[Strike] = []
        with self._lock:
            for each in self._active:
                fault = each.fault
                if (
                    fault.sender == sender
                    and self._unit(fault) == unit
                    and any(_fits(fault, subject) for subject in subjects)
                    and each.strikes()
                ):
                    found.append(Strike(each.number, fault, each.random.random()))
        return found

    def _unit(self, fault: Fault) -> str:
        if self.transport == "stdio":
            return "message"
        return "request" if fault.unit == "response" and fault.sender == "client" else fault.unit

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def altered(fault: Fault, data: bytes) -> bytes:
    """What a fault makes of a message's bytes; the same, where it does not change them."""
    match fault:
        case Truncate(bytes=most):
            return data[: most or len(data) // 2]
        case WrongId(id=id):
            return _with(data, ["id"], id, only_there=True)
        case Oversize(bytes=least):
            return _oversized(data, least)
        case InvalidUTF8():
            at = max(data.rfind(b'"'), 0)
            return data[:at] + b"\xff" + data[at:]
        case ChangedMember(pointer=pointer, value=value):
            names = [each.replace("~1", "/").replace("~0", "~") for each in pointer.split("/")[1:]]
            return _with(data, names, value)
        case _:
            return data


def _fits(fault: Fault, subject: Subject) -> bool:
    if fault.tool and fault.tool != subject.tool:
        return False
    return not fault.method or fnmatch.fnmatchcase(subject.method, fault.method)


def _with(data: bytes, names: Sequence[str], new: Any, *, only_there: bool = False) -> bytes:
    """The message with something else at a place, which is made where its last name is missing (not ``only_there``);
    ``UNSET`` takes away what is there. The same bytes where there is no such place.
    """
    whole = decoded(data)
    messages: list[Any] = cast("list[Any]", whole) if isinstance(whole, list) else [whole]
    done = [
        _put(each, names, new) for each in messages if not only_there or _inside(each, names[0]) is not None
    ]
    return msgspec.json.encode(whole) if any(done) else data


def _put(value: Any, names: Sequence[str], new: Any) -> bool:
    *outer, last = names
    for name in outer:
        value = _inside(value, name)
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        if new is msgspec.UNSET:
            return members.pop(last, msgspec.UNSET) is not msgspec.UNSET
        members[last] = new
        return True
    if isinstance(value, list) and last.isdecimal() and int(last) < len(cast("list[Any]", value)):
        items = cast("list[Any]", value)
        if new is msgspec.UNSET:
            del items[int(last)]
        else:
            items[int(last)] = new
        return True
    return False


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(name)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return items[int(name)] if name.isdecimal() and int(name) < len(items) else None


def _oversized(data: bytes, least: int) -> bytes:
    """With a long text in the ``_meta`` of its parameters or result; with spaces at its end where it has neither."""
    value = decoded(data)
    for name in ("params", "result"):
        inside: Any = _inside(value, name)
        if isinstance(inside, dict):
            meta: Any = cast("dict[str, Any]", inside).setdefault(_META, {})
            if isinstance(meta, dict):
                cast("dict[str, Any]", meta)[_PADDING] = "x" * max(0, least - len(data))
                return msgspec.json.encode(value)
    return data + b" " * max(0, least - len(data))
