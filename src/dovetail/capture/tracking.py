"""In which revision each message of a link was said, found out by listening alone.

Theory of operation. In the stateful era the answer to ``initialize`` names the revision of all that follows, in the
stateless era each request its own; a response has that of its request. Over HTTP a header says it, too. Nothing is
refused: what breaks the protocol is recorded as well, and then nothing is known of it.

Specification: basic/lifecycle, basic/versioning.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..protocol import names
from ..protocol.revisions import PROFILES
from .lines import Sender

__all__ = ["RevisionTracker", "era_of"]

_LONGEST: Final = 64
_OPEN: Final = 10_000
"""Requests without a response that are remembered."""


class RevisionTracker:
    """What is known of a link. ``revision``: the one of its session, or of the last request; empty before."""

    def __init__(self) -> None:
        self.revision = ""
        self._asked: dict[tuple[Sender, Any], tuple[str, str]] = {}

    def heard(self, sender: Sender, value: Any, stated: str = "") -> str:
        """The revision of a message, or of the first of a batch; empty where it is not known. ``stated``: what the HTTP
        header says.
        """
        if isinstance(value, list):
            found = [self.heard(sender, each, stated) for each in cast("list[Any]", value)]
            return next((each for each in found if each), "")
        if not isinstance(value, dict):
            return stated or self.revision
        message = cast("dict[str, Any]", value)
        id, method = message.get("id"), message.get("method")
        if isinstance(method, str):
            revision = _claimed(message) or stated or self.revision
            if _is_id(id):
                self.revision = self.revision or revision
                if len(self._asked) >= _OPEN:
                    self._asked.pop(next(iter(self._asked)))
                self._asked[sender, id] = (method, revision)
            return revision
        if not _is_id(id):
            return stated or self.revision
        other: Sender = "server" if sender == "client" else "client"
        method, revision = self._asked.pop((other, id), ("", stated or self.revision))
        if method == names.INITIALIZE:
            self.revision = _text(_member(message, "result", "protocolVersion")) or self.revision
            return self.revision
        return revision


def era_of(revision: str) -> str:
    """The era of a revision; empty for one that is not known."""
    profile = PROFILES.get(revision)
    return "" if profile is None else profile.era


def _claimed(message: dict[str, Any]) -> str:
    if message.get("method") == names.INITIALIZE:
        return _text(_member(message, "params", "protocolVersion"))
    return _text(_member(message, "params", names.META, names.META_PROTOCOL_VERSION))


def _member(value: Any, *path: str) -> Any:
    for name in path:
        value = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) and len(value) <= _LONGEST else ""


def _is_id(id: Any) -> bool:
    return isinstance(id, (int, str)) and not isinstance(id, bool)
