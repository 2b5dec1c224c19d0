"""An OpenAPI document, read: from values, bytes, a file or a URL to plain values within bounds.

Theory of operation. JSON is read by msgspec, YAML by PyYAML (see `yaml_text`); which it is, its first character says.
What comes out is plain, at most `MAX_LEVELS` deep and without circles, so that whatever goes down in it ends.
References are followed by `referencing`, the resolver that the JSON Schema libraries of Python share, over the
document alone: no file is opened and no URL is fetched for one, whatever it says. A document of several files has to
be made one ("bundled") first; many tools do that.

Specification: OpenAPI 3.0.4 and 3.1.1, "OpenAPI Description Structure" and "Reference Object"; RFC 6901.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import msgspec

from dovetail.errors import FetchRefused
from dovetail.security import Fetcher

from .errors import DocumentInvalid
from .plain import mapping, text
from .yaml_text import read_yaml

__all__ = [
    "MAX_DOCUMENT",
    "MAX_LEVELS",
    "Document",
    "DocumentSource",
    "fetch_document",
    "read_document",
    "refusal_text",
]

MAX_DOCUMENT: Final = 64 * 1024 * 1024
"""Bytes that a document may have."""
MAX_LEVELS: Final = 200
"""Levels that a document may have."""
MAX_VALUES: Final = 5_000_000
"""Values that a document may have, what is repeated by aliases counted each time."""
_CHAIN: Final = 32
"""References that may lead to one another before there is anything else."""

#: Where a document comes from: plain values, the bytes of JSON or YAML, or the path of a file with them.
DocumentSource: TypeAlias = Mapping[str, Any] | bytes | str | os.PathLike[str]


class Document:
    """A document whose version is known. ``url``: where it was fetched from, or None; relative servers start there."""

    __slots__ = ("_found", "_resolver", "content", "is_3_0", "title", "url", "version")

    def __init__(self, content: dict[str, Any], *, url: str | None = None) -> None:
        """Raises `DocumentInvalid` for anything but OpenAPI 3.0 and 3.1, and ImportError, which names the extra,
        without `referencing`.
        """
        self.content = content
        self.url = url
        self.version = _version(content)
        self.is_3_0 = self.version.startswith("3.0")
        self.title = text(mapping(content.get("info")).get("title"))
        self._resolver = _resolver(content)
        self._found: dict[str, Any] = {}

    def lookup(self, reference: str) -> Any:
        """What a reference leads to. Raises `DocumentInvalid` for one that leads nowhere, or out of the document."""
        if reference in self._found:
            return self._found[reference]
        from referencing.exceptions import Unresolvable

        shown = reference[:200]
        if not reference.startswith("#"):
            raise DocumentInvalid(
                f"the reference {shown!r} leads out of the document; bundle the files of the description into one"
            )
        try:
            value = self._resolver.lookup(reference).contents
        except (Unresolvable, LookupError, TypeError, ValueError, AttributeError):
            raise DocumentInvalid(f"the reference {shown!r} leads nowhere in the document") from None
        self._found[reference] = value
        return value

    def followed(self, value: object) -> dict[str, Any]:
        """An object of the document, or what its ``$ref`` leads to in the end. What stands beside a reference
        (``summary``, ``description``) goes before what it leads to. Raises `DocumentInvalid`.
        """
        found = mapping(value)
        beside: dict[str, Any] = {}
        for _ in range(_CHAIN):
            reference = found.get("$ref")
            if not isinstance(reference, str):
                return {**found, **beside} if beside else found
            if not self.is_3_0:
                beside = {
                    **{name: found[name] for name in ("summary", "description") if name in found},
                    **beside,
                }
            found = mapping(self.lookup(reference))
        raise DocumentInvalid("references lead to one another in a circle")

    def __repr__(self) -> str:
        return f"<Document {self.title!r}, OpenAPI {self.version}>"


def read_document(source: DocumentSource, *, url: str | None = None, limit: int = MAX_DOCUMENT) -> Document:
    """Read a document: plain values, the bytes of one in JSON or YAML, or the path of a file.

    ``url``: where it is from, for servers that are relative to it. ``limit``: the bytes that it may have. Raises
    `DocumentInvalid`, also for a file that can't be read, and ImportError, which names the extra.
    """
    if isinstance(source, Mapping):
        try:
            data = msgspec.json.encode(source)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as problem:
            raise DocumentInvalid(f"the document is no plain value of JSON: {problem}") from None
    elif isinstance(source, bytes):
        data = source
    else:
        data = _read(source, limit)
    if len(data) > limit:
        raise DocumentInvalid(f"the document has {len(data)} bytes, more than the {limit} of limit=")
    value = _parsed(data)  # what an alias of YAML repeats was counted there
    if not isinstance(value, dict):
        raise DocumentInvalid("the document is no object; is it an OpenAPI document?")
    content = cast("dict[str, Any]", value)
    return Document(content, url=url)


async def fetch_document(
    url: str, *, fetcher: Fetcher | None = None, headers: Mapping[str, str] | None = None
) -> Document:
    """Fetch a document and read it: from public https URLs, unless ``fetcher`` allows more.

    ``headers``: what to send with the request. Raises `DocumentInvalid`, `FetchRefused`, `FetchFailed`, and
    ImportError, which names the extra.
    """
    way = fetcher or Fetcher(limit=MAX_DOCUMENT, timeout=60.0)
    try:
        answer = await way.get(
            url, accept="application/json, application/yaml;q=0.9, */*;q=0.5", headers=headers
        )
    except FetchRefused as problem:
        raise FetchRefused(refusal_text(problem), allowed_by=problem.allowed_by) from None
    if answer.status != 200:
        raise DocumentInvalid(f"{url} answered with status {answer.status}, not with a document")
    return read_document(answer.body, url=answer.url)


def refusal_text(problem: FetchRefused) -> str:
    """Why a URL is not fetched, with the option that would allow it."""
    return f"{problem}; {problem.allowed_by}=True would allow it" if problem.allowed_by else str(problem)


def _read(source: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a file. Raises `DocumentInvalid`."""
    path = Path(source)
    try:
        if path.stat().st_size > limit:
            raise DocumentInvalid(f"{path} has more than {limit} bytes; raise limit= if it is meant to")
        return path.read_bytes()
    except (OSError, ValueError) as problem:
        if isinstance(source, str) and ("\n" in source or source.lstrip()[:1] == "{"):
            told = "a text is the path of a file; give a document itself as bytes: text.encode()"
        elif isinstance(problem, FileNotFoundError):
            told = f"there is no file {str(path)!r} in {str(Path.cwd())!r}"
        else:
            told = f"the file {str(path)!r} can't be read: {getattr(problem, 'strerror', None) or problem}"
        raise DocumentInvalid(told) from None


def _parsed(data: bytes) -> Any:
    body = data.removeprefix(b"\xef\xbb\xbf")
    if body[:64].lstrip()[:1] in (b"{", b"["):
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            failed = problem  # YAML has braces, too
        else:
            _check_depth(value)
            return value
        try:
            return read_yaml(body, most_values=MAX_VALUES, most_levels=MAX_LEVELS)
        except DocumentInvalid:
            raise DocumentInvalid(f"the document is not JSON: {failed}") from None
    return read_yaml(body, most_values=MAX_VALUES, most_levels=MAX_LEVELS)


def _check_depth(content: object) -> None:
    """Refuse what is too deep to go down in."""
    level: list[Any] = [content]
    for _ in range(MAX_LEVELS):
        below: list[Any] = []
        for each in level:
            values: Any = cast("dict[str, Any]", each).values() if isinstance(each, dict) else each
            below += [value for value in values if isinstance(value, (dict, list))]
        if not below:
            return
        level = below
    raise DocumentInvalid(f"the document is deeper than {MAX_LEVELS} levels")


def _version(content: Mapping[str, Any]) -> str:
    said = content.get("openapi")
    if isinstance(said, str) and said.startswith(("3.0", "3.1")):
        return said
    if "swagger" in content:
        raise DocumentInvalid(
            f"this is Swagger {text(content['swagger'])[:10]}, not OpenAPI 3: convert it first, as many tools can"
        )
    if said is None:
        raise DocumentInvalid('the document has no member "openapi"; is it an OpenAPI document?')
    raise DocumentInvalid(f"OpenAPI {str(said)[:20]} cannot be read, only 3.0 and 3.1")


def _resolver(content: dict[str, Any]) -> Any:
    try:
        from referencing import Registry, Resource
        from referencing.jsonschema import DRAFT202012
    except ImportError:
        raise ImportError(
            "reading OpenAPI documents needs referencing: pip install 'dovetail[openapi]'"
        ) from None
    resource: Any = Resource(contents=content, specification=cast("Any", DRAFT202012))
    registry: Any = cast(
        "Any", Registry
    )()  # nothing is retrieved: a reference finds what is in the document, or nothing
    return registry.with_resource("", resource).resolver()
