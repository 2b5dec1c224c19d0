"""How deep JSON is nested, before anything is made of it.

Specification: RFC 8259, section 9.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["deeper"]

_NESTING: Final = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]')


def deeper(data: bytes, most: int) -> bool:
    """Whether JSON is nested deeper than so many levels."""
    if data.count(b"{") + data.count(b"[") <= most:
        return False
    depth = 0
    for each in _NESTING.finditer(data):
        first = data[each.start()]
        if first in b"[{":
            depth += 1
            if depth > most:
                return True
        elif first in b"]}":
            depth -= 1
    return False
