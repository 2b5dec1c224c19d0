"""``dovetail install HOST TARGET`` and ``dovetail uninstall HOST NAME``: a server into a host's configuration, and out.

What is written is shown as it will stand in the file; nothing is written without ``--write`` or a yes.
"""

from collections.abc import Sequence
from pathlib import Path
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
from .entering import definition_of, found_program, headers_of, variables_of
from .exits import UsageError
from .screen import Screen

__all__ = [
    "Env",
    "FileOption",
    "Header",
    "InClear",
    "Project",
    "Replace",
    "Scope",
    "Write",
    "install",
    "uninstall",
]

Write = Annotated[bool, Parameter(("--write", "-w"), negative="", help="Write it, without asking.")]
Scope = Annotated[
    str,
    Parameter(
        help='"user", "project" (shared with it) or "local" (yours, for one project), as the host has them.'
    ),
]
Project = Annotated[str, Parameter(help="The folder of the project (default: the current one).")]
FileOption = Annotated[str, Parameter("--file", help="The host's file, where it is not in its usual place.")]
Env = Annotated[
    list[str],
    Parameter(
        ("--env", "-e"),
        negative="",
        help="KEY=VALUE for the server, or KEY: taken from the environment when it is started; may be repeated.",
    ),
]
Header = Annotated[
    list[str],
    Parameter(
        ("--header", "-H"),
        negative="",
        help='An HTTP header, as "Name: value", or "Name: env:VARIABLE"; may be repeated.',
    ),
]
InClear = Annotated[
    bool, Parameter("--in-clear", negative="", help="Write secrets into the file as they are.")
]
Replace = Annotated[bool, Parameter(negative="", help="Replace a server of the same name.")]
Words = Annotated[list[str] | None, Parameter(parse=False)]


async def install(
    host: str,
    target: str,
    /,
    *,
    name: Annotated[str, Parameter(help="What the host calls it (default: what the target is called).")] = "",
    scope: Scope = "",
    project: Project = "",
    file: FileOption = "",
    env: Env = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    header: Header = [],  # noqa: B006 - as above
    sse: Annotated[
        bool, Parameter(negative="", help="The URL is one of the HTTP+SSE of 2024-11-05.")
    ] = False,
    replace: Replace = False,
    in_clear: InClear = False,
    write: Write = False,
    words: Words = None,
) -> int:
    """Write a server into the configuration of a host: a file, module:app, a URL, or a command (after --).

    HOST: dovetail (our own), claude-desktop, claude-code, vscode, cursor, windsurf, cline, gemini-cli, goose, zed. The
    command and the change are shown first; nothing is written without --write or a yes. The exit code is 1 where
    nothing was written.
    """
    definition = definition_of(
        name, target, words, env=variables_of(env), headers=headers_of(header), sse=sse
    )
    screen = Screen()
    place = opened(host, scope, project, file)
    return await add_to(screen, place, definition, replace=replace, in_clear=in_clear, write=write)


async def uninstall(
    host: str,
    name: str,
    /,
    *,
    scope: Scope = "",
    project: Project = "",
    file: FileOption = "",
    write: Write = False,
) -> int:
    """Take a server out of the configuration of a host. The change is shown first; see install."""
    place = opened(host, scope, project, file)
    return await remove_from(Screen(), place, name, write=write)


def opened(host: str, scope: str, project: str, file: str) -> ConfigurationFile:
    """The file that options name."""
    return ConfigurationFile(host, scope=scope, path=file or None, project=Path(project) if project else None)


async def add_to(
    screen: Screen,
    file: ConfigurationFile,
    definition: ServerDefinition,
    *,
    replace: bool,
    in_clear: bool,
    write: bool,
    inputs: Sequence[dict[str, Any]] = (),
) -> int:
    """Show and write one server. Raises `UsageError` for a name that is taken, and for secrets in clear."""
    refuse_clear(definition, in_clear=in_clear)
    change = file.with_server(definition, inputs=inputs)
    if definition.name in {*file.servers, *file.unreadable} and not replace and not change.is_empty:
        raise UsageError(f"{file.host.title} has a server {definition.name!r} already; --replace replaces it")
    if definition.transport == "stdio" and not found_program(definition.command):
        screen.note(
            f"there is no program {definition.command!r} here; the host may not find it either", "yellow"
        )
    return await write_agreed(screen, file, change, write=write, shown=[definition])


async def remove_from(screen: Screen, file: ConfigurationFile, name: str, *, write: bool) -> int:
    """Show and take away one server."""
    return await write_agreed(screen, file, file.without_server(name), write=write)


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
