"""The relays that run on this machine for this person: they say that they are there, and their faults can be steered.

Theory of operation. A host starts a relay by itself, so an Inspector that runs beside it has to find it. Each relay has
a file in one folder, which says what it is between, where its capture grows, and at which Unix socket it takes orders.
It holds a lock on the file for as long as it lives: a file whose lock can be had is of a process that is gone, however
it went, and is removed with its socket by whoever looks. The number of a process would prove nothing, for it is given
again.

The folder is its owner's alone (0700), the socket, too (0600), and a relay asks the system who is calling. An order is
a line of JSON, the reply as well.

Specification: none.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct

from dovetail.logs import get_logger

from .faults import Fault, FaultInvalid, fault_of
from .striking import FaultSet, FaultState

__all__ = [
    "LiveRelay",
    "LiveUnavailable",
    "Steering",
    "live_folder",
    "live_relays",
    "registered",
    "state_folder",
]

_log: Final = get_logger("dovetail.inspector")
_LONGEST_PATH: Final = 100
"""Bytes of a socket's path that every system takes (the least is 104, with a NUL)."""
_ELSEWHERE: Final = "dovetail-inspect-"
_LONGEST_ORDER: Final = 1024 * 1024
_CALLERS: Final = 16
_PATIENCE: Final = 30.0
_numbers: Final = itertools.count(1)


class LiveUnavailable(Exception):
    """A relay can't be announced or steered here; the text says why, and what still works."""


class LiveRelay(Struct, frozen=True, kw_only=True):
    """A relay that runs. ``name``: of its file, and what it is called by. ``process``: its number. ``began``: RFC 3339.
    ``target``: the command or URL, without secrets that show. ``capture``: where what passes is written. ``socket``:
    where it takes orders. ``host``, ``server``: which entry of a host's configuration started it, where one did.
    """

    name: str
    process: int
    began: str
    target: str
    transport: str
    capture: str
    socket: str
    url: str = ""
    host: str = ""
    server: str = ""


class _SteeringOrder(Struct, frozen=True, forbid_unknown_fields=True):
    do: str
    fault: dict[str, Any] | None = None
    number: int = 0


class _SteeringReply(Struct, frozen=True, omit_defaults=True):
    number: int = 0
    removed: bool = False
    faults: list[FaultState] = []
    problem: str = ""


_orders: Final = msgspec.json.Decoder(_SteeringOrder)
_replies: Final = msgspec.json.Decoder(_SteeringReply)
_live: Final = msgspec.json.Decoder(LiveRelay)


def state_folder() -> Path:
    """Where the Inspector keeps what it writes by itself: ``~/.local/state/dovetail/inspect``. No variable moves it:
    hosts give few of theirs to what they start, which would then look elsewhere than a person's Inspector.
    """
    return Path.home() / ".local" / "state" / "dovetail" / "inspect"


def live_folder() -> Path:
    """The folder of the relays that run, made if need be, its owner's alone. Raises `LiveUnavailable`."""
    return own_folder(state_folder() / "live")


def own_folder(folder: Path) -> Path:
    """A folder that nobody else can look into. Raises `LiveUnavailable` for one that is somebody else's."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            raise LiveUnavailable(f"{str(folder)!r} belongs to somebody else; it has to be yours")
        if status.st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as problem:
        raise LiveUnavailable(f"{str(folder)!r} can't be used: {problem.strerror or problem}") from None
    return folder


@contextmanager
def registered(
    faults: FaultSet,
    *,
    target: str,
    capture: Path,
    url: str = "",
    host: str = "",
    server: str = "",
    folder: Path | None = None,
) -> Generator[LiveRelay]:
    """Announce a relay and take orders for it, until the block ends. Raises `LiveUnavailable`, always so on Windows,
    which lacks what this is made of: there, what passes is recorded all the same.
    """
    if sys.platform == "win32":
        raise LiveUnavailable(
            "on Windows a running relay can't be found or steered; what passes is recorded, and --fault still works"
        )
    place = own_folder(folder) if folder is not None else live_folder()
    live_relays(place)  # clears away what is left of others
    name = f"{os.getpid()}-{next(_numbers)}"
    with ExitStack() as held:
        listener, at = _listener(place, name, held)
        relay = LiveRelay(
            name=name,
            process=os.getpid(),
            began=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            target=target,
            transport=faults.transport,
            capture=str(Path(capture).absolute()),
            socket=at,
            url=url,
            host=host,
            server=server,
        )
        _announce(place / f"{name}.json", relay, held)
        orders = _Orders(listener, faults)
        orders.start()
        held.callback(orders.close)
        yield relay


def live_relays(folder: Path | None = None) -> list[LiveRelay]:
    """The relays that run, oldest first. What is left of those that are gone is removed. Raises `LiveUnavailable`."""
    place = own_folder(folder) if folder is not None else live_folder()
    found: list[LiveRelay] = []
    for path in place.glob("*.json"):
        try:
            with path.open("rb") as file:
                gone = _is_free(file)
                relay = _live.decode(file.read())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            # Just removed, or just made and not written yet; or nothing of ours, which stays.
            continue
        if gone:
            _remove(path, relay)
        elif relay.name == path.stem:
            found.append(relay)
    return sorted(found, key=lambda each: (each.began, each.name))


class Steering:
    """Gives orders to a relay that runs, one connection for each. Raises `LiveUnavailable` where it is gone, and
    `FaultInvalid` for an order that it refuses.
    """

    def __init__(self, relay: LiveRelay, *, timeout: float = 5.0) -> None:
        self._relay = relay
        self._timeout = timeout

    def add(self, fault: Fault) -> int:
        """Put a fault in force, and give its number there."""
        return self._ask(_SteeringOrder("add", msgspec.to_builtins(fault))).number

    def remove(self, number: int) -> bool:
        """Take one out of force; False where there is none of this number."""
        return self._ask(_SteeringOrder("remove", number=number)).removed

    def clear(self) -> None:
        """Take all of them out."""
        self._ask(_SteeringOrder("clear"))

    def faults(self) -> list[FaultState]:
        """Those in force, and how often each struck."""
        return self._ask(_SteeringOrder("list")).faults

    def _ask(self, order: _SteeringOrder) -> _SteeringReply:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as called:
                called.settimeout(self._timeout)
                called.connect(self._relay.socket)
                called.sendall(msgspec.json.encode(order) + b"\n")
                with called.makefile("rb") as answers:
                    reply = _replies.decode(answers.readline(_LONGEST_ORDER))
        except (OSError, AttributeError, msgspec.MsgspecError) as problem:
            raise LiveUnavailable(f"the relay {self._relay.name} takes no orders: {problem}") from None
        if reply.problem:
            raise FaultInvalid(reply.problem)
        return reply


class _Orders:
    """What takes orders at a socket, in threads of its own."""

    def __init__(self, listener: socket.socket, faults: FaultSet) -> None:
        self._listener = listener
        self._faults = faults
        self._room = threading.BoundedSemaphore(_CALLERS)
        self._closed = False

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True, name="dovetail: orders").start()

    def close(self) -> None:
        self._closed = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)

    def _run(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False) or not _is_ours(caller):
                caller.close()
                continue
            threading.Thread(
                target=self._serve, args=(caller,), daemon=True, name="dovetail: an order"
            ).start()

    def _serve(self, caller: socket.socket) -> None:
        try:
            with caller, suppress(OSError):
                caller.settimeout(_PATIENCE)
                with caller.makefile("rb") as lines:
                    while line := lines.readline(_LONGEST_ORDER):
                        caller.sendall(msgspec.json.encode(self._obeyed(line)) + b"\n")
        finally:
            self._room.release()

    def _obeyed(self, line: bytes) -> _SteeringReply:
        try:
            order = _orders.decode(line)
            match order.do:
                case "add":
                    return _SteeringReply(number=self._faults.add(fault_of(order.fault or {})))
                case "remove":
                    return _SteeringReply(removed=self._faults.remove(order.number))
                case "clear":
                    self._faults.clear()
                    return _SteeringReply()
                case "list":
                    return _SteeringReply(faults=self._faults.states())
                case _:
                    return _SteeringReply(
                        problem=f"there is no order {order.do!r}: add, remove, clear or list"
                    )
        except (msgspec.MsgspecError, UnicodeDecodeError, FaultInvalid) as problem:
            return _SteeringReply(problem=str(problem))
        except Exception as problem:  # noqa: BLE001 - the caller is told, and the relay goes on
            _log.exception("an order failed")
            return _SteeringReply(problem=f"{type(problem).__name__}: {problem}")


def _listener(folder: Path, name: str, held: ExitStack) -> tuple[socket.socket, str]:
    """A socket that takes connections of this user alone, and its path; ``held`` lets go of both. Raises
    `LiveUnavailable`.
    """
    path = folder / f"{name}.sock"
    if len(os.fsencode(path)) > _LONGEST_PATH:  # homes may be long, and systems take short paths only
        path = Path(held.enter_context(tempfile.TemporaryDirectory(prefix=_ELSEWHERE))) / path.name
    listener = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    try:
        path.unlink(missing_ok=True)  # of a process that had our number, and was killed
        listener.bind(str(path))
        held.callback(path.unlink, missing_ok=True)
        path.chmod(0o600)  # in a folder that nobody else can look into
        listener.listen(_CALLERS)
    except OSError as problem:
        raise LiveUnavailable(f"no socket can be had at {str(path)!r}: {problem}") from None
    return listener, str(path)


def _announce(path: Path, relay: LiveRelay, held: ExitStack) -> None:
    """Write the file of a relay, locked for as long as ``held``, and then removed. It gets its name when it is whole
    and locked, so that nobody takes it for one that is left over. Raises `LiveUnavailable`.
    """
    import fcntl

    new = path.with_suffix(".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        file = held.enter_context(os.fdopen(os.open(new, flags, 0o600), "wb"))
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(msgspec.json.encode(relay) + b"\n")
        file.flush()
        new.replace(path)
    except OSError as problem:
        raise LiveUnavailable(f"{str(path)!r} can't be written: {problem.strerror or problem}") from None
    held.callback(path.unlink, missing_ok=True)


def _is_free(file: BinaryIO) -> bool:
    """Whether nobody holds the lock of a file."""
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove(path: Path, relay: LiveRelay) -> None:
    """Clear away what is left of a relay that is gone: its file, and its socket if that is one."""
    place = Path(relay.socket)
    with suppress(OSError):
        if place.name == f"{relay.name}.sock" and place.is_socket():
            place.unlink()
            if place.parent.name.startswith(_ELSEWHERE):
                place.parent.rmdir()
    with suppress(OSError):
        path.unlink()


def _is_ours(caller: socket.socket) -> bool:
    """Whether the same user calls, as far as the system tells."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True  # the modes of folder and socket have said so already
    _, user, _ = struct.unpack("3i", caller.getsockopt(socket.SOL_SOCKET, option, struct.calcsize("3i")))
    return user == os.getuid()
