"""One run of ``dovetail chat``: a host with the servers that are wanted, the model, and the conversation between them.

Specification: client best practices.
"""

import re
import sys
from typing import Any, Final

from ..client import Client
from ..errors import ConfigurationError, DovetailError, ModelFailed
from ..host import Decisions, Host, HostEvent, HostPolicy, ToolDiscovery, server_name
from ..host.configuration import HOSTS, ConfigurationFile
from ..models import ChatModel, sampling_with
from .chat_options import ChatOptions
from .chatting import Asker, Conversation
from .exits import OK, REFUSED, UsageError, tell
from .screen import Screen
from .targets import place_of
from .terminal import EndOfInput, Terminal, interruptible

__all__ = ["converse"]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SETTLE: Final = 15.0


async def converse(url: str, key: str, given: ChatOptions) -> int:
    """Do it; the exit code. Raises what servers, files and the model fail with."""
    screen = Screen(quiet=given.quiet)
    terminal = Terminal()
    asker = Asker(terminal, keeps=bool(given.decisions))
    said = given.message or ("" if terminal.there else _standard_input())
    async with ChatModel(url, given.model, key=key, timeout=given.timeout) as model:
        host = Host(
            _servers(given.server, screen),
            consent=asker.consent,
            policy=HostPolicy.load(given.policy) if given.policy else HostPolicy(),
            decisions=Decisions(given.decisions) if given.decisions else None,
            elicitation=asker.form,
            open_address=asker.address,
            sampling=sampling_with(model),
            on_event=lambda event: _heard(event, screen, verbose=given.verbose),
        )
        async with host:
            await host.settled(timeout=_SETTLE)
            conversation = Conversation(
                host,
                model,
                ToolDiscovery(host, context_window=given.context),
                screen,
                asker,
                system=given.system,
                rounds=given.rounds,
            )
            if said:
                return await _once(conversation, said, verbose=given.verbose)
            return await _until_the_end(conversation, asker, screen)


async def _once(conversation: Conversation, said: str, *, verbose: bool) -> int:
    try:
        await conversation.typed(said)
    except ModelFailed as problem:
        tell(problem, verbose=verbose)
        return REFUSED
    return OK


async def _until_the_end(conversation: Conversation, asker: Asker, screen: Screen) -> int:
    screen.note("/help shows what there is besides messages; Ctrl-D ends it")
    while True:
        try:
            if not await conversation.typed(await asker.line("> ")):
                return OK
        except EndOfInput:
            return OK
        except UsageError as problem:
            screen.note(str(problem), "red")
        except DovetailError as problem:
            screen.note(f"{problem}; what was said last is taken back", "red")


def _servers(words: list[str], screen: Screen) -> dict[str, Any]:
    """What the words name; without any, all that our configuration has and the person approved."""
    found: dict[str, Any] = {}
    if words:
        for word in words:
            name, sign, target = word.partition("=")
            if not _NAME.fullmatch(name):
                raise UsageError(f"{word!r} is no server; give NAME=TARGET, or a name of `dovetail servers`")
            place = place_of(target if sign else name)
            if not sign and place.shown == place.target:
                raise UsageError(f"{word!r} is no name of `dovetail servers`; give NAME=TARGET")
            _add(found, name, Client(place.target, **place.options), screen)
        return found
    if not HOSTS["dovetail"].file().is_file():
        return found
    for name in ConfigurationFile("dovetail").servers:
        try:
            place = place_of(name)
        except (ConfigurationError, ImportError) as problem:
            screen.note(f"without {name}: {problem}", "yellow")
        else:
            _add(found, name, Client(place.target, **place.options), screen)
    return found


def _add(found: dict[str, Any], name: str, client: Client, screen: Screen) -> None:
    """Under a name that tools can begin with; another than the person gave is said. Raises `UsageError`."""
    called = server_name(name)
    if called in found:
        raise UsageError(f"two servers would be called {name!r} here; give one another name: NAME=TARGET")
    if called != name:
        screen.note(f"the server {name!r} is called {called} here")
    found[called] = client


def _heard(event: HostEvent, screen: Screen, *, verbose: bool) -> None:
    """What is worth a line: servers that can't be used, and what they say where that is wanted."""
    if event.kind == "state" and event.value.state in ("failed", "needs_login"):
        screen.note(f"{event.server}: {event.value}", "yellow")
    elif event.kind == "stderr" and verbose:
        screen.said(f"{event.server}: {event.value}")
    elif event.kind == "warning" and verbose:
        screen.note(f"{event.server}: {event.value}", "yellow")


def _standard_input() -> str:
    """All of it."""
    if sys.stdin is None:
        return ""
    with interruptible():
        return sys.stdin.read()
