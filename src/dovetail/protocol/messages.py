"""Whole messages as bytes, put together from parts that are bytes already.

An envelope is a handful of constant bytes around an id and a body that the codec wrote, so nothing is
encoded twice. A result that is not bytes yet is encoded together with its envelope: of a large one, no byte is
written more than once. Specification: basic/index, "Messages".
"""

from functools import cached_property
from typing import Any, Final

from msgspec import Raw, Struct
from msgspec.structs import replace

from . import codec, names
from .errors import RPCError
from .revisions import Feature, Profile
from .types.metadata import Implementation
from .types.requests import ErrorObject, Notice, RequestId, Result

_RESULT_TYPE: Final = f'"resultType":"{names.RESULT_COMPLETE}",'.encode()
_SERVER_INFO: Final = f'"_meta":{{"{names.META_SERVER_INFO}":'.encode()


class _ResponseMessage(Struct, frozen=True, gc=False, tag_field="jsonrpc", tag=names.JSONRPC_VERSION):
    id: RequestId
    result: Any


class _NotificationMessage(Struct, frozen=True, gc=False, tag_field="jsonrpc", tag=names.JSONRPC_VERSION):
    method: str
    params: Any


class CachedResult(bytes):
    """An encoded result that is sent again and again. ``tail``: all that comes after its first brace in a response
    with that result, made once; so the response is a few bytes and then these.
    """

    @cached_property
    def tail(self) -> bytes:
        """See the class."""
        return tail(self)


def render_id(id: RequestId | None) -> bytes:
    """An id as JSON; None gives null."""
    return b"%d" % id if type(id) is int else codec.encode(id)


def result(id: RequestId, body: bytes) -> bytes:
    """A response that carries a result."""
    if type(id) is int:
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (id, body)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (codec.encode(id), body)


def head(id: RequestId) -> bytes:
    """What a response that carries a result begins with."""
    return b'{"jsonrpc":"2.0","id":%b,"result":' % render_id(id)


def tail(body: bytes) -> bytes:
    """What a response ends with: all but the first brace of an encoded result, and the brace of its own."""
    return b"%b}" % memoryview(body)[1:]


def response(id: RequestId, value: Any) -> bytes:
    """A response that carries a result which is yet to be encoded."""
    return codec.encode(_ResponseMessage(id, value))


def error(id: RequestId | None, problem: RPCError, profile: Profile | None = None) -> bytes:
    """A response that carries an error, with the code that the revision gives it.

    An id that could not be read is null (JSON-RPC 2.0, 5.1), but for the revisions that have it left out.
    """
    code = problem.code if profile is None else profile.code(problem)
    body = codec.encode(ErrorObject(code=code, message=problem.message, data=problem.data))
    if id is None and (profile is None or profile.has(Feature.ERROR_WITHOUT_ID)):
        return b'{"jsonrpc":"2.0","error":' + body + b"}"
    return b'{"jsonrpc":"2.0","id":' + render_id(id) + b',"error":' + body + b"}"


def notification(method: str, params: bytes = b"") -> bytes:
    """A notification."""
    head = b'{"jsonrpc":"2.0","method":"' + method.encode() + b'"'
    return head + b',"params":' + params + b"}" if params else head + b"}"


def notice(profile: Profile, method: str, params: Notice) -> bytes:
    """A notification whose parameters are yet to be encoded. Raises as `Profile.encode` does."""
    return codec.encode(_NotificationMessage(method, profile.projection.apply(params)))


def request(id: RequestId, method: str, params: bytes | Raw = b"") -> bytes:
    """A request."""
    head = b'{"jsonrpc":"2.0","id":' + render_id(id) + b',"method":"' + method.encode() + b'"'
    return head + b',"params":' + bytes(params) + b"}" if params else head + b"}"


def request_pattern(method: str, opening: bytes) -> bytes:
    """A pattern (``%``) of requests, which takes an id that is a number, what ``opening`` takes, and the parameters
    without their first brace. ``opening``: a pattern of the parameters' first members, up to their last brace.
    """
    name = method.encode().replace(b"%", b"%%")
    return b'{"jsonrpc":"2.0","id":%%d,"method":"%b","params":%b,%%b}' % (name, opening)


def join(first: bytes, second: bytes) -> bytes:
    """One object from the members of two; the names must not overlap."""
    if len(second) == 2:
        return first
    return second if len(first) == 2 else first[:-1] + b"," + second[1:]


class Stamp:
    """Marks results of the stateless era: ``resultType`` and the server's own description in ``_meta``.

    What a result says of itself stands. Specification: basic/index, "ResultType" and "Per-response protocol
    fields".
    """

    def __init__(self, profile: Profile, info: Implementation | None) -> None:
        self._meta: dict[str, Any] | None = None
        #: What an already encoded result begins with, its own brace taken off: the marks in the order in which `mark`
        #: has them encoded, so that who encodes what it read to see what it did not know finds the same bytes.
        self.head = b"{"
        if info is not None:
            described = profile.encode(info)
            self._meta = {names.META_SERVER_INFO: Raw(described)}
            self.head += _SERVER_INFO + described + b"},"
        self.head += _RESULT_TYPE

    def mark(self, value: Result) -> Result:
        """The result, marked."""
        meta = value.meta
        if self._meta is not None and (meta is None or names.META_SERVER_INFO not in meta):
            meta = self._meta if meta is None else {**meta, **self._meta}
        kind = names.RESULT_COMPLETE if value.result_type is None else value.result_type
        return replace(value, result_type=kind, meta=meta)
