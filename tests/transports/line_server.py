"""A server for the tests of the stdio and unix clients: lines of raw JSON, and every way to misbehave.

Each request's method, or the tool it calls, names what to do. Run as ``python line_server.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any


def say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def notice(text: str) -> None:
    say({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": text}})


def answer(id: Any) -> None:
    say({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "done"}]}})


def work(id: Any, how: str) -> None:
    if how == "notices":
        for number in range(3):
            notice(str(number))
        answer(id)
    elif how == "flood":
        for number in range(5000):
            notice(str(number))
        sys.stderr.write("all is said\n")
        sys.stderr.flush()
        answer(id)
    elif how == "noise":
        sys.stderr.write("something on stderr\n")
        sys.stdout.write("Loading... 100%\n\x1b[31m[INFO] ready\x1b[0m\n\n")
        sys.stdout.flush()
        answer(id)
    elif how == "malformed":
        sys.stdout.write('{"jsonrpc":"1.0"}\n{"a":\n[]\n{}\n')
        sys.stdout.flush()
        answer("nobody asked")
        answer(id)
    elif how == "broken":
        say({"jsonrpc": "2.0", "id": id, "result": "no object"})
    elif how == "large":
        say({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": "x" * 200_000}]}})
    elif how == "crash":
        notice("last words")
        sys.stderr.write("Traceback: the disk is on fire\n")
        sys.stderr.flush()
        os._exit(3)
    elif how == "answer and exit":
        answer(id)
        os._exit(0)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "deaf":
        time.sleep(600)
    elif how == "ask":
        say({"jsonrpc": "2.0", "id": "q-1", "method": "ping"})
        reply = json.loads(sys.stdin.readline())
        assert reply == {"jsonrpc": "2.0", "id": "q-1", "result": {}}, reply
        answer(id)
    elif how != "silence":
        answer(id)


def main() -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if message.get("method") == "tools/call":
            work(message["id"], message["params"]["name"])
        elif "id" in message and "method" in message:
            say({"jsonrpc": "2.0", "id": message["id"], "result": {}})


if __name__ == "__main__":
    main()
