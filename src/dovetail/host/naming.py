"""Names of tools and prompts that are unique over all servers, and that models take.

Theory of operation. The host gives each server its name; what a server calls itself counts for nothing. A tool is
``server__tool``, of at most 64 letters, digits, ``_`` and ``-``. Where the tool's own name does not fit into that, what
is left of it ends in a digest of the whole; so does a name that looks as if it ended in one. A server's name has no
``__`` and no ``_`` at its end, so the first ``__`` is where it ends, and no server can offer a tool under the name of
another. A name depends on nothing but these two, so it stays the same whatever else is there, and over restarts.

A prompt is ``/server:prompt``, as a person types it.

Specification: server/tools, "Tool Names"; client best practices, "Tool name collisions".
"""

import hashlib
import re
from typing import Final

from ..errors import LocalProtocolError

__all__ = [
    "MAX_SERVER_NAME",
    "MAX_TOOL_NAME",
    "check_server_name",
    "prompt_name",
    "server_name",
    "server_of",
    "tool_name",
]

MAX_TOOL_NAME: Final = 64
"""Characters that the name of a tool has at most."""
MAX_SERVER_NAME: Final = 32
"""Characters that the name of a server has at most."""
_BETWEEN: Final = "__"
_SERVER: Final = re.compile(rf"(?!.*__)[A-Za-z0-9](?:[A-Za-z0-9_-]{{0,{MAX_SERVER_NAME - 2}}}[A-Za-z0-9-])?")
_REFUSED: Final = re.compile(r"[^A-Za-z0-9_-]")
_DIGEST: Final = 8
_DIGESTED_SERVER: Final = re.compile(rf"-[0-9a-f]{{{_DIGEST}}}$")
_DIGESTED: Final = re.compile(rf"_[0-9a-f]{{{_DIGEST}}}$")


def check_server_name(name: str) -> str:
    """The name. Raises `LocalProtocolError` for one that no tool could begin with."""
    if not _SERVER.fullmatch(name):
        raise LocalProtocolError(
            f"a server's name is 1 to {MAX_SERVER_NAME} letters, digits, '-' and single '_', and does not begin or end "
            f"with '_'; {name!r} is not: dovetail.host.server_name gives one for it"
        )
    return name


def server_name(configured: str) -> str:
    """The name that a host takes for a server that somebody called otherwise, as files of other hosts do: itself where
    that is one, else what is left of it and a digest. A name that looks as if it ended in one gets another, so no two
    servers have the same.
    """
    if _SERVER.fullmatch(configured) and not _DIGESTED_SERVER.search(configured):
        return configured
    kept = MAX_SERVER_NAME - _DIGEST - 1
    plain = re.sub(r"_{2,}|[^A-Za-z0-9_]+", "-", configured)[:kept].strip("_-") or "server"
    return f"{plain}-{_digest(configured)}"


def tool_name(server: str, tool: str) -> str:
    """The name of a tool over all servers."""
    plain = _REFUSED.sub("_", tool)
    name = f"{server}{_BETWEEN}{plain}"
    if plain == tool and len(name) <= MAX_TOOL_NAME and not _DIGESTED.search(name):
        return name
    digest = _digest(f"{server}\0{tool}")
    return f"{name[: MAX_TOOL_NAME - _DIGEST - 1]}_{digest}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:_DIGEST]


def prompt_name(server: str, prompt: str) -> str:
    """The name of a prompt over all servers, as a command."""
    return f"/{server}:{prompt}"


def server_of(name: str) -> str:
    """The server in the name of a tool or prompt; empty where there is none."""
    if name.startswith("/"):
        server, colon, _ = name[1:].partition(":")
        return server if colon else ""
    server, between, _ = name.partition(_BETWEEN)
    return server if between else ""
