"""``dovetail install HOST TARGET`` and ``dovetail uninstall HOST NAME``: a server into a host's configuration, and out.

What is written is shown as it will stand in the file; nothing is written without ``--write`` or a yes.
"""

from collections.abc import Sequence
from typing import Annotated, Any

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..host.configuration import ConfigurationFile, ServerDefinition, secrets_in_clear
from ..protocol.safe_text import in_place
from .agreeing import write_agreed
from .entering import found_program
from .entry_options import EntryOptions, FileOptions, Words, Write, WriteOptions
from .exits import UsageError
from .screen import Screen

__all__ = ["add_to", "install", "refuse_clear", "uninstall"]


async def install(
    host: str,
    target: str,
    /,
    *,
    name: Annotated[str, Parameter(help="What the host calls it (default: what the target is called).")] = "",
    file: FileOptions = FileOptions(),
    entry: EntryOptions = EntryOptions(),
    writing: WriteOptions = WriteOptions(),
    words: Words = None,
) -> int:
    """Write a server into the configuration of a host: a file, module:app, a URL, or a command (after --).

    HOST: dovetail (our own), claude-desktop, claude-code, vscode, cursor, windsurf, cline, gemini-cli, goose, zed. The
    command and the change are shown first; nothing is written without --write or a yes. The exit code is 1 where
    nothing was written.
    """
    definition = entry.entry(name, target, words)
    return await add_to(Screen(), file.opened(host), definition, writing)


async def uninstall(
    host: str,
    name: str,
    /,
    *,
    file: FileOptions = FileOptions(),
    write: Write = False,
) -> int:
    """Take a server out of the configuration of a host. The change is shown first; see install."""
    place = file.opened(host)
    return await write_agreed(Screen(), place, place.without_server(name), write=write)


async def add_to(
    screen: Screen,
    file: ConfigurationFile,
    definition: ServerDefinition,
    writing: WriteOptions,
    *,
    inputs: Sequence[dict[str, Any]] = (),
) -> int:
    """Show and write one server. Raises `UsageError` for a name that is taken, and for secrets in clear."""
    refuse_clear(definition, in_clear=writing.in_clear)
    change = file.with_server(definition, inputs=inputs)
    if definition.name in {*file.servers, *file.unreadable} and not writing.replace and not change.is_empty:
        raise UsageError(f"{file.host.title} has a server {definition.name!r} already; --replace replaces it")
    if definition.transport == "stdio" and not found_program(definition.command):
        screen.note(
            f"there is no program {definition.command!r} here; the host may not find it either", "yellow"
        )
    return await write_agreed(screen, file, change, write=writing.write, shown=[definition])


def refuse_clear(definition: ServerDefinition, *, in_clear: bool) -> None:
    """Raise `UsageError` for a secret in clear that nobody asked for."""
    found = secrets_in_clear(definition)
    if found and not in_clear:
        what = " and ".join(in_place(str(each)) for each in found)
        raise UsageError(
            f"{what} of {definition.name!r} looks like a secret, which would stand in the file for all to read; name a "
            "variable of the environment (-e KEY, -H 'Name: env:KEY'), keep it in the keyring (dovetail servers add "
            "--secret KEY), or say --in-clear"
        )
