"""Functions of ours and codings, counted while something runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

import dovetail

SOURCE = Path(dovetail.__file__).parent


class Counted:
    """Counts what runs while it is entered: functions of ours, and the codec's work."""

    def __init__(self) -> None:
        self.functions: Counter[str] = Counter()
        self.codec: Counter[str] = Counter()

    def __enter__(self) -> Counted:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, what: Any) -> None:
        if event == "call":
            # A coroutine that goes on is no new call.
            if frame.f_lasti <= 4 and frame.f_code.co_filename.startswith(str(SOURCE)):
                self.functions[frame.f_code.co_qualname] += 1
        elif event == "c_call":
            owner = getattr(what, "__self__", None)
            if isinstance(owner, (msgspec.json.Decoder, msgspec.json.Encoder)):
                self.codec[what.__name__] += 1


async def fewest(work: Callable[[], Awaitable[object]]) -> Counted:
    """What runs for ``work``, and for it alone: what an app does by the clock falls into some of five at most."""
    counts: list[Counted] = []
    for _ in range(5):
        with Counted() as counted:
            await work()
        counts.append(counted)
    return min(counts, key=lambda each: each.functions.total())
