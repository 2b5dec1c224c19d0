"""What a client has to have declared to be asked what a task asks: with the request that brings it the question.

Specification: 2026-07-28, basic/index, "_meta", basic/patterns/mrtr, "Server Requirements (Basic Workflow)";
2025-11-25, client/elicitation, client/sampling, client/roots, "Capabilities".
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw, Struct

from dovetail.extensions import Change
from dovetail.types import DECODE_ERRORS, ClientCapabilities, InputRequest, reader

from . import names

__all__ = ["is_able", "lacking"]


class _Elicited(Struct, frozen=True):
    """``mode``: "form" or "url"."""

    mode: str = "form"


class _Sampled(Struct, frozen=True, rename="camel"):
    tools: Any = None
    tool_choice: Any = None


class _Asking(Struct, frozen=True, rename="camel"):
    """What is told of a task that asks."""

    input_requests: dict[str, InputRequest] = {}


_asking: Final = reader(_Asking)
_elicited: Final = reader(_Elicited)
_sampled: Final = reader(_Sampled)


def lacking(requests: Iterable[InputRequest], capabilities: ClientCapabilities) -> dict[str, Any]:
    """What a client would have to declare besides to be asked all that, as it would declare it; empty for nothing."""
    found: dict[str, Any] = {}
    for request in requests:
        for name, modes in _lacking(request, capabilities).items():
            found[name] = {**found.get(name, {}), **modes}
    return found


def is_able(capabilities: ClientCapabilities, change: Change) -> bool:
    """Whether a client may be told of a task: it can be asked what the task asks."""
    if _ASKS not in change.params:
        return True
    return not lacking(_asking.read(change.params).input_requests.values(), capabilities)


def _lacking(request: InputRequest, capabilities: ClientCapabilities) -> dict[str, Any]:
    params = request.params or Raw(b"{}")
    if request.method == names.ELICIT:
        mode = _read(_elicited, params, _Elicited()).mode
        declared = capabilities.elicitation
        if mode == "url":
            return {"elicitation": {"url": {}}} if declared is None or declared.url is None else {}
        # Neither mode named means form alone.
        fills_in = declared is not None and (declared.form is not None or declared.url is None)
        return {} if fills_in else {"elicitation": {}}
    if request.method == names.SAMPLE:
        sampled = _read(_sampled, params, _Sampled())
        with_tools = sampled.tools is not None or sampled.tool_choice is not None
        if capabilities.sampling is None or (with_tools and capabilities.sampling.tools is None):
            return {"sampling": {"tools": {}} if with_tools else {}}
        return {}
    if request.method == names.ROOTS:
        return {"roots": {}} if capabilities.roots is None else {}
    return {}


def _read(kind: Any, params: Raw, otherwise: Any) -> Any:
    """What a question says. It was made here, so that it can't be read is no matter of the client's."""
    try:
        return kind.read(params)
    except DECODE_ERRORS:
        return otherwise


_ASKS: Final = b'"inputRequests"'
