"""The terminal face under Textual's pilot, and what stands on its screen."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from inspected import until
from textual.pilot import Pilot

from dovetail_inspector.inspection import Inspection
from dovetail_inspector.terminal.app import InspectorTerminal
from dovetail_inspector.terminal.reader import TextReader

__all__ = ["read", "screen_text", "shown", "terminal"]

_PATIENCE = 60.0
"""Seconds after which what was waited for will not come: far more than it takes."""
_TEXT = re.compile(r'<text class="[^"]*" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')


@asynccontextmanager
async def terminal(
    inspection: Inspection, size: tuple[int, int] = (100, 30)
) -> AsyncIterator[tuple[InspectorTerminal, Pilot[Any]]]:
    """An Inspection in a terminal of this size: columns and rows."""
    app = InspectorTerminal(inspection)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield app, pilot


def screen_text(app: InspectorTerminal) -> str:
    """What stands on the screen, line by line."""
    lines: dict[float, list[tuple[float, str]]] = {}
    for x, y, text in _TEXT.findall(app.export_screenshot()):
        lines.setdefault(float(y), []).append((float(x), html.unescape(text).replace("\xa0", " ")))
    return "\n".join("".join(text for _, text in sorted(lines[y])) for y in sorted(lines))


async def shown(app: InspectorTerminal, pilot: Pilot[Any], *words: str) -> str:
    """The screen, as soon as all these words stand on it."""

    def found() -> str:
        text = screen_text(app)
        return text if all(each in text for each in words) else ""

    try:
        async with asyncio.timeout(_PATIENCE):
            text = await until(found)
    except TimeoutError:
        raise AssertionError(f"{words} did not come; this did:\n{screen_text(app)}") from None
    await pilot.pause()
    return text


async def read(app: InspectorTerminal, reader: str, *words: str) -> str:
    """What stands in a reader, also beyond its edges, as soon as all these words do."""

    def found() -> str:
        readers = app.screen.query(f"#{reader}").results(TextReader)
        text = next((each.text for each in readers), "")
        return text if text and all(each in text for each in words) else ""

    try:
        async with asyncio.timeout(_PATIENCE):
            return await until(found)
    except TimeoutError:
        raise AssertionError(f"{words} did not come; this did:\n{screen_text(app)}") from None
