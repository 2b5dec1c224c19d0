"""Rounds that are redeemed once: which state of a call was used, by which request, and what it was answered.

Theory of operation
-------------------
Sealed state opens as often as it is sent. A call whose state counts once has one record in the store, under its
nonce: the number of the round that was redeemed last, a digest of the request that redeemed it, and the reply. The
record is made before the first state is given out, and moves by compare-and-set, so of many requests that bring the
same state, to whichever workers, one redeems it:

* the state of the next round moves the record, and the body runs;
* the same request for the round that was redeemed last gets the same reply. If there is none yet (an attempt is at it,
  or was cut short), the body runs again: nobody else can answer, and what the call may do only once is claimed step by
  step (`Journals.claim`);
* anything else is refused: another request for that round, an older round, a call without a record. So a record that
  expired or was lost never opens a round a second time.

The reply that was recorded first counts, for everyone. One of more than `MAX_ANSWER` bytes is given, but not kept.

Specification: basic/patterns/mrtr, "Server Requirements": what is used at most once is enforced by the server.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct

from ..logs import get_logger
from ..protocol import codec, rounds
from ..protocol.errors import InternalError, InvalidParams
from ..stores.contracts import KeyValue
from ..stores.errors import StoreError

log = get_logger("dovetail.server")

MAX_ANSWER: Final = 1024 * 1024
#: Seconds that a record outlives what moved it: a body may take its time before it asks again; once it has, or has come
#: to its end, there is a state that expires, or none any more.
_RUNNING: Final = 2 * rounds.LIFETIME
_ISSUED: Final = rounds.LIFETIME + rounds.SKEW
_NONE: Final = Raw(b"null")
_canonical: Final = msgspec.json.Encoder(order="sorted")


class AnswerNotKept(InternalError):
    """The call came to its answer, which was given and was too large to be kept; nothing runs again. Look
    what was done before you call again.
    """


class _Record(Struct, frozen=True):
    """``round``: the last that was redeemed, 0 for none. ``request``: what redeemed it. ``reply``: to that request,
    once there is one; ``large``: there was one, and it was too large.
    """

    round: int = 0
    request: str = ""
    reply: Raw = _NONE
    large: bool = False


class Redemption(Struct, frozen=True):
    """A request that redeems a round of a call: the call's nonce and whose it is, the round, the request's digest."""

    owner: str
    nonce: str
    round: int
    request: str


def redemption(journal: rounds.Journal, state: str, responses: Mapping[str, Raw]) -> Redemption:
    """The request that brings this state and these answers. Answers to what nobody asked make no difference, nor does
    the order of keys. Raises `DECODE_ERRORS` for answers that can't be compared.
    """
    import hashlib  # only calls whose state counts once need it

    counting = {key: codec.decode(responses[key]) for key in journal.asked if key in responses}
    whole = hashlib.sha256(state.encode() + b"\0" + _canonical.encode(counting))
    return Redemption(journal.owner, journal.nonce, journal.round, whole.hexdigest())


class Redemptions:
    """The records of calls. ``room``: where those of an owner are."""

    def __init__(self, room: Callable[[str], KeyValue]) -> None:
        self._room = room

    async def begin(self, journal: rounds.Journal) -> None:
        """Make the record of a call before its first state is given out. Raises `StoreError`."""
        await self._room(journal.owner).add(_key(journal.nonce), codec.encode(_Record()), ttl=_ISSUED)

    async def redeem(self, by: Redemption) -> bytes | None:
        """None for a request that is to run; the reply if it was answered before.

        Raises `InvalidParams` for a round that is not to be redeemed by this request, `AnswerNotKept`, and
        `StoreError`.
        """
        kv = self._room(by.owner)
        while True:
            raw = await kv.get(_key(by.nonce)) if by.owner else None
            if raw is None:
                raise InvalidParams("the request state has expired; send the request again without it")
            record = _read(raw)
            if record.round == by.round and record.request == by.request:
                if record.large:
                    raise AnswerNotKept(
                        "the call was answered, and the answer was too large to be given again"
                    )
                return _given(record)
            if record.round != by.round - 1:
                raise InvalidParams(
                    "the request state was used before, and counts once; send the request again without it"
                )
            moved = codec.encode(_Record(by.round, by.request))
            if await kv.compare_and_set(_key(by.nonce), raw, moved, ttl=_RUNNING):
                return None

    async def keep(self, by: Redemption, reply: bytes) -> bytes:
        """Keep the reply to a request; gives the one that counts, which is the first.

        Where the store can't keep it, it is given all the same, and the log says so: steps stay claimed.
        """
        large = len(reply) > MAX_ANSWER
        answered = _Record(by.round, by.request, _NONE if large else Raw(reply), large)
        kv = self._room(by.owner)
        try:
            while (raw := await kv.get(_key(by.nonce))) is not None:
                record = _read(raw)
                if (record.round, record.request) != (by.round, by.request) or record.large:
                    break
                if (given := _given(record)) is not None:
                    return given
                if await kv.compare_and_set(_key(by.nonce), raw, codec.encode(answered), ttl=_ISSUED):
                    break
        except StoreError as problem:
            log.warning("the answer of a call could not be kept, and can't be given again: %s", problem)
        return reply


def _key(nonce: str) -> str:
    return f"call/{nonce}"


def _given(record: _Record) -> bytes | None:
    reply = bytes(record.reply)
    return None if reply == b"null" else reply


def _read(raw: bytes) -> _Record:
    return codec.reader(_Record).read(raw)
