"""Processes under measurement: started on a core of their own, watched through ``/proc``, ended for certain.

Theory of operation: each is started in a process group of its own and asks the kernel to be killed with its
parent, so nothing outlives a run, however it ends. What a process costs is read from outside: its CPU clock
by ``clock_gettime`` (nanoseconds, threads that ended included), its memory from ``/proc/PID/status``. What
it says goes to a file and is shown only if it fails. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

PATIENCE = 90.0
_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_running: set[Process] = set()


class Broken(Exception):
    """A process failed, or answered what it should not."""


class Process:
    """A process of ours. ``cores``: those it may run on. ``piped``: its standard streams are pipes to us."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str],
        cores: Iterable[int] | None,
        log: Path,
        piped: bool = False,
    ) -> None:
        mask = None if cores is None else set(cores)
        #: Whether none of its cores is ours.
        self.apart = mask is not None and mask.isdisjoint(os.sched_getaffinity(0))
        parent = os.getpid()

        def prepare() -> None:
            _libc.prctl(_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)
            if mask is not None:
                os.sched_setaffinity(0, mask)

        log.parent.mkdir(parents=True, exist_ok=True)
        self.command = " ".join(str(part) for part in command)
        self.log = log
        stream = subprocess.PIPE if piped else subprocess.DEVNULL
        self.started = time.perf_counter()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env=dict(environment),
                stdin=stream,
                stdout=subprocess.PIPE if piped else errors,
                stderr=errors,
                bufsize=0,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - no thread is running
            )
        _running.add(self)

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    @property
    def stdin(self) -> IO[bytes]:
        """Where it reads. Only if piped."""
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where it writes. Only if piped."""
        assert self._process.stdout is not None
        return self._process.stdout

    def wait_for_port(self, port: int) -> float:
        """Wait until it accepts connections; gives the seconds since its start. Raises `Broken`."""
        while time.perf_counter() - self.started < PATIENCE:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return time.perf_counter() - self.started
            time.sleep(0.01)
        raise Broken(f"{self.command} did not listen within {PATIENCE:.0f} s{self.said()}")

    def check(self) -> None:
        """Raises `Broken` if it has ended."""
        if self._process.poll() is not None:
            raise Broken(f"{self.command} ended with {self._process.returncode}{self.said()}")

    def said(self) -> str:
        """The last of what it said, on lines of their own."""
        lines = self.log.read_text("utf-8", "replace").strip().splitlines()[-12:]
        return "".join(f"\n  {line[:300]}" for line in lines)

    def cpu(self) -> float:
        """Seconds of CPU used so far, by it and its children."""
        return sum(_cpu(pid) for pid in (self.pid, *_children(self.pid)))

    def memory(self) -> int:
        """Bytes of memory that are its own now: resident, without what is shared with others."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise Broken("the kernel does not tell what is private")

    def resident(self) -> int:
        """Bytes resident now."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most bytes resident since the start, or since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        """Let `peak` begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status(self, name: str) -> int:
        self.check()
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise Broken(f"{self.command} is ending{self.said()}")

    def read_line(self, timeout: float) -> bytes:
        """The first line it prints, less if it ends before. Only if piped. Raises `Broken` when it takes longer."""
        until, line = time.monotonic() + timeout, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([self.stdout], [], [], max(until - time.monotonic(), 0))
            if not ready:
                raise Broken(f"{self.command} said nothing within {timeout:.0f} s{self.said()}")
            data = os.read(self.stdout.fileno(), 65536)
            if not data:
                return line
            line += data
        return line

    def wait(self, timeout: float) -> int:
        """Wait for its end, and notice it at once, where `subprocess` looks each 50 ms; gives its exit status. Raises
        `Broken` when it takes longer.
        """
        if self._process.returncode is None:
            told = os.pidfd_open(self.pid)
            try:
                select.select((told,), (), (), timeout)
            finally:
                os.close(told)
        try:
            return self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            raise Broken(f"{self.command} did not end within {timeout:.0f} s{self.said()}") from None

    def end(self) -> None:
        """Kill it and whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        _running.discard(self)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


def end_all() -> None:
    """End every process that is still running."""
    for process in tuple(_running):
        process.end()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _cpu(pid: int) -> float:
    """The CPU clock of any process, as clock_getcpuclockid(3) makes its id."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in tasks.read_text().split()]
    return found + [grandchild for child in found for grandchild in _children(child)]
