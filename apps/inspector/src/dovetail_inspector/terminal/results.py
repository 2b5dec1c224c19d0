"""What came of a call, as rows.

Specification: server/tools, "Tool Result"; server/resources; server/prompts.
"""

from __future__ import annotations

from typing import Any, Final, cast

from ..views import CallView
from .text import Row, block, inline, json_rows, size_text, time_text
from .view import error_rows

__all__ = ["call_rows"]

_STEPS: Final = 8
_BAR: Final = 24
_MOST_BLOCKS: Final = 500


def call_rows(view: CallView, *, raw: bool = False) -> list[Row]:
    """A call: how it goes, and what came of it; ``raw``: its result as it came."""
    rows = _head(view)
    if view.state == "running":
        rows += _progress(view)
    if view.error is not None:
        rows += [[], *error_rows(view.error)]
    elif view.result is not None:
        rows += [[], *(json_rows(view.result) if raw else _result(view))]
    if view.params:
        rows += [[], [("sent", "key")], *json_rows(view.params, 4000)]
    if view.progress and view.state != "running":
        rows += [[], [("progress", "key")], *_progress(view)]
    return rows


def _head(view: CallView) -> list[Row]:
    kind = {"running": "warning", "done": "good", "failed": "error", "cancelled": "warning"}[view.state]
    rows: list[Row] = [
        [
            (f"{view.state}", kind),
            (f"  {inline(view.method)} ", "plain"),
            (inline(view.name, 200), "title"),
            (f"  {time_text(view.seconds)}", "faint"),
        ]
    ]
    if view.task:
        rows.append([("task      ", "key"), (inline(view.task), "plain")])
    return rows


def _progress(view: CallView) -> list[Row]:
    rows: list[Row] = []
    for step in view.progress[-_STEPS:]:
        share = min(max(step.progress / step.total, 0.0), 1.0) if step.total else 0.0
        done = round(share * _BAR)
        bar = "━" * done + "─" * (_BAR - done) if step.total else ""
        of = f"{step.progress:g}" + (f" of {step.total:g}" if step.total else "")
        rows.append(
            [
                (f"{time_text(step.at):>9}  ", "faint"),
                (bar, "good"),
                (f"  {of}  ", "number"),
                (inline(step.message, 200), "plain"),
            ]
        )
    return rows


def _result(view: CallView) -> list[Row]:
    result = _mapping(view.result)
    rows: list[Row] = []
    if result.get("isError"):
        rows.append([("The tool says that it failed.", "error")])
    if view.checked and view.problem:
        rows += [[("The structured content is wrong: ", "error"), (inline(view.problem), "error")]]
    elif view.problem:
        rows += [[(inline(f"not checked: {view.problem}"), "faint")]]
    elif view.checked:
        rows.append([("The structured content is what the tool's schema says.", "good")])
    if "structuredContent" in result:
        rows += [[("structured", "key")], *json_rows(result["structuredContent"]), []]
    shown = False
    for name, reader in (("content", _content), ("contents", _contents), ("messages", _messages)):
        blocks = result.get(name)
        if isinstance(blocks, list):
            shown = True
            for each in cast("list[Any]", blocks)[:_MOST_BLOCKS]:
                rows += reader(_mapping(each))
            if len(cast("list[Any]", blocks)) > _MOST_BLOCKS:
                rows.append([(f"... {len(cast('list[Any]', blocks)):,} in all", "faint")])
    return rows if shown else [*rows, *json_rows(view.result)]


def _content(content: dict[str, Any], kind: str = "plain") -> list[Row]:
    match content.get("type"):
        case "text" if isinstance(content.get("text"), str):
            return block(content["text"], kind)
        case "image" | "audio" as what:
            return [[(f"{what}, {_media(content, 'data')}; an export has it", "faint")]]
        case "resource":
            return [[("resource", "key")], *_contents(_mapping(content.get("resource")))]
        case "resource_link":
            return [[("link to ", "key"), (inline(str(content.get("uri", ""))), "plain")]]
        case _:
            return json_rows(content)


def _contents(contents: dict[str, Any]) -> list[Row]:
    rows: list[Row] = [[(inline(str(contents.get("uri", ""))), "key")]]
    if isinstance(contents.get("text"), str):
        return [*rows, *block(contents["text"])]
    if "blob" in contents:
        return [*rows, [(f"binary, {_media(contents, 'blob')}; an export has it", "faint")]]
    return [*rows, *json_rows(contents)]


def _messages(message: dict[str, Any]) -> list[Row]:
    return [[(inline(str(message.get("role", ""))), "key")], *_content(_mapping(message.get("content"))), []]


def _media(content: dict[str, Any], member: str) -> str:
    data = content.get(member)
    size = len(data) * 3 // 4 - data[-2:].count("=") if isinstance(data, str) else 0
    return f"{inline(str(content.get('mimeType', 'of no type')), 80)}, {size_text(size)}"


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
