"""A process that passes lines on: its standard streams on one side, a unix socket on the other.

Theory of operation. A client talks to a server on stdio by starting a process. A test wants the server in its own
process, where its app, its overrides and its mocks are. So the process that the client starts is this one. It is run
as a file, by a Python that loads no packages, and starts in the time that one needs to start. Each direction has a
thread: whoever is slow holds up nobody else.

Specification: basic/transports/stdio.
"""

import os
import socket
import sys
import threading


def outwards(wire: socket.socket) -> None:
    """Pass standard input on, to its end."""
    while chunk := os.read(0, 1 << 16):
        wire.sendall(chunk)
    wire.shutdown(socket.SHUT_WR)


def inwards(wire: socket.socket) -> None:
    """Pass on what comes back, to its end."""
    while chunk := wire.recv(1 << 16):
        while chunk:
            chunk = chunk[os.write(1, chunk) :]


def main(path: str) -> None:
    """Relay until the server's side ends."""
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(path)
        threading.Thread(target=outwards, args=(wire,), daemon=True).start()
        inwards(wire)


if __name__ == "__main__":
    main(sys.argv[1])
