"""Names of our configuration as targets: ``dovetail list weather``, ``dovetail call weather/forecast``.

A name means the server of ``dovetail servers add``, unless it is a file. Its entry is used only as the person approved
it; variables and secrets get their values here. Files of projects and of other hosts are never looked at: what they
bring is taken over by ``dovetail servers import`` or not at all.
"""

import re
from pathlib import Path
from typing import Final

from ..client import ClientOptions
from ..host.configuration import (
    HOSTS,
    Approvals,
    ConfigurationFile,
    ServerDefinition,
    resolve,
)

__all__ = ["named", "parted", "usable"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PARTED: Final = frozenset({"call", "read", "prompt", "complete"})
_FLAGS: Final = frozenset({"-v", "-q", "-y", "--verbose", "--quiet", "--yes", "--json", "--auth", "--detach"})


def named(word: str) -> ServerDefinition | None:
    """The server of a name, None where there is none. Raises `ConfigurationError` for a file that can't be read."""
    if not _NAME.fullmatch(word) or Path(word).is_file() or not HOSTS["dovetail"].file().is_file():
        return None
    return ConfigurationFile("dovetail").servers.get(word)


def usable(definition: ServerDefinition) -> tuple[str | list[str], ClientOptions]:
    """What a client is made of. Raises `NotApproved`, `VariableMissing` and `SecretsUnavailable`."""
    Approvals().check(definition)
    return resolve(definition)


def parted(words: list[str]) -> list[str]:
    """The words of a command, ``weather/forecast`` as two of them where ``weather`` is a name of ours."""
    if not words or words[0] not in _PARTED:
        return words
    at = next((at for at, word in enumerate(words) if at and word not in _FLAGS), 0)
    name, slash, rest = words[at].partition("/")
    if not at or not slash or not rest or Path(words[at]).exists() or named(name) is None:
        return words
    return [*words[:at], name, rest, *words[at + 1 :]]
