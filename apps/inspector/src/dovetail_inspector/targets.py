"""What a word of the command line leads to: a Python file, a URL, or a program.

Specification: basic/transports.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .views import ServerTarget

__all__ = ["TargetUnclear", "target_of"]

_ENVIRONMENT = "env:"


class TargetUnclear(ValueError):
    """A word that leads nowhere; the text says what would."""


def target_of(
    word: str, arguments: Sequence[str] | None, *, env: Sequence[str], headers: Sequence[str], cwd: str = ""
) -> ServerTarget:
    """The server that a word names. ``arguments``: of the command that it is, None where it is none. ``env``:
    ``NAME=VALUE``; ``headers``: ``NAME: VALUE``, where ``env:NAME`` as a value is that variable's. Raises
    `TargetUnclear`.
    """
    if arguments is None and "://" in word:
        if env or cwd:
            raise TargetUnclear(f"--env and --cwd are for servers that are started, and {word} is a URL")
        return ServerTarget(url=word, headers=_headers(headers))
    if headers:
        raise TargetUnclear(f"--header is for URLs, and {word} is started")
    variables = _variables(env)
    if arguments is not None:
        return ServerTarget(command=word, args=list(arguments), env=variables, cwd=cwd)
    if word.endswith(".py"):
        if not Path(cwd, word).is_file():
            raise TargetUnclear(f"there is no file {word!r}")
        return ServerTarget(
            command=sys.executable, args=["-m", "dovetail", "run", word], env=variables, cwd=cwd
        )
    if shutil.which(word):
        return ServerTarget(command=word, env=variables, cwd=cwd)
    raise TargetUnclear(f"{word!r} is no Python file, no URL and no program; write a command after --")


def _variables(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise TargetUnclear(f"--env {name}: write NAME=VALUE")
        found[name] = value
    return found


def _headers(given: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, colon, value = each.partition(":")
        if not name.strip() or not colon:
            raise TargetUnclear("--header: write 'NAME: VALUE'")
        value = value.strip()
        before, space, last = value.rpartition(" ")
        if last.startswith(_ENVIRONMENT):
            variable = last.removeprefix(_ENVIRONMENT)
            if variable not in os.environ:
                raise TargetUnclear(
                    f"--header {name.strip()}: there is no variable {variable} in the environment"
                )
            value = f"{before}{space}{os.environ[variable]}"
        found[name.strip()] = value
    return found
