"""``dovetail inspect --between``: stand between any host and any server, show what passes, disturb it on request.

Theory of operation. After ``--`` comes a command: that is what a host starts in the place of its server, and standard
output is the protocol's. A URL is relayed at a port of this machine. A name is an entry of a host's configuration,
which is changed only with ``--write`` or a yes, and changed back with ``--undo``. Whatever runs already is listed with
``--live``, and its faults are changed with ``--steer``.

Specification: none; docs/in-between.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NoReturn

from dovetail.errors import ConfigurationError, DovetailError
from dovetail.security import one_line, passage

from .faults import KINDS, Fault, FaultInvalid, fault_from_words, faults_from_toml
from .hosts import FoundEntry, entries_named, put_between, taken_out, write
from .live import LiveRelay, LiveUnavailable, Steering, live_relays
from .relaying import HostEntry, Relaying, end_like, relay_command, relay_url

__all__ = ["add_options", "is_between", "main", "run", "split"]

_OK: Final = 0
_FAILED: Final = 1
_USAGE: Final = 2
_NO_SERVER: Final = 3
_INTERRUPTED: Final = 130
_KINDS: Final = ", ".join(str(each.__struct_config__.tag) for each in KINDS)


class _Mistake(Exception):
    """The words make no sense; the text says why."""


def main(words: Sequence[str]) -> int:
    """Do what the words after ``dovetail inspect`` say, one of which is ``--between``, ``--live`` or ``--steer``, and
    give the exit code: the server's own with a command; else 0 done, 1 nothing was written, 2 usage, 3 cannot start,
    130 interrupted. Ends with SystemExit for ``--help``.
    """
    parser = _Parser(
        prog="dovetail inspect",
        usage="dovetail inspect --between [options] -- COMMAND ...\n"
        "       dovetail inspect --between URL [options]\n"
        "       dovetail inspect --between NAME [--host HOST] [--write | --undo] [options]\n"
        "       dovetail inspect --live\n"
        "       dovetail inspect --steer RELAY [--fault FAULT] [--remove NUMBER]",
        description="Stand between a host and a server, record what passes, and disturb it on request.",
        epilog=f"Faults: {_KINDS}. Each is written as KIND NAME=VALUE ..., such as "
        "'delay seconds=0.5 method=tools/call tool=search'.",
        allow_abbrev=False,
    )
    add_options(parser)
    given, command = split(words)
    try:
        options = parser.parse_args(given)
        options.command = command
    except _Mistake as problem:
        return _told(str(problem), _USAGE)
    return run(options)


def is_between(words: Sequence[str]) -> bool:
    """Whether the words after ``dovetail inspect`` are for `main`."""
    given, _ = split(words)
    return any(each.partition("=")[0] in ("--between", "--live", "--steer") for each in given)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before the first ``--``, and those after it."""
    at = list(words).index("--") if "--" in words else len(words)
    return list(words[:at]), list(words[at + 1 :])


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of standing between. `run` takes what they give, with ``command`` besides: the words after ``--``."""
    add = parser.add_argument_group("in between").add_argument
    add(
        "--between",
        nargs="?",
        const="",
        metavar="NAME|URL",
        help="stand between a host and a server: an entry of a host's configuration, a URL, or the command after --",
    )
    add("--fault", action="append", default=[], metavar="FAULT", help="disturb what passes; may be repeated")
    add("--faults", type=Path, metavar="FILE", help="faults as TOML: [[fault]] with kind = ... and more")
    add(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the capture (default: a new one of the Inspector's)",
    )
    add("--max-bytes", type=int, metavar="N", help="how long the capture may get (default: 256 MiB)")
    add("--http", metavar="[HOST:]PORT", help="where to listen for a URL (default: 127.0.0.1:8001)")
    add(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="sent to the URL; VALUE may be env:NAME",
    )
    add(
        "--host", metavar="HOST", default="", help="whose configuration has the entry, where several have one"
    )
    add("--scope", metavar="SCOPE", default="", help="of that host: user, project or local")
    add("--write", action="store_true", help="change the entry without being asked")
    add("--undo", action="store_true", help="put the entry back as it was")
    add(
        "--entry", metavar="HOST:NAME", default="", help=argparse.SUPPRESS
    )  # what an entry that we wrote says
    add("--live", action="store_true", help="list the relays that run, with their faults")
    add(
        "--steer",
        metavar="RELAY",
        help="change the faults of a relay that runs: --fault adds, --remove removes",
    )
    add(
        "--remove",
        action="append",
        type=int,
        default=[],
        metavar="NUMBER",
        help="a fault to take out of force",
    )


def run(options: argparse.Namespace) -> int:
    """Do it; gives the exit code. Everything that is wrong is told on standard error."""
    try:
        faults = [fault_from_words(each) for each in options.fault]
        faults += faults_from_toml(options.faults) if options.faults else []
        if options.live:
            return _list()
        if options.steer is not None:
            return _steer(options.steer, faults, options.remove)
        if options.command:
            return _command(options, faults)
        if not options.between:
            raise _Mistake("name an entry or a URL after --between, or a command after --")
        if "://" in options.between:
            return _url(options.between, options, faults)
        return _entry(options, faults)
    except (_Mistake, FaultInvalid) as problem:
        return _told(str(problem), _USAGE)
    except (ConfigurationError, LiveUnavailable, DovetailError, ImportError, ValueError) as problem:
        return _told(str(problem), _NO_SERVER)
    except OSError as problem:
        name = f"{problem.filename}: " if problem.filename else ""
        return _told(f"{name}{problem.strerror or problem}", _NO_SERVER)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _command(options: argparse.Namespace, faults: Sequence[Fault]) -> int:
    if options.between:
        raise _Mistake("--between takes a NAME or a URL, or there is a command after --")
    host, _, server = options.entry.partition(":")
    relaying = Relaying(
        faults, output=options.output, max_bytes=options.max_bytes, entry=HostEntry(host, server)
    )
    return end_like(relay_command(options.command, relaying))


def _url(
    url: str, options: argparse.Namespace, faults: Sequence[Fault], entry: HostEntry | None = None
) -> int:
    host, port = _address(options.http)
    relaying = Relaying(faults, output=options.output, max_bytes=options.max_bytes, entry=entry)
    relay_url(url, relaying, headers=dict(map(_header, options.header)), host=host, port=port)
    return _OK


def _entry(options: argparse.Namespace, faults: Sequence[Fault]) -> int:
    found = _found(options)
    if options.undo:
        return _changed(found, options, taken=True)
    if found.definition.transport == "stdio":
        further = [word for each in options.fault for word in ("--fault", each)]
        if options.faults:
            further += ["--faults", str(options.faults.absolute())]
        if options.output:
            further += ["--output", str(options.output.absolute())]
        return _changed(found, options, further)
    with ExitStack() as held:
        url, (host, port) = found.definition.url, _address(options.http)
        if not port:
            raise _Mistake("the host has to know the port beforehand: --http PORT")
        code = _changed(found, options, at=f"{host}:{port}")
        if code:
            return code
        held.callback(_put_back, options)
        return _url(url, options, faults, HostEntry(found.host, found.definition.name))


def _changed(
    found: FoundEntry,
    options: argparse.Namespace,
    further: Sequence[str] = (),
    *,
    at: str = "",
    taken: bool = False,
) -> int:
    """Show what would be written, and write it if that is agreed to."""
    change = taken_out(found) if taken else put_between(found, further, at=at)
    sys.stdout.write(f"{passage(change.diff)}\n")
    sys.stdout.flush()  # before what is asked
    if not options.write and not _agreed():
        return _told("nothing was written; --write writes it", _FAILED)
    write(found, change)
    _told(f"wrote {change.path}; {found.file.host.note or 'restart the host, so that it counts'}", _OK)
    return _OK


def _put_back(options: argparse.Namespace) -> None:
    """The entry of a URL, which leads nowhere without us."""
    found = _found(options)
    if found.is_between:
        write(found, taken_out(found))
        _told(f"{found.title} is as it was", _OK)


def _found(options: argparse.Namespace) -> FoundEntry:
    name: str = options.between
    host, colon, rest = name.partition(":")
    found = entries_named(rest if colon else name, host=host if colon else options.host, scope=options.scope)
    if not found:
        raise _Mistake(f"no host has a server {name!r}: dovetail servers list")
    if len(found) > 1:
        raise _Mistake(
            f"there are several: {', '.join(each.title for each in found)}; say which with --host and --scope"
        )
    return found[0]


def _list() -> int:
    for relay in live_relays():
        of = f" ({relay.host}: {relay.server})" if relay.server else ""
        _show(f"{relay.name}{of}", f"{relay.url} {relay.target}".lstrip())
        _show("", relay.capture)
        for each in Steering(relay).faults():
            _show("", f"{each.number}: {each.fault} ({each.struck} of {each.matched})")
    return _OK


def _steer(name: str, faults: Sequence[Fault], gone: Sequence[int]) -> int:
    steering = Steering(_running(name))
    for number in gone:
        if not steering.remove(number):
            raise _Mistake(f"the relay {name} has no fault {number}")
    for each in faults:
        number = steering.add(each)
        sys.stdout.write(f"{one_line(str(number))}\n")
    return _OK


def _show(name: str, text: str) -> None:
    """Two columns, whatever is in them."""
    sys.stdout.write(f"{one_line(name)}  {one_line(text)}\n")


def _running(name: str) -> LiveRelay:
    """A relay by its name, or by the server that a host calls so."""
    found = [each for each in live_relays() if name in (each.name, each.server, f"{each.host}:{each.server}")]
    if len(found) != 1:
        what = "several relays are" if found else "no relay is"
        raise _Mistake(f"{what} called {name!r}: dovetail inspect --live lists them")
    return found[0]


def _agreed() -> bool:
    """Ask the person, where there is one."""
    if not sys.stdin.isatty():
        return False
    sys.stderr.write("write it? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _address(text: str | None) -> tuple[str, int]:
    """Host and port of ``[HOST:]PORT``."""
    host, _, port = (text or "8001").rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise _Mistake(f"--http {text!r} is no address; write PORT, HOST:PORT or [IPV6]:PORT")
    return host.strip("[]") or "127.0.0.1", int(port)


def _header(word: str) -> tuple[str, str]:
    name, colon, value = word.partition(":")
    if not colon or not name.strip():
        raise _Mistake(f"--header {word!r} is written as 'Name: value'")
    value = value.strip()
    if value.startswith("env:"):
        variable = value.removeprefix("env:")
        if variable not in os.environ:
            raise _Mistake(f"--header {name.strip()}: there is no variable {variable!r}")
        value = os.environ[variable]
    return name.strip(), value


class _Parser(argparse.ArgumentParser):
    """Raises `_Mistake` instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        raise _Mistake(f"{message} (see {self.prog} --help)")


def _told(text: str, code: int) -> int:
    sys.stderr.write(f"dovetail inspect: {one_line(text)}\n")
    return code
