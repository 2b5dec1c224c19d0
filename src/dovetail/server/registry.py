"""The entries of one kind that an app offers, who may see which, and the encoded lists of them.

Theory of operation. Looking up an entry is a dictionary access, however many there are. What an entry requires of its
caller stands in a dictionary of its own, which is empty for an app that requires nothing; then nobody asks.

A list is encoded once per revision, page and view, and kept until something changes. A `RegistryView` is what a caller
can see: the names that are hidden from it, whether the list may be shared with others (never, once callers are told
apart), and, where there is more than one page, the caller itself, for a cursor belongs to whom it was given. Callers
who see the same share the same bytes. Kept lists are bounded in bytes.
"""

from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from ..protocol.listening import Change, Kind
from ..protocol.messages import CachedResult
from ..runtime.channel import Channel
from ..security.principal import ANONYMOUS, Principal
from .access import Requirement, is_judged, may_use
from .signature import Plan

T = TypeVar("T")

_MAX_KEPT: Final = 16 * 1024 * 1024
_NOTHING: Final[frozenset[str]] = frozenset()


class RegistryView:
    """What one caller can see of a registry. ``key``: equal for callers who see the same. ``binding``: what its cursors
    are bound to.
    """

    __slots__ = ("binding", "hidden", "key", "private")

    def __init__(self, hidden: frozenset[str], *, private: bool, binding: bytes) -> None:
        self.hidden = hidden
        self.private = private
        self.binding = binding
        self.key: Hashable = (hidden, private, binding)


EVERYTHING: Final = RegistryView(_NOTHING, private=False, binding=b"")


class Registry(Generic[T]):
    """The entries of one kind, in the order in which they were added. ``seen``: there was one at some time.
    ``guarded``: what it takes to use those entries that require something; ``tags`` of those that have any.
    """

    def __init__(self, kind: Kind, what: str, publish: Callable[[Change], None]) -> None:
        self._change = Change(kind)
        self._what = what
        self._publish = publish
        self._entries: dict[str, T] = {}
        self._plans: dict[str, Plan] = {}
        self._numbers: dict[str, int] = {}
        self._added = 0
        self._pages: dict[Hashable, CachedResult] = {}
        self._kept = 0
        self._prints: dict[frozenset[str], int] = {}
        self.guarded: dict[str, Requirement] = {}
        self.tags: dict[str, frozenset[str]] = {}
        self.seen = False

    def add(
        self,
        plan: Plan,
        name: str,
        entry: T,
        needed: Requirement | None = None,
        *,
        tags: frozenset[str] = _NOTHING,
        replace: bool = False,
    ) -> None:
        """Add an entry, made from ``plan``. Raises `RegistrationError` for a name that is taken, unless it is to take
        the place of that entry.
        """
        if name in self._entries and not replace:
            raise plan.refuse(
                f"there is a {self._what} {name!r} already, from {self._plans[name].where}; use another name, or "
                "replace=True to put this one in its place"
            )
        self.guarded.pop(name, None)
        if needed is not None:
            self.guarded[name] = needed
        self.tags.pop(name, None)
        if tags:
            self.tags[name] = tags
        self._plans[name] = plan
        self._entries[name] = entry
        self._added += 1
        self._numbers[name] = self._added
        self.seen = True
        self._changed()

    def remove(self, name: str) -> None:
        """Take an entry out. Raises KeyError when there is none."""
        del self._entries[name]
        del self._plans[name]
        del self._numbers[name]
        self.guarded.pop(name, None)
        self.tags.pop(name, None)
        self._changed()

    def get(self, name: str) -> T | None:
        """The entry of a name."""
        return self._entries.get(name)

    def all(self) -> list[T]:
        """The entries, oldest first."""
        return list(self._entries.values())

    def named(self) -> list[tuple[str, T]]:
        """The entries and their names, oldest first."""
        return list(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)

    # Who may

    def admits(self, name: str, channel: Channel) -> bool:
        """Whether the caller may use an entry; if not, it is unknown to it. Raises `InsufficientScope`."""
        return may_use(self.guarded.get(name), channel)

    def hidden(self, principal: Principal) -> frozenset[str]:
        """The names that a caller, who is judged, can't see: of what it is not allowed, whatever its token says. What
        it lacks scopes for is shown, so that it can ask for them.
        """
        if not self.guarded:
            return _NOTHING
        return frozenset(name for name, needed in tuple(self.guarded.items()) if not needed.allows(principal))

    def hidden_from(self, channel: Channel) -> frozenset[str]:
        """The names that whoever calls can't see."""
        if not self.guarded or not is_judged(channel.principal, channel.transport):
            return _NOTHING
        return self.hidden(channel.principal)

    def view(self, channel: Channel, page_size: int) -> RegistryView:
        """What the caller can see."""
        principal = channel.principal
        if (principal is ANONYMOUS and not self.guarded) or not is_judged(principal, channel.transport):
            return EVERYTHING
        owned = len(self._entries) > page_size and not principal.is_anonymous
        private = bool(self.guarded) or not principal.is_anonymous
        return RegistryView(
            self.hidden(principal), private=private, binding=principal.key.encode() if owned else b""
        )

    def visible(self, view: RegistryView) -> list[tuple[str, T]]:
        """The entries that a view shows and their names, oldest first."""
        entries = list(self._entries.items())
        return [each for each in entries if each[0] not in view.hidden] if view.hidden else entries

    def fingerprint(self, principal: Principal | None) -> int:
        """A number that changes when what a caller can see does (None: one who is not judged, and sees all)."""
        hidden = _NOTHING if principal is None else self.hidden(principal)
        found = self._prints.get(hidden)
        if found is None:
            found = hash(tuple(number for name, number in tuple(self._numbers.items()) if name not in hidden))
            if len(self._prints) < 1000:
                self._prints[hidden] = found
        return found

    # Encoded lists

    def page(self, key: Hashable) -> CachedResult | None:
        """A page that was kept."""
        return self._pages.get(key)

    def keep(self, key: Hashable, body: CachedResult) -> None:
        """Keep a page until something changes, or until there is no more room."""
        size = 2 * len(body)  # its tail is as long
        if self._kept + size > _MAX_KEPT:
            self._pages.clear()
            self._kept = 0
        self._pages[key] = body
        self._kept += size

    def _changed(self) -> None:
        self._pages.clear()
        self._kept = 0
        self._prints.clear()
        self._publish(self._change)
