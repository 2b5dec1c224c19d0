"""``dovetail gen``: a module with typed clients of a server, from what the server offers.

The module goes to standard output, to a file (``-o``), or nowhere: ``--check FILE`` says by the exit code whether that
file is what would be written. The head of the module names its target without secrets, so that a URL has no user and no
query there, and of a command only its first word.
"""

import re
import shlex
from pathlib import Path
from typing import Annotated, Final

try:
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from .connecting import CommandSession, CommonOptions
from .exits import FAILED, OK, UsageError

__all__ = ["gen"]

_WROTE: Final = re.compile(r"(?<=\nWritten by: dovetail gen ).*?(?=\nFrom what the server )", re.DOTALL)

Words = Annotated[list[str] | None, Parameter(parse=False)]


async def gen(
    target: str,
    /,
    *,
    output: Annotated[
        str | None, Parameter(("--output", "-o"), help="Write the module to this file.")
    ] = None,
    check: Annotated[
        str | None,
        Parameter(help="Write nothing; the exit code is 1 where this file is not what would be written."),
    ] = None,
    typed_dict: Annotated[
        bool, Parameter(negative="", help="Objects become TypedDicts, not dataclasses.")
    ] = False,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Write a Python module with typed clients of a server: a method for each tool, resource, template and prompt."""
    if output is not None and check is not None:
        raise UsageError("-o writes a file and --check writes none; say one of the two")
    if common.json:
        raise UsageError("a module is no JSON; leave --json out")
    from ..codegen import generate, surface_of

    session = CommandSession(target, words, common)
    out = None if output is None else _place(output, "-o")
    kept = None if check is None else _kept(_place(check, "--check"))
    async with session.connected() as client:
        surface = await surface_of(client)
    session.saw((*surface.tools, *surface.resources, *surface.resource_templates, *surface.prompts))
    source = generate(surface, typed_dict=typed_dict, source=_named(target, words))
    if check is not None:
        if kept is not None and _said(kept) == _said(source):
            return OK
        session.screen.note(
            f"{check} {'is not there' if kept is None else 'is not what the server offers now'};"
            f" write it with `dovetail gen ... -o {shlex.quote(check)}`"
        )
        return FAILED
    if out is None:
        session.screen.raw(source.encode())
        return OK
    try:
        out.write_text(source, "utf-8", newline="\n")
    except OSError as problem:
        raise UsageError(f"-o {output}: {problem.strerror}") from None
    session.screen.note(f"wrote {output} ({len(surface.tools)} tools)")
    return OK


def _place(text: str, option: str) -> Path:
    path = Path(text)
    try:
        if path.is_dir():
            raise UsageError(
                f"{option} {text}: that is a folder; name a file, such as {text.rstrip('/')}/tools.py"
            )
        if not path.parent.is_dir():
            raise UsageError(f"{option} {text}: there is no folder {str(path.parent)!r}")
    except (OSError, ValueError) as problem:
        raise UsageError(f"{option} {text!r}: {problem}") from None
    return path


def _kept(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise UsageError(f"--check {path}: {problem.strerror}") from None


def _said(source: str) -> str:
    """A module without the words in its head that wrote it: another way to the same server makes no difference."""
    return _WROTE.sub("", source, count=1)


def _named(target: str, words: list[str] | None) -> str:
    """The target as it may stand in a file that is kept and shown to others."""
    if words:
        return f"... -- {shlex.quote(words[0])}{' ...' if words[1:] else ''}"
    first, space, _ = target.partition(" ")
    if space and not Path(target).exists():
        return shlex.quote(f"{first} ...")
    if target.endswith(".py"):
        return shlex.quote(target)
    place, query, _ = target.partition("?")
    scheme, slashes, rest = place.rpartition("://")
    host, slash, path = rest.partition("/")
    return shlex.quote(f"{scheme}{slashes}{host.rpartition('@')[2]}{slash}{path}{'?...' if query else ''}")
