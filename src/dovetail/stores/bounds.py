"""How much a store takes, and the checks every backend makes before it touches anything.

Theory of operation
-------------------
Whatever a peer can make us keep has a bound with a default that is generous for one server and harmless for
its machine. The bounds of all parts travel together as `StoreBounds`, so that the same value configures
memory, SQLite and what comes later, and the contract suite can run all of them with small numbers.

Specification: none; security considerations of basic/transports ask for bounded state.
"""

import math

import msgspec

from dovetail.stores.errors import EventsTrimmed, KeyInvalid, StreamUnknown, ValueTooLarge

__all__ = [
    "BusBounds",
    "EventBounds",
    "KeyValueBounds",
    "SessionBounds",
    "StoreBounds",
    "TaskBounds",
    "check_key",
    "check_position",
    "check_prefix",
    "check_ttl",
    "check_value",
    "is_anonymous",
]

MIB = 1024 * 1024
ANONYMOUS = "anonymous"
"""What the principal keys of anonymous callers begin with, unless they are empty."""
MAX_KEY = 512
"""Characters in a key, a session id, a principal key or a stream name, namespaces included."""


class KeyValueBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a `KeyValue`, in bytes.

    `max_value` holds for one value. `max_bytes` holds for all entries together, a fixed cost for each
    included, where the process itself holds them; a file or a server has its own limit instead. Everywhere it is the
    whole of which shares are parts (`KeyValue.within`).
    """

    max_value: int = 16 * MIB
    max_bytes: int = 256 * MIB


class SessionBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a `SessionStore`: counts, seconds, and bytes of one record's data (`max_data`).

    A session ends `idle_ttl` after it was last seen and `absolute_ttl` after it was created, whichever is
    first. `max_bytes` holds for all records together where the process itself holds them, and
    `max_bytes_per_principal` for those of one principal.
    """

    max_sessions: int = 10_000
    max_per_principal: int = 1_000
    idle_ttl: float = 3600.0
    absolute_ttl: float = 86_400.0
    max_data: int = 1 * MIB
    max_bytes: int = 256 * MIB
    max_bytes_per_principal: int = 64 * MIB


class EventBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of an `EventLog`. `max_events` and `max_bytes` (of the events, in bytes) hold for one stream; the newest
    events are kept.

    Events go `ttl` seconds after the last append; an open stream's position is remembered `position_ttl`
    seconds, so that no sequence is ever given twice while a session lives. `max_total_bytes` holds for all
    streams together, in bytes, where the process itself holds them; what goes for it is of those sessions that have
    most.
    """

    max_events: int = 1_000
    max_bytes: int = 8 * MIB
    ttl: float = 900.0
    position_ttl: float = 86_400.0
    max_total_bytes: int = 256 * MIB


class BusBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a `Bus`. `max_message` holds for one message, in bytes.

    `max_waiting` messages, of `max_waiting_bytes` together, wait for a listener that is slower than they come; those
    beyond are lost to it, and it is told so.
    """

    max_message: int = 64 * 1024
    max_waiting: int = 1_000
    max_waiting_bytes: int = 4 * MIB


class TaskBounds(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of a `TaskStore`: how many tasks there are, whoever's they are and whether they have ended (`max_tasks`),
    and bytes.

    `max_data` holds for the data of one task, and once more for what was recorded of it. `max_bytes` holds for all
    tasks together, with what was recorded of them and a fixed cost for each, where the process itself holds them; a
    file or a server has its own limit instead.
    """

    max_tasks: int = 100_000
    max_data: int = 4 * MIB
    max_bytes: int = 256 * MIB


class StoreBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The bounds of a whole bundle."""

    kv: KeyValueBounds = KeyValueBounds()
    sessions: SessionBounds = SessionBounds()
    events: EventBounds = EventBounds()
    bus: BusBounds = BusBounds()
    tasks: TaskBounds = TaskBounds()


def check_key(key: str, what: str = "key") -> None:
    """Raise `KeyInvalid` unless `key` has 1 to 512 characters, none of them NUL or half of a surrogate
    pair.
    """
    if 0 < len(key) <= MAX_KEY and key.isascii() and "\0" not in key:
        return
    if not key:
        raise KeyInvalid(what, "is empty")
    check_prefix(key, what)


def check_prefix(prefix: str, what: str = "prefix") -> None:
    """Like `check_key`, but the empty string is fine."""
    if len(prefix) > MAX_KEY:
        raise KeyInvalid(what, f"has {len(prefix)} characters, more than {MAX_KEY}")
    if not prefix.isascii():
        try:
            prefix.encode()
        except UnicodeEncodeError:
            raise KeyInvalid(what, "has half of a surrogate pair, which UTF-8 cannot carry") from None
    if "\0" in prefix:
        raise KeyInvalid(what, "has a NUL character, which not every backend can keep")


def is_anonymous(principal: str) -> bool:
    """Whether a principal key is that of an anonymous caller."""
    return not principal or principal.startswith(ANONYMOUS)


def check_value(value: bytes, limit: int, what: str = "value") -> None:
    """Raise `ValueTooLarge` over `limit` bytes, and `TypeError` for anything but `bytes` (others could change
    later).
    """
    if type(value) is not bytes:
        raise TypeError(f"The {what} must be bytes, not {type(value).__name__}.")
    if len(value) > limit:
        raise ValueTooLarge(what, len(value), limit)


def check_ttl(ttl: float | None) -> None:
    """Raise `ValueError` unless `ttl` is None or a finite number of seconds above zero."""
    if ttl is not None and not 0 < ttl < math.inf:
        raise ValueError(f"A time to live is a finite number of seconds above zero, not {ttl}.")


def check_position(after: int, limit: int, oldest: int, last: int) -> None:
    """Judge a read of at most `limit` events after sequence `after`, of a stream that keeps `oldest` to
    `last`.

    Raises `EventsTrimmed` for a gap and `StreamUnknown` for a position that the stream never reached: one
    from another stream, a forged one, or one that an unclean end of the machine took back.
    """
    if limit < 1:
        raise ValueError(f"A read asks for at least one event, not {limit}.")
    if not 0 <= after <= last:
        raise StreamUnknown(f"the stream never reached the asked position; its last is {last}")
    if after < oldest - 1:
        raise EventsTrimmed(after, oldest, last)
