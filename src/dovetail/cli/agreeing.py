"""What would be run, and what would be written, shown whole before anything happens; and the yes of the person.

A command is shown in full, word by word where a word holds a space, with everything that can't be seen as an escape.
Nothing is written without ``--write`` or a yes at the terminal.

Specification: "Security Best Practices", "Local MCP Server Compromise".
"""

from collections.abc import Sequence

from ..host.configuration import ConfigurationChange, ConfigurationFile, ServerDefinition, dangers_of, hidden
from ..protocol.safe_text import in_place, safe
from .exits import FAILED, OK
from .screen import Screen
from .terminal import EndOfInput, Terminal

__all__ = ["agreed", "show_command", "write_agreed"]


def show_command(screen: Screen, definition: ServerDefinition) -> None:
    """What an entry runs, or where it goes, and what stands out in it."""
    shown = hidden(definition)
    if shown.transport == "stdio":
        screen.line(f"{in_place(shown.name)} runs this command, with your rights:", "bold")
        screen.line(f"  {' '.join(_word(each) for each in shown.command_line)}")
    else:
        screen.line(f"{in_place(shown.name)} is at this URL ({shown.transport}):", "bold")
        screen.line(f"  {in_place(shown.url)}")
    for name, value in shown.env.items():
        screen.line(f"  {in_place(name)}={_word(value)}")
    for name, value in shown.headers.items():
        screen.line(f"  {in_place(name)}: {in_place(value)}")
    if shown.cwd:
        screen.line(f"  in {in_place(shown.cwd)}")
    if not shown.enabled:
        screen.line("  (switched off)")
    for each in dangers_of(definition):
        screen.line(f"  DANGER: it {each}", "bold red")


async def agreed(question: str) -> bool | None:
    """What the person says; None where nobody is at the terminal."""
    terminal = Terminal()
    if not terminal.there:
        return None
    try:
        answer = await terminal.ask(f"{safe(question)} [y/N] ")
    except EndOfInput:
        return False
    return answer.strip().lower() in ("y", "yes")


async def write_agreed(
    screen: Screen,
    file: ConfigurationFile,
    change: ConfigurationChange,
    *,
    write: bool,
    shown: Sequence[ServerDefinition] = (),
) -> int:
    """Show what would be run and written, and write it if that is agreed to. Gives the exit code: 1 where nothing was
    written.
    """
    if change.is_empty:
        screen.note(f"{change.path} says so already: nothing to write")
        return OK
    for each in shown:
        show_command(screen, each)
    if shown:
        screen.line()
    screen.write(safe(change.diff))
    if not write:
        said = await agreed(f"Write this to {in_place(str(change.path))}?")
        if not said:
            screen.note("nothing was written" + ("" if said is False else "; --write writes it"))
            return FAILED
    backup = file.write(change)
    kept = f"; what was there is in {backup}" if backup else ""
    note = f"; {file.host.note}" if file.host.note else ""
    screen.note(f"wrote {change.path}{kept}{note}")
    return OK


def _word(word: str) -> str:
    """A word of a command, in quotes where it could be read as another number of words."""
    shown = in_place(word)
    return (
        shown
        if word and shown == word and not set(word) & set(" '\"\\$`|&;<>()*?[]#~")
        else f'"{_escaped(shown)}"'
    )


def _escaped(text: str) -> str:
    return text.replace('"', '\\"')
