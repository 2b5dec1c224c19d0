"""Names of one server's things in a gateway: the host's, which are unique over all servers.

Theory of operation. A tool is ``server__tool``, and so is a prompt; where that does not fit into 64 letters, digits,
``_`` and ``-`` it ends in a digest (`dovetail.host.naming`). Most names say by themselves what the server calls the
thing; one with a digest is known once the thing was seen. A URI with an authority has the server's name before it, one
without stays as it is.

Specification: server/tools, "Tool Names".
"""

from typing import Any, Final

from msgspec.structs import replace

from ..host.naming import tool_name
from ..providers import ListKind, Transform, namespace
from ..types import Prompt, Resource, ResourceTemplate, Tool

__all__ = ["MAX_LEARNED", "ServerNames"]

MAX_LEARNED: Final = 20_000
"""Names with a digest of one server that are known at a time."""


class ServerNames:
    """How the things of a server are called. ``bare``: as the server calls them."""

    def __init__(self, server: str, *, bare: bool) -> None:
        self.server = server
        self.bare = bare
        self._before: Final = tool_name(server, "")
        self._learned: dict[str, str] = {}
        self._uris: Final[Transform] = Transform() if bare else namespace(server)

    def shown(self, kind: ListKind, name: str) -> str:
        """The name, URI or template of a thing of the server's, as callers know it."""
        if self.bare:
            return name
        if kind in ("resources", "templates"):
            return self.shown_uri(name)
        found = tool_name(self.server, name)
        if found != self._before + name:
            self._learn(found, name)
        return found

    def own(self, kind: ListKind, name: str) -> str | None:
        """What the server calls it; None for what is no thing of its own, or one that was not seen yet."""
        if self.bare:
            return name
        if kind in ("resources", "templates"):
            return self._uris.inner_name(kind, name)
        if not name.startswith(self._before):
            return None
        learned = self._learned.get(name)
        if learned is not None:
            return learned
        own = name[len(self._before) :]
        if tool_name(self.server, own) != name:
            return None
        self._learn(name, own)
        return own

    def _learn(self, name: str, own: str) -> None:
        if len(self._learned) >= MAX_LEARNED:
            self._learned.clear()
        self._learned[name] = own

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether the server could have a thing of that name."""
        if self.bare:
            return True
        if kind in ("resources", "templates"):
            return self._uris.inner_name(kind, name) is not None
        return name.startswith(self._before)

    def shown_uri(self, uri: str) -> str:
        """A URI of the server's, as callers know it."""
        return self._uris.shown_uri(uri)

    def renamed(self, kind: ListKind, described: Any) -> Any:
        """What describes a thing, under the name that callers know it by."""
        if self.bare:
            return described
        if isinstance(described, (Tool, Prompt)):
            return replace(described, name=self.shown(kind, described.name))
        if isinstance(described, Resource):
            return replace(described, uri=self.shown_uri(described.uri))
        assert isinstance(described, ResourceTemplate)  # noqa: S101 - there is no fifth kind
        return replace(described, uri_template=self.shown_uri(described.uri_template))
