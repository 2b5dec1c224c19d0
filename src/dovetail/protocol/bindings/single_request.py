"""One request of the stateless era by itself: the headers and the body that carry it, and what its answer says.

Theory of operation. A request of this era stands for itself, so who has another way to call (plain HTTP, a queue) needs
no client to pass a call on to an endpoint: it makes the one HTTP request that the call is, and reads the one reply.
What is declared is nothing: such a caller can't be asked anything, and hears of nothing on the way.

Specification: 2026-07-28 basic/transports/streamable-http, "Sending Messages"; basic/index, "Requests".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Raw, Struct

from .. import codec, names
from ..envelope import Kind, Malformed, read, read_error
from ..errors import InvalidParams, RemoteProtocolError, rpc_error
from ..header_parameters import InvalidHeaderAnnotation, header_parameters
from ..revisions import PROFILES
from ..types import (
    CallToolParams,
    GetPromptParams,
    Implementation,
    ListPromptsParams,
    ListResourcesParams,
    ListResourceTemplatesParams,
    ListToolsParams,
    Params,
    ReadResourceParams,
)
from .headers import InvalidHeaderValue, mirror
from .sse import SSEParser

__all__ = ["SingleRequest", "single_reply", "single_request"]

_METHODS: Final[Mapping[type[Params], str]] = {
    CallToolParams: names.TOOLS_CALL,
    GetPromptParams: names.PROMPTS_GET,
    ListPromptsParams: names.PROMPTS_LIST,
    ListResourcesParams: names.RESOURCES_LIST,
    ListResourceTemplatesParams: names.RESOURCES_TEMPLATES_LIST,
    ListToolsParams: names.TOOLS_LIST,
    ReadResourceParams: names.RESOURCES_READ,
}
_MINE: Final = (
    *(names.HEADER_PROTOCOL_VERSION, names.HEADER_METHOD, names.HEADER_NAME),
    *(names.HEADER_SESSION, names.HEADER_LAST_EVENT_ID, names.HEADER_PARAM_PREFIX),
)
_PROFILE: Final = [each for each in PROFILES.values() if each.stateless][-1]


class SingleRequest(Struct, frozen=True):
    """A request: its ``body``, and the ``headers`` that go with it besides those of who asks."""

    headers: tuple[tuple[str, str], ...]
    body: bytes

    @staticmethod
    def takes(header: str) -> bool:
        """Whether a header (in lower case) is this request's to set, so that nobody else's goes with it."""
        return header.startswith(_MINE) or header in ("accept", "content-type", "content-length")


def single_request(
    params: Params, *, client: Implementation, input_schema: Mapping[str, Any] | None = None
) -> SingleRequest:
    """The request that these parameters are, of the newest revision that is stateless.

    ``params`` say by their type which: of a tool, a prompt, a resource, or a list of them. ``client``: who asks.
    ``input_schema``: of the tool, for the arguments that headers repeat. Raises TypeError for parameters of another
    request, and `InvalidParams` for an argument that no header can repeat.
    """
    method = _METHODS.get(type(params))
    if method is None:
        raise TypeError(f"{type(params).__name__} are the parameters of no request that can be made so")
    meta: dict[str, Any] = {
        names.META_PROTOCOL_VERSION: _PROFILE.revision,
        names.META_CLIENT_INFO: codec.decode(codec.encode(client)),
        names.META_CLIENT_CAPABILITIES: {},
    }
    members: dict[str, Any] = {**codec.decode(codec.encode(params)), names.META: meta}
    if isinstance(params, CallToolParams):
        members["arguments"] = params.arguments or Raw(b"{}")
    body = codec.encode({"jsonrpc": names.JSONRPC_VERSION, "id": 1, "method": method, "params": members})
    subject: str | None = getattr(params, _PROFILE.client_requests[method].subject or "", None)
    headers = [
        ("accept", f"{names.MEDIA_JSON}, {names.MEDIA_SSE}"),
        ("content-type", names.MEDIA_JSON),
        (names.HEADER_PROTOCOL_VERSION, str(_PROFILE.revision)),
    ]
    try:
        annotated = header_parameters(input_schema) if input_schema else ()
        arguments: Any = codec.decode(members["arguments"]) if annotated else {}
        headers += mirror(method, subject, arguments, annotated)
    except (InvalidHeaderAnnotation, InvalidHeaderValue) as problem:
        raise InvalidParams(str(problem)) from None
    return SingleRequest(tuple(headers), body)


def single_reply(body: bytes, content_type: str) -> Raw:
    """The result in the answer to a `single_request`, as bytes of JSON, from an HTTP body of either form.

    Raises the `RPCError` that it is, and `RemoteProtocolError` for what is no answer.
    """
    messages = [body]
    if content_type.partition(";")[0].strip().lower() == names.MEDIA_SSE:
        events = SSEParser(max_event_bytes=len(body) + 1).feed(body)
        messages = [each.data for each in events if each.data]
    for data in reversed(messages):
        try:
            message = read(data)
            error = read_error(message.body) if message.kind is Kind.ERROR else None
        except Malformed as problem:
            raise RemoteProtocolError(f"the answer is no message: {problem}") from None
        if message.kind is Kind.RESULT:
            return message.body
        if error is not None:
            raise rpc_error(error.code, error.message, error.data)
    raise RemoteProtocolError("there is no answer to the request")
