"""The revisions by name, what is true of a method in whichever revision has it, and which of them one server speaks."""

from collections.abc import Container, Iterable, Iterator, Mapping
from typing import Final

from msgspec import Struct

from .profile import Method, NoticeType, Profile


class Profiles(Mapping[str, Profile]):
    """Revisions by name, oldest first: the protocol's own, or with what somebody's extensions add to them.

    ``methods``: each request of a client, as the newest revision that has it says. ``ordered``, ``early`` and
    ``repeatable``: the names of those (and of notifications) of which that is true.
    """

    def __init__(self, profiles: Iterable[Profile]) -> None:
        self._profiles: Final = {profile.revision: profile for profile in profiles}
        self.stateful: Final = tuple(each.revision for each in self._profiles.values() if not each.stateless)
        self.stateless: Final = tuple(each.revision for each in self._profiles.values() if each.stateless)
        methods: dict[str, Method] = {}
        notices: dict[str, NoticeType] = {}
        for profile in self._profiles.values():
            methods.update(profile.client_requests)
            notices.update(profile.client_notices)
        self.methods: Final[Mapping[str, Method]] = methods
        self.ordered: Final = frozenset(each.name for each in methods.values() if each.ordered)
        self.early: Final = frozenset(each.name for each in methods.values() if each.early)
        self.repeatable: Final = frozenset(
            each.name for each in (*methods.values(), *notices.values()) if each.repeatable
        )

    def __getitem__(self, revision: str) -> Profile:
        return self._profiles[revision]

    def __iter__(self) -> Iterator[str]:
        return iter(self._profiles)

    def __len__(self) -> int:
        return len(self._profiles)

    def extended(
        self,
        *,
        client_requests: Iterable[Method] = (),
        server_requests: Iterable[Method] = (),
        client_notices: Iterable[NoticeType] = (),
        server_notices: Iterable[NoticeType] = (),
        revisions: Container[str] | None = None,
    ) -> "Profiles":
        """These, and in each of ``revisions`` (default: all) what an app, a client or an extension adds."""
        requests, asked = tuple(client_requests), tuple(server_requests)
        sent, told = tuple(client_notices), tuple(server_notices)
        if not (requests or asked or sent or told):
            return self
        return Profiles(
            each.next(
                each.revision,
                client_requests=requests,
                server_requests=asked,
                client_notices=sent,
                server_notices=told,
            )
            if revisions is None or each.revision in revisions
            else each
            for each in self._profiles.values()
        )

    def stale_after(self, kind: str) -> frozenset[str]:
        """The methods whose kept results a change of that kind ends."""
        return frozenset(each.name for each in self.methods.values() if each.stale_by == kind)


class ServedRevisions(Struct, frozen=True):
    """The revisions that one server speaks: those of the ``stateful`` and of the ``stateless`` era, oldest first;
    either may be empty, not both.
    """

    stateful: tuple[str, ...]
    stateless: tuple[str, ...]

    @property
    def announced(self) -> list[str]:
        """All of them, the newest first, as a server names them."""
        return [*reversed(self.stateless), *reversed(self.stateful)]
