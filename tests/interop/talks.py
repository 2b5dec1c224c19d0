"""The recordings of the matrix: each cell in which we take part records itself, and other tests replay that.

Theory of operation: all workers of a run share one folder. A cell writes its recording there, and beside it, once it is
done, what came of its steps. Who wants a conversation that nobody has held yet, or is only holding, has it held in a
folder of his own: what is found depends on the order of the tests in no way but its cost.

Follows: no page of the specification.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from interop.conversation import Outcome, converse
from interop.installing import Peers
from interop.steps import Cell


class Talks:
    """The recordings in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder

    def path(self, cell: Cell) -> Path | None:
        """Where a cell records; None where nobody in it is ours."""
        return None if cell.role == "alone" else self._folder / f"{cell}.jsonl"

    def keep(self, cell: Cell, outcome: Outcome) -> None:
        """A cell is done: its recording can be used."""
        part = self._folder / f"{cell}.{os.getpid()}.part"
        part.write_text(json.dumps([outcome.steps, outcome.details]))
        part.replace(self._done(cell))

    def take(self, cell: Cell, peers: Peers, folder: Path) -> tuple[Path, Outcome]:
        """The recording of a cell, and what came of its steps."""
        path, done = self._folder / f"{cell}.jsonl", self._done(cell)
        if done.exists():
            return path, Outcome(*json.loads(done.read_text()))
        talk = folder / "talk.jsonl"
        return talk, converse(cell, peers, folder, talk=talk)

    def _done(self, cell: Cell) -> Path:
        return self._folder / f"{cell}.done"
