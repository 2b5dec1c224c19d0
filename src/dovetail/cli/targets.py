"""What TARGET means on the command line, beyond what a `Client` takes, and which options it has a use for.

========================  =================================================================
TARGET                    means
========================  =================================================================
``localhost:8000/mcp``    ``http://`` on this machine, ``https://`` on any other
``weather``               the server of that name in our configuration (`dovetail.cli.configured`)
``server.py:name``        the app of that name in the file, as with ``dovetail run``
anything else             what `dovetail.client.targets` says: a URL, a file, a command
========================  =================================================================
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from ..client import ClientOptions
from ..loading import split_place
from ..security.fetching import FetchRefused, parse_url
from .configured import named, usable
from .exits import UsageError

__all__ = ["CommandTarget", "place_of"]

_ADDRESS: Final = re.compile(
    r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})(?P<rest>[/?].*)?"
)


class CommandTarget:
    """A target, settled. ``kind``: "http", "socket" or "process"; ``guessed``: the URL was written without a scheme;
    ``options``: those of the client that belong to it, with its ``env`` and ``headers``.
    """

    def __init__(
        self,
        target: Any,
        kind: str,
        *,
        shown: str,
        guessed: bool = False,
        options: ClientOptions | None = None,
    ) -> None:
        self.target = target
        self.kind = kind
        self.shown = shown
        self.guessed = guessed
        self.options: ClientOptions = options or {}
        known = cast("dict[str, dict[str, str]]", self.options)
        self.env, self.headers = known.get("env", {}), known.get("headers", {})

    @property
    def url(self) -> str:
        """The URL, "" for what has none."""
        return self.target if self.kind == "http" else ""

    def refuse(self, *, http_only: Sequence[str], process_only: Sequence[str]) -> None:
        """Refuse options that this target has no use for: one that does nothing hides a mistake. Raises
        `UsageError`.
        """
        what = {"http": "at a URL", "socket": "on a unix socket", "process": "started as a process"}[
            self.kind
        ]
        if http_only and self.kind != "http":
            raise UsageError(f"{http_only[0]} is for servers at a URL; {self.shown!r} is {what}")
        if process_only and self.kind != "process":
            raise UsageError(
                f"{process_only[0]} is for servers started as a process; {self.shown!r} is {what}"
            )


def place_of(word: str, command: Sequence[str] | None = None, *, configured: bool = True) -> CommandTarget:
    """The place that a word means; ``command``: the words after ``--``, which are one instead. ``configured``: whether
    names of our configuration count.
    """
    if command:
        return CommandTarget(list(command), "process", shown=command[0])
    scheme = word.partition(":")[0].lower()
    if scheme in ("http", "https", "http+unix") and ":" in word:
        return CommandTarget(word, "http", shown=word)
    if scheme == "unix" and ":" in word:
        return CommandTarget(word, "socket", shown=word)
    address = _ADDRESS.fullmatch(word)
    if address and int(address["port"]) < 65536 and not Path(word).exists():
        return CommandTarget(_url_of(word), "http", shown=word, guessed=True)
    file, name = split_place(word)
    if name and file.suffix == ".py" and file.is_file():
        return CommandTarget([sys.executable, "-m", "dovetail.cli.run", word], "process", shown=word)
    definition = named(word) if configured else None
    if definition is not None:
        target, options = usable(definition)
        kind = "process" if definition.transport == "stdio" else "http"
        return CommandTarget(target, kind, shown=word, options=options)
    return CommandTarget(word, "process", shown=word)


def _url_of(address: str) -> str:
    try:
        here = parse_url(f"http://{address}").is_local_name
    except FetchRefused as problem:
        raise UsageError(f"{address!r} is no address: {problem}") from None
    return f"{'http' if here else 'https'}://{address}"
