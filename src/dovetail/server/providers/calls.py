"""Calls and results under other names: what a thing that is shown under one name is given under its own.

Specification: server/tools, server/resources, server/prompts, server/utilities/completion.
"""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec.structs import replace

from ...protocol import codec
from ...protocol.call import Call
from ...protocol.types import (
    CallToolParams,
    CallToolResult,
    CompleteParams,
    EmbeddedResource,
    GetPromptParams,
    GetPromptResult,
    PromptReference,
    ReadResourceParams,
    ReadResourceResult,
    RequestMeta,
    ResourceLink,
    Result,
)
from ...runtime.channel import Channel
from ...runtime.dispatch import Encoded

R = TypeVar("R", bound=Result)


def renamed(call: Call, channel: Channel, name: str) -> Call:
    """The same call, about the thing of that name (or URI)."""
    params: Any = call.params
    if isinstance(params, ReadResourceParams):
        params = replace(params, uri=name)
    elif isinstance(params, CompleteParams):
        ref = params.ref
        ref = replace(ref, name=name) if isinstance(ref, PromptReference) else replace(ref, uri=name)
        params = replace(params, ref=ref)
    elif isinstance(params, (CallToolParams, GetPromptParams)):
        params = replace(params, name=name)
    inner = replace(call, params=params)
    if channel.lean and isinstance(params, CallToolParams):
        call.forget()  # what is large of it is the inner one's now, to let go of once it was read
    return inner


def of_version(call: Call, channel: Channel, version: str) -> Call:
    """The same call of a tool, about that version of it."""
    params: Any = call.params
    if not isinstance(params, CallToolParams) or (params.meta is not None and params.meta.version == version):
        return call
    meta = replace(params.meta or RequestMeta(), version=version)
    inner = replace(call, params=replace(params, meta=meta))
    if channel.lean:
        call.forget()  # as above
    return inner


def typed(result: Result | Encoded, kind: type[R]) -> R | Result:
    """A result as a value, whatever the handler gave; what asks for input stays what it is."""
    if isinstance(result, Result):
        return codec.reader(kind).read(codec.encode(result)) if _is_unread(result) else result
    return codec.reader(kind).read(result)


def _is_unread(result: Result) -> bool:
    """Whether a result is one whose members nobody has read, but for its ``_meta``."""
    return type(result) is Result and bool(result.extra) and "resultType" not in result.extra


def with_uris(result: Result | Encoded, kind: type[Result], show: Callable[[str], str]) -> Result:
    """A result whose URIs are those that clients see."""
    found = typed(result, kind)
    if isinstance(found, ReadResourceResult):
        return replace(found, contents=[replace(each, uri=show(each.uri)) for each in found.contents])
    if isinstance(found, CallToolResult):
        return replace(found, content=[_shown(each, show) for each in found.content])
    if isinstance(found, GetPromptResult):
        said = [replace(each, content=_shown(each.content, show)) for each in found.messages]
        return replace(found, messages=said)
    return found


def _shown(content: Any, show: Callable[[str], str]) -> Any:
    if isinstance(content, ResourceLink):
        return replace(content, uri=show(content.uri))
    if isinstance(content, EmbeddedResource):
        return replace(content, resource=replace(content.resource, uri=show(content.resource.uri)))
    return content


def has_uris(result: Result | Encoded) -> bool:
    """Whether a result may name resources: one that is encoded may, where it has such a member."""
    if isinstance(result, CallToolResult):
        return any(isinstance(each, (ResourceLink, EmbeddedResource)) for each in result.content)
    if not isinstance(result, msgspec.Struct):
        return _URI in result or _ESCAPE in result
    return isinstance(result, (ReadResourceResult, GetPromptResult)) or _is_unread(result)


_URI: Final = b'"uri"'
_ESCAPE: Final = b"\\u"
"""A name may be written with escapes, too."""


__all__ = ["has_uris", "of_version", "renamed", "typed", "with_uris"]
