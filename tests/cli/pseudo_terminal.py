"""A command whose streams are all one terminal, of a given width: what it shows there."""

import fcntl
import os
import struct
import subprocess
import sys
import termios


def shown_at(columns, *words, **environment):
    """The exit code, and everything shown."""
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
