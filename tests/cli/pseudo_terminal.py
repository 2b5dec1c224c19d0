"""Commands at a pseudo-terminal: what they show there, and what is typed."""

import fcntl
import os
import struct
import subprocess
import sys
import termios
import threading


def shown_at(columns, *words, **environment):
    """Run a command whose streams are all one terminal, of a given width: the exit code, and everything shown."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "dovetail", *words],
        stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        env={**inherited, "TERM": "xterm", **environment},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 65536)
        except OSError:  # how a terminal ends on Linux
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    return process.wait(20), shown.decode().replace("\r\n", "\n")


class Terminal:
    """A command at a pseudo-terminal (input and standard error); its results come through a pipe."""

    def __init__(self, *words):
        self.master, slave = os.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dovetail", *words],
            stdin=slave,
            stderr=slave,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        os.close(slave)
        self.shown = ""
        self._news = threading.Condition()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        while True:
            try:
                chunk = os.read(self.master, 4096)
            except OSError:
                chunk = b""
            with self._news:
                self.shown += chunk.decode(errors="replace")
                self._news.notify_all()
            if not chunk:
                return

    def wait_for(self, text):
        """Wait until the terminal shows a text, and take what came up to there away."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.shown, 20), self.shown
            before, _, self.shown = self.shown.partition(text)
        return before + text

    def type(self, line):
        """Type a line."""
        os.write(self.master, f"{line}\n".encode())

    def result(self):
        """The exit code and standard output."""
        out, _ = self.process.communicate(timeout=20)
        return self.process.returncode, out

    def close(self):
        """End it, however far it is."""
        self.process.kill()
        self.process.communicate()
        os.close(self.master)
