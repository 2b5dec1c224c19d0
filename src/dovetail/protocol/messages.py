"""Whole messages as bytes, put together from parts that are bytes already.

An envelope is a handful of constant bytes around an id and a body that the codec wrote, so nothing is
encoded twice. Specification: basic/index, "Messages".
"""

from typing import Any

from msgspec import Raw

from . import codec, names
from .errors import RPCError
from .revisions import Feature, Profile
from .types.metadata import Implementation
from .types.requests import ErrorObject, RequestId, Result

_RESULT_TYPE = b'{"resultType":"complete"'
_SERVER_INFO = f'"_meta":{{"{names.META_SERVER_INFO}":'.encode()


def render_id(id: RequestId | None) -> bytes:
    """An id as JSON; None gives null."""
    return b"%d" % id if type(id) is int else codec.encode(id)


def result(id: RequestId, body: bytes) -> bytes:
    """A response that carries a result."""
    if type(id) is int:
        return b'{"jsonrpc":"2.0","id":%d,"result":%b}' % (id, body)
    return b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (codec.encode(id), body)


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


def request(id: RequestId, method: str, params: bytes | Raw = b"") -> bytes:
    """A request."""
    head = b'{"jsonrpc":"2.0","id":' + render_id(id) + b',"method":"' + method.encode() + b'"'
    return head + b',"params":' + bytes(params) + b"}" if params else head + b"}"


def join(first: bytes, second: bytes) -> bytes:
    """One object from the members of two; the names must not overlap."""
    if len(second) == 2:
        return first
    return second if len(first) == 2 else first[:-1] + b"," + second[1:]


class Stamp:
    """Marks results of the stateless era: ``resultType`` and the server's own description in ``_meta``.

    Both stand in front of the encoded result as constant bytes; only a result with a ``_meta`` of its own
    is rebuilt. Specification: basic/index, "ResultType" and "Per-response protocol fields".
    """

    def __init__(self, profile: Profile, info: Implementation | None) -> None:
        self._profile = profile
        self._cut = profile.projection.apply
        self._info: Any = None
        self._head = _RESULT_TYPE + b"}"
        if info is not None:
            described = profile.encode(info)
            self._info = codec.decode(described)
            self._head = _RESULT_TYPE + b"," + _SERVER_INFO + described + b"}}"

    def encode(self, value: Result) -> bytes:
        """A result as JSON, marked."""
        if value.result_type is None and value.meta is None:
            return join(self._head, codec.encode(self._cut(value)))
        members = codec.decode(self._profile.encode(value))
        members.setdefault("resultType", names.RESULT_COMPLETE)
        if self._info is not None:
            members.setdefault(names.META, {}).setdefault(names.META_SERVER_INFO, self._info)
        return codec.encode(members)

    def encode_body(self, body: bytes) -> bytes:
        """An already encoded result without ``resultType`` and ``_meta``, marked."""
        return join(self._head, body)
