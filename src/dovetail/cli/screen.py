"""What a command shows: results as text or JSON on standard output, progress and log messages on standard
error.

Everything a server says is made safe first (`dovetail.protocol.safe_text`) and never read as markup. JSON keeps
its values: what a terminal might act on is written as an escape. Results are written in one piece, as they may be
large; only tables, and what has a colour, pass through rich. A stream whose encoding lacks a character shows its
escape. When the reader of the results is gone, that is `OutputClosed`; a reader of the remarks is not missed.
"""

import json
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Any, Final

import msgspec

try:
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol import codec
from ..protocol.safe_text import one_line, passage, safe
from ..protocol.types import MessageNotice, ProgressNotice, Resource, ResourceContents
from ..protocol.types.content import content_type
from .exits import OutputClosed, UsageError
from .pieces import Data, Heading, opened
from .terminal import interruptible

__all__ = ["ProgressBar", "Screen", "as_json", "forget_output"]

_PIPE_WIDTH: Final = 160
_STYLES: Final = {"debug": "dim", "info": "dim", "notice": "", "warning": "yellow"}


def as_json(value: Any, *, ascii_only: bool = False) -> str:
    """A value of the protocol as JSON, safe to show on a terminal. ``ascii_only``: every other character escaped."""
    text = msgspec.json.format(codec.encode(value), indent=2).decode()
    if text.isascii() and "\x7f" not in text:
        return text
    escapes = {
        ord(each): _escaped(each)
        for each in set(text)
        if each != "\n" and (safe(each) != each or (ascii_only and not each.isascii()))
    }
    return text.translate(escapes)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if ord(character) > 0x7F else f"\\u{ord(character):04x}"


class _OutputConsole(Console):
    """A console that says when nobody reads it any more, instead of ending the process."""

    def on_broken_pipe(self) -> None:
        """Called by rich."""
        raise OutputClosed


class _Remarks(Console):
    """A console whose reader is not missed."""

    def on_broken_pipe(self) -> None:
        """Called by rich."""


@contextmanager
def _writing() -> Generator[None]:
    """While results are written: a reader that went away is no failure, a full disk is."""
    try:
        with interruptible():
            yield
    except (BrokenPipeError, ConnectionResetError):
        raise OutputClosed from None
    except OSError as problem:
        forget_output()
        raise UsageError(f"standard output can't be written: {problem.strerror}") from None


def forget_output() -> None:
    """Nothing more can be written to standard output; what Python still holds goes nowhere, without a word."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Screen:
    """The two streams. ``out`` is for results and nothing else, ``err`` for people; ``quiet`` leaves remarks out."""

    def __init__(self, *, quiet: bool = False) -> None:
        # A stream that was closed before we started (`>&-`) is None.
        sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - as long as the process
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        self.quiet = quiet
        self.at_terminal = sys.stdout.isatty()
        width = None if self.at_terminal else _PIPE_WIDTH
        self.out = _OutputConsole(highlight=False, markup=False, emoji=False, width=width, soft_wrap=False)
        self.err = _Remarks(stderr=True, highlight=False, markup=False, emoji=False)

    def line(self, text: str = "", style: str = "") -> None:
        """A line of a result, as long as it is."""
        if style and self.at_terminal:
            self.show(Text(safe(text), style=style), soft_wrap=True)
        else:
            self.write(f"{safe(text)}\n")

    def note(self, text: str, style: str = "dim") -> None:
        """A remark for people, in one line."""
        self._remark(one_line(text), style)

    def passage(self, text: str, style: str = "dim") -> None:
        """A longer text of the server for people, with its line breaks, apart from lines of ours."""
        self._remark(passage(text, indent="  "), style)

    def json(self, value: Any) -> None:
        """The result of the protocol, and nothing else."""
        narrow = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
        self.write(f"{as_json(value, ascii_only=narrow)}\n")

    def raw(self, data: bytes) -> None:
        """Bytes, as they are."""
        with _writing():
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()

    def write(self, text: str) -> None:
        """A text of ours, or one made safe, as it is."""
        with _writing():
            sys.stdout.write(text)
            sys.stdout.flush()

    def show(self, what: RenderableType, *, soft_wrap: bool = False) -> None:
        """Something with colours or columns, safe already."""
        with _writing():
            self.out.print(what, soft_wrap=soft_wrap)

    def _remark(self, text: str, style: str) -> None:
        if self.quiet:
            return
        with suppress(OSError):
            self.err.print(Text(text, style=style), soft_wrap=True)

    def logged(self, notice: MessageNotice) -> None:
        """A log message of the server."""
        data = notice.data if isinstance(notice.data, str) else as_json(notice.data)
        name = f" {notice.logger}" if notice.logger else ""
        text = passage(f"[{notice.level}{name}] {data}", indent="  ").lstrip()
        with suppress(OSError):  # asked for by --log, so --quiet leaves it
            self.err.print(Text(text, style=_STYLES.get(notice.level, "red")), soft_wrap=True)

    def said(self, line: str) -> None:
        """A line that the server's process wrote to its standard error: told apart from ours, spaces kept."""
        self._remark(safe(line), "dim")

    def content(self, piece: Any) -> None:
        """A piece of a result: a content block, what a resource holds, or one of `dovetail.cli.pieces`. Of bytes, only
        type and size.
        """
        piece = opened(piece)
        known = content_type(piece)
        if known is not None and known.text:
            self.line(getattr(piece, known.text))
        elif known is not None and known.base64:
            self._mention(f"{known.label}, {piece.mime_type}, {_size(getattr(piece, known.base64))}")
        elif isinstance(piece, Data):
            self.json(piece.value)
        elif isinstance(piece, Heading):
            self.line(piece.text, "bold")
        elif isinstance(piece, Resource):
            self._mention(f"link to {piece.uri}: {piece.title or piece.name}")
        elif isinstance(piece, ResourceContents):
            if piece.text is not None:
                self.line(piece.text)
            else:
                self._mention(f"{piece.uri}, {piece.mime_type or 'unknown type'}, {_size(piece.blob or '')}")
        else:
            self.json(piece)

    def _mention(self, what: str) -> None:
        self.line(f"[{one_line(what)}]", "dim")


class ProgressBar:
    """A bar on standard error, shown once something is reported, and only where somebody sees it."""

    def __init__(self, screen: Screen, title: str) -> None:
        self._screen = screen
        self._title = one_line(title)[:60]
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._apart = 0

    def report(self, notice: ProgressNotice) -> None:
        """Show how far the work is."""
        if self._screen.quiet or self._apart or not self._screen.err.is_terminal:
            return
        message = one_line(notice.message or "")[:80]
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
            self._task = self._bar.add_task(self._title, total=notice.total, message=message)
        self._bar.update(self._task, completed=notice.progress, total=notice.total, message=message)
        self._bar.start()  # which does nothing for one that has been

    def hide(self) -> None:
        """Take the bar away, so that something else can be shown; the next report brings it back."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    @contextmanager
    def hidden(self) -> Generator[None]:
        """Take the bar away while a person reads and types: what is reported meanwhile is not shown."""
        self._apart += 1
        self.hide()
        try:
            yield
        finally:
            self._apart -= 1


def _size(base64: str) -> str:
    count = len(base64) * 3 // 4 - base64[-2:].count("=")
    return f"{count:,} bytes"
