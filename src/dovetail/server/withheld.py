"""What is never repeated in an error or a log: values that may be secret, by the name of what holds them."""

from __future__ import annotations

import re
from typing import Any, Final, cast

__all__ = ["redacted", "sensitive"]

_SENSITIVE: Final = re.compile(
    r"(?i:passw|passphrase|pwd|secret|token|credential|apikey)|(?<![A-Za-z])(?i:key)(?![a-z])|[a-z]Key(?![a-z])"
)


def sensitive(path: str) -> bool:
    """Whether a path passes something whose name suggests a secret."""
    return _SENSITIVE.search(path) is not None


def redacted(text: str, value: Any) -> str:
    """A text without those parts of a value that may be secret, wherever it repeats them."""
    stack: list[tuple[bool, Any]] = [(False, value)]
    while stack:
        hide, node = stack.pop()
        if isinstance(node, dict):
            for name, item in cast("dict[str, Any]", node).items():
                stack.append((hide or sensitive(name), item))
        elif isinstance(node, list):
            stack.extend((hide, item) for item in cast("list[Any]", node))
        elif hide and node is not None and not isinstance(node, bool) and str(node):
            text = text.replace(str(node), "(not shown)")
    return text
