"""Commands of applications: other distributions bring them, by an entry point of the group ``dovetail.commands``.

Theory of operation. ``NAME = "package.module:function"`` in that group is the command ``dovetail NAME``. The function
gets the words after the name and gives the exit code; it may as well end with `SystemExit`, as argparse does. What
there is, and what is said of it (the distribution's summary), is read from the metadata of what is installed: nothing
of an application is imported before its own command is called, and ``dovetail run`` and ``dovetail dev`` never look
for any.

All of this is written by others, so any of it may be wrong. Each distribution is read by itself; what is wrong with one
is told, with its name, where commands are listed and where the command is called, and costs no other command anything.
A name that two have belongs to neither, and one of our own is never given away.

Only the standard library is imported at the top.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from .exits import FAILED, FAULT, INTERRUPTED, NO_SERVER, OK, USAGE, tell

__all__ = ["CORE", "GROUP", "ApplicationCommand", "Installed", "epilogue", "installed", "run_command"]

GROUP: Final = "dovetail.commands"
CORE: Final = frozenset(
    {
        "run",
        "proxy",
        "gateway",
        "remote",
        "export",
        "worker",
        "dev",
        "record",
        "replay",
        "list",
        "call",
        "tasks",
        "read",
        "prompt",
        "complete",
        "auth",
        "gen",
        "new",
        "store",
        "completion",
        "snapshot",
        "diff",
        "doctor",
        "bench",
        "chat",
        "conformance",
        "servers",
        "install",
        "uninstall",
    }
)
"""The commands of Dovetail itself."""
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_LONGEST: Final = 100


class ApplicationCommand(NamedTuple):
    """A command of an application: its name, what it does in one line, which distribution has it, where it stands, and
    what imports it. The texts are safe to show.
    """

    name: str
    about: str
    distribution: str
    place: str
    load: Callable[[], Any]


class Installed(NamedTuple):
    """The commands of applications by name; and why others are refused, by name too (where there is none that could
    be called, by distribution).
    """

    commands: dict[str, ApplicationCommand]
    refused: dict[str, str]


def installed() -> Installed:
    """What the installed distributions bring. Never raises for what is wrong with one of them."""
    from importlib.metadata import distributions  # only who asks for an application's command waits for this

    found = Installed({}, {})
    seen: set[str] = set()
    for distribution in distributions():
        if not _declares(distribution):
            continue
        name, version, about = _described(distribution)
        spelled = re.sub(r"[-_.]+", "-", name).lower()
        if spelled in seen:
            continue  # the first on the path is the one that is imported
        seen.add(spelled)
        whose = f"{name} {version}".strip()
        try:
            entries = list(distribution.entry_points.select(group=GROUP))
        except Exception as problem:  # noqa: BLE001 - whatever the reading of a malformed file raises
            found.refused[whose] = (
                f"{whose} declares commands in a way that can't be read: {_shown(problem)}; uninstall it"
            )
            continue
        for entry in entries:
            _take(found, ApplicationCommand(entry.name, about, whose, _text(entry.value), entry.load))
    return found


def run_command(name: str, words: Sequence[str]) -> int | None:
    """Run the command of an application and give its exit code; None if no application has one of this name."""
    found = installed()
    if name in found.refused:
        _say(found.refused[name])
        return USAGE
    command = found.commands.get(name)
    if command is None:
        for each in found.refused.values():  # perhaps it is one of these that was meant
            _say(each)
        return None
    from ..last_resort import install

    install()
    try:
        function = command.load()
        if not callable(function):
            raise TypeError(f"it is no function but {type(function).__name__}")
    except (Exception, SystemExit) as problem:  # noqa: BLE001 - whatever the import of somebody's module raises
        whose, place = command.distribution, command.place
        _say(f"the command {name!r} of {whose} can't be loaded from {place!r}: {_shown(problem)}")
        return NO_SERVER
    return _ended(command, function, words)


def epilogue(found: Installed) -> str:
    """What the help says of them, after the commands of Dovetail itself."""
    if not found.commands:
        return ""
    width = max(map(len, found.commands))
    lines = [f"  {each.name:<{width}}  {each.about}" for _, each in sorted(found.commands.items())]
    return "\n".join(["Commands of applications that are installed:", "", *lines])


def _ended(
    command: ApplicationCommand, function: Callable[[Sequence[str]], Any], words: Sequence[str]
) -> int:
    """Call it; how it ended as an exit code."""
    try:
        code = function(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as ended:
        if isinstance(ended.code, str):
            _say(ended.code)
            return FAILED
        code = ended.code
    except Exception as problem:  # noqa: BLE001 - a fault of the application's, told as such
        problem.add_note(f"this is a fault of {command.distribution}; -v shows where")
        tell(problem, verbose="-v" in words or "--verbose" in words)
        return FAULT
    return code if isinstance(code, int) else OK


def _declares(distribution: Any) -> bool:
    """Whether it names our group at all: nobody else's faults are ours to tell."""
    try:
        return f"[{GROUP}]" in (distribution.read_text("entry_points.txt") or "")
    except (OSError, ValueError):  # it can't be read, or is no text, so it can't say so
        return False


def _described(distribution: Any) -> tuple[str, str, str]:
    """Its name, version and summary, safe to show; the name of its folder where it says none."""
    said: dict[str, str] = {}
    try:
        about = distribution.metadata
        said = {name: about[name] for name in ("Name", "Version", "Summary") if about[name]}
    except Exception:  # noqa: BLE001, S110 - metadata that is missing or malformed names nothing, which is told below
        pass
    folder = getattr(getattr(distribution, "_path", None), "name", "")
    return (
        _text(said.get("Name") or folder or "a distribution without a name"),
        _text(said.get("Version", "")),
        _text(said.get("Summary", "")),
    )


def _take(found: Installed, command: ApplicationCommand) -> None:
    """Add a command, unless its name is not to be had."""
    name, whose = command.name, command.distribution
    if not _NAME.fullmatch(name):
        found.refused[f"{whose} {name}"] = (
            f"the command {_text(name)!r} of {whose} is refused: a name has small letters, digits and hyphens"
        )
    elif name in CORE:
        found.refused[name] = (
            f"the command {name!r} of {whose} is refused: dovetail itself has one of this name"
        )
    elif name in found.commands:
        other = found.commands.pop(name)
        found.refused[name] = (
            f"the command {name!r} is refused: both {other.distribution} and {whose} have it"
        )
    elif name in found.refused:
        found.refused[name] += f"; {whose} has it, too"
    else:
        found.commands[name] = command


def _text(text: str) -> str:
    """What others wrote, safe to show, in one line of bounded length."""
    from ..protocol.safe_text import one_line

    line = one_line(text)
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}..."


def _say(line: str) -> None:
    """A line on standard error."""
    from ..last_resort import say
    from ..protocol.safe_text import one_line

    say(f"dovetail: {one_line(line)}")


def _shown(problem: BaseException) -> str:
    """An exception in one line."""
    return f"{type(problem).__name__}: {_text(str(problem))}"
