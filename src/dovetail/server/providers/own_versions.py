"""The versions of tools that an app has itself, as a provider: what is registered with ``version=``.

Theory of operation. Tools without versions stay where they are, in the app's catalog, and pay nothing. Each version of
a tool is an entry of a registry of its own, under its name and version, with its own requirements and tags. The
registry is a source before all that is mounted, so listing, choosing and calling are those of anything mounted.

Specification: server/tools.
"""

from collections.abc import Callable, Hashable, Sequence

from ...protocol.call import Call
from ...protocol.listening import Change
from ...protocol.types import Tool
from ...runtime.channel import Channel
from ...security.principal import Principal
from ..catalog import ListKind
from ..entries import ToolEntry
from ..registry import Registry
from .provider import Offer, Provided, ProvidedPage, Provider
from .versions import asked_version, chosen

SEPARATOR = "@"
"""Between name and version in the keys of the registry; no tool's name has it."""


class OwnVersions(Provider):
    """The tools of the app called ``name`` that have versions. ``publish`` tells of changes."""

    def __init__(self, name: str, publish: Callable[[Change], None]) -> None:
        self._name = name
        self.registry: Registry[ToolEntry] = Registry("tools", "tool", publish)
        self._keys: dict[str, list[str]] = {}
        self._provided: dict[str, tuple[ToolEntry, Provided[Tool]]] = {}

    def key_of(self, name: str, version: str) -> str:
        """The key of a version of a tool in the registry."""
        return f"{name}{SEPARATOR}{version}"

    def admit(self, name: str, version: str) -> str:
        """The key under which a version of a tool is to be added."""
        keys, key = self._keys.setdefault(name, []), self.key_of(name, version)
        if key not in keys:
            keys.append(key)
        return key

    def remove(self, name: str, version: str | None) -> bool:
        """Take a version of a tool out, or all of them. Whether there was any."""
        keys = self._keys.get(name, [])
        gone = [key for key in keys if version is None or key == self.key_of(name, version)]
        for key in gone:
            keys.remove(key)
            self._provided.pop(key, None)
            if self.registry.get(key) is not None:
                self.registry.remove(key)
        if not keys:
            self._keys.pop(name, None)
        return bool(gone)

    @property
    def label(self) -> str:
        """The app's name."""
        return self._name

    @property
    def offers(self) -> frozenset[Offer]:
        """Tools, once there was one."""
        return frozenset({"tools"}) if self.registry.seen else frozenset()

    @property
    def single_use(self) -> bool:
        """Whether the state of calls of any of them counts once."""
        return any(entry.single_use for entry in self.registry.all())

    @property
    def guarded(self) -> bool:
        """Whether any of them requires that callers are known."""
        return bool(self.registry.guarded)

    async def list_tools(self, call: Call, channel: Channel, cursor: str | None) -> ProvidedPage[Tool]:
        """All versions of all tools: whoever lists them chooses."""
        return ProvidedPage(self._visible(self.registry.hidden_from(channel)))

    async def find_tool(self, call: Call, channel: Channel, name: str) -> Provided[Tool] | None:
        """The version of a tool that a call is about, if the caller may know of it."""
        return chosen(await self.tool_versions(call, channel, name), asked_version(call))

    async def tool_versions(self, call: Call, channel: Channel, name: str) -> Sequence[Provided[Tool]]:
        """All versions of a tool that the caller may know of."""
        hidden = self.registry.hidden_from(channel)
        return [
            self._of(key, entry)
            for key in self._keys.get(name, ())
            if key not in hidden and (entry := self.registry.get(key)) is not None
        ]

    # What can be known without waiting

    def known(self, kind: ListKind, principal: Principal | None) -> Sequence[Provided[Tool]] | None:
        """All versions of all tools that a caller sees."""
        if kind != "tools":
            return ()
        return self._visible(frozenset() if principal is None else self.registry.hidden(principal))

    def fingerprint(self, kind: ListKind, principal: Principal | None) -> Hashable | None:
        """What is equal as long as a caller sees the same list."""
        return self.registry.fingerprint(principal) if kind == "tools" else 0

    def knows(self, kind: ListKind, name: str) -> bool:
        """Whether there is a version of that tool."""
        return kind == "tools" and any(self.registry.get(key) is not None for key in self._keys.get(name, ()))

    def may_have(self, kind: ListKind, name: str) -> bool:
        """Whether there is a version of that tool."""
        return self.knows(kind, name)

    def _visible(self, hidden: frozenset[str]) -> list[Provided[Tool]]:
        return [self._of(key, entry) for key, entry in self.registry.named() if key not in hidden]

    def _of(self, key: str, entry: ToolEntry) -> Provided[Tool]:
        kept = self._provided.get(key)
        if kept is None or kept[0] is not entry:
            needed = self.registry.guarded.get(key)
            made = Provided(
                described=entry.tool,
                answer=entry.call,
                version=key.rpartition(SEPARATOR)[2],
                scopes=() if needed is None else needed.scopes,
                tags=self.registry.tags.get(key, frozenset()),
                task=entry.served.task,
                asks_first=entry.served.asks_first,
            )
            kept = self._provided[key] = (entry, made)
        return kept[1]


__all__ = ["SEPARATOR", "OwnVersions"]
