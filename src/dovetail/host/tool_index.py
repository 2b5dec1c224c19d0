"""An index over the tools of a host, in which a model finds those that fit what it wants to do.

Theory of operation. SQLite's full-text search ranks by BM25 over names, descriptions, parameters and servers, a match
in a name counting most; words are reduced to their stems, and names taken apart (``getUser``, ``get_user``). It is part
of Python, keeps its table in memory, and takes thousands of tools in a fraction of a second, in a thread. With a
function that embeds texts there is a second ranking, by the nearness of meaning, and the two are joined by rank.

Only what changed is indexed anew.

Specification: client best practices, "Choosing a Discovery Strategy".
"""

import asyncio
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from operator import mul
from typing import Any, Final, cast
from weakref import finalize

from ..client.calling import call_handler
from ..errors import LocalProtocolError
from .offers import HostTool

__all__ = ["Embed", "ToolIndex"]

Embed = Callable[[list[str]], Sequence[Sequence[float]] | Awaitable[Sequence[Sequence[float]]]]
"""Texts to vectors of one length, in their order: a coroutine function, or a plain one, which runs in a thread."""

_WORD: Final = re.compile(r"[^\W_]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_WORDS: Final = 64
_PREFIX: Final = 3
_TEXT: Final = 4_000
_RANKS: Final = 60  # how fast a place in a ranking loses its weight, where two are joined
_AT_ONCE: Final = 256
_RANKED: Final = (  # the weights are those of name, description, parameters, server
    "SELECT rowid FROM tools WHERE tools MATCH ? ORDER BY bm25(tools, 10.0, 4.0, 2.0, 3.0), rowid"
)


class ToolIndex:
    """``embed``: for the second ranking. Raises `LocalProtocolError` where this Python's SQLite has no FTS5."""

    def __init__(self, embed: Embed | None = None) -> None:
        self._embed = embed
        self._tools: dict[str, HostTool] = {}
        self._vectors: dict[str, Sequence[float]] = {}
        self._rows: dict[
            str, int
        ] = {}  # by name; a name keeps its row, so that writing one twice changes nothing
        self._names: dict[int, str] = {}
        self._lock = asyncio.Lock()
        self._table = sqlite3.connect(":memory:", check_same_thread=False)
        finalize(self, self._table.close)  # SQLite warns of a connection that nobody closes
        try:
            self._table.execute(
                "CREATE VIRTUAL TABLE tools USING fts5("
                "name, description, parameters, server, tokenize = 'porter unicode61')"
            )
        except sqlite3.OperationalError as problem:
            raise LocalProtocolError(
                f"tools can't be searched: SQLite {sqlite3.sqlite_version} of this Python was built without FTS5"
            ) from problem

    @property
    def tools(self) -> Mapping[str, HostTool]:
        """What is indexed, by name."""
        return self._tools

    async def update(self, tools: Iterable[HostTool]) -> None:
        """Index these tools, and no other. Raises what the function that embeds raises; then nothing has changed."""
        async with self._lock:
            wanted = {each.name: each for each in tools}
            gone = [name for name, each in self._tools.items() if not _same(each, wanted.get(name))]
            come = [each for name, each in wanted.items() if not _same(each, self._tools.get(name))]
            if not gone and not come:
                return
            vectors = await self._embedded(come)
            for each in come:
                row = self._rows.setdefault(each.name, len(self._rows) + 1)
                self._names[row] = each.name
            await asyncio.to_thread(self._write, gone, come)
            for name in gone:
                self._vectors.pop(name, None)
            self._vectors.update(vectors)
            self._tools = wanted

    async def search(self, query: str, *, server: str = "", limit: int = 10) -> list[HostTool]:
        """The tools that fit best, the best first. ``server``: of this one alone. All that there are, in their order,
        for a query without a word in it.
        """
        async with self._lock:
            there = [name for name, each in self._tools.items() if server in ("", each.server)]
            words = _WORD.findall(query)[:_WORDS]
            if not words:
                return [self._tools[name] for name in there[:limit]]
            ranked = await asyncio.to_thread(self._ranked, words, server)
            if self._embed is not None:
                ranked = _joined(ranked, await self._nearest(query, there))
            return [self._tools[name] for name in ranked[:limit]]

    def _write(self, gone: Sequence[str], come: Sequence[HostTool]) -> None:
        with self._table:
            self._table.executemany(
                "DELETE FROM tools WHERE rowid = ?", [(self._rows[name],) for name in gone]
            )
            self._table.executemany(
                "INSERT OR REPLACE INTO tools (rowid, name, description, parameters, server) VALUES (?, ?, ?, ?, ?)",
                [
                    (
                        self._rows[each.name],
                        _apart(each.tool.name, each.tool.title or ""),
                        _apart(each.tool.description or ""),
                        _apart(*_said(each.tool.input_schema)),
                        _apart(each.server),
                    )
                    for each in come
                ],
            )

    def _ranked(self, words: Sequence[str], server: str) -> list[str]:
        pieces = dict.fromkeys(part for word in words for part in _apart(word).split())
        wanted = " OR ".join(f'"{each}"{"*" if len(each) >= _PREFIX else ""}' for each in pieces)
        rows = self._table.execute(_RANKED, (wanted,))
        found = [self._tools.get(self._names[row]) for (row,) in rows]
        return [each.name for each in found if each is not None and server in ("", each.server)]

    async def _embedded(self, tools: Sequence[HostTool]) -> dict[str, Sequence[float]]:
        found: dict[str, Sequence[float]] = {}
        if self._embed is None:
            return found
        for at in range(0, len(tools), _AT_ONCE):
            some = tools[at : at + _AT_ONCE]
            vectors = await self._vectors_of([_text_of(each) for each in some])
            found.update(zip((each.name for each in some), vectors, strict=True))
        return found

    async def _vectors_of(self, texts: list[str]) -> Sequence[Sequence[float]]:
        vectors: Any = await call_handler(cast("Any", self._embed), texts)
        if len(vectors) != len(texts):
            raise LocalProtocolError(f"embed= gave {len(vectors)} vectors for {len(texts)} texts")
        return vectors

    async def _nearest(self, query: str, names: Sequence[str]) -> list[str]:
        (wanted,) = await self._vectors_of([query])
        return await asyncio.to_thread(self._by_nearness, wanted, names)

    def _by_nearness(self, wanted: Sequence[float], names: Sequence[str]) -> list[str]:
        return sorted(names, key=lambda name: -_nearness(wanted, self._vectors[name]))


def _same(one: HostTool, other: HostTool | None) -> bool:
    return other is not None and (one.tool is other.tool or one.tool == other.tool)


def _joined(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Two rankings as one: each place counts for what it is, the first ones most."""
    scores: dict[str, float] = {}
    for ranking in (first, second):
        for place, name in enumerate(ranking):
            scores[name] = scores.get(name, 0.0) + 1 / (_RANKS + place)
    return sorted(scores, key=lambda name: -scores[name])


def _nearness(one: Sequence[float], other: Sequence[float]) -> float:
    """The cosine of the angle between two vectors."""
    length = (sum(map(mul, one, one)) * sum(map(mul, other, other))) ** 0.5
    return sum(map(mul, one, other)) / length if length else 0.0


def _apart(*texts: str) -> str:
    """The words of texts, those of names written together taken apart."""
    return " ".join(
        part for text in texts for word in _WORD.findall(text[:_TEXT]) for part in _HUMP.split(word)
    )


def _said(schema: Any, depth: int = 0) -> Iterator[str]:
    """The names of parameters, and what is said of them."""
    if not isinstance(schema, Mapping) or depth > 2:
        return
    properties = cast("Mapping[str, Any]", schema).get("properties")
    if isinstance(properties, Mapping):
        for name, each in cast("Mapping[str, Any]", properties).items():
            yield name
            if isinstance(each, Mapping):
                yield str(cast("Mapping[str, Any]", each).get("description", ""))
                yield from _said(each, depth + 1)


def _text_of(tool: HostTool) -> str:
    told = tool.tool
    parameters = " ".join(_said(told.input_schema))
    return f"{tool.server} {told.name}: {told.title or ''} {told.description or ''} {parameters}"[:_TEXT]
