"""What a word of the command line names instead of holding: a file, standard input, a variable of the environment.

Other users of a machine see each other's command lines, and shells keep them. So what is long, or binary, or a secret
is named there and read here. Nothing is read because a *value* looks a certain way, since values are often other
people's texts: it is the option that says so (``--args @FILE``, ``-a key@=FILE``). The one exception is a header, where
``env:NAME`` is what the option is documented to take.
"""

import os
import re
import sys
from pathlib import Path
from typing import Final

from ..last_resort import say
from .exits import UsageError
from .terminal import interruptible

__all__ = ["STANDARD_INPUT", "Sources", "from_environment", "header_of", "variable_of"]

STANDARD_INPUT: Final = "-"
_ENVIRONMENT: Final = "env:"
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


class Sources:
    """The files and the standard input of one command. Standard input can be read once."""

    def __init__(self) -> None:
        self._reader: str | None = None

    def data(self, place: str, option: str) -> bytes:
        """The bytes of a file, or of standard input if ``place`` is ``-``. ``option``: who wants them, for the error.
        Raises `UsageError`.
        """
        if place == STANDARD_INPUT:
            return self._input(option)
        if not place:
            raise UsageError(f"{option} names no file")
        try:
            return Path(place).read_bytes()
        except OSError as problem:
            raise UsageError(f"{option}: the file {place!r} can't be read: {problem.strerror}") from None

    def text(self, place: str, option: str) -> str:
        """The same as text. Raises `UsageError`, also where it is not UTF-8."""
        return as_text(self.data(place, option), place, option)

    def _input(self, option: str) -> bytes:
        if self._reader is not None:
            raise UsageError(
                f"standard input is read once, and {self._reader} has it already; name a file for {option}"
            )
        self._reader = option
        try:
            with interruptible():
                if sys.stdin.isatty():
                    say(f"dovetail: reading {option} from standard input; end it with Ctrl-D")
                return sys.stdin.buffer.read()
        except (ValueError, AttributeError):  # closed, or never there
            raise UsageError(f"{option} is read from standard input, and there is none") from None


def as_text(data: bytes, place: str, option: str) -> str:
    """UTF-8 as text, without the mark that some editors put first. Raises `UsageError`."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        where = "standard input" if place == STANDARD_INPUT else f"the file {place!r}"
        raise UsageError(f"{option}: {where} is not text in UTF-8 (byte {problem.start})") from None


def from_environment(text: str, option: str) -> str:
    """A text whose last word may be ``env:NAME``, with that variable's value there. Raises `UsageError`, which never
    shows a value.
    """
    before, space, last = text.rpartition(" ")
    if not last.startswith(_ENVIRONMENT):
        return text
    name = last.removeprefix(_ENVIRONMENT)
    value = os.environ.get(name)
    if not value:
        raise UsageError(f"{option}: the environment has no {name!r}, or it is empty")
    return f"{before}{space}{value}"


def header_of(word: str) -> tuple[str, str]:
    """Name and value of a header, as ``--header`` has it. Raises `UsageError`."""
    name, colon, value = word.partition(":")
    name = name.strip()
    if not colon or not name:
        raise UsageError("a header is written as 'Name: value'")
    value = from_environment(value.strip(), f"--header {name}")
    if not (value.isascii() and value.isprintable() and _HEADER_NAME.fullmatch(name)):
        raise UsageError(
            f"the header {name!r} holds what no header can: only visible ASCII characters and spaces"
        )
    return name, value


def variable_of(word: str) -> tuple[str, str]:
    """``KEY=VALUE``, or ``KEY`` with the value it has here, as ``--env`` takes it. Raises `UsageError`."""
    name, equals, value = word.partition("=")
    if not name:
        raise UsageError(f"--env {word!r} is not KEY=VALUE, or KEY")
    if not equals:
        if name not in os.environ:
            raise UsageError(f"--env {name}: the environment has no {name!r}; KEY=VALUE sets one")
        value = os.environ[name]
    return name, value
