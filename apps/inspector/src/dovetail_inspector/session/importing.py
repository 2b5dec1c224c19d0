"""The servers that hosts of this machine have in their configuration, and taking one over.

Theory of operation. Files are read and never written here. An entry is taken as it stands: variables and names of
secrets stay what they are until a connection is made, so no value of a secret is shown, or kept by us.

Specification: none; docs/connecting-servers.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from dovetail import DovetailError
from dovetail.client import ClientOptions
from dovetail.host.configuration import (
    HOSTS,
    ConfigurationFile,
    ServerDefinition,
    dangers_of,
    resolve,
)

from ..views import HostServerView, HostView, ServerTarget

__all__ = ["configured_hosts", "resolved", "target_of_host"]

_SEPARATOR: Final = ":"


def configured_hosts(project: Path | None = None) -> list[HostView]:
    """The files of all hosts that are known, those that are there first. ``project``: the folder of the project."""
    found = [
        _shown(name, scope, project)
        for name, host in HOSTS.items()
        for scope in host.scopes
        if scope != "local" or project is not None
    ]
    return sorted(found, key=lambda each: (not each.exists, not each.servers))


def target_of_host(host: str, name: str, project: Path | None = None) -> ServerTarget:
    """The server with this name in the file of a host (``NAME:SCOPE``). Raises `LookupError`, and ValueError for a file
    that can't be read.
    """
    known, _, scope = host.partition(_SEPARATOR)
    try:
        file = ConfigurationFile(known, scope=scope, project=project)
        definition = file.servers.get(name)
    except (DovetailError, OSError, ImportError) as problem:
        raise ValueError(str(problem)) from None
    if definition is None:
        raise LookupError(f"the file of {host} has no server {name!r} that can be read")
    return ServerTarget(
        command=definition.command,
        args=list(definition.args),
        env=dict(definition.env),
        cwd=definition.cwd,
        url=definition.url,
        headers=dict(definition.headers),
        host=known,
    )


def resolved(name: str, target: ServerTarget) -> tuple[str | list[str], dict[str, Any]]:
    """What a client is pointed at, and the options that go with it, with the values of variables and secrets in them.
    Raises `DovetailError`.
    """
    if not target.host:
        if target.url:
            return target.url, {"headers": target.headers} if target.headers else {}
        return [target.command, *target.args], {"env": target.env or None, "cwd": target.cwd or None}
    given: ClientOptions
    place, given = resolve(
        ServerDefinition(
            name=name,
            transport="http" if target.url else "stdio",
            command=target.command,
            args=tuple(target.args),
            env=target.env,
            cwd=target.cwd,
            url=target.url,
            headers=target.headers,
            host=target.host,
        )
    )
    return place, dict(given)


def _shown(name: str, scope: str, project: Path | None) -> HostView:
    host = HOSTS[name]
    servers: list[HostServerView] = []
    problem, path, exists = "", "", False
    try:
        file = ConfigurationFile(name, scope=scope, project=project)
        path, exists = str(file.path), file.exists
        for each in file.servers.values():
            where = each.url or " ".join(each.command_line)
            servers.append(
                HostServerView(
                    name=each.name, target=where, dangers=[str(found) for found in dangers_of(each)]
                )
            )
        problem = "; ".join(f"{entry}: {wrong}" for entry, wrong in file.unreadable.items())
    except (DovetailError, OSError, ImportError) as failure:
        problem = str(failure)
    return HostView(
        name=f"{name}{_SEPARATOR}{scope}",
        title=f"{host.title} ({scope})",
        path=path,
        exists=exists,
        servers=servers,
        problem=problem,
    )
