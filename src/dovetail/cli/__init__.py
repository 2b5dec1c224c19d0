"""The command line: ``dovetail run|proxy|gateway|remote|worker|dev|record|list|call|tasks|read|prompt|complete`` and
``replay|auth|store|export|gen|new|snapshot|diff|doctor|bench|conformance|completion|servers|install|uninstall``.

`main` looks at the first word only. ``run`` starts a server, which must not pay for the rest: it goes through
`dovetail.cli.run`, which imports the standard library and the author's file; so does ``worker``, which works off the
tasks of an app (`dovetail.cli.worker`). ``dev`` serves a file that is being written (`dovetail.cli.dev`), and needs
none of the command line's own packages either, nor does ``record``, which hosts start in the place of a server
(`dovetail.cli.record`). The other commands are a client for people and scripts (`dovetail.cli.commands`); only they
load cyclopts and rich. A first word that is none of these may be the command of an application that is installed
(`dovetail.cli.applications`). Exit codes are in `dovetail.cli.exits`.
"""

import gc
import sys
from collections.abc import Callable, Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code. ``arguments``: the words after the program's name, by default
    this process's.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["run"]:
        from .run import main as run

        return run(words[1:])
    if words[:1] == ["proxy"]:
        from .proxy import main as proxy

        return proxy(words[1:])
    if words[:1] == ["gateway"]:
        from .gateway import main as gateway

        return gateway(words[1:])
    if words[:1] == ["remote"]:
        from .remote import main as remote

        return remote(words[1:])
    if words[:1] == ["worker"]:
        from .worker import main as worker

        return worker(words[1:])
    if words[:1] == ["dev"]:
        from .dev import main as dev

        return dev(words[1:])
    if words[:1] == ["record"]:
        from .record import main as record

        return record(words[1:])
    if words in (["--version"], ["-V"]):
        import dovetail

        print(f"dovetail {dovetail.__version__}")
        return 0
    try:
        if words and not words[0].startswith("-"):
            from .applications import CORE, run_command

            code = None if words[0] in CORE else run_command(words[0], words[1:])
            if code is not None:
                return code
        return _commands()(words)
    except ImportError as missing:
        print(f"dovetail: {missing}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:  # also while the imports are on their way
        return 130


def _commands() -> Callable[[Sequence[str]], int]:
    """What runs the commands. Nothing that it imports is garbage, and to look for some takes a fifth of that time."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        from .commands import main as command
    finally:
        if collecting:
            gc.enable()
    return command
