"""Secrets of servers in the keyring of the system: entered once, and shown nowhere.

Theory of operation. A secret is the value of a variable of a command's environment, or of a header. It is kept under
the place of the server, and not under a name that anybody may take, so it goes nowhere else. It is read when a
connection is made; the face knows its name alone, and the conversation is written without it.

Specification: none; docs/inspector.md.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from dovetail.errors import SecretsUnavailable
from dovetail.host.configuration import ServerSecrets
from dovetail.recording import Redaction

from ..views import ServerTarget

__all__ = ["SecretRefused", "forget_secret", "keep_secret", "read_secrets", "without_secrets"]

_SERVICE: Final = "dovetail inspector"
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,200}")
_VALUE: Final = re.compile(r"[^\x00-\x1f\x7f]+")
_SHORTEST: Final = 4
_LONGEST: Final = 8192


class SecretRefused(ValueError):
    """A secret that can't be one, or that the keyring does not have or take; the text says what to do."""


def keep_secret(target: ServerTarget, name: str, value: str) -> None:
    """Keep a secret of the server at a place; with an empty ``value`` it has to be there already. Raises
    `SecretRefused`.
    """
    if not (_HEADER if target.url else _VARIABLE).fullmatch(name):
        raise SecretRefused(f"{name!r} is no name of {'a header' if target.url else 'a variable'}")
    if not value:
        read_secrets(target, [name])
        return
    if not _SHORTEST <= len(value) <= _LONGEST or not _VALUE.fullmatch(value):
        raise SecretRefused(
            f"a secret has {_SHORTEST} to {_LONGEST:,} characters in one line: what is shorter could not be taken out "
            "of what is shown without taking out everything"
        )
    try:
        _keyring().set(_place(target), name, value)
    except SecretsUnavailable as problem:
        raise SecretRefused(str(problem)) from None


def forget_secret(target: ServerTarget, name: str) -> None:
    """Take a secret out of the keyring; nothing, where there is none. Raises `SecretRefused`."""
    try:
        _keyring().remove(_place(target), name)
    except SecretsUnavailable as problem:
        raise SecretRefused(str(problem)) from None


def read_secrets(target: ServerTarget, names: Iterable[str]) -> dict[str, str]:
    """The secrets of these names. May wait for the person, who unlocks the keyring. Raises `SecretRefused`."""
    keyring, found = _keyring(), dict[str, str]()
    for name in names:
        try:
            found[name] = keyring.get(_place(target), name)
        except SecretsUnavailable as problem:
            raise SecretRefused(
                f"the secret {name} of this server can't be had from the keyring of the system: enter it once more "
                f"({type(problem).__name__})"
            ) from None
    return found


def without_secrets(values: Iterable[str]) -> Redaction:
    """What takes these out of a conversation, and leaves all else as it was."""
    return Redaction(defaults=False, patterns=tuple(re.escape(each) for each in values))


def _place(target: ServerTarget) -> str:
    """What a server is reached by, without what changes from one time to the next."""
    if not target.url:
        return f"{Path(target.cwd or '.').resolve()} {shlex.join([target.command, *target.args])}"
    parts = urlsplit(target.url)
    return urlunsplit((parts.scheme, parts.netloc.lower(), parts.path, "", ""))


def _keyring() -> ServerSecrets:
    try:
        return ServerSecrets(_SERVICE)
    except (SecretsUnavailable, ImportError) as problem:
        raise SecretRefused(str(problem)) from None
