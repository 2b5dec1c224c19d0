"""What client commands saw of servers, kept for completion: targets, names of tools and others, their arguments.

A TAB starts no server and reaches none, so the names that it offers are those that a command before it was told. They
are lines of one small file, ``target TAB kind TAB name TAB arguments``, the server used last first, and the scripts of
`dovetail.cli.completion` read it by themselves. It is written at a terminal only: programs leave no trace. The variable
``DOVETAIL_COMPLETION`` names another file, which is always written; empty, it means that nothing is kept.

What is completed ends up on somebody's command line, and names are a server's. So one that a shell could take for more
than a word, or a command for an option, is not kept at all; nor are targets that may hold a secret: commands, and URLs
with a user or a query.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from ..loading import split_place
from ..protocol.types import Prompt, Resource, ResourceTemplate, Tool
from ..protocol.uri_template.template import TemplateError, URITemplate

__all__ = ["VARIABLE", "SeenName", "keep_seen", "names_seen", "seen_target"]

VARIABLE: Final = "DOVETAIL_COMPLETION"
_WORD: Final = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./:@%+=~{}-]{0,199}")
_ARGUMENT: Final = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,99}")
_TARGETS: Final = 100
_LINES: Final = 2_000
_OF_ONE: Final = 500
_ARGUMENTS: Final = 50


class SeenName(NamedTuple):
    """A name of a server: ``kind`` is "tool", "prompt", "resource" or "template"."""

    kind: str
    name: str
    arguments: tuple[str, ...] = ()


def seen_target(word: str, kind: str) -> str:
    """What a target is known by, "" for one that is not kept: a file by its full path, which the shell can make of what
    is typed; anything else as it is typed. ``kind``: as of a `CommandTarget`.
    """
    if kind == "process":
        file, name = split_place(word)
        if file.suffix != ".py" or not file.is_file():
            return ""
        here = os.environ.get("PWD", "")  # as the shell sees it, links and all
        if not (os.path.isabs(here) and os.path.samefile(here, ".")):
            here = os.getcwd()
        word = os.path.normpath(os.path.join(here, file)) + (f":{name}" if name else "")
    elif "@" in word or "?" in word:
        return ""
    return word if _WORD.fullmatch(word) else ""


def names_seen(items: Iterable[Any]) -> list[SeenName]:
    """The names of what a server listed."""
    found: list[SeenName] = []
    for item in items:
        if isinstance(item, Tool):
            found.append(SeenName("tool", item.name, _of_schema(item.input_schema)))
        elif isinstance(item, Prompt):
            found.append(SeenName("prompt", item.name, tuple(each.name for each in item.arguments or ())))
        elif isinstance(item, ResourceTemplate):
            found.append(SeenName("template", item.uri_template, _of_template(item.uri_template)))
        elif isinstance(item, Resource):
            found.append(SeenName("resource", item.uri))
    return found


def keep_seen(target: str, names: Sequence[SeenName]) -> None:
    """Keep what a command was told, in place of what was known of these kinds. Raises OSError."""
    path = _path()
    if path is None or not target:
        return
    try:
        before = path.read_text("utf-8").splitlines()
    except (FileNotFoundError, UnicodeDecodeError):
        before = []
    lines = _merged(before, target, names)
    if lines == before:
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, written = tempfile.mkstemp(prefix=".completion-", dir=path.parent)  # its owner's alone
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{line}\n" for line in lines))
        os.replace(written, path)
    except BaseException:
        Path(written).unlink(missing_ok=True)
        raise


def _path() -> Path | None:
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named) if named else None
    if not sys.stderr.isatty():
        return None
    state = os.environ.get("XDG_STATE_HOME", "")
    home = Path(state) if state.startswith("/") else Path.home() / ".local" / "state"
    return home / "dovetail" / "completion"


def _merged(before: Sequence[str], target: str, names: Sequence[SeenName]) -> list[str]:
    """The lines as they should be now: this target first."""
    told = {each.kind for each in names}
    fresh = [f"{target}\ttarget\t-\t"]
    for each in names[:_OF_ONE]:
        if _WORD.fullmatch(each.name):
            arguments = [one for one in each.arguments[:_ARGUMENTS] if _ARGUMENT.fullmatch(one)]
            fresh.append(f"{target}\t{each.kind}\t{each.name}\t{' '.join(arguments)}")
    mine: list[str] = []
    kept: list[str] = []
    others: dict[str, None] = {}
    for line in before:
        whose, _, rest = line.partition("\t")
        kind = rest.partition("\t")[0]
        if whose == target:
            if kind != "target" and kind not in told:
                mine.append(line)
        elif others.setdefault(whose) is None and len(others) < _TARGETS:
            kept.append(line)
    return [*fresh, *mine, *kept][:_LINES]


def _of_schema(schema: dict[str, Any]) -> tuple[str, ...]:
    found: Any = schema.get("properties")
    return tuple(cast("dict[str, Any]", found)) if isinstance(found, dict) else ()


def _of_template(template: str) -> tuple[str, ...]:
    try:
        return URITemplate(template, expand_only=True).variables
    except TemplateError:
        return ()
