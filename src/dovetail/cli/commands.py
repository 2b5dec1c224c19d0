"""The commands that talk to a server: ``list``, ``call``, ``read``, ``prompt``, ``complete``.

cyclopts reads the words by the signatures below. Whatever goes wrong ends in one line on standard error and
the exit code of `dovetail.cli.exits`; ``-v`` adds the traceback. Standard output carries results only.
"""

import asyncio
import base64
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, cast

try:
    from cyclopts import App as Commands
    from cyclopts import CycloptsError, Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

import dovetail

from ..client import ToolResult
from ..protocol import codec
from ..protocol.errors import DovetailError, MethodNotFound
from ..protocol.types import PromptReference, ReadResourceResult, ResourceReference, TextContent
from . import tables
from .authorizing import authorization
from .coercion import arguments_of, texts
from .connecting import Common, Session
from .exits import FAILED, INTERRUPTED, OK, USAGE, Usage, tell
from .safe_text import one_line
from .screen import matches, shapes_of

__all__ = ["main"]

T = TypeVar("T")
Arg = Annotated[
    list[str],
    Parameter(("--arg", "-a"), negative="", help="KEY=VALUE, or KEY:=JSON; may be repeated."),
]
Words = Annotated[list[str] | None, Parameter(parse=False)]
_HELP: Final = """The Model Context Protocol on the command line.

TARGET is a URL, a .py file with an App in it, or a command: quoted as one word, or at the end after `--`,
as in `dovetail call add -a a=1 -a b=2 -- python server.py`.

Exit codes: 0 done, 1 the tool failed, 2 usage, 3 no server, 4 protocol error, 5 no answer in time,
6 a login is needed, 130 interrupted.
"""

commands = Commands("dovetail", help=_HELP, help_format="plaintext", version=dovetail.__version__)


commands.command(authorization)


@commands.command(name="run")
def run(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve the App in a Python file: on stdio, over HTTP or on a unix socket. See `dovetail run --help`."""
    from .run import main as serve

    return serve(words)


@commands.command(name="dev")
def dev(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve the App in a Python file while it is written: each save replaces it. See `dovetail dev --help`."""
    from .dev import main as serve

    return serve(words)


@commands.command(name="list")
async def list_all(
    target: str,
    /,
    *,
    tools: Annotated[bool, Parameter(negative="")] = False,
    resources: Annotated[bool, Parameter(negative="")] = False,
    templates: Annotated[bool, Parameter(negative="")] = False,
    prompts: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
    words: Words = None,
) -> int:
    """Show what a server offers: all of it, or only the kinds named.

    Parameters
    ----------
    tools: Only the tools.
    resources: Only the resources.
    templates: Only the resource templates.
    prompts: Only the prompts.
    """
    session = Session(target, words, common)
    every = not (tools or resources or templates or prompts)
    async with session.connected() as client:
        offered = client.server_capabilities
        found: dict[str, list[Any]] = {}
        for kind, wanted, source, capability in (
            ("tools", tools, client.tools, "tools"),
            ("resources", resources, client.resources, "resources"),
            ("resourceTemplates", templates, client.resource_templates, "resources"),
            ("prompts", prompts, client.prompts, "prompts"),
        ):
            if wanted or (every and (offered is None or getattr(offered, capability) is not None)):
                found[kind] = await _gathered(source(), lenient=every)
        info, instructions = client.server_info, client.instructions
    if common.json:
        session.screen.json(found)
        return OK
    if info is not None:
        session.screen.note(f"{info.title or info.name} {info.version}", "bold")
    if instructions and every:
        session.screen.note(instructions)
    _show_tables(session, found)
    return OK


@commands.command
async def call(
    target: str,
    tool: str,
    /,
    *,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    args: Annotated[
        str | None, Parameter(help="The arguments as a JSON object; - reads standard input.")
    ] = None,
    common: Common = Common(),
    words: Words = None,
) -> int:
    """Call a tool. The values of --arg become what the tool's input schema says."""
    session = Session(target, words, common)
    if args == "-":
        args = sys.stdin.read()
    async with session.connected() as client:
        schema: dict[str, Any] = {}
        async for listed in client.tools():
            if listed.name == tool:
                schema = listed.input_schema
                break
        arguments = arguments_of(arg, args, schema)
        result = await client.call_tool(tool, arguments, progress=session.bar.report)
    if common.json:
        session.screen.json(result.raw)
    elif not result.is_error:
        _show_result(session, result)
    if result.is_error:
        print(f"dovetail: the tool failed: {one_line(result.text) or 'it does not say why'}", file=sys.stderr)
        return FAILED
    return OK


@commands.command
async def read(
    target: str,
    uri: str,
    /,
    *,
    output: Annotated[
        Path | None, Parameter(("--output", "-o"), help="Write the contents to this file, as they are.")
    ] = None,
    common: Common = Common(),
    words: Words = None,
) -> int:
    """Read a resource. What is not shown on a terminal is written as it is, bytes included."""
    session = Session(target, words, common)
    async with session.connected() as client:
        result = await client.read(uri)
    if common.json:
        session.screen.json(result)
    elif output is not None:
        output.write_bytes(_bytes_of(result))
        session.screen.note(f"wrote {output}")
    elif sys.stdout.isatty():
        for contents in result.contents:
            session.screen.contents(contents)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(_bytes_of(result))
        sys.stdout.buffer.flush()
    return OK


@commands.command
async def prompt(
    target: str,
    name: str,
    /,
    *,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    common: Common = Common(),
    words: Words = None,
) -> int:
    """Show the messages of a prompt."""
    session = Session(target, words, common)
    async with session.connected() as client:
        result = await client.get_prompt(name, texts(arg))
    if common.json:
        session.screen.json(result)
    else:
        session.screen.prompt(result)
    return OK


@commands.command
async def complete(
    target: str,
    ref: str,
    argument: str,
    value: str = "",
    /,
    *,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    common: Common = Common(),
    words: Words = None,
) -> int:
    """Suggest values for an argument of a prompt (REF: its name) or a variable of a resource template (REF:
    the template).

    --arg tells of other arguments that are settled already.
    """
    session = Session(target, words, common)
    known = PromptReference(name=ref) if ":" not in ref else ResourceReference(uri=ref)
    async with session.connected() as client:
        found = await client.complete(known, argument, value, texts(arg) or None)
    if common.json:
        session.screen.json({"completion": codec.tree(found)})
        return OK
    for each in found.values:
        session.screen.line(each)
    if found.has_more:
        session.screen.note(f"... and more{f', {found.total} in all' if found.total is not None else ''}")
    return OK


def main(words: Sequence[str]) -> int:
    """Run a command and give its exit code."""
    words, command = _divide(list(words))
    verbose = "-v" in words or "--verbose" in words
    try:
        function, bound, ignored = commands.parse_args(words, exit_on_error=False, print_error=False)
        if "words" in ignored:
            bound.arguments["words"] = command
        elif command:
            raise Usage("a command after -- is a target, which this command does not take")
        outcome = function(*bound.args, **bound.kwargs)
        if asyncio.iscoroutine(outcome):
            return asyncio.run(cast("Coroutine[Any, Any, int]", outcome))
        return outcome if isinstance(outcome, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except CycloptsError as problem:
        tell(problem)
        return USAGE
    except (BrokenPipeError, ConnectionResetError):
        _forget_output()
        return OK
    except (Usage, DovetailError, OSError, ImportError) as problem:
        return tell(problem, verbose=verbose)


def _divide(words: list[str]) -> tuple[list[str], list[str] | None]:
    """The words for us, and the command after ``--``, whose place as TARGET it then takes."""
    if "--" not in words or words[:1] in (["run"], ["dev"]):
        return words, None
    at = words.index("--")
    ours, command = words[:at], words[at + 1 :]
    if not command or not ours:
        return words, None
    return [ours[0], command[0], *ours[1:]], command


async def _gathered(items: AsyncIterator[T], *, lenient: bool) -> list[T]:
    try:
        return [item async for item in items]
    except MethodNotFound:
        if lenient:
            return []
        raise


def _show_tables(session: Session, found: dict[str, list[Any]]) -> None:
    makers = {
        "tools": tables.tools_table,
        "resources": tables.resources_table,
        "resourceTemplates": tables.templates_table,
        "prompts": tables.prompts_table,
    }
    shown = [makers[kind](items) for kind, items in found.items() if items]
    for table in shown:
        session.screen.out.print(table)
    if not shown:
        session.screen.note("the server offers nothing of that")


def _show_result(session: Session, result: ToolResult) -> None:
    """Structured content once, indented, and every block that says something else."""
    screen = session.screen
    values = shapes_of(result.structured) if result.has_structured else []
    texts_shown = [block.text for block in result.content if isinstance(block, TextContent)]
    if values:
        screen.json(
            next((value for value in values if any(matches(text, value) for text in texts_shown)), values[0])
        )
    for block in result.content:
        if not (isinstance(block, TextContent) and any(matches(block.text, value) for value in values)):
            screen.content(block)


def _bytes_of(result: ReadResourceResult) -> bytes:
    parts = [
        each.text.encode("utf-8", "surrogatepass")
        if each.text is not None
        else base64.b64decode(each.blob or "")
        for each in result.contents
    ]
    return b"".join(parts)


def _forget_output() -> None:
    """Whoever read our output went away: nothing more can be written, and nothing has to be said about it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
