"""The person at the terminal: lines typed, and whether anybody is there at all.

Lines are read from the file descriptor in a thread that nothing waits for: when the command is interrupted in
the middle of a question, no lock of ``sys.stdin`` is held and the process can end.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ["EndOfInput", "Terminal", "interruptible"]


class EndOfInput(Exception):
    """The person closed the input (Ctrl-D)."""


class Terminal:
    """Standard input and error. ``there`` tells whether somebody can answer."""

    def __init__(self) -> None:
        self.there = _is_terminal(sys.stdin) and _is_terminal(sys.stderr)
        self._rest = b""

    def drop_input(self) -> None:
        """What was typed, or pasted, up to now is no answer to the question that comes next."""
        self._rest = b""
        _drop_input()

    async def ask(self, prompt: str) -> str:
        """Show the prompt and give the line typed, without its end. Raises `EndOfInput`."""
        sys.stderr.write(prompt)
        sys.stderr.flush()
        loop = asyncio.get_running_loop()
        typed: asyncio.Future[bytes] = loop.create_future()

        def deliver(line: bytes) -> None:
            if not typed.done():
                typed.set_result(line)

        def read() -> None:
            line = self._line()
            with suppress(RuntimeError):  # the loop is gone: the command was interrupted
                loop.call_soon_threadsafe(deliver, line)

        threading.Thread(target=read, name="dovetail-terminal", daemon=True).start()
        line = await typed
        if not line:
            sys.stderr.write("\n")
            raise EndOfInput
        return line.decode(sys.stdin.encoding or "utf-8", "replace").rstrip("\r\n")

    def _line(self) -> bytes:
        while b"\n" not in self._rest:
            try:
                chunk = os.read(0, 4096)
            except OSError:
                chunk = b""
            if not chunk:
                break
            self._rest += chunk
        line, end, self._rest = self._rest.partition(b"\n")
        return line + end


@contextmanager
def interruptible() -> Generator[None]:
    """While something blocks the event loop (reading all of standard input, writing to a slow reader): Ctrl-C ends it.
    The loop's own handler only asks the loop to stop, which is not looking.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)


def _drop_input() -> None:
    """Forget what was typed and not read, where standard input is a terminal."""
    if not _is_terminal(sys.stdin):
        return
    try:
        import termios  # which Windows has not
    except ImportError:
        return
    with suppress(OSError, termios.error):
        termios.tcflush(0, termios.TCIFLUSH)


def _is_terminal(stream: object) -> bool:
    try:
        return bool(getattr(stream, "isatty", bool)())
    except ValueError:  # closed
        return False
