"""What selects a server: the key under which its era may be remembered.

Two clients have the same key only if they would reach the same server, and be the same to it. For a command that is the
program as it is found and as it is now, its arguments with the files they name, its whole environment and its working
directory; for a URL all of it, with the query, the headers and the credentials; for a socket the file that it is. A key
is a digest, so that it holds no secret. Where it can't be known who will be asked there is no key, and nothing is
remembered: headers or tokens of a function, credentials of an unknown kind.
Specification: basic/versioning "Backward Compatibility" leaves open what makes "the same server configuration".
"""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urldefrag

from ..protocol.errors import DovetailError
from ..transports.stdio.launching import child_environment


def of_command(
    command: Sequence[str], env: Mapping[str, str] | None, cwd: str | os.PathLike[str] | None
) -> str | None:
    """The key of a server that is started, as things are at this moment."""
    try:
        environment = child_environment(env)
    except DovetailError:
        return None  # starting it says what is wrong
    place = Path(cwd or "").absolute()
    path = next((value for name, value in environment.items() if name.upper() == "PATH"), os.defpath)
    program = shutil.which(command[0], path=path) or command[0]
    files = [_file(place / program)]
    for argument in command[1:]:
        files += [_file(place / argument), _file(place / argument.partition("=")[2])]
    return _digest("command", program, *command, place, sorted(environment.items()), *files)


def of_url(url: str, headers: Any, auth: Any) -> str | None:
    """The key of a server at a URL. ``headers`` and ``auth`` as `Client` takes them, the latter made a `ClientAuth`."""
    if callable(headers):
        return None
    who = _whose(auth)
    if who is None:
        return None
    named = cast("Mapping[str, str]", headers or {})
    given = sorted((name.lower(), value) for name, value in named.items())
    return _digest("url", urldefrag(url.strip())[0], given, who)


def of_socket(path: str) -> str:
    """The key of a server that listens at a unix socket: another server makes another file."""
    return _digest("socket", os.path.abspath(path), _file(Path(path)))


def _whose(auth: Any) -> str | None:
    """Whom the credentials are for; None if that can't be told."""
    if auth is None:
        return ""
    account = getattr(auth, "account", None)
    return account if isinstance(account, str) else None


def _file(path: Path) -> tuple[int, ...] | None:
    """Which file it is, and which version of it; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _digest(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode("utf-8", "backslashreplace"), digest_size=24).hexdigest()
