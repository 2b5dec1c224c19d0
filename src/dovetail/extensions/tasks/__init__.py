"""Tasks: work that goes on when its request has been answered, and is there after a crash.

Theory of operation. `tasks` gives a value that is given to an app, to a client, or to both. At an app, tools with
``task="optional"`` or ``"required"`` run as tasks: of revision 2025-11-25, which has them itself, and of the extension
io.modelcontextprotocol/tasks since 2026-07-28, from one declaration. A task is a record in the app's store
(`server_tasks`). An engine says when and where it runs (`engine`; our own is `worker`); to run it is to send its call
again (`runner`, `running`) over what was answered and done (`records`).

Specification: the extension io.modelcontextprotocol/tasks; 2025-11-25, basic/utilities/tasks.
"""

from typing import Final

from dovetail.extensions import Extension, ExtensionMethod, ExtensionNotice, TaskOptions
from dovetail.revisions import PROFILES, Feature
from dovetail.stores import Store

from . import names
from .client import client_parts
from .engine import DueTask, SubmitTask, TaskEngine, TaskRunner
from .needs import is_able
from .notified import Notified
from .requesting import TaskRequestor
from .serving import TaskServer

__all__ = ["DueTask", "SubmitTask", "TaskEngine", "TaskOptions", "TaskRunner", "tasks"]

_EXTENDED: Final = tuple(each.revision for each in PROFILES.values() if each.declares_extensions)
_WITH_TASKS: Final = tuple(each.revision for each in PROFILES.values() if each.has(Feature.TASKS))


def tasks(
    *,
    store: Store | None = None,
    room: int = 100,
    max_unended: int = 100,
    lease: float = 30.0,
    engine: TaskEngine | None = None,
    question_ttl: float | None = None,
    max_polls: int | None = 100,
) -> Extension:
    """What runs tools as tasks, for ``App(extensions=[tasks()])``, and waits for tasks, for
    ``Client(extensions=[tasks()])``.

    ``store``: where tasks are kept (default: the app's; without one they end with the process). ``room``: how many
    tasks this process runs at a time, 0 to run none and leave them to other processes. ``max_unended``: how many of one
    caller's may go on at a time. ``lease``: seconds after which the tasks of a process that died are gone on with by
    others. ``question_ttl``: what handlers ask clients that take questions as tasks (2025-11-25) is asked so, and has
    that many seconds to be answered (default: questions are plain requests). ``max_polls``: how many times at once a
    task may be looked at, and in the long run twice as often as its caller was told to; more is refused with -31429.
    None: as often as anybody likes. ``engine``: what decides when and where tasks run (default: our own, by the store
    alone). Raises ValueError.
    """
    _check(room=room, max_unended=max_unended, lease=lease, question_ttl=question_ttl, max_polls=max_polls)
    notified = Notified()
    requestor = TaskRequestor(question_ttl, notified)
    server = TaskServer(
        store=store,
        room=room,
        max_unended=max_unended,
        lease=lease,
        max_polls=max_polls,
        requestor=requestor,
        notified=notified,
        engine=engine,
    )
    both = (*_WITH_TASKS, *_EXTENDED)
    return Extension(
        identifier=names.EXTENSION,
        methods=[
            ExtensionMethod(
                name=names.GET, answer=server.get, subject=names.TASK_ID, repeatable=True, revisions=both
            ),
            ExtensionMethod(
                name=names.CANCEL,
                answer=server.cancel,
                subject=names.TASK_ID,
                repeatable=True,
                revisions=both,
            ),
            ExtensionMethod(name=names.UPDATE, answer=server.update, subject=names.TASK_ID, repeatable=True),
            ExtensionMethod(
                name=names.RESULT,
                answer=server.result,
                declared=False,
                repeatable=True,
                revisions=_WITH_TASKS,
            ),
            ExtensionMethod(
                name=names.LIST, answer=server.list, declared=False, repeatable=True, revisions=_WITH_TASKS
            ),
        ],
        wrappers={} if question_ttl is None else dict.fromkeys(names.ASKING, requestor.around),
        around_tool=server.around_tool,
        capabilities=server.capabilities,
        lifespan=server.lifespan,
        ending=server.ending,
        may_listen=server.may_listen,
        may_tell=is_able,
        **client_parts(ExtensionNotice(name=names.NOTIFY_STATUS, sender="client", handler=server.told)),
    )


def _check(
    *, room: int, max_unended: int, lease: float, question_ttl: float | None, max_polls: int | None
) -> None:
    """Raise ValueError for options that make no sense."""
    if room < 0 or max_unended < 1 or not lease > 0:
        raise ValueError("room is at least 0, max_unended at least 1, and lease above 0 seconds")
    if question_ttl is not None and not question_ttl > 0:
        raise ValueError("question_ttl is above 0 seconds, or None")
    if max_polls is not None and max_polls < 1:
        raise ValueError("max_polls is at least 1, or None")
