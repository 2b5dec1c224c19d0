"""The numbered steps that the schema of a PostgreSQL store is made of: the files of `migrations/`.

Theory of operation
-------------------
A file is named by its number and never changed once it is out: how many steps a schema has had is its version.

Specification: none.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

__all__ = ["known_version", "steps"]


@cache
def steps() -> tuple[str, ...]:
    """The statements of each step, the first one first."""
    found = sorted(
        (each.name, each.read_text(encoding="utf-8"))
        for each in files("dovetail.stores.postgres").joinpath("migrations").iterdir()
        if re.fullmatch(r"\d{4}_\w+\.sql", each.name)
    )
    return tuple(text for _, text in found)


def known_version() -> int:
    """How many steps there are."""
    return len(steps())
