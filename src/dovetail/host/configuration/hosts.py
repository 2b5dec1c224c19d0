"""The hosts whose files are read and written: where the files are, and what they call things. A table, and no code.

Each row follows the documentation of its host. A host that calls something otherwise is a row more.

Specification: none; the documentation of each host.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from .errors import ConfigurationError
from .variables import VariableSyntax

__all__ = ["HOSTS", "Dialect", "HostFormat", "host_named"]

Scope = Literal["user", "project", "local"]
_CODE: Final = "{appdata}/Code/User"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What the members of an entry are called. An empty name: the host has none of it.

    ``urls``: the members that hold a URL, each with the transport that it means where no type says so; the first one
    of a transport is written. ``types``: the word for each transport (`type_member`), "" where none is needed.
    ``disabled``, ``enabled``: the member that switches a server off, or on. ``always``: members that each new entry
    gets. ``others``: words of the type that mean no server of this protocol.
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


@dataclass(frozen=True, slots=True)
class HostFormat:
    """A host and its files.

    ``name``: as commands take it; ``title``: as people do. ``syntax``: "json", "jsonc" (with comments) or "yaml".
    ``files``: by scope, a template of the path, for one platform alone where it is ``scope:platform``. ``path``: where
    the servers stand in the file, by scope. ``note``: what a person does so that a change counts.
    """

    name: str
    title: str
    syntax: Literal["json", "jsonc", "yaml"]
    files: Mapping[str, str]
    path: tuple[str, ...]
    dialect: Dialect
    variables: VariableSyntax = field(default_factory=VariableSyntax)
    note: str = ""

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
