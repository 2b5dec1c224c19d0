"""A directory of files as resources.

Theory of operation. Each file is a resource, the directory itself another, and one template reads them all, a part of
one file as well: ``?offset=`` and ``&limit=`` count bytes, and a part of a text is cut between characters, so that
parts join to the whole. What is there is asked of the file system for each request, in a thread (`FileTree`). While it
is served the directory is looked at again and again: who listens to a file hears that it changed, who listens to a
directory or to the lists what came and went. Looking takes at most a twentieth of the time.

Specification: server/resources; server/utilities/completion.
"""

import asyncio
import base64
import re
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from os import PathLike
from typing import Any, Final
from urllib.parse import quote

from ...logs import get_logger
from ...protocol import names
from ...protocol.call import Call
from ...protocol.errors import InvalidParams, ResourceNotFound
from ...protocol.listening import Change
from ...protocol.types import (
    Annotations,
    CompleteResult,
    Completion,
    ReadResourceResult,
    Resource,
    ResourceContents,
    ResourceTemplate,
    Result,
)
from ...protocol.uri_template.template import URITemplate
from ...runtime.channel import Channel
from ...security.principal import Principal
from .file_tree import MAX_WATCHED, FileTree, FoundFile
from .provider import ListKind, Offer, Provided, ProvidedPage, Provider

log = get_logger("dovetail.server")

MAX_BYTES: Final = 4 * 1024 * 1024
"""Bytes that one read gives; of a larger file parts are read."""
_PAGE: Final = 1000
_DIRECTORY: Final = "inode/directory"
_SAFE: Final = "/-._~!$&'()*+,;=:@"
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9._~!$&'()*+,;=:@%/-]+")
_SHARE: Final = 20  # a look has at most a twentieth of a processor
_AT_ONCE: Final = 100


class Files(Provider):
    """The files below ``path`` as resources, ``uri`` and their paths: with ``uri="files://docs"`` the file
    ``guides/start.md`` is ``files://docs/guides/start.md``.

    ``pattern``: those to show (default: all); ``*`` stands for characters of one name, ``**`` for any number of
    directories. ``name``: of the directory, for people (default: its own). ``max_bytes``: that one read gives (4 MiB).
    ``watch``: seconds between two looks for changes (2), None for no looks. ``scopes``: what a caller's token needs to
    read any of them; ``tags``: see `Provided`.

    Hidden files, links, and names that are none on some system are not shown. Text (UTF-8) is read as text, all else as
    bytes. Raises ValueError for a path that is no directory, a URI without a scheme or with a query, and a pattern that
    is none. Specification: server/resources.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        uri: str,
        *,
        pattern: str = "**",
        name: str | None = None,
        max_bytes: int = MAX_BYTES,
        watch: float | None = 2.0,
        scopes: Sequence[str] = (),
        tags: Sequence[str] = (),
    ) -> None:
        uri = uri.rstrip("/")
        if not _URI.fullmatch(uri):
            raise ValueError(f"{uri!r:.200} is no URI for a directory: write one such as 'files://docs'")
        if max_bytes < 16 or (watch is not None and watch <= 0):
            raise ValueError("max_bytes is at least 16, watch above 0 seconds or None")
        self._tree = FileTree(path, pattern)
        self._uri = uri
        self._name = name or self._tree.root.name or uri
        self._max_bytes = max_bytes
        self._watch = watch
        self._scopes = tuple(scopes)
        self._tags = frozenset(tags)
        self._template = URITemplate(f"{uri}/{{+path}}{{?offset,limit}}")
        self._root_template = URITemplate(f"{uri}{{?offset,limit}}")

    @property
    def label(self) -> str:
        """The directory."""
        return f"Files({str(self._tree.root)!r})"

    @property
    def offers(self) -> frozenset[Offer]:
        """Resources, and completion of their paths."""
        return frozenset(("resources", "completions"))

    @property
    def guarded(self) -> bool:
        """Whether it requires scopes."""
        return bool(self._scopes)

    # Lists

    async def list_resources(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[Resource]:
        """The directory, and the files below it in the order of their names."""
        found, following = await asyncio.to_thread(self._tree.page, cursor, _PAGE)
        first = [self._directory("")] if cursor is None else []
        return ProvidedPage([*first, *(self._file(each) for each in found)], following)

    async def list_templates(
        self, call: Call, channel: Channel, cursor: str | None
    ) -> ProvidedPage[ResourceTemplate]:
        """The one that reads them all."""
        return ProvidedPage([self._part(None)])

    async def find_resource(
        self, call: Call, channel: Channel, uri: str
    ) -> Provided[Resource] | Provided[ResourceTemplate] | None:
        """The file or directory of a URI; for a part of a file, the template."""
        path = self._path(uri)
        if path is None:
            return None
        found = await asyncio.to_thread(self._tree.find, path) if path else None
        if found is None and not await asyncio.to_thread(self._tree.is_directory, path):
            return None
        whole = self._directory(path) if found is None else self._file(found)
        return whole if whole.name == uri else self._part(whole)

    async def find_template(
        self, call: Call, channel: Channel, template: str
    ) -> Provided[ResourceTemplate] | None:
        """The template, if it is written so."""
        return self._part(None) if template == self._template.template else None

    # What can be known without waiting

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether a URI is below its own."""
        if kind == "templates":
            return name == self._template.template
        return kind == "resources" and (
            name == self._uri or name.startswith((f"{self._uri}/", f"{self._uri}?"))
        )

    def lacking(self, uri: str, principal: Principal) -> Sequence[str]:
        """The scopes that a caller lacks."""
        return () if principal.scopes.issuperset(self._scopes) else self._scopes

    def hears(self, uri: str, principal: Principal) -> bool:
        """Whether a caller has the scopes."""
        return principal.scopes.issuperset(self._scopes)

    # Its things

    def _shown(self, path: str) -> str:
        return f"{self._uri}/{quote(path, safe=_SAFE)}" if path else self._uri

    def _path(self, uri: str) -> str | None:
        """The path that a URI is about, None for one of somebody else."""
        variables = self._variables(uri)
        return None if variables is None else variables["path"]

    def _variables(self, uri: str) -> dict[str, Any] | None:
        """The path of a URI, "" for the directory itself, and the part that is asked for."""
        try:
            found = self._root_template.match(uri)
            return self._template.match(uri) if found is None else {**found, "path": ""}
        except ValueError:
            return None

    def _file(self, file: FoundFile) -> Provided[Resource]:
        modified = datetime.fromtimestamp(file.modified, UTC).isoformat(timespec="seconds")
        return self._resource(
            file.path,
            name=file.path.rpartition("/")[2],
            mime_type=_mime_type(file.path),
            size=file.size,
            annotations=Annotations(last_modified=modified.replace("+00:00", "Z")),
        )

    def _directory(self, path: str) -> Provided[Resource]:
        return self._resource(path, name=path.rpartition("/")[2] or self._name, mime_type=_DIRECTORY)

    def _resource(self, path: str, **described: Any) -> Provided[Resource]:
        resource = Resource(uri=self._shown(path), **described)
        return Provided(described=resource, answer=self._read, scopes=self._scopes, tags=self._tags)

    def _part(self, whole: Provided[Resource] | None) -> Provided[ResourceTemplate]:
        described = ResourceTemplate(
            uri_template=self._template.template,
            name=self._name,
            description=f"A file of {self._name}, or with offset and limit the bytes from there on",
        )
        return Provided(
            described=described,
            answer=self._read,
            complete=self._complete,
            scopes=self._scopes,
            tags=self._tags,
            whole=whole,
        )

    # Reading

    async def _read(self, call: Call, channel: Channel) -> Result:
        params: Any = call.params
        uri: str = params.uri
        variables = self._variables(uri)
        if variables is None:
            raise _not_there(uri)
        path = variables["path"]
        offset, limit = _number("offset", variables, 0), _number("limit", variables, None)
        most = self._max_bytes if limit is None else min(limit, self._max_bytes)
        # Four bytes more on both sides show where the characters end.
        start = max(offset - 4, 0)
        length = most + offset - start + 4
        found = await asyncio.to_thread(self._tree.read, path, start, length) if path else None
        mime_type = _mime_type(path)
        if found is None:
            listing, mime_type = await asyncio.to_thread(self._tree.listing, path), _DIRECTORY
            if listing is None:
                raise _not_there(uri)
            found = listing[start : start + length], len(listing)
        data, size = found
        if limit is None and size - offset > most:
            raise InvalidParams(
                f"{uri[:256]} has {size} bytes, and {most} can be read at once: add ?offset={offset}&limit={most}, and"
                " go on from there"
            )
        contents = _contents(uri, mime_type, data, before=offset - start, most=most)
        if offset or limit is not None:
            contents.meta = {names.META_SIZE: size}
        return ReadResourceResult(contents=[contents.made()])

    async def _complete(self, call: Call, channel: Channel) -> Result:
        params: Any = call.params
        if params.argument.name != "path":
            return CompleteResult(completion=Completion(values=[]))
        directory, _, typed = params.argument.value.rpartition("/")
        found = [
            f"{directory}/{name}" if directory else name
            for name in await asyncio.to_thread(self._tree.names, directory, MAX_WATCHED)
            if name.startswith(typed)
        ]
        return CompleteResult(
            completion=Completion(values=found[:100], total=len(found), has_more=len(found) > 100)
        )

    # Its life

    def life(self, publish: Callable[[Change], None]) -> AbstractAsyncContextManager[None]:
        """Around the time in which it is served: it looks for changes."""
        return self._live(publish)

    @asynccontextmanager
    async def _live(self, publish: Callable[[Change], None]) -> AsyncGenerator[None]:
        known = None if self._watch is None else await asyncio.to_thread(self._tree.snapshot)
        if known is None:
            if self._watch is not None:
                log.warning(
                    "%s has more than %d files: changes in them are not seen", self.label, MAX_WATCHED
                )
            yield
            return
        watching = asyncio.create_task(
            self._look_on(known, self._watch or 0.0, publish), name="dovetail-watched-files"
        )
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _look_on(
        self, known: dict[str, int], interval: float, publish: Callable[[Change], None]
    ) -> None:
        pause = interval
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            now, worked = await asyncio.to_thread(_timed, self._tree.snapshot)
            # What it waited for the disk counts once; that others had the processor is no reason to look more seldom.
            pause = max(interval, _SHARE * worked, time.monotonic() - began)
            if now is None:
                log.warning(
                    "%s has more than %d files: changes in them are not seen", self.label, MAX_WATCHED
                )
                return
            changed = {path for path, seen in now.items() if known.get(path) != seen} | (
                known.keys() - now.keys()
            )
            if known.keys() != now.keys():
                publish(Change("resources"))
            # What came or went is a change of its directory, too: that is what reading the directory shows.
            changed |= {path.rpartition("/")[0] for path in known.keys() ^ now.keys()}
            for place, path in enumerate(sorted(changed)):
                publish(Change("resource", self._shown(path)))
                if place % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)  # there may be many, and many who listen
            known = now


def _timed(look: Callable[[], dict[str, int] | None]) -> tuple[dict[str, int] | None, float]:
    """What a look gives, and the seconds of processor that it took in its thread."""
    began = time.thread_time()
    return look(), time.thread_time() - began


class _Contents:
    """Contents in the making."""

    def __init__(self, **members: Any) -> None:
        self.members = members
        self.meta: dict[str, Any] | None = None

    def made(self) -> ResourceContents:
        return ResourceContents(**self.members, meta=self.meta)


def _contents(uri: str, mime_type: str | None, data: bytes, *, before: int, most: int) -> _Contents:
    """What was read, without the bytes before and after it that show where characters end."""
    start, end = before, min(before + most, len(data))
    if b"\0" not in data:
        first, last = _character(data, start), _character(data, end)
        try:
            text = data[first:last].decode()
        except UnicodeDecodeError:
            pass
        else:
            return _Contents(uri=uri, mime_type=mime_type or "text/plain", text=text)
    blob = base64.b64encode(data[start:end]).decode()
    return _Contents(uri=uri, mime_type=mime_type or "application/octet-stream", blob=blob)


def _character(data: bytes, place: int) -> int:
    """Where the character begins that a byte belongs to."""
    for back in range(4):
        if place - back <= 0 or place - back >= len(data) or data[place - back] & 0xC0 != 0x80:
            return max(place - back, 0)
    return place


def _number(name: str, variables: dict[str, Any], default: Any) -> Any:
    text = variables.get(name)
    if text is None:
        return default
    if (
        not isinstance(text, str)
        or not re.fullmatch("[0-9]{1,15}", text)
        or (name == "limit" and int(text) < 16)
    ):
        least = 16 if name == "limit" else 0
        raise InvalidParams(f"{name} is a number of bytes, at least {least}, not {text!r:.100}")
    return int(text)


def _mime_type(path: str) -> str | None:
    from mimetypes import guess_type  # reads files of the system when it is first used

    if path.lower().endswith((".md", ".markdown")):
        return "text/markdown"
    return guess_type(path, strict=False)[0]


def _not_there(uri: str) -> ResourceNotFound:
    return ResourceNotFound(f"there is no resource {uri[:256]!r}", uri=uri[:2048])


__all__ = ["MAX_BYTES", "Files"]
