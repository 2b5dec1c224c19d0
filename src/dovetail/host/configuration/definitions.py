"""An entry of a configuration as a value: one server, and how it is reached.

Specification: basic/transports.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .errors import ConfigurationError
from .hosts import host_named
from .variables import VariableSyntax

__all__ = ["ServerDefinition", "ServerTransport", "is_name"]

ServerTransport = Literal["stdio", "http", "sse"]
"""How a server is reached: started as a process, over HTTP, or over the HTTP+SSE of 2024-11-05."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerDefinition:
    """One server of a configuration.

    ``name``: under which it stands. ``transport``: "stdio" (then ``command``, ``args``, ``env`` and ``cwd`` count),
    "http" or "sse" (then ``url`` and ``headers``). ``enabled``: whether the host uses it. ``extra``: members that one
    host alone knows, as they stand there. ``host``: the host in whose words variables are written, as
    `dovetail.host.configuration.HOSTS` names it; ``variables``: those words, for a host that is not among these.

    Raises `ConfigurationError` for one that can't be: without a command or a URL, or with a part that no process could
    be given.
    """

    name: str
    transport: ServerTransport = "stdio"
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    cwd: str = ""
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    enabled: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    host: str = "dovetail"
    variables: VariableSyntax | None = None

    def __post_init__(self) -> None:
        if self.transport == "stdio" and not self.command:
            raise ConfigurationError(f"the server {self.name!r} has no command")
        if self.transport != "stdio" and not self.url:
            raise ConfigurationError(f"the server {self.name!r} has no URL")
        if any("\0" in each for each in (self.command, *self.args, self.cwd, *self.env, *self.env.values())):
            raise ConfigurationError(f"the server {self.name!r} has a NUL in its command")

    @property
    def syntax(self) -> VariableSyntax:
        """How variables are written in it. Raises `ConfigurationError` for a host that nobody knows."""
        return self.variables or host_named(self.host).variables

    @property
    def command_line(self) -> tuple[str, ...]:
        """The command with its arguments; empty for a server at a URL."""
        return (self.command, *self.args) if self.transport == "stdio" else ()

    @property
    def digest(self) -> str:
        """What an approval is of: a hash of all that decides what is run, or where it goes, and with what. Texts are
        taken as they are written, before variables have values.
        """
        parts = [
            self.name,
            self.transport,
            self.command,
            list(self.args),
            sorted(self.env.items()),
            self.cwd,
            self.url,
            sorted(self.headers.items()),
            self.host,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def is_name(name: str) -> bool:
    """Whether we write an entry of this name: letters, digits, ".", "_" and "-", at most 64. Some hosts hand names to
    a shell.
    """
    return _NAME.fullmatch(name) is not None
