"""One cell of the matrix, run: a server and a driver, both processes, and what the driver says.

Theory of operation: everything that is started gets the path of the cell's own folder among its arguments.
When the driver has ended, no process may be left that has it; those that are left are killed, and the step
"close" has failed. Over HTTP the server is ours to start: on a port of the loopback interface that was free
a moment ago, and anew on another if it was taken meanwhile. Over stdio the driver starts it. Everything is
bounded in time.

Follows: no page of the specification.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from interop.installing import HERE, ROOT, Peers
from interop.steps import STATELESS, STEPS, WORKS, Cell
from interop.task_steps import TASK_STEPS

DRIVER_SECONDS = 75.0
START_SECONDS = 30.0
END_SECONDS = 8.0
SERVER = "server"
NOT_REACHED = "not reached"


@dataclass(frozen=True)
class Script:
    """What a conversation is about: its steps, and what the programs that hold it are called."""

    steps: tuple[str, ...]
    client: str
    server: str

    @property
    def our_client(self) -> str:
        """Our driver."""
        return str(HERE / f"our_{self.client}.py")

    @property
    def our_server(self) -> str:
        """Our server."""
        return str(HERE / f"our_{self.server}.py")


ALL = Script(STEPS, "client", "server")
TASKS = Script(TASK_STEPS, "task_client", "task_server")


class ServerDidNotStart(Exception):
    """A server over HTTP never listened."""


@dataclass
class Outcome:
    """What came of a cell: of each step `WORKS` or what went wrong; our side's frames; what was said."""

    steps: dict[str, str] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    wire: list[Path] = field(default_factory=list)
    said: str = ""
    killed: bool = False

    def take(self, lines: str) -> None:
        """Note what the driver printed."""
        for line in lines.splitlines():
            told = json.loads(line)
            self.details[told["step"]] = told["detail"]
            self.steps[told["step"]] = WORKS if told["works"] else told["detail"] or "failed without a word"

    def keep(self, folder: Path) -> None:
        """Note the frames and logs that a conversation left."""
        self.wire = sorted(folder.glob("*.wire"))
        self.said += "".join(
            f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}\n" for log in folder.glob("*.log")
        )


def converse(
    cell: Cell,
    peers: Peers,
    folder: Path,
    script: Script = ALL,
    variables: Mapping[str, str] | None = None,
    talk: Path | None = None,
) -> Outcome:
    """Run a cell in a folder of its own. ``variables``: more of the server's environment, over HTTP. ``talk``: where
    our side, whichever it is, records the conversation.
    """
    outcome = Outcome(dict.fromkeys(script.steps, NOT_REACHED))
    server = server_command(cell, peers, folder, script, talk)
    driver = driver_command(cell, peers, folder, script, talk)
    if cell.transport == "stdio":
        # The folder marks the process; our server has it in --wire, and the others let it pass.
        given = server if cell.role == "client" else [*server, str(folder)]
        said = drive([*driver, "--command", json.dumps(given)], cell, folder)
    else:
        with serving(server, cell, folder, outcome, variables) as port:
            said = drive([*driver, "--url", f"http://127.0.0.1:{port}{path_of(cell)}"], cell, folder)
    outcome.take(said)
    left = left_over(str(folder))
    if left:
        outcome.steps["close"] = f"left {len(left)} processes behind: {'; '.join(left)}"
    elif outcome.killed and cell.role == "client":
        outcome.steps["close"] = f"our server did not end within {END_SECONDS} s of being asked to"
    outcome.keep(folder)
    return outcome


def crowd(guests: list[Cell], peers: Peers, folder: Path) -> Outcome:
    """Several clients at once, in both eras, at one server of ours; the steps that failed, by client and step."""
    outcome = Outcome()
    host = Cell("mcp", "client", "http", STATELESS)

    def visit(guest: Cell) -> Outcome:
        room = folder / str(guest)
        room.mkdir()
        one = Outcome(dict.fromkeys(STEPS, NOT_REACHED))
        one.take(drive([*driver_command(guest, peers, room), "--url", url], guest, room))
        return one

    with serving(server_command(host, peers, folder), host, folder, outcome) as port:
        url = f"http://127.0.0.1:{port}{path_of(host)}"
        with ThreadPoolExecutor(len(guests)) as pool:
            for guest, one in zip(guests, pool.map(visit, guests), strict=True):
                failed = {step: came for step, came in one.steps.items() if came != WORKS}
                outcome.steps.update({f"{guest} {step}": came for step, came in failed.items()})
    left_over(str(folder))
    outcome.wire = sorted(folder.glob("*.wire"))
    return outcome


def server_command(
    cell: Cell, peers: Peers, folder: Path, script: Script = ALL, talk: Path | None = None
) -> list[str]:
    """The server's command; over HTTP the port is still to come. ``talk``: where ours records."""
    names = {"everything": {"http": "streamableHttp"}}
    transport = names.get(cell.peer, {}).get(cell.transport, cell.transport)
    if cell.role == "client":
        wire = ["--wire", str(folder / "server.wire"), *recording(talk)]
        return [sys.executable, script.our_server, *wire, "--revisions", *cell.offered, "--", cell.transport]
    return [*peers.command(cell.peer, script.server), transport]


def path_of(cell: Cell) -> str:
    """Where a server serves over HTTP; ours has the old transport below the path of the new one."""
    if cell.transport == "http":
        return "/mcp"
    return "/mcp/sse" if cell.role == "client" else "/sse"


def driver_command(
    cell: Cell, peers: Peers, folder: Path, script: Script = ALL, talk: Path | None = None
) -> list[str]:
    """The client's command, up to where the server is. ``talk``: where ours records."""
    if cell.role == SERVER:
        wire = ["--wire", str(folder / "client.wire"), *recording(talk)]
        command = [sys.executable, script.our_client, *wire]
        if cell.peer == "everything":
            command.append("--everything")
    else:
        command = peers.command(cell.peer, script.client)
    probe = ["--probe"] if cell.probe else []
    return [*command, "--transport", cell.transport, "--revision", cell.negotiated, *probe]


def recording(talk: Path | None) -> list[str]:
    """What has our side record its conversation."""
    return [] if talk is None else ["--record", str(talk)]


def drive(command: list[str], cell: Cell, folder: Path) -> str:
    """Run the driver and give what it printed; what it had printed, if it had to be killed."""
    out = folder / "driver.out"
    with (
        out.open("wb") as stdout,
        (folder / "driver.log").open("wb") as stderr,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        ) as process,
    ):
        try:
            process.wait(DRIVER_SECONDS)
        except BaseException as error:
            kill_group(process)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            stderr.write(f"killed: not done after {DRIVER_SECONDS} s\n".encode())
    return "\n".join(line for line in out.read_text(errors="replace").splitlines() if line.startswith("{"))


@contextlib.contextmanager
def serving(
    command: list[str],
    cell: Cell,
    folder: Path,
    outcome: Outcome,
    variables: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """A server over HTTP for as long as it is needed, and its port. ``variables``: more of its environment."""
    for attempt in range(3):
        port = free_port()
        with (
            (folder / f"server{attempt or ''}.log").open("wb") as log,
            subprocess.Popen(
                command if cell.peer == "everything" else [*command, str(port)],
                cwd=ROOT,
                env=environment() | {"PORT": str(port)} | dict(variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ) as process,
        ):
            try:
                if listens(process, port):
                    yield port
                    return
            finally:
                outcome.killed = not stop(process)
    raise ServerDidNotStart((folder / "server.log").read_text(errors="replace")[-3000:])


def environment() -> dict[str, str]:
    """The environment of what is started: no colours, no proxies, our package from the tree."""
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    path = os.pathsep.join((str(ROOT / "src"), str(HERE / "peers")))
    return kept | {"NO_COLOR": "1", "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def free_port() -> int:
    """A port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until the server accepts connections; False if it has ended instead."""
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            if is_listener(process, port):
                return True
        time.sleep(0.05)
    return False


def is_listener(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it is this process, or one that it started, that listens there: another may have been quicker to take the
    port. Only Linux tells; elsewhere it is.
    """
    tables = [table for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")) if table.exists()]
    if not tables:
        return True
    lines = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    wanted = {f"socket:[{each[9]}]" for each in lines if each[1].endswith(f":{port:04X}") and each[3] == "0A"}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if os.getpgid(int(entry.name)) == process.pid:
                for file in (entry / "fd").iterdir():
                    with contextlib.suppress(OSError):
                        if os.readlink(file) in wanted:
                            return True
    return False


def stop(process: subprocess.Popen[bytes]) -> bool:
    """End a server as its operator would, and then in any case; False if it took that."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(END_SECONDS)
    ended = process.poll() is not None
    kill_group(process)
    return ended


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started in its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def left_over(mark: str) -> list[str]:
    """The commands of processes that bear the mark after a while; they are killed."""
    until = time.monotonic() + END_SECONDS
    while (found := marked(mark)) and time.monotonic() < until:
        time.sleep(0.05)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return list(found.values())


def marked(mark: str) -> dict[int, str]:
    """The processes with the mark among their arguments. Only Linux tells; elsewhere none are found."""
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if mark in command and (pid := int(entry.parent.name)) != os.getpid():
                found[pid] = command.strip()
    return found
