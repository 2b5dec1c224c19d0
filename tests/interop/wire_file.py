"""What our side sent and received in another process, kept in a file for the oracle of this one.

Theory of operation: the tap of `dovetail.runtime.tap` gives every frame; each becomes a line of JSON,
flushed at once, so that a process that is killed has still told what it did.

Follows: no page of the specification.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from dovetail.runtime import tap


def record(path: str) -> None:
    """Keep every frame of this process from now on."""
    file = Path(path).open("ab", buffering=0)  # noqa: SIM115 - open until the process ends

    def keep(frame: tap.Frame) -> None:
        file.write(msgspec.json.encode(frame) + b"\n")

    tap.add(keep)


def frames(path: Path) -> Iterator[tap.Frame]:
    """The frames in a file; a last line cut short by a kill is left out.

    Links are numbered anew in each process, so the file's name becomes part of them.
    """
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n"):
            frame = msgspec.json.decode(line, type=tap.Frame)
            yield msgspec.structs.replace(frame, link=f"{path} {frame.link}")
