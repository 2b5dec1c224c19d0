"""What a host, or a gateway, is given for its servers: by name, the target of a client, or a client with its options.

Specification: architecture.
"""

from collections.abc import Mapping
from typing import Any, Final, cast

from ..errors import LocalProtocolError
from .naming import check_server_name

__all__ = ["MAX_SERVERS", "check_servers", "check_target", "target_of"]

MAX_SERVERS: Final = 256
"""Servers that a host has at most when it is made."""
_CONFIGURATION: Final = (
    ". The servers of a configuration: `dovetail.host.configuration.configured_clients`, or `dovetail"
    " gateway FILE`"
)


def check_servers(servers: Any, what: str) -> None:
    """Refuse what names no servers, among it the file or the content of a configuration, and too many. ``what``: "a
    host". Raises `LocalProtocolError`.
    """
    if not isinstance(servers, Mapping):
        raise LocalProtocolError(
            f"{what} is given its servers by their names, as in {{'files': 'files.py'}}{_CONFIGURATION}"
        )
    if len(named := cast("Mapping[str, Any]", servers)) > MAX_SERVERS:
        raise LocalProtocolError(f"{what} has at most {MAX_SERVERS} servers, not {len(named)}")
    for name, given in named.items():
        check_target(name, given)


def check_target(name: str, given: Any) -> None:
    """Refuse a name that no tool could begin with, and an entry of a configuration: its variables would stay as they
    are written, and nobody would have agreed to it. Raises `LocalProtocolError`.
    """
    check_server_name(name)
    if isinstance(given, Mapping) or hasattr(given, "command_line"):
        raise LocalProtocolError(
            f"the server {name!r} is an entry of a configuration; give what a `Client` takes: a URL, a command as a"
            f" list, a path or an app, or a `Client` with options{_CONFIGURATION}"
        )


def target_of(given: Any) -> tuple[Any, dict[str, Any]]:
    """The target of a client, and the options: those of a `Client` that was not opened."""
    return (given.target, dict(given.options)) if _is_client(given) else (given, {})


def _is_client(given: Any) -> bool:
    return hasattr(given, "target") and hasattr(given, "options")
