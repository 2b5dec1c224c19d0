"""The options of commands that write into the configuration of a host: which file, which entry, and whether to ask."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..host.configuration import ConfigurationFile, ServerDefinition
from .entering import definition_of, headers_of, variables_of

__all__ = ["EntryOptions", "FileOptions", "Project", "Words", "Write", "WriteOptions"]

Project = Annotated[str, Parameter(help="The folder of the project (default: the current one).")]
Write = Annotated[bool, Parameter(("--write", "-w"), negative="", help="Write it, without asking.")]
Words = Annotated[list[str] | None, Parameter(parse=False)]


@Parameter(name="*")
@dataclass(frozen=True)
class FileOptions:
    """Which file of a host."""

    scope: Annotated[
        str,
        Parameter(
            help='"user", "project" (shared with it) or "local" (yours, for one project), as the host has them.'
        ),
    ] = ""
    project: Project = ""
    file: Annotated[str, Parameter(help="The host's file, where it is not in its usual place.")] = ""

    def opened(self, host: str) -> ConfigurationFile:
        """The file. Raises `ConfigurationError`."""
        return ConfigurationFile(
            host,
            scope=self.scope,
            path=self.file or None,
            project=Path(self.project) if self.project else None,
        )


@Parameter(name="*")
@dataclass(frozen=True)
class EntryOptions:
    """What an entry has beside its target."""

    env: Annotated[
        list[str],
        Parameter(
            ("--env", "-e"),
            negative="",
            help="KEY=VALUE for the server, or KEY: taken from the environment when it is started; may be repeated.",
        ),
    ] = field(default_factory=list[str])
    header: Annotated[
        list[str],
        Parameter(
            ("--header", "-H"),
            negative="",
            help='An HTTP header, as "Name: value", or "Name: env:VARIABLE"; may be repeated.',
        ),
    ] = field(default_factory=list[str])
    sse: Annotated[bool, Parameter(negative="", help="The URL is one of the HTTP+SSE of 2024-11-05.")] = False

    def entry(
        self, name: str, target: str, words: Sequence[str] | None, *, secrets: Sequence[str] = ()
    ) -> ServerDefinition:
        """The entry that a target means with these. ``secrets``: variables whose values the keyring has. Raises
        `UsageError`.
        """
        variables = variables_of(self.env)
        if not any("${keyring:" in each for each in self.header):
            variables |= {key: f"${{keyring:{key}}}" for key in secrets}
        return definition_of(
            name, target, words, env=variables, headers=headers_of(self.header), sse=self.sse
        )


@Parameter(name="*")
@dataclass(frozen=True)
class WriteOptions:
    """How something is written."""

    replace: Annotated[bool, Parameter(negative="", help="Replace a server of the same name.")] = False
    in_clear: Annotated[bool, Parameter(negative="", help="Write secrets into the file as they are.")] = False
    write: Write = False
