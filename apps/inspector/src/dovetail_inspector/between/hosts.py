"""Putting us into a host's configuration, around one server of it, and out again.

Theory of operation. The entry of a server that is started gets our command in front of its own: the words after ``--``
are the original ones, so the entry itself says how it is undone. Its environment and folder stay where they are, and so
do secrets. The entry of a server at a URL gets our origin in the place of the server's; path, query and headers stay,
and the origin is remembered in the Inspector's own folder.

Beside that only digests are remembered: where the file is, byte for byte, what we wrote, and the host's own backup what
was there before, undoing brings those bytes back, whatever their layout was. Otherwise the entry alone is mended.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from dovetail.errors import ConfigurationError
from dovetail.host.configuration import (
    HOSTS,
    Approvals,
    ConfigurationChange,
    ConfigurationFile,
    ServerDefinition,
)

from .live import own_folder, state_folder

__all__ = ["FoundEntry", "entries_named", "put_between", "taken_out", "write"]

_WORDS: Final = ("inspect", "--between")
_BACKUP: Final = ".backup"


@dataclass(frozen=True, slots=True)
class FoundEntry:
    """An entry of a host's configuration: the ``file``, and the server in it."""

    file: ConfigurationFile
    definition: ServerDefinition

    @property
    def host(self) -> str:
        """The host's name, as commands take it."""
        return self.file.host.name

    @property
    def title(self) -> str:
        """For people: which server of which host."""
        return f"{self.definition.name!r} of {self.file.host.title} ({self.file.scope})"

    @property
    def is_between(self) -> bool:
        """Whether the host starts us around this server, or comes to us in its place."""
        return bool(_original(self.definition)) or _remembered(self).origin != ""


class _Remembered(Struct, frozen=True):
    """Of one entry that we changed: digests of the file ``before`` and ``after``, and the ``origin`` of a URL."""

    before: str = ""
    after: str = ""
    origin: str = ""


_notes: Final = msgspec.json.Decoder(dict[str, _Remembered])


def entries_named(
    name: str, *, host: str = "", scope: str = "", project: Path | None = None
) -> list[FoundEntry]:
    """Every entry of that name, in the files of all hosts, or of one (``host``, and ``scope`` of it). Files that can't
    be read are passed over, unless one host is named. Raises `ConfigurationError` then.
    """
    found: list[FoundEntry] = []
    for each in [host] if host else HOSTS:
        for place in [scope] if scope else (HOSTS[each].scopes if each in HOSTS else ("",)):
            try:
                file = ConfigurationFile(each, scope=place, project=project)
                definition = file.servers.get(name)
            except (ConfigurationError, ImportError):
                if host:
                    raise
                continue
            if definition is not None:
                found.append(FoundEntry(file, definition))
    return found


def put_between(entry: FoundEntry, options: Sequence[str] = (), *, at: str = "") -> ConfigurationChange:
    """The change that puts us around a server. ``options``: further words for ``dovetail inspect``; ``at``: where we
    listen, for a server at a URL ("127.0.0.1:8001"). Raises `ConfigurationError` for one that we are around already, or
    that can't be.
    """
    definition = entry.definition
    if entry.is_between:
        raise ConfigurationError(f"{entry.title} leads through us already; --undo takes us out")
    if definition.transport == "stdio":
        around = ("-m", "dovetail", *_WORDS, "--entry", f"{entry.host}:{definition.name}", *options, "--")
        args = (*around, *definition.command_line)
        return entry.file.with_server(replace(definition, command=sys.executable, args=args))
    return entry.file.with_server(replace(definition, url=_at(definition, f"http://{at}")))


def taken_out(entry: FoundEntry) -> ConfigurationChange:
    """The change that takes us out again. Raises `ConfigurationError` where we are not in."""
    definition, known = entry.definition, _remembered(entry)
    original = _original(definition)
    if not original and not known.origin:
        raise ConfigurationError(f"{entry.title} does not lead through us; there is nothing to undo")
    if original:
        mended = replace(definition, command=original[0], args=original[1:])
    else:
        mended = replace(definition, url=_at(definition, known.origin))
    change = entry.file.with_server(mended)
    before = _backup(entry, known, change.before)
    return change if before is None else ConfigurationChange(change.path, change.before, before)


def write(entry: FoundEntry, change: ConfigurationChange) -> None:
    """Write a change of `put_between` or `taken_out`, and remember what undoing it needs. Where the entry was approved,
    what it becomes is, too: the person has seen it. Raises `ConfigurationError`.
    """
    definition = entry.definition
    was_between = entry.is_between
    entry.file.write(change)
    notes = _read()
    if was_between:
        notes.pop(_key(entry), None)
    else:
        origin = "" if definition.transport == "stdio" else _origin(definition)
        notes[_key(entry)] = _Remembered(_digest(change.before), _digest(change.after), origin)
    folder = own_folder(state_folder())
    new = folder / "between.json.new"
    new.write_bytes(msgspec.json.encode(notes) + b"\n")
    new.chmod(0o600)
    new.replace(folder / "between.json")
    approvals = Approvals()
    if entry.host == "dovetail" and approvals.has(definition):
        approvals.add(entry.file.servers[definition.name])


def _original(definition: ServerDefinition) -> tuple[str, ...]:
    """The command that we were put in front of; empty where we were not."""
    words = definition.command_line
    at = next((at for at in range(len(words)) if words[at : at + 2] == _WORDS), -1)
    if at < 0 or "--" not in words[at:]:
        return ()
    return words[words.index("--", at) + 1 :]


def _origin(definition: ServerDefinition) -> str:
    """The origin of a URL. Raises `ConfigurationError` for one that only the host knows."""
    parts = urlsplit(definition.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "$" in parts.netloc:
        raise ConfigurationError(
            f"where {definition.name!r} leads is known to its host alone; give the URL itself: "
            "dovetail inspect --between URL"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _at(definition: ServerDefinition, origin: str) -> str:
    """The URL at another origin. Raises `ConfigurationError`."""
    rest = definition.url.removeprefix(_origin(definition))
    return origin + rest


def _backup(entry: FoundEntry, known: _Remembered, now: str) -> str | None:
    """What the file was before us, where nothing else was changed since; None where that is not to be had."""
    if not known.after or _digest(now) != known.after:
        return None
    with suppress(OSError, UnicodeDecodeError):
        path = entry.file.path.resolve()
        text = path.with_name(path.name + _BACKUP).read_bytes().decode()
        if _digest(text) == known.before:
            return text
    return None


def _key(entry: FoundEntry) -> str:
    return f"{entry.file.path.absolute()}#{entry.file.scope}#{entry.definition.name}"


def _remembered(entry: FoundEntry) -> _Remembered:
    return _read().get(_key(entry), _Remembered())


def _read() -> dict[str, _Remembered]:
    """What is remembered. A file that is none is an empty one: undoing then mends the entry alone."""
    with suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return _notes.decode((state_folder() / "between.json").read_bytes())
    return {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
