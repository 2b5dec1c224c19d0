"""The fenced blocks of a Markdown page, and what is to be done with each.

Theory of operation: a page is read line by line. A fence opens a block; the comment on the line before it, which a
reader of the rendered page never sees, is the block's order:

=============================  =================================================================================
``<!-- file: server.py -->``   write the block to this file of the page's folder
``<!-- run -->``               run it (shell); Python blocks without an order run anyway
``<!-- serve: URL -->``        start it (shell) and go on once something listens at the URL
``<!-- raises: NAME -->``      run it (Python); it has to raise an exception of this name
``<!-- output -->``            what the block before it printed, or the message of what it raised; a line ``...``
                               stands for any lines, ``...`` inside of a line for anything on it
``<!-- picture -->``           a drawing (text), nothing to run
``<!-- not run: REASON -->``   not run, for a reason that a reader of the source can judge
=============================  =================================================================================

Whatever has no order that suits its language is a mistake of the page: nothing passes because nobody looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<info>.*)$")
ORDER = re.compile(r"^<!-- (?P<verb>[a-z ]+?)(?:: (?P<object>.+?))? -->$")

#: Which orders a language knows; "" is no order at all.
ORDERS = {
    "python": {"", "file", "raises", "not run"},
    "bash": {"run", "serve", "not run"},
    "json": {"", "file"},
    "toml": {"", "file"},
    "text": {"output", "picture"},
    # What only other programs read: a test of the page says what it holds them against.
    "yaml": {"file"},
    "dockerfile": {"file"},
    "cfg": {"file"},
}
WITH_OBJECT = {"file", "serve", "raises", "not run"}


class PageWrong(Exception):
    """A page that cannot be tested as it stands."""


@dataclass(frozen=True)
class Block:
    """One fenced block. ``line`` is that of its first line of content, from 1."""

    page: str
    line: int
    language: str
    verb: str
    object: str
    text: str

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Every page whose blocks are tested."""
    applications = sorted(ROOT.glob("apps/*/README.md"))
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *applications]


def blocks_of(path: Path) -> list[Block]:
    """The blocks of a page, in order. Raises `PageWrong`."""
    return list(read_blocks(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()))


def read_blocks(text: str, page: str) -> Iterator[Block]:
    """The blocks in the text of a page. Raises `PageWrong`."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        found = FENCE.match(lines[number])
        number += 1
        if found is None:
            continue
        if found["indent"]:
            raise PageWrong(f"{page}:{number}: a block has to begin in the first column")
        first = number
        while number < len(lines) and lines[number].rstrip() != found["fence"]:
            number += 1
        if number == len(lines):
            raise PageWrong(f"{page}:{first}: the block has no end")
        verb, object_ = _order(lines[first - 2] if first >= 2 else "", f"{page}:{first}")
        block = Block(
            page,
            first + 1,
            found["info"].strip(),
            verb,
            object_,
            "\n".join(lines[first:number]) + "\n",
        )
        number += 1
        _check(block)
        yield block


def _order(line: str, where: str) -> tuple[str, str]:
    """What the comment before a block says; two empty texts where there is none."""
    if not line.startswith("<!--"):
        return "", ""
    found = ORDER.match(line.rstrip())
    if found is None:
        raise PageWrong(f"{where}: the comment before the block is no order: {line}")
    return found["verb"], found["object"] or ""


def _check(block: Block) -> None:
    known = ORDERS.get(block.language)
    if known is None:
        raise PageWrong(
            f"{block.where}: nobody knows how to test a block of {block.language or 'no language'!r}"
        )
    if block.verb not in known:
        raise PageWrong(
            f"{block.where}: a block of {block.language} can't have the order {block.verb or 'none'!r}"
        )
    if (block.verb in WITH_OBJECT) != bool(block.object):
        raise PageWrong(f"{block.where}: the order {block.verb!r} says too little or too much")
    if block.verb == "not run" and len(block.object) < 12:
        raise PageWrong(f"{block.where}: {block.object!r} is no reason")
