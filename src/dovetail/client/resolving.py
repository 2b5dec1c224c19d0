"""Results of a further kind: who brings it turns it into what the method gives.

A server may answer a method of the protocol with a result of a kind that an extension brings, if the client declared
that extension. The extension's own function gets it, and a `Resolving` to ask the server with, and gives the result
that the caller waits for. The deadline of the call is that of each request which is made on the way.
Specification: basic/index, "ResultType".
"""

from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import msgspec
from msgspec import Raw

from ..protocol import codec
from ..protocol.errors import RemoteProtocolError
from ..protocol.types import InputRequest, Result
from ..runtime.extension import ResultType
from .answers import CallInfo
from .arguments import as_plain
from .link import Link
from .rounds import answers

T = TypeVar("T")


class Asking(Protocol):
    """The client, as far as resolving needs it."""

    async def asked(self, method: str, params: Mapping[str, Any], into: type[T]) -> T:
        """Send a request and read its result."""
        ...

    def link(self) -> Link:
        """The link as it is."""
        ...


class Resolver:
    """What an extension's function is given; see `dovetail.runtime.extension.Resolving`."""

    def __init__(self, asking: Asking, call: CallInfo) -> None:
        self._asking = asking
        self._call = call

    @property
    def method(self) -> str:
        """The method that was called."""
        return self._call.method

    @property
    def name(self) -> str:
        """What the call was about."""
        return self._call.name

    async def request(self, method: str, params: Mapping[str, Any], *, into: type[T]) -> T:
        """Send a request and read its result."""
        return await self._asking.asked(method, params, into)

    async def answer(self, questions: Mapping[str, InputRequest]) -> dict[str, Raw]:
        """Have the client's handlers answer questions."""
        link = self._asking.link()
        return await answers(questions, link.profile, link.questions, self._call)


async def resolved(further: ResultType, body: Raw, asking: Asking, call: CallInfo) -> Raw:
    """The final result, encoded. Raises `RemoteProtocolError`, and what the extension's function raises."""
    try:
        value = msgspec.json.decode(body, type=further.type)
    except codec.DECODE_ERRORS as problem:
        raise RemoteProtocolError(
            f"the result of {call.method} of the type {further.name!r} can't be read: {problem}"
        ) from None
    found = await further.resolve(Resolver(asking, call), value)
    if isinstance(found, Raw):
        return found
    if isinstance(found, Result):
        return Raw(asking.link().profile.encode(found))
    return Raw(codec.encode(as_plain("the result", found)))
