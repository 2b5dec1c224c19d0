"""A host's file: the servers in it, and what a change of them would make of it.

Theory of operation. Reading gives values. A change is made on the text (`json_text`, `yaml_text`) and is a value, too:
it shows what would be written as a diff, and nothing is written before it is handed to `ConfigurationFile.write`. The
new text is read again first and has to say exactly what the old one said with the one difference that was meant.

Specification: none; the documentation of each host.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from .definitions import ServerDefinition, is_name
from .entries import entry_of, read_entry
from .errors import ConfigurationError, ConfigurationUnreadable
from .hosts import HostFormat, host_named
from .json_text import JSONText
from .variables import parts_of
from .writing import read_whole, replace_whole
from .yaml_text import YAMLText

__all__ = ["ConfigurationChange", "ConfigurationFile"]

_INPUTS: Final = "inputs"
_OWN: Final = 0o600
_SHARED: Final = 0o644


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What would become of a file: its text ``before`` ("" for none) and ``after``."""

    path: Path
    before: str
    after: str

    @property
    def is_empty(self) -> bool:
        """Whether nothing would change."""
        return self.before == self.after

    @property
    def diff(self) -> str:
        """The change as a unified diff, exactly as it would be written. It has what others wrote in it: make it safe
        before it is shown.
        """
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            str(self.path) if self.before else "/dev/null",
            str(self.path),
        )
        return "".join(
            each if each.endswith("\n") else f"{each}\n\\ No newline at end of file\n" for each in lines
        )


class ConfigurationFile:
    """The file of a host, as it was when this was made.

    ``host``: a `HostFormat` or its name. ``scope``: "user", "project" or "local", as the host has them (default: its
    first). ``path``: the file (default: where the host has it); ``project``: the folder of the project (default: the
    current one). Raises `ConfigurationUnreadable`, `ConfigurationError` for a host or scope that there is not, and
    ImportError, which names the extra, for YAML without PyYAML.
    """

    def __init__(
        self,
        host: HostFormat | str,
        *,
        scope: str = "",
        path: Path | str | None = None,
        project: Path | None = None,
    ) -> None:
        self.host = host_named(host) if isinstance(host, str) else host
        self.scope = scope or self.host.scopes[0]
        self.path = Path(path) if path is not None else self.host.file(self.scope, project=project)
        self._place = self.host.path_in(self.scope, project=project)
        self._within = (project or Path.cwd()) if self.scope == "project" and path is None else None
        self._data = read_whole(self.path)
        self._text = self._decoded(self._data or b"")

    @property
    def exists(self) -> bool:
        """Whether the file was there."""
        return self._data is not None

    @property
    def value(self) -> Mapping[str, Any]:
        """All that stands in it."""
        return self._text.value

    @property
    def servers(self) -> dict[str, ServerDefinition]:
        """The servers that can be read, by name."""
        return self._read()[0]

    @property
    def unreadable(self) -> dict[str, str]:
        """Entries that mean nothing, each with what is wrong. They stay as they are."""
        return self._read()[1]

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """What the host asks for, where ``${input:ID}`` stands."""
        found: Any = self._text.get([_INPUTS])
        given = cast("list[Any]", found) if isinstance(found, list) else []
        return [cast("dict[str, Any]", each) for each in given if isinstance(each, dict)]

    def with_server(
        self, definition: ServerDefinition, *, inputs: Sequence[Mapping[str, Any]] = ()
    ) -> ConfigurationChange:
        """The change that adds a server, or makes the one of its name this one; what the host wrote into it stays.
        ``inputs``: descriptions of those that it names (``id``, ``type``, ``description``, ``password``), for a host
        that has them. Raises `ConfigurationError` for what the host has no words for.
        """
        if not is_name(definition.name):
            raise ConfigurationError(
                f"{definition.name!r} is no name for a server: letters, digits, '.', '_' and '-', at most 64"
            )
        place = [*self._place, definition.name]
        old = self._text.get(place)
        entry = entry_of(
            definition, self.host, cast("dict[str, Any]", old) if isinstance(old, dict) else None
        )
        changed = self._text.set(place, entry)
        expected = _with(self._text.value, place, entry)
        for each in self._missing(entry, inputs):
            if not isinstance(changed, JSONText):
                raise ConfigurationError(f"{self.host.title} has no inputs")
            changed = changed.append([_INPUTS], each)
            expected = {**expected, _INPUTS: [*expected.get(_INPUTS, []), each]}
        return self._change(changed, expected)

    def without_server(self, name: str) -> ConfigurationChange:
        """The change that takes a server away. Raises `ConfigurationError` where there is none of that name."""
        place = [*self._place, name]
        servers = self._text.get(self._place)
        if not isinstance(servers, dict) or name not in servers:
            raise ConfigurationError(f"{self.host.title} has no server {name!r} in {str(self.path)!r}")
        return self._change(self._text.remove(place), _with(self._text.value, place, None))

    def write(self, change: ConfigurationChange) -> Path | None:
        """Write a change, whole or not at all, and read the file anew. Gives the backup of what was there, None where
        there was nothing. Raises `ConfigurationChanged` where somebody else wrote the file after it was read,
        `ConfigurationError` where it can't be written.
        """
        if change.path != self.path or change.before != self._decoded_text():
            raise ConfigurationError(
                "this change is of another file, or of an older state of it; make it anew"
            )
        mode = _SHARED if self.scope == "project" else _OWN
        data = change.after.encode()
        backup = replace_whole(self.path, self._data, data, within=self._within, mode=mode)
        self._data = data
        self._text = self._decoded(data)
        return backup

    def _read(self) -> tuple[dict[str, ServerDefinition], dict[str, str]]:
        found: Any = self._text.get(self._place)
        if found is None:
            return {}, {}
        if not isinstance(found, dict):
            raise ConfigurationUnreadable(f"{self._where}: {'.'.join(self._place)!r} is no object")
        servers: dict[str, ServerDefinition] = {}
        wrong: dict[str, str] = {}
        for name, each in cast("dict[Any, Any]", found).items():
            try:
                definition = read_entry(str(name), each, self.host)
            except ConfigurationError as problem:
                wrong[str(name)] = str(problem)
            else:
                if definition is not None:
                    servers[str(name)] = definition
        return servers, wrong

    def _missing(self, entry: Any, inputs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """What of ``inputs`` the entry names and the file has not."""
        syntax = self.host.variables
        if "input" not in syntax.kinds:
            return []
        parts = [part for text in _strings(entry) for part in parts_of(text, syntax)]
        named = {part.name for part in parts if not isinstance(part, str) and part.kind == "input"}
        there = {each.get("id") for each in self.inputs}
        return [dict(each) for each in inputs if each.get("id") in named - there]

    def _change(self, changed: JSONText | YAMLText, expected: Any) -> ConfigurationChange:
        if json.dumps(changed.value, sort_keys=True, default=str) != json.dumps(
            expected, sort_keys=True, default=str
        ):
            raise ConfigurationError(
                f"{self._where} is written in a way that this change would spoil; nothing was written: do it by hand"
            )
        return ConfigurationChange(self.path, self._decoded_text(), changed.text)

    def _decoded_text(self) -> str:
        return (self._data or b"").decode()

    def _decoded(self, data: bytes) -> JSONText | YAMLText:
        try:
            text = data.decode()
        except UnicodeDecodeError as problem:
            raise ConfigurationUnreadable(f"{self._where} is no UTF-8 (byte {problem.start})") from None
        if self.host.syntax == "yaml":
            return YAMLText(text, where=self._where)
        return JSONText(text, comments=self.host.syntax == "jsonc", where=self._where)

    @property
    def _where(self) -> str:
        return str(self.path)


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in cast("dict[str, Any]", value).values() for text in _strings(each)]
    if isinstance(value, list):
        return [text for each in cast("list[Any]", value) for text in _strings(each)]
    return []


def _with(value: Mapping[str, Any], path: Sequence[str], new: Any) -> dict[str, Any]:
    """A copy of a tree with something else at a path; None takes away what is there."""
    name, *rest = path
    copy = dict(value)
    if rest:
        inner: Any = copy.get(name)
        copy[name] = _with(cast("dict[str, Any]", inner) if isinstance(inner, dict) else {}, rest, new)
    elif new is None:
        copy.pop(name, None)
    else:
        copy[name] = new
    return copy
