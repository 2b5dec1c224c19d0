"""Content blocks of tool results, prompts and sampling. Specification: server/tools, server/prompts,
client/sampling.

`CONTENT` says, once for all who ask, what each type is made of and how it is told to those who do not have it. Where a
type may stand is said by the unions: `ContentBlock` in results of tools and in prompts, `SamplingContent` in messages
of sampling. Which revisions have it is said by their tables (`dovetail.protocol.revisions`).

A block of a type that this version does not know is an `UnknownContent`: a value, never an error, and it is
sent on unchanged.
"""

import base64
from collections.abc import Callable
from typing import Any, ClassVar, Final, Literal, NamedTuple, get_args

from msgspec import UNSET, UnsetType, field

from .metadata import Annotations
from .resources import Resource, ResourceContents
from .wire import Meta, Open, Verbatim

# Never on the wire: the codec puts the block together from its members.
UNKNOWN_TAG = "\ue000unknown"


class TextContent(Open, frozen=True, kw_only=True, tag_field="type", tag="text"):
    """Text."""

    type: ClassVar[Literal["text"]] = "text"
    text: str
    annotations: Annotations | None = None
    meta: Meta | None = field(default=None, name="_meta")


class ImageContent(Open, frozen=True, kw_only=True, tag_field="type", tag="image"):
    """An image; ``data`` is Base64."""

    type: ClassVar[Literal["image"]] = "image"
    data: str
    mime_type: str
    annotations: Annotations | None = None
    meta: Meta | None = field(default=None, name="_meta")

    @classmethod
    def of(cls, data: bytes, mime_type: str = "image/png", **members: Any) -> "ImageContent":
        """An image from its bytes."""
        return cls(data=base64.b64encode(data).decode(), mime_type=mime_type, **members)


class AudioContent(Open, frozen=True, kw_only=True, tag_field="type", tag="audio"):
    """A sound; ``data`` is Base64. Since 2025-03-26."""

    type: ClassVar[Literal["audio"]] = "audio"
    data: str
    mime_type: str
    annotations: Annotations | None = None
    meta: Meta | None = field(default=None, name="_meta")

    @classmethod
    def of(cls, data: bytes, mime_type: str = "audio/wav", **members: Any) -> "AudioContent":
        """A sound from its bytes."""
        return cls(data=base64.b64encode(data).decode(), mime_type=mime_type, **members)


class ResourceLink(Resource, frozen=True, kw_only=True, tag_field="type", tag="resource_link"):
    """A pointer to a resource that can be read. Since 2025-06-18."""

    type: ClassVar[Literal["resource_link"]] = "resource_link"


class EmbeddedResource(Open, frozen=True, kw_only=True, tag_field="type", tag="resource"):
    """A resource, contents included."""

    type: ClassVar[Literal["resource"]] = "resource"
    resource: ResourceContents
    annotations: Annotations | None = None
    meta: Meta | None = field(default=None, name="_meta")


class UnknownContent(Verbatim, frozen=True, kw_only=True, tag_field="type", tag=UNKNOWN_TAG):
    """A block of a type this version does not know; ``members`` is the whole object as it came."""

    @property
    def type(self) -> str:
        """The block's type as the peer named it."""
        return str(self.members.get("type", ""))


ContentBlock = TextContent | ImageContent | AudioContent | ResourceLink | EmbeddedResource | UnknownContent


class ToolUseContent(Open, frozen=True, kw_only=True, tag_field="type", tag="tool_use"):
    """In sampling: the model wants a tool called. Since 2025-11-25."""

    type: ClassVar[Literal["tool_use"]] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]
    meta: Meta | None = field(default=None, name="_meta")


class ToolResultContent(Open, frozen=True, kw_only=True, tag_field="type", tag="tool_result"):
    """In sampling: what the tool gave. Since 2025-11-25."""

    type: ClassVar[Literal["tool_result"]] = "tool_result"
    tool_use_id: str
    content: list[ContentBlock]
    structured_content: Any | UnsetType = UNSET
    is_error: bool | None = None
    meta: Meta | None = field(default=None, name="_meta")


SamplingContent = (
    TextContent | ImageContent | AudioContent | ToolUseContent | ToolResultContent | UnknownContent
)

BLOCKS: Final[tuple[type[ContentBlock], ...]] = get_args(ContentBlock)
"""The types of blocks in results of tools and in prompts, the unknown one among them."""


class ContentType(NamedTuple):
    """What is true of one content type. Its name on the wire is the tag of ``kind``.

    ``label``: what a reader is told that it is, such as "image". ``text``, ``base64``, ``contents``: the attribute that
    holds a text to read, bytes as Base64 (``mime_type`` beside them), or `ResourceContents`; "" where it has none. A
    type that is a `Resource` is shown as a link. ``as_text``: what stands for it, as text, in a revision that does not
    have it; None where nothing can, so that it is refused there.
    """

    kind: type[Open]
    label: str
    text: str = ""
    base64: str = ""
    contents: str = ""
    as_text: Callable[[Any], str] | None = None

    @property
    def name(self) -> str:
        """The type's name on the wire."""
        return str(self.kind.__struct_config__.tag)


def _text_of_audio(audio: AudioContent) -> str:
    return f"[audio, {audio.mime_type}, {len(audio.data) * 3 // 4} bytes]"


def _text_of_link(link: ResourceLink) -> str:
    return f"{link.title or link.name}: {link.uri}"


CONTENT: Final = (
    ContentType(TextContent, "text", text="text"),
    ContentType(ImageContent, "image", base64="data"),
    ContentType(AudioContent, "audio", base64="data", as_text=_text_of_audio),
    ContentType(ResourceLink, "link", as_text=_text_of_link),
    ContentType(EmbeddedResource, "resource", contents="resource"),
    ContentType(ToolUseContent, "tool call"),
    ContentType(ToolResultContent, "tool result"),
)
"""All content types of all revisions."""

CONTENT_NAMES: Final = frozenset(each.name for each in CONTENT)
"""Their names on the wire."""


def content_type(block: object) -> ContentType | None:
    """What is true of a block; None for one of a type that is not known here, and for what is no block."""
    return next((each for each in CONTENT if isinstance(block, each.kind)), None)
