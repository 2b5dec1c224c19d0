"""What is typed, as an entry of a configuration: a file, an app in a module, a URL or a command.

Hosts start servers in a folder of their own choice and without the shell's variables. So a file, and the Python of a
virtual environment, are written with their full path; everything else stays as it was typed. Nothing is imported or
started here.
"""

import re
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ..client.command_lines import split
from ..client.scripts import runs_itself
from ..host.configuration import ServerDefinition
from ..loading import split_place
from ..protocol.errors import LocalProtocolError
from .exits import UsageError
from .targets import place_of

__all__ = ["definition_of", "headers_of", "name_of", "variables_of"]

_MODULE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


def definition_of(
    name: str,
    word: str,
    words: Sequence[str] | None,
    *,
    env: Mapping[str, str],
    headers: Mapping[str, str],
    sse: bool = False,
) -> ServerDefinition:
    """The entry that a target means. ``words``: the command after ``--``. Raises `UsageError`."""
    place = place_of(word, words, configured=False)
    if place.kind == "socket" or place.url.startswith("http+unix:"):
        raise UsageError("hosts reach servers as processes or at a URL, not on a unix socket")
    if place.kind == "http":
        if env:
            raise UsageError("--env is for servers that are started; for one at a URL there is --header")
        name = name or name_of(place.url)
        return ServerDefinition(
            name=name, transport="sse" if sse else "http", url=place.url, headers=dict(headers)
        )
    if headers or sse:
        raise UsageError(f"{'--header' if headers else '--sse'} is for servers at a URL")
    command = list(words) if words else _command(word)
    return ServerDefinition(
        name=name or name_of(words[0] if words else word, words),
        command=command[0],
        args=tuple(command[1:]),
        env=dict(env),
    )


def name_of(word: str, words: Sequence[str] | None = None) -> str:
    """A name for what is typed: the stem of a file, the host of a URL, the package of a command."""
    if words or " " in word:
        parts = list(words or split(word))
        named = [
            each
            for each in parts[1:]
            if not each.startswith("-") and each not in ("run", "exec", "dlx", "tool")
        ]
        word = next((each for each in named if each.endswith(".py")), (named or parts)[0])
    if "://" in word:
        word = word.partition("://")[2].partition("/")[0].partition(":")[0]
        word = word.removeprefix("mcp.").removeprefix("www.").partition(".")[0]
    word = re.sub(r"(?<=.)@[^/]*$", "", word).replace("\\", "/").rpartition("/")[2]
    file, _, attribute = word.partition(":")
    stem = file.removesuffix(".py")
    if stem in ("server", "app", "main", "__init__") and file.endswith(".py"):
        stem = Path.cwd().name
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem.rpartition(".")[2] if attribute else stem).strip("-._")[:64]
    if not name:
        raise UsageError("no name follows from that; give one with --name")
    return name


def variables_of(words: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE``, or ``KEY`` for a variable that is taken from the environment whenever the server is started.
    Raises `UsageError`.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise UsageError(f"--env {word!r} is not KEY=VALUE, or KEY")
        found[name] = value if equals else f"${{{name}}}"
    return found


def headers_of(words: Iterable[str]) -> dict[str, str]:
    """``Name: value``, whose last word may be ``env:NAME``. Raises `UsageError`."""
    found: dict[str, str] = {}
    for word in words:
        name, colon, value = word.partition(":")
        if not colon or not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name.strip()):
            raise UsageError("a header is written as 'Name: value'")
        before, space, last = value.strip().rpartition(" ")
        if last.startswith("env:"):
            last = f"${{{last.removeprefix('env:')}}}"
        found[name.strip()] = f"{before}{space}{last}"
    return found


def _command(word: str) -> list[str]:
    file, attribute = split_place(word)
    if file.suffix == ".py":
        return _file(file, attribute)
    if _MODULE.fullmatch(word):
        return _file(_module(word.partition(":")[0]), word.partition(":")[2])
    try:
        words = split(word)
    except LocalProtocolError as problem:
        raise UsageError(str(problem)) from None
    if not words:
        raise UsageError("the command is empty")
    return words


def _file(file: Path, attribute: str) -> list[str]:
    if not file.is_file():
        raise UsageError(f"there is no file {str(file)!r}")
    path = str(file.absolute())
    try:
        alone = not attribute and runs_itself(file.read_bytes())
    except OSError as problem:
        raise UsageError(f"the file {str(file)!r} can't be read: {problem.strerror}") from None
    if alone:
        return [sys.executable, path]
    return [sys.executable, "-m", "dovetail", "run", f"{path}:{attribute}" if attribute else path]


def _module(name: str) -> Path:
    """The file of a module, found without importing anything."""
    inner = Path(*name.split("."))
    for folder in (Path.cwd(), *map(Path, sys.path)):
        for path in (folder / inner.with_suffix(".py"), folder / inner / "__init__.py"):
            if path.is_file():
                return path
    raise UsageError(f"there is no module {name!r} here; name its file instead, as in server.py:app")


def found_program(command: str) -> bool:
    """Whether the program of a command is there, as far as this process sees."""
    return shutil.which(command) is not None
