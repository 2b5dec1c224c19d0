"""What is found in a recorded conversation.

Specification: none; docs/linting.md.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

__all__ = ["Finding"]


class Finding(Struct, frozen=True):
    """Something wrong with one line of a capture, or bad for those who read it.

    ``line``: the ``n`` of the `CaptureLine`. ``rule``: the name of the rule (`RULES`), which stays. ``severity``: how
    grave it is. ``what``: what is wrong, in words that are safe to show, in one line of at most 400 characters.
    ``where``: the place, as a JSON pointer into the message, or the name of a header; empty for the message as such.
    ``requirement``: the id of the requirement of the specification, empty where there is none. ``page``: the address
    of the page that says it. ``sender``: who did it. ``about``: the ``n`` of another line that it belongs to, or 0.
    """

    line: int
    rule: str
    severity: Literal["error", "warning", "hint"]
    what: str
    where: str
    requirement: str
    page: str
    sender: Literal["client", "server"]
    about: int = 0
