"""What goes out, cut to one revision.

Most values of most messages lack nothing, and pass untouched: whether a type can hold anything that the
revision lacks is worked out once per type. The rest is rebuilt as plain members: fields the revision does
not have are left out, content it does not know becomes text, structured content that it allows only as an
object is wrapped in one.
"""

import types
import typing
from collections.abc import Mapping
from typing import Any, Final, cast, get_args, get_origin

from msgspec import UNSET, Struct

from .. import codec, names
from ..errors import FeatureUnavailable
from ..types.content import CONTENT, UnknownContent, content_type
from ..types.requests import CacheableResult, Result
from ..types.sampling import CreateMessageResult, SamplingMessage
from ..types.tools import CallToolResult, Tool
from ..types.wire import Open
from .features import Feature

#: The member that carries a result which the revision allows only inside an object.
WRAPPED: Final = "result"

_CONTENT: Final = tuple(each.kind for each in CONTENT)
_PER_VALUE: Final = frozenset({"resultType", "ttlMs", "cacheScope"})


class Projection:
    """Cuts values to one revision."""

    def __init__(
        self,
        revision: str,
        absent: Mapping[type, frozenset[str]],
        content: frozenset[str],
        features: frozenset[Feature],
    ) -> None:
        self._revision = revision
        self._absent = absent
        self._content = content
        self._any_structured = Feature.ANY_STRUCTURED_CONTENT in features
        self._content_lists = Feature.CONTENT_LISTS in features
        self._stamps = Feature.RESULT_TYPE in features
        self._risky: dict[type, tuple[tuple[str, Any], ...] | None] = {}

    def apply(self, value: Any) -> Any:
        """The value itself where the revision lacks nothing of it, else its members as plain dicts and lists.

        Raises `FeatureUnavailable` for what can be neither left out nor rewritten.
        """
        kind: Any = type(value)  # pyright: ignore[reportUnknownVariableType] - any type at all
        risky = self._risky.get(kind, ())
        if not risky and kind not in self._risky:
            risky = self._risky[kind] = self._at_risk(kind)
        if risky is None:
            return self._cut(value)
        for name, default in risky:
            if getattr(value, name) is not default:
                return self._cut(value)
        if self._stamps or not isinstance(value, Result) or self._unstamped(value):
            return value
        return self._cut(value)

    def _at_risk(self, kind: Any) -> tuple[tuple[str, Any], ...] | None:
        """The fields that may have to be cut, with the defaults, which are not sent; None for a type that is always
        cut.
        """
        if self._lacks_nothing(kind, set()):
            return ()
        if not (isinstance(kind, type) and issubclass(kind, Struct)) or not self._struct_stands(kind):
            return None
        if not kind.__struct_config__.omit_defaults:
            return None
        absent = self._lacking(kind)
        return tuple(
            (field.name, field.default)
            for field in codec.fields(kind)
            if field.encode_name in absent or not self._lacks_nothing(field.type, set())
        )

    def _unstamped(self, value: Result) -> bool:
        if value.result_type is not None:
            return False
        if isinstance(value, CallToolResult):
            return value.structured_content is UNSET or isinstance(value.structured_content, dict)
        return not isinstance(value, CacheableResult) or (value.ttl_ms is None and value.cache_scope is None)

    def _lacks_nothing(self, kind: Any, seen: set[Any]) -> bool:
        if kind in seen:
            return True
        seen.add(kind)
        if isinstance(kind, type) and issubclass(kind, Struct):
            return self._struct_lacks_nothing(kind, seen)
        if get_origin(kind) in (types.UnionType, typing.Union, list, dict, tuple):
            return all(self._lacks_nothing(part, seen) for part in get_args(kind))
        return True

    def _struct_lacks_nothing(self, kind: type[Struct], seen: set[Any]) -> bool:
        if self._lacking(kind) or not self._struct_stands(kind):
            return False
        return all(self._lacks_nothing(field.type, seen) for field in codec.fields(kind))

    def _lacking(self, kind: type[Struct]) -> frozenset[str]:
        absent = self._absent.get(kind, frozenset[str]())
        return absent - _PER_VALUE if issubclass(kind, Result) else absent

    def _struct_stands(self, kind: type[Struct]) -> bool:
        """Whether the type as such is one of the revision."""
        if issubclass(kind, _CONTENT) and kind.__struct_config__.tag not in self._content:
            return False
        if kind in (SamplingMessage, CreateMessageResult) and not self._content_lists:
            return False
        return not (kind is Tool and not self._any_structured)

    def _cut(self, value: Any) -> Any:
        if isinstance(value, UnknownContent):
            return value.members
        if isinstance(value, _CONTENT) and value.__struct_config__.tag not in self._content:
            return self._as_text(value)
        if isinstance(value, Struct):
            return self._cut_struct(value)
        if isinstance(value, (list, tuple)):
            return [self._cut(item) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            return {key: self._cut(item) for key, item in cast("dict[Any, Any]", value).items()}
        return value

    def _cut_struct(self, value: Struct) -> dict[str, Any]:
        absent = self._absent.get(type(value), frozenset())
        # What a value has beyond its own fields is no member of this revision that another one lacks: it stays.
        beyond: dict[str, Any] = value.extra or {} if isinstance(value, Open) else {}
        out: dict[str, Any] = {}
        for key, item in codec.struct_members(value, deep=False).items():
            if key not in absent or key in beyond:
                out[key] = self._cut(beyond[key] if key in absent else item)
        if isinstance(value, CallToolResult) and not self._any_structured:
            wrap_value(value, out)
        elif isinstance(value, Tool) and value.output_schema is not None and "outputSchema" in out:
            if not self._any_structured:
                out["outputSchema"] = wrap_schema(value.output_schema)
        elif isinstance(value, (SamplingMessage, CreateMessageResult)) and not self._content_lists:
            out["content"] = self._single(out["content"])
        return out

    def _single(self, content: Any) -> Any:
        if not isinstance(content, list):
            return content
        blocks = cast("list[Any]", content)
        if len(blocks) != 1:
            raise FeatureUnavailable(
                f"revision {self._revision} carries exactly one content block per sampling message, not {len(blocks)}"
            )
        return blocks[0]

    def _as_text(self, block: Open) -> dict[str, Any]:
        """A content block that the revision does not know, told in words: unknown types break older readers."""
        known = content_type(block)
        if known is None or known.as_text is None:
            name = block.__struct_config__.tag
            raise FeatureUnavailable(f"revision {self._revision} has no content of type {name!r}")
        return {"type": "text", "text": known.as_text(block)}


def is_object_schema(schema: Mapping[str, Any]) -> bool:
    """Whether an output schema is one that every revision with structured content can carry as it is."""
    return schema.get("type") == "object"


def wrap_schema(schema: dict[str, Any]) -> dict[str, Any]:
    """An output schema of any type inside one of type object, references still pointing where they did."""
    if is_object_schema(schema):
        return schema
    if "$id" in schema:  # a resource of its own, to which its references are relative wherever it stands
        return {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED]}
    inner = {key: item for key, item in schema.items() if key not in ("$defs", "definitions", "$schema")}
    outer: dict[str, Any] = {
        "type": "object",
        "properties": {WRAPPED: _repoint(inner)},
        "required": [WRAPPED],
    }
    for key in ("$defs", "definitions", "$schema"):
        if key in schema:
            outer[key] = _repoint(schema[key])
    return outer


def wrap_value(result: CallToolResult, members: dict[str, Any]) -> None:
    """Put structured content that is no object into one, as `wrap_schema` promises, and mark the result."""
    if "structuredContent" in members and not isinstance(result.structured_content, dict):
        members["structuredContent"] = {WRAPPED: members["structuredContent"]}
        members[names.META] = {**(result.meta or {}), names.META_WRAPPED: True}


def unwrapped(result: CallToolResult) -> Any:
    """The structured content of a received result, taken out of the object that `wrap_value` put it into."""
    content: Any = result.structured_content
    if isinstance(content, dict) and result.meta is not None and result.meta.get(names.META_WRAPPED) is True:
        return cast("dict[str, Any]", content).get(WRAPPED)
    return cast("Any", content)


def _stays(reference: str) -> bool:
    """Whether a reference leads into what is moved: to the root or below it, but not to a definition."""
    return reference == "#" or (
        reference.startswith("#/") and not reference.startswith(("#/$defs/", "#/definitions/"))
    )


def _repoint(node: Any) -> Any:
    if isinstance(node, dict):
        members = cast("dict[str, Any]", node)
        out = {key: _repoint(item) for key, item in members.items()}
        reference = members.get("$ref")
        if isinstance(reference, str) and _stays(reference):
            out["$ref"] = f"#/properties/{WRAPPED}{reference[1:]}"
        return out
    if isinstance(node, list):
        return [_repoint(item) for item in cast("list[Any]", node)]
    return node
