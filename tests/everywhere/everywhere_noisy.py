"""A stdio server whose author prints wherever printing is possible. Told what to do by a word of the command line.

The named pipe in ``LIFE``, if there is one, is held open while this process lives; its lifespan writes to it. Follows:
no page of the specification.
"""

# ruff: noqa: T201, ASYNC220, ASYNC221, ASYNC222, ASYNC250 - the mistakes of authors are what this is about

import asyncio
import ctypes
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from dovetail import App

LIFE = os.open(os.environ["LIFE"], os.O_WRONLY) if "LIFE" in os.environ else None
libc = ctypes.CDLL(None)


def note(text: str) -> None:
    """Tell whoever watches this process."""
    if LIFE is not None:
        os.write(LIFE, text.encode() + b"\n")


@asynccontextmanager
async def life(app: App) -> AsyncIterator[None]:
    print("printed by the lifespan")
    note("entered")
    try:
        yield
    finally:
        note("left")
        print("printed by the end of the lifespan", flush=True)


app = App("noisy", lifespan=life)
logging.basicConfig(stream=sys.stdout, level=logging.DEBUG)
print("printed while the file was read, and not flushed")


@app.tool
async def shout(how: str) -> str:
    """Print in one of many ways."""
    if how == "print":
        print("printed", {"jsonrpc": "2.0", "id": 1, "result": {}}, flush=True)
    elif how == "write":
        sys.stdout.write("half a line")
        sys.stdout.buffer.write(b'{"jsonrpc":"2.0","id":1,"result":{}}\n')
        sys.stdout.flush()
    elif how == "original":
        assert sys.__stdout__ is not None
        sys.__stdout__.write("to the original\n")
        sys.__stdout__.flush()
    elif how == "descriptor":
        os.write(1, b'{"jsonrpc":"2.0","method":"notifications/message"}\n')
    elif how == "C":
        libc.puts(b"from C")
        libc.fflush(None)
        libc.write(1, b"from C, at once\n", 16)
    elif how == "C without a flush":
        libc.puts(b"from C, some day")
    elif how == "child":
        subprocess.run([sys.executable, "-c", "print('from a child')"], check=True)
    elif how == "shell":
        os.system("echo from a shell; printf 'no newline'")
    elif how == "reader":
        done = await asyncio.create_subprocess_exec("cat")
        await done.wait()
    elif how == "fork":
        child = os.fork()
        if child == 0:
            os.write(1, b"from a fork\n")
            os._exit(0)
        os.waitpid(child, 0)
    elif how == "logging":
        logging.getLogger("author").warning("logged to standard output")
    elif how == "warning":
        warnings.warn("warned", stacklevel=1)
    elif how == "input":
        try:
            return f"read {input('prompt> ')!r}"
        except EOFError:
            return "nothing to read"
    return how


@app.tool
def shout_in_a_thread() -> str:
    print("from a thread", flush=True)
    return "done"


@app.tool
async def hang() -> str:
    note("hanging")
    try:
        await asyncio.Event().wait()
    finally:
        note("cancelled")
    return "never"


@app.tool
async def leave_child(wait_for: str) -> str:
    """A child that outlives this process, with every stream that it inherited, until a pipe is opened."""
    code = "import sys; print('child', flush=True); open(sys.argv[1]).read()"
    # Not asyncio's: since Python 3.12 its children are killed when their loop ends.
    subprocess.Popen([sys.executable, "-c", code, wait_for], start_new_session=True)
    return "left"


if __name__ == "__main__":
    grace = float(sys.argv[1]) if len(sys.argv) > 1 else 5.0
    app.run(grace=grace, drain=float(sys.argv[2]) if len(sys.argv) > 2 else 10.0)
