"""``dovetail tasks``: calls that were started as tasks, and are looked at, waited for or cancelled later.

A task is named by the handle that ``dovetail call --detach`` printed, or by the id that a server of 2025-11-25 lists it
under. At some servers a handle is all that is needed to get the result, so it may come from standard input, which other
users can't see.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final

try:
    from cyclopts import App as Commands
    from cyclopts import Parameter
    from rich import box
    from rich.table import Table
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..client import CallStatus, Client, OutputInvalid, StartedCall
from ..protocol.errors import FeatureUnavailable
from ..protocol.safe_text import in_place, safe
from .connecting import CommandSession, CommonOptions
from .exits import OK
from .outcomes import failed, show_result
from .saving import OutputFile
from .sources import STANDARD_INPUT

__all__ = ["handed_out", "tasks"]

Words = Annotated[list[str] | None, Parameter(parse=False)]
Handle = Annotated[
    str,
    Parameter(
        allow_leading_hyphen=True,
        help="What `dovetail call --detach` printed, or an id of `dovetail tasks list`; - is standard input.",
    ),
]
_COLUMNS: Final = ("Id", "Status", "Message", "Updated")

tasks = Commands("tasks", help="Look at tasks that were started, wait for them, and cancel them.")


@tasks.command(name="list")
async def list_all(target: str, /, *, common: CommonOptions = CommonOptions(), words: Words = None) -> int:
    """Show all tasks that the server has of this caller. Only revision 2025-11-25 has such a list."""
    from ..extensions.tasks.listing import list_tasks

    session = CommandSession(target, words, common, tasks=True)
    async with session.connected() as client:
        try:
            found = await list_tasks(client)
        except FeatureUnavailable as problem:
            problem.add_note("where the server speaks it, -r 2025-11-25 asks for its list")
            raise
    if common.json:
        session.screen.json({"tasks": [_plain(each) for each in found]})
    elif found:
        session.screen.show(_table(found))
    else:
        session.screen.note("there are no tasks")
    return OK


@tasks.command
async def show(
    target: str, handle: Handle, /, *, common: CommonOptions = CommonOptions(), words: Words = None
) -> int:
    """Show how a task is."""
    session, text = _session(target, handle, common, words)
    async with session.connected() as client:
        status = await _reopened(client, text).status()
    if common.json:
        session.screen.json(_plain(status))
    else:
        for name, value in _plain(status).items():
            session.screen.line(f"{name}: {value}")
    return OK


@tasks.command
async def wait(
    target: str,
    handle: Handle,
    /,
    *,
    output: Annotated[
        str | None,
        Parameter(
            ("--output", "-o"),
            allow_leading_hyphen=True,
            help="Write images, sounds and blobs, or a result without any, to this file, or into this FOLDER/; "
            "- is standard output.",
        ),
    ] = None,
    common: CommonOptions = CommonOptions(),
    words: Words = None,
) -> int:
    """Wait for a task, however long it takes, and show its result as `dovetail call` does; what it asks is asked here.

    Ctrl-C ends the waiting; the task goes on.
    """
    session, text = _session(target, handle, common, words)
    wrong: OutputInvalid | None = None
    async with session.connected() as client:
        started = _reopened(client, text)
        out = OutputFile(session.screen, output, started.tool or "task")
        try:
            result = await started.result(timeout=None, progress=session.bar.report)
        except OutputInvalid as problem:
            result, wrong = problem.result, problem
    show_result(result, out, json=common.json)
    if wrong is not None:
        raise wrong
    return failed(result) if result.is_error else OK


@tasks.command
async def cancel(
    target: str, handle: Handle, /, *, common: CommonOptions = CommonOptions(), words: Words = None
) -> int:
    """Ask the server to stop a task. Whether it does is the server's to say: see `dovetail tasks show`."""
    session, text = _session(target, handle, common, words)
    async with session.connected() as client:
        await _reopened(client, text).cancel()
    return OK


def handed_out(session: CommandSession, started: StartedCall) -> int:
    """Print the handle of a call that was started, and nothing else on standard output."""
    if session.common.json:
        session.screen.json({"id": started.id, "handle": started.save()})
    else:
        session.screen.line(started.save())
        session.screen.note("wait for it with `dovetail tasks wait TARGET HANDLE`")
    return OK


def _session(
    target: str, handle: str, common: CommonOptions, words: Sequence[str] | None
) -> tuple[CommandSession, str]:
    session = CommandSession(target, words, common, tasks=True)
    text = session.sources.text(STANDARD_INPUT, "HANDLE") if handle == STANDARD_INPUT else handle
    return session, text.strip()


def _reopened(client: Client, text: str) -> StartedCall:
    """What goes on with a task, by its handle or its id."""
    from ..extensions.tasks.handles import handle_of, is_saved

    return client.reopen(text) if is_saved(text) else handle_of(client, text)


def _plain(status: CallStatus) -> dict[str, Any]:
    """What is known of a task, without what the server does not say."""
    found: dict[str, Any] = {"id": status.id, "status": status.status, "message": status.message}
    found |= {"created": status.created, "updated": status.updated, "ttl": status.ttl, "poll": status.poll}
    return {
        name: value.isoformat() if name in ("created", "updated") else value
        for name, value in found.items()
        if value not in (None, "")
    }


def _table(found: Sequence[CallStatus]) -> Table:
    table = Table(
        title=Text(f"Tasks ({len(found)})", style="bold"), title_justify="left", box=box.SIMPLE_HEAD
    )
    for number, each in enumerate(_COLUMNS):
        table.add_column(each, overflow="fold", style="" if number else "cyan")
    for each in found:
        updated = "" if each.updated is None else each.updated.isoformat()
        table.add_row(
            Text(in_place(each.id)), Text(safe(each.status)), Text(safe(each.message)), Text(safe(updated))
        )
    return table
