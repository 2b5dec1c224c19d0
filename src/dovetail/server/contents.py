"""What a resource holds: from the value that its function returns to the contents that a client reads.

Theory of operation. Text goes out as text, bytes as Base64, media and `ResourceContents` as what they are. Everything
else is data: JSON text, written and checked as a tool's is (`data.py`). A list is data too, unless it holds contents or
media: then each of them is contents of its own. The annotation is looked at once, at registration: what can't be
served is refused there, and a None where something was promised is an error of the author's.

Specification: server/resources, "Resource Contents".
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, cast, get_args, get_origin

from msgspec.structs import replace

from ..protocol.types import ReadResourceResult, ResourceContents
from ..protocol.types.content import BLOCKS
from ..protocol.types.prompts import PromptMessage
from ..protocol.types.requests import InputRequired, Result
from . import hints
from .data import (
    MEDIA,
    DataPlan,
    OutputMismatch,
    check_returns,
    check_size,
    data_in,
    is_list,
    may_be_none,
    promises,
)
from .media import File
from .signature import MISSING, Plan

__all__ = ["ContentsPlan"]

_BYTES: Final = (bytes, bytearray, memoryview)
_HELD: Final = (ResourceContents, *MEDIA)
_RESULTS: Final = (ReadResourceResult, InputRequired)
_ELSEWHERE: Final = (*BLOCKS, PromptMessage, Result)
_JSON: Final = "application/json"


class ContentsPlan(DataPlan):
    """How the values of one resource's function are written. ``mime_type``: what the author said, or None."""

    __slots__ = ("_may_be_none", "_mime_type", "_only", "_texts")

    def __init__(self, plan: Plan, mime_type: str | None) -> None:
        """Raises `RegistrationError` for a function that returns what no resource can hold."""
        check_returns(plan, "a resource")
        super().__init__(plan)
        self._mime_type = mime_type
        self._may_be_none = may_be_none(plan.returns)
        #: Text is promised; and nothing but text or bytes, contents and media is.
        self._texts, self._only = True, False
        if not promises(plan.returns):
            return
        members = [hints.without_markers(each) for each in hints.union_members(plan.returns)]
        self._texts = str in members
        for kind in members:
            if isinstance(kind, type) and issubclass(kind, _ELSEWHERE) and not issubclass(kind, _RESULTS):
                raise plan.refuse(
                    f"returns a {kind.__name__}, which no resource can hold; return str, bytes, data for JSON, or "
                    "ResourceContents(uri=..., text=...)"
                )
        if all(kind in (None, type(None)) for kind in members):
            raise plan.refuse(
                "returns nothing by its annotation, and a resource is what its function returns; return str, bytes, or "
                "data for JSON"
            )
        data = data_in(plan.returns, _is_held)
        if data is MISSING or hints.without_markers(data) in (None, type(None)):
            self._only = True
        else:
            self._promise(plan, data)
            self._compile(plan, "what it returns")

    def result(self, value: Any, uri: str) -> ReadResourceResult:
        """The result of reading one resource. Raises `OutputMismatch` and `AnswerTooLarge`."""
        result = self._result(value, uri)
        check_size(result)
        return result

    def _result(self, value: Any, uri: str) -> ReadResourceResult:
        if isinstance(value, ReadResourceResult):
            for each in value.contents:
                _check_one(self._name, each)
            return self._sendable(value)
        if is_list(value):
            items = cast("Sequence[Any]", value)
            if any(isinstance(item, _HELD) for item in items):
                return self._sendable(ReadResourceResult(contents=[self._one(item, uri) for item in items]))
        return ReadResourceResult(contents=[self._one(value, uri)])

    def _one(self, value: Any, uri: str) -> ResourceContents:
        mime_type = self._mime_type
        if isinstance(value, ResourceContents):
            return self._sendable(_check_one(self._name, value))
        if isinstance(value, str):
            text = str.__str__(value)  # an enumeration's own text names the member instead
            if self.schema is not None and not self._texts:
                self._check(text, 4 * len(text))
            return ResourceContents(uri=uri, mime_type=mime_type or "text/plain", text=text)
        if isinstance(value, _BYTES):
            blob = base64.b64encode(cast("bytes", value)).decode()
            return ResourceContents(uri=uri, mime_type=mime_type or "application/octet-stream", blob=blob)
        if isinstance(value, MEDIA):
            block: Any = self._medium(value)
            if isinstance(value, File):
                return replace(block.resource, uri=uri)
            return ResourceContents(uri=uri, mime_type=mime_type or block.mime_type, blob=block.data)
        if isinstance(value, _ELSEWHERE):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__}, which no resource can hold"
            )
        self._refuse_foreign(value)
        if self._only and not (value is None and self._may_be_none):
            raise OutputMismatch(
                f"{self._name}() returned {_told(value)}, but promises text, bytes or contents by its annotation"
            )
        return ResourceContents(uri=uri, mime_type=mime_type or _JSON, text=self._written(value))


def _check_one(name: str, contents: ResourceContents) -> ResourceContents:
    if (contents.text is None) == (contents.blob is None):
        raise OutputMismatch(f"{name}() returned ResourceContents that need either text or blob")
    return contents


def _told(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__qualname__}"


def _is_held(annotation: Any) -> bool:
    """Whether values of a type go out as they are, and not as JSON."""
    kind = hints.without_markers(annotation)
    if isinstance(kind, type):
        return kind in (str, *_BYTES) or issubclass(kind, (*_HELD, *_RESULTS))
    if get_origin(kind) not in (list, tuple, Sequence):
        return False
    parts = [each for each in get_args(kind) if each is not Ellipsis]
    inside = [hints.without_markers(each) for part in parts for each in hints.union_members(part)]
    return any(isinstance(each, type) and issubclass(each, _HELD) for each in inside)
