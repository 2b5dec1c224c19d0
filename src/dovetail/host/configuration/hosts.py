"""The hosts whose files are read and written: where the files are, and what they call things. A table, and no code.

Each row follows the documentation of its host. A host that calls something otherwise is a row more; one that is not
here is a `HostFormat` of whoever knows it, and is taken wherever these are.

Specification: none; the documentation of each host.
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any, Final, Literal

from .errors import ConfigurationError
from .variables import VariableSyntax

__all__ = ["HOSTS", "Dialect", "HostFormat", "host_named"]

Scope = Literal["user", "project", "local"]
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]*")
_PLACES: Final = ("home", "xdg", "appdata", "project")
_CODE: Final = "{appdata}/Code/User"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the members of an entry are called. An empty name: the host has none of it.

    ``command``, ``args``, ``env``, ``cwd``: of a server that is started (by default "command", "args" and "env", and no
    folder). ``urls``: the members that hold a URL, each with the transport that it means where no type says so; the
    first one of a transport is written (default: the host has no servers at URLs). ``headers``: of such a server
    ("headers").

    ``type_member``: the member that says the transport ("type"); ``types``: its word for each transport ("stdio",
    "http", "sse"), "" where none is written; ``also``: further words that are read, each with its transport, or "" for
    what the other members say; ``others``: words that mean no server of this protocol.

    ``disabled``, ``enabled``: the member that switches a server off, or on. ``named``: the member that repeats the name
    of an entry. ``always``: members that each new entry gets, with their values.

    Raises `ConfigurationError` for a transport that there is not, or no word for the command.
    """

    command: str = "command"
    args: str = "args"
    env: str = "env"
    cwd: str = ""
    urls: Sequence[tuple[str, str]] = ()
    headers: str = "headers"
    type_member: str = "type"
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    disabled: str = ""
    enabled: str = ""
    always: Mapping[str, Any] = field(default_factory=dict[str, Any])
    named: str = ""
    others: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        used = {
            *(means for _, means in self.urls),
            *self.types,
            *(each for each in self.also.values() if each),
        }
        if unknown := used - {"stdio", "http", "sse"}:
            raise ConfigurationError(f"there is no transport {min(unknown)!r}, only stdio, http and sse")
        if not self.command or not self.args or not self.env:
            raise ConfigurationError("a dialect has names for the command, its arguments and its environment")


@dataclass(frozen=True, slots=True)
class HostFormat:
    """A host and its files. `HOSTS` has those that are known; make one for a host that is not among them.

    ``name``: as commands take it, in small letters, digits and "-"; ``title``: as people do. ``syntax``: "json",
    "jsonc" (with comments) or "yaml". ``files``: by scope ("user", "project", "local"; the first is the default), a
    template of the path, for one platform alone where the key is ``scope:platform`` (as `sys.platform` has it). It may
    begin with ``{home}``, ``{xdg}`` (the configuration folder of the user), ``{appdata}`` (that of the platform's
    applications) and ``{project}``. ``path``: the members, from the outside in, below which the servers stand by name.
    ``dialect``: what an entry calls things; ``variables``: how it writes them (default: the host has none). ``note``:
    what a person does so that a change counts.

    Raises `ConfigurationError` for one that can't be.
    """

    name: str
    title: str
    syntax: Literal["json", "jsonc", "yaml"]
    files: Mapping[str, str]
    path: tuple[str, ...]
    dialect: Dialect
    variables: VariableSyntax = field(default_factory=VariableSyntax)
    note: str = ""

    def __post_init__(self) -> None:
        wrong = (
            "its name has small letters, digits and '-' only"
            if not _NAME.fullmatch(self.name)
            else "its syntax is json, jsonc or yaml"
            if self.syntax not in ("json", "jsonc", "yaml")
            else "it says where in the file the servers stand (path)"
            if not self.path or not all(self.path)
            else self._wrong_file()
        )
        if wrong:
            raise ConfigurationError(f"the format of the host {self.name!r} can't be used: {wrong}")

    def _wrong_file(self) -> str:
        scopes = {each.partition(":")[0] for each in self.files}
        if not scopes or not scopes <= {"user", "project", "local"}:
            return "its files are of the scopes user, project or local"
        if missing := scopes - set(self.files):
            return f"it has no file of the scope {min(missing)!r} for most platforms"
        for template in self.files.values():
            try:
                path = template.format(**dict.fromkeys(_PLACES, "/place"))
            except (KeyError, IndexError, ValueError):
                path = ""
            if not PurePosixPath(path).is_absolute() and not PureWindowsPath(path).is_absolute():
                return (
                    f"the file {template!r} begins with one of {', '.join(f'{{{each}}}' for each in _PLACES)}"
                )
        return ""

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that it has files for: "user", "project" (shared with it), "local" (of one person, for one)."""
        return tuple(scope for scope in self.files if ":" not in scope)

    def file(
        self,
        scope: str = "",
        *,
        project: Path | None = None,
        platform: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Path:
        """Where the file of a scope is (default: the first one). ``project``: the folder of the project (default: the
        current one). ``platform``: as `sys.platform` (default: this one); ``environment``: default, that of this
        process. Raises `ConfigurationError` for a scope that the host has not.
        """
        scope = scope or self.scopes[0]
        if scope not in self.scopes:
            raise ConfigurationError(f"{self.title} has no scope {scope!r}, only {' and '.join(self.scopes)}")
        platform = platform or sys.platform
        template = self.files.get(f"{scope}:{platform}", self.files[scope])
        given = os.environ if environment is None else environment
        home = Path(given.get("USERPROFILE" if platform == "win32" else "HOME", "") or Path.home())
        xdg = _absolute(given.get("XDG_CONFIG_HOME"), home / ".config")
        appdata = {
            "win32": _absolute(given.get("APPDATA"), home / "AppData" / "Roaming"),
            "darwin": home / "Library" / "Application Support",
        }.get(platform, xdg)
        places = {"home": home, "xdg": xdg, "appdata": appdata, "project": project or Path.cwd()}
        return Path(template.format(**places))

    def path_in(self, scope: str = "", *, project: Path | None = None) -> tuple[str, ...]:
        """Where the servers of a scope stand in its file."""
        if scope == "local":
            return ("projects", str((project or Path.cwd()).resolve()), *self.path)
        return self.path


def _absolute(given: str | None, otherwise: Path) -> Path:
    found = Path(given or "")
    return found if found.is_absolute() else otherwise


_HTTP: Final = {"stdio": "stdio", "http": "http", "sse": "sse"}
_EDITOR: Final = frozenset({"workspaceFolder", "workspaceFolderBasename", "userHome", "pathSeparator", "/"})
_ROWS: Final = (
    HostFormat(
        "dovetail",
        "Dovetail",
        "json",
        {"user": "{xdg}/dovetail/servers.json", "user:win32": "{appdata}/dovetail/servers.json"},
        ("mcpServers",),
        Dialect(
            cwd="cwd",
            urls=(("url", "http"),),
            types={"stdio": "", "http": "http", "sse": "sse"},
            also={"streamable-http": "http", "streamableHttp": "http"},
            disabled="disabled",
        ),
        VariableSyntax("${{{}}}", default=True, kinds=frozenset({"env", "input", "keyring"}), places=_EDITOR),
    ),
    HostFormat(
        "claude-desktop",
        "Claude Desktop",
        "json",
        {"user": "{appdata}/Claude/claude_desktop_config.json"},
        ("mcpServers",),
        Dialect(),
        note="restart Claude Desktop",
    ),
    HostFormat(
        "claude-code",
        "Claude Code",
        "json",
        {"user": "{home}/.claude.json", "project": "{project}/.mcp.json", "local": "{home}/.claude.json"},
        ("mcpServers",),
        Dialect(
            urls=(("url", "http"),),
            types=_HTTP,
            also={"streamable-http": "http"},
            others=frozenset({"ws", "sdk"}),
        ),
        VariableSyntax("${{{}}}", default=True),
        note="start a new session; what a project shares is approved there first",
    ),
    HostFormat(
        "vscode",
        "VS Code",
        "jsonc",
        {"user": f"{_CODE}/mcp.json", "project": "{project}/.vscode/mcp.json"},
        ("servers",),
        Dialect(cwd="cwd", urls=(("url", "http"),), types=_HTTP),
        VariableSyntax("${{env:{}}}", kinds=frozenset({"env", "input", "config", "command"}), places=_EDITOR),
        note="start the server from the file, or with MCP: List Servers",
    ),
    HostFormat(
        "cursor",
        "Cursor",
        "jsonc",
        {"user": "{home}/.cursor/mcp.json", "project": "{project}/.cursor/mcp.json"},
        ("mcpServers",),
        Dialect(
            urls=(("url", "http"),),
            types={"stdio": "", "http": "", "sse": ""},
            also={**_HTTP, "streamable-http": "http"},
        ),
        VariableSyntax("${{env:{}}}", kinds=frozenset({"env"}), places=_EDITOR),
        note="switch the server on in the settings of Cursor",
    ),
    HostFormat(
        "windsurf",
        "Windsurf",
        "json",
        {"user": "{home}/.codeium/windsurf/mcp_config.json"},
        ("mcpServers",),
        Dialect(
            urls=(("serverUrl", "http"), ("url", "http")),
            types={"stdio": "", "http": "", "sse": ""},
            also=_HTTP,
            disabled="disabled",
        ),
        VariableSyntax("${{env:{}}}", kinds=frozenset({"env", "file"})),
        note="refresh the servers in the Cascade panel",
    ),
    HostFormat(
        "cline",
        "Cline",
        "json",
        {"user": f"{_CODE}/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json"},
        ("mcpServers",),
        Dialect(
            cwd="cwd",
            urls=(("url", "sse"),),
            types={"stdio": "", "http": "streamableHttp", "sse": "sse"},
            also={"stdio": "stdio"},
            disabled="disabled",
        ),
        note="Cline takes it at once",
    ),
    HostFormat(
        "gemini-cli",
        "Gemini CLI",
        "jsonc",
        {"user": "{home}/.gemini/settings.json", "project": "{project}/.gemini/settings.json"},
        ("mcpServers",),
        Dialect(
            cwd="cwd",
            urls=(("httpUrl", "http"), ("url", "sse")),
            types={"stdio": "", "http": "", "sse": ""},
            also=_HTTP,
        ),
        VariableSyntax("${{{}}}", default=True, bare=True),
        note="start Gemini CLI anew",
    ),
    HostFormat(
        "goose",
        "Goose",
        "yaml",
        {
            "user": "{xdg}/goose/config.yaml",
            "user:darwin": "{home}/.config/goose/config.yaml",
            "user:win32": "{appdata}/Block/goose/config/config.yaml",
        },
        ("extensions",),
        Dialect(
            command="cmd",
            env="envs",
            urls=(("uri", "http"),),
            types={"stdio": "stdio", "http": "streamable_http", "sse": "sse"},
            enabled="enabled",
            named="name",
            always={"timeout": 300, "description": ""},
            others=frozenset({"builtin", "platform", "frontend", "inline_python"}),
        ),
        note="start a new session",
    ),
    HostFormat(
        "zed",
        "Zed",
        "jsonc",
        {
            "user": "{xdg}/zed/settings.json",
            "user:darwin": "{home}/.config/zed/settings.json",
            "user:win32": "{appdata}/Zed/settings.json",
            "project": "{project}/.zed/settings.json",
        },
        ("context_servers",),
        Dialect(
            urls=(("url", "http"),),
            type_member="source",
            types={"stdio": "custom", "http": "", "sse": ""},
            also={"custom": ""},
            enabled="enabled",
            others=frozenset({"extension"}),
        ),
        note="Zed takes it at once",
    ),
)
HOSTS: Final[Mapping[str, HostFormat]] = MappingProxyType({each.name: each for each in _ROWS})
"""Every host by its name; "dovetail" is our own configuration, whose names commands take as targets."""


def host_named(name: str) -> HostFormat:
    """A host by its name. Raises `ConfigurationError`, which lists them, for one that there is not."""
    found = HOSTS.get(name.lower())
    if found is None:
        raise ConfigurationError(f"{name!r} is no host that is known; these are: {', '.join(HOSTS)}")
    return found
