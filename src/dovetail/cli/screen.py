"""What a command shows: results as text or JSON on standard output, progress and log messages on standard
error.

Everything a server says is made safe first (`dovetail.cli.safe_text`) and never read as markup. JSON keeps
its values: what a terminal might act on is written as an escape.
"""

import json
import sys
from typing import Any, Final, cast

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol import codec
from ..protocol.types import (
    AudioContent,
    EmbeddedResource,
    GetPromptResult,
    ImageContent,
    MessageNotice,
    ProgressNotice,
    ResourceContents,
    ResourceLink,
    TextContent,
    UnknownContent,
)
from .safe_text import one_line, safe

__all__ = ["ProgressBar", "Screen", "as_json", "matches", "shapes_of"]

_PIPE_WIDTH: Final = 160
_STYLES: Final = {"debug": "dim", "info": "dim", "notice": "", "warning": "yellow"}


def as_json(value: Any) -> str:
    """A value of the protocol as JSON, safe to show on a terminal."""
    text = json.dumps(codec.tree(value), ensure_ascii=False, indent=2)
    if text.isascii():
        return text.replace("\x7f", "\\u007f")
    return "".join(_escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character == "\n" or safe(character) == character:
        return character
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


class Screen:
    """The two streams. ``out`` is for results and nothing else, ``err`` for people."""

    def __init__(self) -> None:
        width = None if sys.stdout.isatty() else _PIPE_WIDTH
        self.out = Console(highlight=False, markup=False, emoji=False, width=width, soft_wrap=False)
        self.err = Console(stderr=True, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        """A line of a result, as long as it is."""
        self.out.print(Text(safe(text), style=style), soft_wrap=True)

    def note(self, text: str, style: str = "dim") -> None:
        """A remark for people."""
        self.err.print(Text(one_line(text), style=style), soft_wrap=True)

    def json(self, value: Any) -> None:
        """The result of the protocol, and nothing else."""
        sys.stdout.write(as_json(value) + "\n")
        sys.stdout.flush()

    def logged(self, notice: MessageNotice) -> None:
        """A log message of the server."""
        data = notice.data if isinstance(notice.data, str) else as_json(notice.data)
        name = f" {notice.logger}" if notice.logger else ""
        self.note(f"[{notice.level}{name}] {data}", _STYLES.get(notice.level, "red"))

    def content(self, block: Any) -> None:
        """A content block of a result or prompt."""
        if isinstance(block, TextContent):
            self.line(block.text)
        elif isinstance(block, (ImageContent, AudioContent)):
            kind = "image" if isinstance(block, ImageContent) else "audio"
            self.line(f"[{kind}, {block.mime_type}, {_size(block.data)}]", "dim")
        elif isinstance(block, ResourceLink):
            self.line(f"[link to {block.uri}: {block.title or block.name}]", "dim")
        elif isinstance(block, EmbeddedResource):
            self.contents(block.resource)
        elif isinstance(block, UnknownContent):
            self.line(as_json(block))

    def contents(self, contents: ResourceContents) -> None:
        """The contents of a resource."""
        if contents.text is not None:
            self.line(contents.text)
        else:
            kind = contents.mime_type or "unknown type"
            self.line(f"[{contents.uri}, {kind}, {_size(contents.blob or '')}]", "dim")

    def prompt(self, result: GetPromptResult) -> None:
        """The messages of a prompt."""
        if result.description:
            self.note(result.description)
        for message in result.messages:
            self.line(f"{message.role}:", "bold")
            self.content(message.content)


class ProgressBar:
    """A bar on standard error, shown once something is reported, and only where somebody sees it."""

    def __init__(self, screen: Screen, title: str) -> None:
        self._screen = screen
        self._title = one_line(title)[:60]
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def report(self, notice: ProgressNotice) -> None:
        """Show how far the work is."""
        if not self._screen.err.is_terminal:
            return
        if self._bar is None or self._task is None:
            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TaskProgressColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[message]}", style="dim", markup=False),
                console=self._screen.err,
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._title, total=notice.total, message="")
        message = one_line(notice.message or "")[:80]
        self._bar.update(self._task, completed=notice.progress, total=notice.total, message=message)

    def hide(self) -> None:
        """Take the bar away, so that something else can be shown; the next report brings it back."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()


def _size(base64: str) -> str:
    count = len(base64) * 3 // 4 - base64[-2:].count("=")
    return f"{count:,} bytes"


def shapes_of(structured: Any) -> list[Any]:
    """The structured content, and what is inside where an era that only allows objects had to wrap it."""
    if isinstance(structured, dict):
        members = cast("dict[str, Any]", structured)
        if list(members) == ["result"]:
            return [members, members["result"]]
    return [structured]


def matches(text: str, structured: Any) -> bool:
    """Whether a text is the JSON of the structured content, and need not be shown beside it."""
    try:
        return json.loads(text) == structured
    except ValueError:
        return False
