"""The engines behind stores that several processes share, each started for a measure and gone with it.

They are those of the tests, with what a fresh installation has set; they run on the load's core, so what is
compared is the CPU of the server. A machine without an engine has no figure for its store.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .contestants import Cannot
from .installing import ROOT

STORES = ("memory", "sqlite", "redis", "postgres")


@contextmanager
def store_url(kind: str) -> Generator[str]:
    """Where a store of this kind is: what the measured server is told. Raises `Cannot`."""
    if kind == "memory":
        yield kind
        return
    folder = str(ROOT / "tests" / "cluster")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from machines import MissingEngine, start_engine

    with tempfile.TemporaryDirectory(prefix="dovetail-bench-") as place:
        try:
            engine = asyncio.run(start_engine(kind, Path(place)))
        except MissingEngine as missing:
            raise Cannot(str(missing)) from None
        try:
            yield engine.url
        finally:
            engine.remove()
