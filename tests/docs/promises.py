"""What a page says of the future, and the fact that each such sentence is tied to.

A sentence such as "stores for Redis are not there yet" is true until somebody builds them, and nobody who builds
something reads all pages. So each sentence of a page with a word of promise or of lack has to name the fact that makes
it true, in a comment that a reader of the rendered page never sees; a test looks the fact up. On the day it is no
longer so, the page fails. The comment stands in the sentence's paragraph (or row of a table), or on the line before:

=====================================  =========================================================================
``<!-- absent: NAME -->``              there is no such module, attribute or parameter: ``dovetail.stores.tape``,
                                       ``dovetail.App(tasks)``
``<!-- fact: NAME -->``                one of the facts that `test_promises.py` knows how to look up
``<!-- held: FILE::TEST -->``          a test of this name in this file holds what the sentence says
``<!-- plain: REASON -->``             the word means something else here, for a reason that a reader can judge
=====================================  =========================================================================

A paragraph has one comment for each such sentence; headings need none. ``held`` may also stand at any other claim, one
that has to be found when the behaviour changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

#: What is said of the future, or of something that is not there.
WORDS = re.compile(
    r"""\b(?:
        (?:is|are|has|have|do|does|can)\b[^.;:]{0,60}?\byet | today | tomorrow | soon(?!\ (?:as|gives)\b) | planned
      | upcoming | currently | eventually | reserved\ for
      | will\ (?:be|come|get|have|follow|support|bring) | to\ come | for\ now | work\ in\ progress | at\ the\ moment
      | in\ (?:the|a)\ (?:near\ )?future | until\ there | no\ release | not\ (?:supported|implemented)
      | (?:later|next|coming)\ release | may\ still | still\ (?:missing|lack\w*|needs?|says?|to\b|not|without)
      | (?:is|are)\ (?:missing|not\ (?:there|here|available|built))(?=\s*(?:[.;)]|$))
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
COMMENT = re.compile(r"<!-- (absent|fact|held|plain): (.+?) -->")
FENCED = re.compile(r"^(```+|~~~+).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)
SENTENCE = re.compile(r"(?<=[.!?;:|])\s+(?=\S)")
LEAST_REASON = 12


@dataclass(frozen=True)
class Tie:
    """One comment: what it ties a sentence to. ``line`` from 1."""

    page: str
    line: int
    kind: str
    object: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.kind}: {self.object}"


@dataclass(frozen=True)
class Paragraph:
    """Lines without a blank one between them, or a row of a table."""

    page: str
    line: int
    text: str

    @property
    def ties(self) -> list[Tie]:
        """Its comments, in order."""
        return [
            Tie(self.page, self.line + self.text[: found.start()].count("\n"), found[1], found[2])
            for found in COMMENT.finditer(self.text)
        ]

    @property
    def promises(self) -> list[str]:
        """Its sentences with a word of promise, as they are read."""
        if self.text.startswith("#"):
            return []
        prose = re.sub(r"`[^`]*`", "`...`", re.sub(r"<!--.*?-->", "", self.text, flags=re.DOTALL))
        prose = re.sub(r"\]\([^)]*\)", "]", prose)
        return [each.strip() for each in SENTENCE.split(prose) if WORDS.search(each)]


def paragraphs(text: str, page: str) -> Iterator[Paragraph]:
    """The paragraphs of a page, without its fenced blocks; each row of a table by itself."""
    text = FENCED.sub(lambda found: "\n" * found[0].count("\n"), text)
    lines: list[str] = []
    first = 1
    for number, line in enumerate([*text.split("\n"), ""], 1):
        row = line.startswith("|")
        if lines and (row or not line.strip() or lines[-1].startswith("|")):
            yield Paragraph(page, first, "\n".join(lines))
            lines = []
        if line.strip():
            if not lines:
                first = number
            lines.append(line)


def untied(text: str, page: str) -> list[str]:
    """The paragraphs that promise more than they are tied to, a message each."""
    found: list[str] = []
    for each in paragraphs(text, page):
        if len(each.ties) < len(each.promises):
            said = " / ".join(each.promises)
            found.append(
                f"{page}:{each.line}: {len(each.ties)} comments for {len(each.promises)} sentences: {said}"
            )
    return found
