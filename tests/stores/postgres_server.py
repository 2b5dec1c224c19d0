"""A PostgreSQL of the tests' own: its folder, its port on the loopback interface, its end.

Theory of operation
-------------------
`PostgresServer` makes a cluster in a folder of its own and runs the engine in the foreground. The engine refuses to
run as root, so where the tests are root it runs as another user, who owns the folder. A test that hurts its server
(kills, stops, fills it) makes one for itself; all others share one for the session and have a schema each. What initdb
makes is kept under ``.cache/postgres`` and copied: that takes a fifth of the time.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import pwd
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

PASSWORD = "correct horse"  # with a space: URLs have to quote it
QUOTED = "correct%20horse"
WAIT = 30.0
MADE = Path(__file__).resolve().parents[2] / ".cache" / "postgres"
INITDB = ("-U", "owner", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync")


def folder_of_programs() -> Path | None:
    """Where initdb and postgres are, the newest version first."""
    found = shutil.which("initdb")
    if found and shutil.which("postgres", path=str(Path(found).resolve().parent)):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[-3]))
    return versions[-1].parent if versions else None


PROGRAMS = folder_of_programs()
needs_postgres = pytest.mark.skipif(
    PROGRAMS is None, reason="no-postgres: the machine has no PostgreSQL to start"
)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


class PostgresServer:
    """One engine. `settings` as in postgresql.conf."""

    def __init__(self, *, settings: Sequence[str] = ()) -> None:
        assert PROGRAMS is not None
        self.folder = Path(tempfile.mkdtemp(prefix="dovetail-pg-"))
        self.data = self.folder / "data"
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.user: str | None = None
        if os.geteuid() == 0:
            self.user = "postgres" if _is_user("postgres") else "nobody"
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        self._make_data()
        lines = [
            "listen_addresses = '127.0.0.1'",
            f"port = {self.port}",
            f"unix_socket_directories = '{self.folder}'",
            "shared_buffers = 32MB",
            "logging_collector = off",
            # What it has confirmed is in the system's hands when it is killed, and no test cuts the power.
            "fsync = off",
            "full_page_writes = off",
            *settings,
        ]
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write("\n".join(lines) + "\n")
        self.log = self.folder / "log"

    def _make_data(self) -> None:
        """A copy of what initdb made for this version and this user; made now, if it never was."""
        assert PROGRAMS is not None
        version = subprocess.run(
            [str(PROGRAMS / "initdb"), "--version"], check=True, capture_output=True
        ).stdout
        asked = repr((version, self.user or os.geteuid(), PASSWORD, INITDB))
        made = MADE / hashlib.sha256(asked.encode()).hexdigest()[:16]
        if not made.is_dir():
            MADE.mkdir(parents=True, exist_ok=True)
            with (MADE / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not made.is_dir():
                    self._keep_new_data(made)
        subprocess.run(["cp", "-Rp", str(made), str(self.data)], check=True)

    def _keep_new_data(self, made: Path) -> None:
        """Run initdb in this folder, which its user may write to, and put what it made where it is kept."""
        secret, new, part = self.folder / "password", self.folder / "new", made.with_suffix(".part")
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._run("initdb", "-D", str(new), f"--pwfile={secret}", *INITDB)
        shutil.rmtree(part, ignore_errors=True)
        subprocess.run(["cp", "-Rp", str(new), str(part)], check=True)
        part.rename(made)
        shutil.rmtree(new)

    @property
    def url(self) -> str:
        """The URL of its database."""
        return f"postgresql://owner:{QUOTED}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def _command(self, program: str, *arguments: str) -> list[str]:
        assert PROGRAMS is not None
        words = [str(PROGRAMS / program), *arguments]
        return ["setpriv", f"--reuid={self.user}", "--clear-groups", *words] if self.user else words

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._command(program, *arguments), check=False, capture_output=True, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Run it, and wait until it takes connections."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._command("postgres", "-D", str(self.data)),
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
            )  # fmt: skip
        give_up = time.monotonic() + WAIT
        # Of what it says of itself, the last line says whether it takes connections.
        while not (self.data / "postmaster.pid").exists() or "ready" not in self._state():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < give_up, self.log.read_text()
            time.sleep(0.02)

    def _state(self) -> str:
        with suppress(OSError):
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            assert self.process is not None
            if lines[0] == str(self.process.pid):
                return lines[7] if len(lines) > 7 else ""
        return ""

    def _halted(self) -> list[int]:
        """The engine's processes, the first one first and stopped, so that it starts no others."""
        assert self.process is not None
        first = self.process.pid
        os.kill(first, signal.SIGSTOP)
        give_up = time.monotonic() + WAIT
        # A process that was told to stop may be in the middle of starting another.
        while Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[0] not in "Tt":
            assert time.monotonic() < give_up, "the engine does not stop"
            time.sleep(0.001)
        children = Path(f"/proc/{first}/task/{first}/children")
        return [first, *(int(each) for each in children.read_text().split())]

    def pause(self) -> None:
        """Stop all of it where it stands."""
        for each in self._halted():
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for each in reversed(self._halted()):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would end it: at once, all of its processes. What is left of one, its memory above all,
        is gone when this returns.
        """
        assert self.process is not None
        ends: list[int] = []
        try:
            for each in self._halted():
                with suppress(ProcessLookupError):
                    ends.append(os.pidfd_open(each))
                    os.kill(each, signal.SIGKILL)
            for each in ends:
                assert select.select([each], [], [], WAIT)[0], "a process of the engine does not end"
        finally:
            for each in ends:
                os.close(each)
        self.process.wait()
        self.process = None

    def stop(self) -> None:
        """End it quickly, in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(WAIT)
        self.process = None

    def remove(self) -> None:
        """End it and leave nothing."""
        with suppress(subprocess.TimeoutExpired):
            self.stop()
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def clear(self) -> None:
        """Have nothing in the store of the schema that `durable_server` made."""
        self.sql(
            "TRUNCATE dovetail.kv, dovetail.kv_used, dovetail.session, dovetail.stream, dovetail.event,"
            " dovetail.message, dovetail.task, dovetail.task_step; UPDATE dovetail.task_size SET tasks = 0"
        )

    def sql(self, *statements: str) -> str:
        """What the engine's own client says of some statements, a line for each that says something."""
        url = f"postgresql://owner:{QUOTED}@127.0.0.1:{self.port}/postgres"
        done = subprocess.run(
            self._command(
                "psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", url,
                *(word for each in statements for word in ("-c", each)),
            ),
            check=False, capture_output=True, text=True, cwd=self.folder,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


async def migrated(server: PostgresServer, schema: str) -> str:
    """Make the schema of a store, and give the URL."""
    from dovetail.stores.postgres.migrating import migrate

    await migrate(server.url, schema=schema)
    return server.url


def durable_server() -> Iterator[PostgresServer]:
    """The body of a fixture: a server that may be hurt, keeps what it acknowledged, and has a schema."""
    server = PostgresServer()
    try:
        server.start()
        asyncio.run(migrated(server, "dovetail"))
        yield server
    finally:
        server.remove()


async def until(condition: object, *, seconds: float = WAIT) -> None:
    """Look again and again until something is so."""
    assert callable(condition)
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not come to that"
        await asyncio.sleep(0.01)
