"""Lets a process die at each write that a task makes, one process for each, and others go on: ``crash_process.py URL
FOLDER TOOL``.

All processes are forked from this one, which has imported everything and begun nothing: the first of them, which does
not die, tells it what there is to import. What happened to the task of each is in a file in FOLDER, named by when its
first process died; lines begin with what they tell of.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

from crash_app import DECLARED, REVISION, answer, app_of, writer  # noqa: E402 - found where this file is
from dying_store import Death, DyingStore  # noqa: E402 - as above

from dovetail.security.principal import ANONYMOUS  # noqa: E402 - as above
from dovetail.stores.urls import open_store  # noqa: E402 - as above
from wire_of_server import Wire  # noqa: E402 - as above

#: Long enough that no process of a busy machine loses one while it lives.
LEASE = 3.0
AT_ONCE = 4
MOST = 40
#: Processes that came to their end before they would have died: how many writes there are differs a little.
BEYOND = 4


def lines_of(path: Path) -> list[str]:
    """What was told so far."""
    return path.read_text().splitlines() if path.exists() else []


async def drive(url: str, path: Path, tool: str, death: Death | None) -> None:
    """Call the tool, or go on with the task that the file tells of, until it has ended."""
    say, told = writer(path), lines_of(path)
    store = DyingStore(open_store(url), death, lambda line: say(f"wrote {line}"))
    app = app_of(path.name, store, say, room=4, lease=LEASE)  # type: ignore[arg-type] - a store, by its parts
    wire = Wire(app, REVISION, DECLARED)
    await wire.open()
    known = [line.split()[1] for line in told if line.startswith("task ")]
    if known:
        id = known[-1]
    else:
        key = f"k{sum(line.startswith('calls ') for line in told) + 1}"
        say(f"calls {key}")
        id = (await wire.result("tools/call", {"name": tool, "arguments": {"key": key}}))["taskId"]
        say(f"task {id} {key}")
    await follow(wire, id, say)
    for record in await store.tasks.list(ANONYMOUS.key, limit=1000):
        if not record.queue.startswith(f"{path.name}/"):
            continue  # another process's
        say(f"kept {record.status} {json.dumps(json.loads(record.data).get('used', []))} {record.id}")
    await wire.close()
    await app.service.stop()
    await store.aclose()


async def follow(wire: Wire, id: str, say: Any) -> None:
    """Answer what the task asks, until it has ended."""
    async with asyncio.timeout(30):
        while True:
            task = await wire.result("tasks/get", {"taskId": id})
            if task["status"] == "input_required":
                keys = list(task["inputRequests"])
                say(f"asked {json.dumps(keys)}")
                await wire.result(
                    "tasks/update", {"taskId": id, "inputResponses": {key: answer("sea") for key in keys}}
                )
                say("answered")
            elif task["status"] != "working":
                say(f"ended {task['status']} {json.dumps(task.get('result') or task.get('error'))}")
                return
            await asyncio.sleep(0.02)


def begin(url: str, path: Path, tool: str, death: Death | None, imported: Path | None = None) -> int:
    """Fork a process that drives; gives its id. ``imported``: where it tells which modules it has come to import."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        asyncio.run(drive(url, path, tool, death))
        if imported is not None:
            imported.write_text("\n".join(sys.modules))
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the file tells of it, and the process has no other end
        writer(path)(traceback.format_exc())
    finally:
        os._exit(status)


def import_all(url: str, folder: Path, tool: str) -> None:
    """Import here what a process imports that lives to its end: hundreds of them would each do it again."""
    imported = folder.with_name("imported")
    os.waitpid(begin(url, folder / f"{tool}-00-never", tool, None, imported), 0)
    for name in imported.read_text().splitlines():
        with suppress(ImportError):  # a few are made by others, and found nowhere
            importlib.import_module(name)
    gc.freeze()


def main(url: str, folder: Path, tool: str) -> None:
    """Let a process die before and after its first write, its second and so on, until they have no such write."""
    import_all(url, folder, tool)
    waiting = [Death(write, when) for write in range(1, MOST) for when in ("before", "after")]
    running: dict[int, tuple[Path, Death | None]] = {}
    beyond = 0
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            death = waiting.pop(0)
            path = folder / f"{tool}-{death.write:02}-{death.when}"
            running[begin(url, path, tool, death)] = (path, death)
        child, ended = os.wait()
        path, death = running.pop(child)
        if os.WIFSIGNALED(ended):
            writer(path)("died")
            running[begin(url, path, tool, None)] = (path, None)
        elif death is not None:  # it had fewer writes
            beyond += 1
            if beyond >= BEYOND:
                waiting = []
        elif os.WEXITSTATUS(ended):
            writer(path)("stuck")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
