"""The commands that talk to a server: ``list``, ``call``, ``read``, ``prompt``, ``complete``.

cyclopts reads the words by the signatures below. What the words name is read and judged before a server is reached or
started. Whatever goes wrong ends in one line on standard error and the exit code of `dovetail.cli.exits`; ``-v`` adds
the traceback. Standard output carries results only.
"""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, Literal, TypeVar, cast

try:
    from cyclopts import App as Commands
    from cyclopts import CycloptsError, Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

import dovetail

from ..client import Client, OutputInvalid, StartedCall
from ..last_resort import install, say
from ..protocol import codec
from ..protocol.errors import DovetailError, MethodNotFound, RPCError
from ..protocol.safe_text import one_line
from ..protocol.types import Prompt, PromptReference, ResourceReference, Tool
from ..protocol.uri_template.syntax import Expression, parse
from ..protocol.uri_template.template import URITemplate
from . import tables
from .applications import Installed, epilogue, installed
from .coercion import Pair, arguments_of, object_of, pairs, texts, variables_of
from .configured import parted
from .connecting import CommandSession, CommonOptions
from .exits import FAULT, INTERRUPTED, OK, USAGE, OutputClosed, UnknownName, UsageError, tell
from .outcomes import failed, show_result
from .pieces import pieces_of_prompt
from .saving import OutputFile
from .screen import Screen, forget_output
from .sources import STANDARD_INPUT
from .suggesting import check_arguments, check_names, names_of, nothing_named, suggest, unlisted

__all__ = ["commands", "main"]

T = TypeVar("T")
Arg = Annotated[
    list[str],
    Parameter(
        ("--arg", "-a"),
        negative="",
        help="KEY=VALUE, KEY:=JSON, or KEY@=FILE (- is standard input); may be repeated.",
    ),
]
Given = Annotated[str, Parameter(help="The same as --arg.")]
Save = Annotated[
    str | None,
    Parameter(
        ("--output", "-o"),
        allow_leading_hyphen=True,
        help="Write images, sounds and blobs, or a result without any, to this file, or into this FOLDER/; "
        "- is standard output.",
    ),
]
Words = Annotated[list[str] | None, Parameter(parse=False)]
_HELP: Final = """The Model Context Protocol on the command line.

TARGET is a URL (localhost:8000/mcp is one), a .py file with an App in it, a name of `dovetail servers`, or a command:
quoted as one word, or at the end after `--`, as in `dovetail call add -a a=1 -a b=2 -- python server.py`.

Secrets come from the environment: DOVETAIL_TOKEN is sent to a URL as its bearer token.

Exit codes: 0 done, 1 the tool failed, or something differs or does not pass, 2 usage, 3 no server, 4 an error of the
server, or nothing of that name, 5 no answer in time, 6 a login is needed, 70 a fault of dovetail, 130 interrupted.
"""

commands = Commands(
    "dovetail",
    help=_HELP,
    help_format="plaintext",
    version=dovetail.__version__,
    default_parameter=Parameter(show_default=lambda value: value or None),
)


#: Where the others are. Each is loaded when it is called, or when all are shown.
_ELSEWHERE: Final = {
    "auth": "authorizing:authorization",
    "bench": "bench:bench",
    "chat": "chat:chat",
    "conformance": "conformance:conformance",
    "diff": "surfaces:diff",
    "doctor": "doctor:doctor",
    "export": "exporting:export",
    "gen": "generating:gen",
    "install": "installing:install",
    "new": "new_project:new",
    "replay": "replaying:replay",
    "servers": "servers:servers",
    "snapshot": "surfaces:snapshot",
    "store": "storing:store",
    "tasks": "tasking:tasks",
    "uninstall": "installing:uninstall",
}
for _name, _place in _ELSEWHERE.items():
    commands.command(f"{__package__}.{_place}", name=_name)


@commands.command(name="run")
def run(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve the App in a Python file: on stdio, over HTTP or on a unix socket. See `dovetail run --help`."""
    from .run import main as serve

    return serve(words)


@commands.command(name="proxy")
def proxy(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve what another server offers, on another transport. See `dovetail proxy --help`."""
    from .proxy import main as serve

    return serve(words)


@commands.command(name="gateway")
def gateway(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve the servers of a configuration as one. See `dovetail gateway --help`."""
    from .gateway import main as serve

    return serve(words)


@commands.command(name="remote")
def remote(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve what a server at a URL offers on stdio, with a login. See `dovetail remote --help`."""
    from .remote import main as serve

    return serve(words)


@commands.command(name="worker")
def worker(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Work off the tasks of the App in a Python file, without serving it. See `dovetail worker --help`."""
    from .worker import main as work

    return work(words)


@commands.command(name="dev")
def dev(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Serve the App in a Python file while it is written: each save replaces it. See `dovetail dev --help`."""
    from .dev import main as serve

    return serve(words)


@commands.command(name="record")
def record(*words: Annotated[str, Parameter(allow_leading_hyphen=True)]) -> int:
    """Stand between a host and its server, and record what the two say. See `dovetail record --help`."""
    from .record import main as stand_between

    return stand_between(words)


@commands.command
def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a script that completes commands, options and files in a shell.

    bash: source <(dovetail completion bash); zsh: source <(dovetail completion zsh); fish: dovetail completion fish |
    source. Put that into the shell's own start-up file to have it always.
    """
    from .completion import script

    Screen().write(script(shell, commands, _applications().commands.values()))
    return OK


@commands.command(name="list")
async def list_all(
    target: str,
    /,
    *,
    tools: Annotated[bool, Parameter(negative="", help="Only the tools.")] = False,
    resources: Annotated[bool, Parameter(negative="", help="Only the resources.")] = False,
    templates: Annotated[bool, Parameter(negative="", help="Only the resource templates.")] = False,
    prompts: Annotated[bool, Parameter(negative="", help="Only the prompts.")] = False,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Show what a server offers: all of it, or only the kinds named."""
    session = CommandSession(target, words, common)
    every = not (tools or resources or templates or prompts)
    found: dict[str, list[Any]] = {}
    missed: DovetailError | None = None
    async with session.connected() as client:
        offered = client.server_capabilities
        for kind, wanted, source, capability in (
            ("tools", tools, client.tools, "tools"),
            ("resources", resources, client.resources, "resources"),
            ("resourceTemplates", templates, client.resource_templates, "resources"),
            ("prompts", prompts, client.prompts, "prompts"),
        ):
            if wanted or (every and (offered is None or getattr(offered, capability) is not None)):
                try:
                    found[kind] = await _gathered(source(), lenient=every)
                except RPCError as problem:  # costs this kind, not the others
                    missed = missed or problem
        info, instructions = client.server_info, client.instructions
    session.saw(item for items in found.values() for item in items)
    if common.json:
        session.screen.json(found)
    else:
        if info is not None:
            session.screen.note(f"{info.title or info.name} {info.version}", "bold")
        if instructions and every:
            session.screen.passage(instructions)
        _show_tables(session, found)
    if missed is not None:
        raise missed
    return OK


@commands.command
async def call(
    target: str,
    tool: str,
    /,
    *given: Given,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    args: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="The arguments as a JSON object; @FILE reads a file, - standard input.",
        ),
    ] = None,
    output: Save = None,
    detach: Annotated[
        bool,
        Parameter(
            negative="",
            help="Start the tool as a task, and print the handle that `dovetail tasks` takes.",
        ),
    ] = False,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Call a tool. The values of --arg become what the tool's input schema says."""
    session = CommandSession(target, words, common, tasks=True)
    told, document = _given(session, given, arg), _document(session, args)
    out = OutputFile(session.screen, output, tool)
    async with session.connected() as client:
        there = await _tools(client)
        session.saw(there or ())
        known = next((each for each in there or () if each.name == tool), None)
        names = [each.name for each in there or ()]
        schema = known.input_schema if known is not None else {}
        check_arguments(told, schema, tool)
        arguments = arguments_of(told, document, schema)
        wrong: OutputInvalid | None = None
        try:
            if detach:
                started = await client.start_tool(tool, arguments)
                if started.id:
                    return _handed_out(session, started)
                session.screen.note("the answer came at once: the server made no task of it")
                result = await started
            else:
                result = await client.call_tool(tool, arguments, progress=session.bar.report)
        except OutputInvalid as problem:
            result, wrong = problem.result, problem
        except RPCError as problem:
            if known is None and there is not None:
                raise unlisted("tool", tool, names, problem) from problem
            raise
    show_result(result, out, json=common.json)
    if wrong is not None:
        raise wrong
    if not result.is_error:
        return OK
    if known is None and there is not None:
        raise nothing_named("tool", tool, names, result.text)
    return failed(result)


@commands.command
async def read(
    target: str,
    uri: str,
    /,
    *given: Given,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    output: Save = None,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Read a resource, or a template whose variables --arg gives: read TARGET 'notes://{day}' -a day=monday.

    What is not shown on a terminal is written as it is, bytes included.
    """
    session = CommandSession(target, words, common)
    told = _given(session, given, arg)
    if told or "{" in uri:
        uri = _filled(uri, told)
    out = OutputFile(session.screen, output, uri.rpartition("/")[2])
    async with session.connected() as client:
        try:
            result = await client.read(uri)
        except RPCError as problem:
            await suggest(
                problem, uri, client.resources(), "uri", client.resource_templates(), "uri_template"
            )
            raise
    if common.json:
        out.json(result)
    else:
        out.contents(result.contents)
    return OK


@commands.command
async def prompt(
    target: str,
    name: str,
    /,
    *given: Given,
    arg: Arg = [],  # noqa: B006 - never changed; cyclopts shows it in the help
    output: Save = None,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Show the messages of a prompt."""
    session = CommandSession(target, words, common)
    arguments = texts(_given(session, given, arg))
    out = OutputFile(session.screen, output, name)
    async with session.connected() as client:
        there = await _prompts(client)
        session.saw(there)
        known = next((each for each in there if each.name == name), None)
        if known is not None:
            check_names(arguments, [each.name for each in known.arguments or ()], f"argument of {name!r}")
        try:
            result = await client.get_prompt(name, arguments)
        except RPCError as problem:
            if known is None and there:
                names = [each.name for each in there]
                raise unlisted("prompt", name, names, problem) from problem
            raise
    if common.json:
        out.json(result)
    else:
        if result.description:
            session.screen.passage(result.description)
        out.pieces(pieces_of_prompt(result))
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
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Suggest values for an argument of a prompt (REF: its name) or a variable of a resource template (REF:
    the template).

    --arg tells of other arguments that are settled already.
    """
    session = CommandSession(target, words, common)
    settled = texts(_given(session, (), arg))
    of_template = "{" in ref or "://" in ref
    known = ResourceReference(uri=ref) if of_template else PromptReference(name=ref)
    async with session.connected() as client:
        listed = (client.resource_templates(), "uri_template") if of_template else (client.prompts(), "name")
        try:
            found = await client.complete(known, argument, value, settled or None)
        except RPCError as problem:
            await suggest(problem, ref, *listed)
            raise
        if not found.values and (names := await names_of(*listed)) and ref not in names:
            raise nothing_named("template" if of_template else "prompt", ref, names, "")
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
    install()
    words, command = _divide(list(words))
    verbose = "-v" in words or "--verbose" in words
    try:
        words = parted(words) if command is None else words
        if not words or words[0] in commands.help_flags:
            for name in _ELSEWHERE:
                _ = commands[name]  # loads it, for what it says of itself
            commands.help_epilogue = epilogue(_applications())
        function, bound, ignored = commands.parse_args(words, exit_on_error=False, print_error=False)
        if "words" in ignored:
            bound.arguments["words"] = command
        elif command:
            raise UsageError("a command after -- is a target, which this command does not take")
        outcome = function(*bound.args, **bound.kwargs)
        if asyncio.iscoroutine(outcome):
            return _run(cast("Coroutine[Any, Any, int]", outcome))
        return outcome if isinstance(outcome, int) else OK
    except KeyboardInterrupt:
        return INTERRUPTED
    except CycloptsError as problem:
        tell(problem)
        return USAGE
    except OutputClosed:
        forget_output()
        return OK
    except (UsageError, UnknownName, DovetailError, OSError, ImportError) as problem:
        return tell(problem, verbose=verbose)
    except Exception as problem:  # noqa: BLE001 - a fault of ours; as it is, Python would end with 1, "the tool failed"
        problem.add_note("this is a fault of dovetail; -v shows where")
        tell(problem, verbose=verbose)
        return FAULT


def _run(command: Coroutine[Any, Any, int]) -> int:
    """Run a command to its end. A signal that ends programs ends it as Ctrl-C does, so that what it began ends as well:
    a server that it started need not read its standard input.
    """
    told: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        signal.raise_signal(signal.SIGINT)

    ending = [
        each
        for each in (signal.SIGTERM, getattr(signal, "SIGHUP", None))
        if each is not None and signal.getsignal(each) is signal.SIG_DFL
    ]
    if threading.current_thread() is not threading.main_thread():
        ending = []  # whoever has the process, and other threads, hears of its signals
    for each in ending:
        signal.signal(each, end)
    try:
        return asyncio.run(command)
    except KeyboardInterrupt:
        if not told:
            raise
        return 128 + told[0]
    finally:
        for each in ending:
            signal.signal(each, signal.SIG_DFL)


def _applications() -> Installed:
    """The commands of applications; what is wrong with others is told on standard error."""
    found = installed()
    for each in found.refused.values():
        say(f"dovetail: {one_line(each)}")
    return found


def _divide(words: list[str]) -> tuple[list[str], list[str] | None]:
    """The words for us, and the command after ``--``, whose place as TARGET it then takes."""
    if "--" not in words or words[:1] in (["run"], ["worker"], ["dev"], ["record"]):
        return words, None
    at = words.index("--")
    ours, command = words[:at], words[at + 1 :]
    if not command or not ours:
        return words, None
    place = {
        "diff": len(ours),
        "tasks": 2,
        "export": 2,
        "replay": 2,
        "install": 2,
        "servers": 3,
    }.get(ours[0], 1)
    return [*ours[:place], command[0], *ours[place:]], command


async def _gathered(items: AsyncIterator[T], *, lenient: bool) -> list[T]:
    try:
        return [item async for item in items]
    except MethodNotFound:
        if lenient:
            return []
        raise


def _show_tables(session: CommandSession, found: dict[str, list[Any]]) -> None:
    shown = [kind for kind, items in found.items() if items]
    for kind in shown:
        session.screen.show(tables.shown(kind, found[kind], session.screen.out.width))
    if not shown:
        session.screen.note("the server offers nothing of that")


def _given(session: CommandSession, words: Sequence[str], arg: Sequence[str]) -> list[Pair]:
    """The pairs given as words and by ``--arg``. A value that other tools would read as a file is remarked on."""
    found = pairs([*words, *arg], session.sources)
    for pair in found:
        if pair.file is None and pair.value[:1] == "@" and Path(pair.value[1:]).is_file():
            session.screen.note(
                f"{pair.key} is the text {pair.value!r}; {pair.key}@={pair.value[1:]} reads the file"
            )
    return found


def _handed_out(session: CommandSession, started: StartedCall) -> int:
    from .tasking import handed_out  # which loads more than a call needs

    return handed_out(session, started)


def _document(session: CommandSession, args: str | None) -> dict[str, Any]:
    """``--args``: a JSON object, here or elsewhere."""
    if args is None:
        return {}
    if args == STANDARD_INPUT or args.startswith("@"):
        args = session.sources.text(args.removeprefix("@"), "--args")
    return object_of(args)


async def _tools(client: Client) -> list[Tool] | None:
    """The tools; None if the server can't list them, in which case they can be called all the same."""
    try:
        return [each async for each in client.tools()]
    except RPCError as problem:
        if isinstance(problem, MethodNotFound):
            return []
        return None


async def _prompts(client: Client) -> list[Prompt]:
    try:
        return [each async for each in client.prompts()]
    except RPCError:
        return []


def _filled(template: str, given: Sequence[Pair]) -> str:
    """The URI that a template means with its variables given. Raises `UsageError`."""
    try:
        parsed = URITemplate(template, expand_only=True)
        check_names((pair.key for pair in given), parsed.variables, f"variable of {template!r}")
        values = variables_of(given)
        if missing := [name for name in _needed(template) if name not in values]:
            raise UsageError(
                f"{template!r} is a template; give {' '.join(f'-a {name}=...' for name in missing)}"
            )
        return parsed.expand(values)
    except ValueError as problem:
        raise UsageError(str(problem)) from None


def _needed(template: str) -> list[str]:
    """The variables that a URI can't do without: all but those of its query and fragment."""
    parts = [part for part in parse(template) if isinstance(part, Expression)]
    return [spec.name for part in parts if part.operator not in ("?", "&", "#") for spec in part.specs]
