"""A full-text index of documents, section by section, in SQLite (FTS5).

The index lives in memory and is filled anew by each server. Its methods block for a moment and may be called
from any thread.
"""

import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from documents import Stamp

SCHEMA = """
CREATE TABLE documents (path TEXT PRIMARY KEY, modified INTEGER, size INTEGER);
CREATE VIRTUAL TABLE sections USING fts5 (path UNINDEXED, line UNINDEXED, heading, body, tokenize = 'porter unicode61');
"""
# A match in a heading weighs four times as much as one in the text below it.
SEARCH = """
SELECT path, line, heading, snippet(sections, 3, '[', ']', '...', 16), -bm25(sections, 0, 0, 4, 1) AS score
FROM sections WHERE sections MATCH ? ORDER BY score DESC, path, line LIMIT ?
"""
COUNT = "SELECT count(*) FROM sections WHERE sections MATCH ?"


@dataclass(frozen=True)
class Match:
    """A section that fits a query; ``line`` is where it begins, counted from 1."""

    path: str
    line: int
    heading: str
    snippet: str
    score: float


class SearchIndex:
    """Sections of documents, and which state of each document they were read from."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        """Free the memory."""
        with self._lock:
            self._database.close()

    def known(self) -> dict[str, Stamp]:
        """The documents in the index."""
        with self._lock:
            rows = self._database.execute("SELECT path, modified, size FROM documents").fetchall()
        return {path: Stamp(modified, size) for path, modified, size in rows}

    def put(self, path: str, stamp: Stamp, text: str) -> None:
        """Take in a document, in place of what was known of it."""
        rows = [(path, line, heading, body) for line, heading, body in sections(text)]
        with self._lock, self._database as database:
            database.execute("DELETE FROM sections WHERE path = ?", (path,))
            database.executemany("INSERT INTO sections VALUES (?, ?, ?, ?)", rows)
            database.execute(
                "INSERT OR REPLACE INTO documents VALUES (?, ?, ?)", (path, stamp.modified, stamp.size)
            )

    def remove(self, path: str) -> None:
        """Forget a document."""
        with self._lock, self._database as database:
            database.execute("DELETE FROM sections WHERE path = ?", (path,))
            database.execute("DELETE FROM documents WHERE path = ?", (path,))

    def search(self, query: str, limit: int) -> tuple[list[Match], int]:
        """The best matches, and how many there are. Every word of the query has to occur in a section."""
        # Each word becomes a quoted string, so that nothing in it is an operator of the query language.
        words = " ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        if not words:
            return [], 0
        with self._lock:
            rows = self._database.execute(SEARCH, (words, limit)).fetchall()
            (total,) = self._database.execute(COUNT, (words,)).fetchone()
        return [
            Match(path, line, heading, text, round(score, 3)) for path, line, heading, text, score in rows
        ], total


def sections(text: str) -> Iterator[tuple[int, str, str]]:
    """A document taken apart at its Markdown headings: line, heading, and the text below it."""
    first, heading, body = 1, "", list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            if heading or body:
                yield first, heading, "\n".join(body)
            first, heading, body = number, line.lstrip("#").strip(), []
        else:
            body.append(line)
    if heading or body:
        yield first, heading, "\n".join(body)
