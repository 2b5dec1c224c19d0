"""How the result of a tool is shown, and how a command ends by it."""

from ..client import ToolResult
from ..last_resort import say
from ..protocol.safe_text import one_line, passage
from .exits import FAILED
from .pieces import pieces_of_result
from .saving import OutputFile

__all__ = ["failed", "show_result"]


def show_result(result: ToolResult, out: OutputFile, *, json: bool) -> None:
    """Show what a tool gave; of one that failed, nothing but its JSON."""
    if json:
        out.json(result.raw)
    elif not result.is_error:
        out.pieces(pieces_of_result(result))


def failed(result: ToolResult) -> int:
    """Say why a tool failed, in one line or with the line breaks it came with; gives the exit code."""
    text = passage(result.text, indent="  ")
    told = f"\n{text}" if "\n" in text else f" {one_line(result.text) or 'it does not say why'}"
    say(f"dovetail: the tool failed:{told}")
    return FAILED
