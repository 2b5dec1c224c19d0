"""The JSON-RPC envelope: what kind of message is this, whose answer, and where do its parts lie?

The envelope is decoded first and alone: id and method as values, params, result and error still as bytes.
So a message with bad params is still answered under its id, and the cost of the rest is paid once, by the
decoder that knows the type. Only a ``tools/call`` that is plainly right is read with its parameters at once, which
saves going over its arguments once more; if anything about it is odd, it is opened like every other message.

Of a response, a ``null`` where nothing should be is taken for nothing (as JSON-RPC 1.0 wrote it), and said in ``odd``.
Documented rules where JSON leaves room: names are matched exactly (``Method`` is no method); of a doubled
name the last one counts, for every reader alike, because nothing but this module reads the envelope.
Specification: basic/index, "Messages".
"""

from codecs import utf_8_decode
from collections.abc import Container
from enum import Enum
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from .errors import InvalidRequest, ParseError
from .names import JSONRPC_VERSION, TOOLS_CALL
from .types.requests import ErrorObject, RequestId
from .types.tools import CallToolParams

MAX_DEPTH: Final = 128
MAX_ITEMS: Final = 200_000
MAX_BATCH: Final = 1000
_FREE_SIZE: Final = 64 * 1024
_SMALL_SIZE: Final = 2048
_FEW: Final = 64
#: Levels that are taken off a message from inside out, each with one replacement, before it is counted by the byte.
_QUICK_LEVELS: Final = 16
_BRACE: Final = ord("{")
_BACKSLASH: Final = ord("\\")
_ONE_BRACKET: Final = bytes.maketrans(b"[]", b"{}")
_NO_MARKS: Final = bytes(byte for byte in range(256) if byte not in b'[]{}"')
_NO_MARKS_NOR_COMMAS: Final = _NO_MARKS.replace(b",", b"")
_MAX_ID: Final = 2**63 - 1
_MAX_ID_LENGTH: Final = 1024
_DIGITS: Final = 19


class Kind(Enum):
    """What a message is."""

    REQUEST = 1
    NOTIFICATION = 2
    RESULT = 3
    ERROR = 4


#: Of an enum a member is looked up in Python, before Python 3.12.
_RESULT: Final = Kind.RESULT


class Envelope(Struct, frozen=True):
    """A message, opened but not read."""

    jsonrpc: str | UnsetType = UNSET
    id: int | str | None | UnsetType = UNSET
    method: str | UnsetType = UNSET
    params: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _Loose(Struct, frozen=True):
    """What is still said of a message that cannot be taken."""

    id: Any = None
    method: Raw | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class _PlainCall(Struct, frozen=True):
    jsonrpc: Literal["2.0"]
    id: Annotated[int, Meta(ge=-_MAX_ID, le=_MAX_ID)] | Annotated[str, Meta(max_length=_MAX_ID_LENGTH)]
    method: Literal["tools/call"]
    params: CallToolParams
    result: Raw | UnsetType = UNSET
    error: Raw | UnsetType = UNSET


class Message(Struct, frozen=True, gc=False):
    """A legal message. ``id`` is None on notifications and on errors about an unreadable request. ``whole``: the
    parameters, where they were read at once, from ``data``. ``odd``: what was not quite legal about a response.
    """

    kind: Kind
    id: RequestId | None = None
    method: str = ""
    given: Raw = Raw(b"")
    body: Raw = Raw(b"")
    whole: CallToolParams | None = None
    data: bytes = b""
    odd: str = ""

    @property
    def params(self) -> Raw:
        """The parameters as they came; empty without any."""
        if self.whole is None:
            return self.given
        params = _decoder.decode(self.data).params
        return Raw(b"") if params is UNSET else params


_decoder: Final = msgspec.json.Decoder(Envelope)
_plain: Final = msgspec.json.Decoder(_PlainCall)
#: A method is looked for among the first bytes of a message.
_NEAR: Final = 200
_QUOTED_CALL: Final = f'"{TOOLS_CALL}"'.encode()
_loose: Final = msgspec.json.Decoder(_Loose)
_batch: Final = msgspec.json.Decoder(list[Raw])
_error: Final = msgspec.json.Decoder(ErrorObject)


_UNREADABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Malformed(Exception):
    """A message that cannot be taken; ``error`` is what to answer, under ``id`` when one could be read.

    A bad ``response`` is not to be answered where nothing forces an answer: its id is one of our own.
    """

    def __init__(
        self, error: ParseError | InvalidRequest, id: RequestId | None = None, *, response: bool = False
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.id = id
        self.response = response


def read(data: bytes, *, answer: bool = False) -> Message:
    """Open one message. Raises `Malformed` with the error to answer. ``answer``: a response is expected, and no call is
    looked for.
    """
    if len(data) > _SMALL_SIZE or not data.isascii() or data.count(b"[") + data.count(b"{") > MAX_DEPTH:
        try:
            check_bounds(data)
        except Malformed as problem:
            raise _salvaged(problem.error, data) from None
    if not answer and data.find(_QUOTED_CALL, 0, _NEAR) >= 0:
        try:
            call = _plain.decode(data)
        except _UNREADABLE:
            pass  # what is wrong is found below
        else:
            if call.result is UNSET and call.error is UNSET:
                return Message(Kind.REQUEST, call.id, TOOLS_CALL, whole=call.params, data=data)
    try:
        envelope = _decoder.decode(data)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise _salvaged(InvalidRequest(_explain(problem)), data) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise _salvaged(ParseError(f"the message is not JSON: {problem}"), data) from None
    if (  # plainly a result: nothing is to be classified
        envelope.result is not UNSET
        and type(envelope.id) is int
        and envelope.jsonrpc == JSONRPC_VERSION
        and envelope.method is UNSET
        and envelope.error is UNSET
        and memoryview(envelope.result)[0] == _BRACE
    ):
        return Message(_RESULT, envelope.id, body=envelope.result)
    return classify(envelope)


def classify(envelope: Envelope) -> Message:
    """The kind of an opened message, by which members are present. Raises `Malformed`."""
    id, method = envelope.id, envelope.method
    if envelope.jsonrpc != JSONRPC_VERSION:
        answers = method is UNSET and (envelope.result is not UNSET or envelope.error is not UNSET)
        raise Malformed(InvalidRequest('"jsonrpc" must be "2.0"'), _known(id), response=answers)
    if method is not UNSET:
        if envelope.result is not UNSET or envelope.error is not UNSET:
            raise Malformed(InvalidRequest("a message has either a method, or a result or error"), _known(id))
        params = envelope.params
        if params is UNSET:
            params = Raw(b"")
        elif memoryview(params)[0] != _BRACE:
            raise Malformed(InvalidRequest('"params" must be an object'), _known(id))
        if id is UNSET:
            return Message(Kind.NOTIFICATION, None, method, params)
        if id is None:
            raise Malformed(InvalidRequest('a request\'s "id" must be a string or an integer, not null'))
        if _is_too_large(id):
            raise Malformed(InvalidRequest('the request\'s "id" is too large'))
        return Message(Kind.REQUEST, id, method, params)
    return _classify_response(envelope, _known(id))


def _is_too_large(id: int | str | None) -> bool:
    if type(id) is str:
        return len(id) > _MAX_ID_LENGTH
    return type(id) is int and not -_MAX_ID <= id <= _MAX_ID


def _known(id: int | str | None | UnsetType) -> RequestId | None:
    return id if isinstance(id, (int, str)) else None


def _classify_response(envelope: Envelope, id: RequestId | None) -> Message:
    result, error, odd = envelope.result, envelope.error, ""
    if result is not UNSET and error is not UNSET:
        if _is_null(error):
            error, odd = UNSET, '"error": null beside a result'
        elif _is_null(result):
            result, odd = UNSET, '"result": null beside an error'
        else:
            raise Malformed(InvalidRequest("a response has either a result or an error"), id, response=True)
    if error is not UNSET:
        return Message(Kind.ERROR, id, body=error, odd=odd)
    if result is UNSET:
        raise Malformed(InvalidRequest("a message needs a method, or exactly one of result and error"), id)
    if id is None:
        raise Malformed(InvalidRequest("a result needs the id of its request"), response=True)
    if memoryview(result)[0] != _BRACE:
        if not _is_null(result):
            raise Malformed(InvalidRequest('"result" must be an object'), id, response=True)
        result, odd = Raw(b"{}"), '"result": null where an object belongs'
    return Message(Kind.RESULT, id, body=result, odd=odd)


def _is_null(value: Raw) -> bool:
    return bytes(value) == b"null"


def under_number(message: Message, waiting: Container[RequestId]) -> Message | None:
    """The response as one to the request with the number that its id spells ("1" for 1), if that one is ``waiting``.

    A peer that turns ids into text can't mean another one, where all ids given out are numbers.
    """
    id = message.id
    if type(id) is not str or len(id) > _DIGITS or not (id.isascii() and id.isdigit()):
        return None
    number = int(id)
    if number not in waiting:
        return None
    odd = f"{message.odd}{' and ' if message.odd else ''}the id {id!r}, text in place of a number"
    return msgspec.structs.replace(message, id=number, odd=odd)


def read_error(body: Raw) -> ErrorObject:
    """The error object of an error response. Raises `Malformed` when it has no integer code and no message."""
    try:
        return _error.decode(body)
    except _UNREADABLE as problem:
        raise Malformed(InvalidRequest(f'"error" is malformed: {problem}')) from None


def is_batch(data: bytes) -> bool:
    """Whether the bytes are a JSON array: a batch, in the one revision that has them."""
    return data[:1] == b"[" or data.lstrip(b" \t\r\n")[:1] == b"["


def split_batch(data: bytes) -> list[Raw]:
    """The messages of a batch (2025-03-26, basic/index "Batching"). Raises `Malformed` when empty, too long
    or no JSON.
    """
    check_bounds(data)
    try:
        items = _batch.decode(data)
    except _UNREADABLE as problem:
        raise Malformed(ParseError(f"the batch is not JSON: {problem}")) from None
    if not items:
        raise Malformed(InvalidRequest("a batch must not be empty"))
    if len(items) > MAX_BATCH:
        raise Malformed(InvalidRequest(f"a batch may hold at most {MAX_BATCH} messages"))
    return items


def check_bounds(data: bytes) -> None:
    """Refuse what would cost far more to read than it cost to send: bad UTF-8, deep nesting, swarms of tiny
    items.

    A large message passes on counts of bytes. Only when those exceed the limits, or it is not that large, are
    strings removed and the counting made exact, in linear time. Raises `Malformed`.
    """
    if not data.isascii():
        _check_text(data)
    swarm = False
    if len(data) > _FREE_SIZE:
        openings = count(data, b"[") + count(data, b"{")
        swarm = openings + count(data, b",") > MAX_ITEMS
        if openings <= MAX_DEPTH and not swarm:
            return
    bare = _bare(data, _NO_MARKS_NOR_COMMAS if swarm else _NO_MARKS)
    if bare is None or (swarm and bare.count(b",") + bare.count(b"{") > MAX_ITEMS):
        raise Malformed(InvalidRequest(f"the message has more than {MAX_ITEMS} items"))
    if _is_deep(bare.replace(b",", b"") if swarm else bare):
        raise Malformed(InvalidRequest(f"the message is nested more than {MAX_DEPTH} levels deep"))


def _check_text(data: bytes) -> None:
    """Refuse bad UTF-8, a piece at a time: the text itself is not wanted here, and may take four times the room."""
    view, at, size = memoryview(data), 0, len(data)
    while at < size:
        try:
            at += utf_8_decode(view[at : at + _FREE_SIZE], "strict", at + _FREE_SIZE >= size)[1]
        except UnicodeDecodeError as problem:
            place = at + problem.start
            raise Malformed(ParseError(f"the message is not UTF-8 (byte {place})")) from None


def count(data: bytes, mark: bytes) -> int:
    """How often a message has this one byte: as ``data.count``, but far quicker where there are few."""
    at = -1
    for found in range(_FEW):
        at = data.find(mark, at + 1)
        if at < 0:
            return found
    return _FEW + data.count(mark, at + 1)


def _bare(data: bytes, dropped: bytes) -> bytes | None:
    """The brackets outside of strings, all as braces, and what else is not ``dropped``; None for too many strings.

    Strings without a bracket vanish first: nothing is left between their quotes. Where the quotes of two strings meet
    instead, the two become one, which changes nothing of what is inside of strings and what is not.
    """
    if _BACKSLASH in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    marks = data.translate(_ONE_BRACKET, dropped)
    bare = marks.translate(None, b'"')
    if 2 * marks.count(b'""') == len(marks) - len(bare):  # cheaper than to count the quotes
        return bare
    # An item has two strings at most, a name and a value; so there are no more in a message that is not a swarm.
    pieces = marks.replace(b'""', b"").split(b'"', 4 * MAX_ITEMS + 2)
    return b"".join(pieces[::2]) if len(pieces) <= 4 * MAX_ITEMS + 2 else None


def _is_deep(braces: bytes) -> bool:
    if 2 * braces.count(b"{") == len(braces):
        rest = braces
        for _ in range(_QUICK_LEVELS):
            rest = rest.replace(b"{}", b"")
            if not rest:
                return False
    depth = 0
    for byte in braces:
        depth += 1 if byte == _BRACE else -1
        if depth > MAX_DEPTH:
            return True
        if depth < 0:
            break  # no JSON, which the decoder will say; a flood of closings is not worth counting
    return False


def _salvaged(error: ParseError | InvalidRequest, data: bytes) -> Malformed:
    """A message that cannot be taken, with the id that it is to be answered under, if that can be read at all."""
    try:
        loose = _loose.decode(data)
    except _UNREADABLE:
        found = _read_leniently(data)
        if found is None:
            return Malformed(error)
        loose = found
        if isinstance(error, ParseError) and _has_half_a_pair(data):
            error = ParseError(
                "the message has half of a surrogate pair (\\ud800 to \\udfff by itself), which is no character"
            )
    id = loose.id if type(loose.id) is int or type(loose.id) is str else None
    if _is_too_large(id):
        id = None
    answers = loose.method is UNSET and (loose.result is not UNSET or loose.error is not UNSET)
    return Malformed(error, id, response=answers)


def _has_half_a_pair(data: bytes) -> bool:
    """Whether a text of the JSON has half of a surrogate pair, written as an escape."""
    import re  # patterns are compiled for what is wrong alone

    whole = re.sub(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..", b"", data.replace(b"\\\\", b""))
    return re.search(rb"\\u[dD][89a-fA-F]", whole) is not None


def _read_leniently(data: bytes) -> _Loose | None:
    """The members of an object that is JSON but for its texts and numbers: half of a surrogate pair, a bare line
    break, NaN. Where the id itself is such a text, nothing is left to answer under.
    """
    import json  # only ever needed for what is wrong

    try:
        members = json.loads(data.decode(), strict=False)
        known = {name: Raw(b"0") for name in ("method", "result", "error") if name in members}
        msgspec.json.encode(members.get("id"))
    except (ValueError, RecursionError, TypeError, AttributeError, OverflowError):
        return None
    return _Loose(members.get("id"), **known)


def _explain(problem: Exception) -> str:
    if isinstance(problem, RecursionError):
        return "the message is nested too deeply"
    return f"the message is not a JSON-RPC message: {problem}"
