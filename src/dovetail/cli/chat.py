"""``dovetail chat``: a model behind any URL that speaks Chat Completions, with the tools of servers, at the terminal.

The key of the model comes from DOVETAIL_MODEL_KEY in the environment, or from the system's keyring (``--keyring``, put
there by ``--set-key``): a command line is seen by others. Servers are those of ``dovetail servers``, used as they were
approved, or those that ``--server`` names. Every call is asked for at the terminal, or decided by ``--policy``.
"""

import getpass
import os
import sys
from typing import Final

from ..host.configuration import ServerSecrets
from ..protocol.safe_text import in_place, one_line
from .chat_options import ChatOptions
from .exits import OK, UsageError
from .screen import Screen
from .targets import place_of
from .terminal import interruptible

__all__ = ["chat"]

_KEY: Final = "DOVETAIL_MODEL_KEY"
_KEYS: Final = "dovetail models"


async def chat(url: str, /, *, options: ChatOptions = ChatOptions()) -> int:
    """Talk to a model that uses the tools of your servers. URL is that of its API, such as localhost:11434/v1.

    Each call is asked for. /server:prompt uses a prompt, @server:uri in a message reads a resource, /help shows more.
    """
    place = place_of(url, configured=False)
    if place.kind != "http":
        raise UsageError(f"{url!r} is no URL of a model's API; one is localhost:11434/v1")
    if options.set_key:
        return _set_key(place.url)
    if not options.model:
        raise UsageError("give the name of the model: --model NAME")
    if options.rounds < 1 or options.context < 1 or not 0 < options.timeout < float("inf"):
        raise UsageError("--rounds, --context and --timeout are above zero")
    from .chat_session import converse  # no other command pays for a host and a model

    return await converse(place.url, _key(place.url, keyring=options.keyring), options)


def _key(url: str, *, keyring: bool) -> str:
    if keyring:
        return ServerSecrets(_KEYS).get(_origin(url), "key")
    return os.environ.get(_KEY, "")


def _set_key(url: str) -> int:
    if sys.stdin is not None and sys.stdin.isatty():
        with interruptible():
            key = getpass.getpass(f"The key for {in_place(_origin(url))}: ")
    else:
        key = _standard_input()
    if not key.strip():
        raise UsageError("there is no key: be at a terminal, or give it on standard input")
    ServerSecrets(_KEYS).set(_origin(url), "key", key.strip())
    Screen().note(f"the key for {one_line(_origin(url))} is in the keyring; --keyring uses it")
    return OK


def _origin(url: str) -> str:
    return "/".join(url.split("/")[:3])


def _standard_input() -> str:
    if sys.stdin is None:
        return ""
    with interruptible():
        return sys.stdin.read()
