"""What a client is pointed at, turned into a transport.

===============================  ==================================================================
target                           transport
===============================  ==================================================================
``http://``, ``https://``        HTTP
``http+unix:///path.sock:/mcp``  HTTP over a unix socket; the part after the last colon is the path
``unix:/path.sock``              messages as lines over a unix socket
``server.py``, a `Path`          the file, run by this Python; or the app in it, if the file does not run it (`scripts`)
``talk.jsonl``                   a recording, which answers as the server in it did (`dovetail.recording`)
any other text, or a list        a command (`command_lines`), started with its standard streams as the transport
an app                           memory, in this process; anything with a ``service``
a transport                      itself
===============================  ==================================================================

Nothing is imported for a kind of target that is not used.
Specification: basic/transports.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

from ..protocol.errors import ConnectFailed, LocalProtocolError
from ..security.client_auth import ClientAuth
from ..transports.client_transport import Transport
from . import scripts, selection
from .command_lines import split
from .options import Options

Target = Any
"""A URL, a command, a path, an app or a transport, as the table above says."""


class ClientTarget:
    """Where a client connects to.

    ``key`` gives its name in `eras`, as things are when it is asked (None: nothing is remembered). ``process``: we
    start it ourselves. ``again``: another transport to it can be made. ``auth``: what gets the credentials, if we made
    it and have to close it. ``server_key``: as ``key``, whoever asks there; None for a server that says everything anew
    when it is asked next, since it is started then. ``http``: it is at a URL.
    """

    def __init__(
        self,
        make: Callable[[], Transport],
        *,
        key: Callable[[], str | None],
        process: bool,
        again: bool,
        auth: ClientAuth | None = None,
        server_key: Callable[[], str | None] | None = None,
        http: bool = False,
    ) -> None:
        self.make = make
        self.key = key
        self.process = process
        self.again = again
        self.auth = auth
        self.server_key = server_key or _nowhere
        self.http = http


def place_of(target: Target, options: Options) -> ClientTarget:
    """The place that a target means. Raises `LocalProtocolError` for one that means nothing, or takes no ``auth``."""
    place = _place_of(target, options)
    if options.auth is not None and not _is_http(target):
        raise LocalProtocolError("auth is for servers at an HTTP URL; this target takes no credentials")
    return place


def _place_of(target: Target, options: Options) -> ClientTarget:
    if isinstance(target, Path):
        return _script(target, options)
    if isinstance(target, str):
        return _text(target, options)
    if isinstance(target, (list, tuple)):
        return _command([str(part) for part in cast("Sequence[Any]", target)], options)
    if hasattr(target, "service"):
        return _memory(target, options)
    if hasattr(target, "request") and hasattr(target, "open"):
        if options.record is not None:
            raise LocalProtocolError(
                "a transport of your own can't be recorded; give the client a URL, a command or an app"
            )
        transport = cast("Transport", target)
        return ClientTarget(lambda: transport, key=_nowhere, process=False, again=False)
    raise LocalProtocolError(
        f"a client connects to a URL, a command, a path or an app, and {type(target).__name__!r} is none of them"
    )


def _text(target: str, options: Options) -> ClientTarget:
    if _is_http(target):
        return _http(target, options)
    scheme, colon, rest = target.partition(":")
    if colon and scheme.lower() == "unix":
        return _unix(unquote(rest.removeprefix("//")), options)
    if target.endswith(".py") and Path(target).is_file():
        return _script(Path(target), options)
    if target.endswith(".jsonl") and Path(target).is_file():
        return _command([sys.executable, "-m", "dovetail.cli.run", target], options)
    command = split(target)
    if len(command) == 1 and command[0].endswith(".py"):
        raise ConnectFailed(f"there is no file {command[0]!r}")
    return _command(command, options)


def _is_http(target: Target) -> bool:
    return isinstance(target, str) and target[:10].lower().startswith(("http:", "https:", "http+unix:"))


def _http(url: str, options: Options) -> ClientTarget:
    auth = _credentials(url, options)

    def make() -> Transport:
        from ..transports.http_client.transport import HTTPTransport

        record = options.record
        if record is None:
            return HTTPTransport(url, headers=options.headers, auth=auth)
        around = partial(record.backend, target=url)
        return HTTPTransport(url, headers=options.headers, auth=auth, around=around)

    def key() -> str | None:
        return selection.of_url(url, options.headers, auth)

    return ClientTarget(
        make,
        key=key,
        process=False,
        again=True,
        auth=None if auth is options.auth else auth,
        server_key=lambda: selection.of_url(url, options.headers, None),
        http=True,
    )


def _credentials(url: str, options: Options) -> ClientAuth | None:
    """What gets the credentials, one for all connections of the client. Raises `LocalProtocolError` for a value that
    nothing can be made of.
    """
    given = options.auth
    if given is None or (isinstance(given, ClientAuth) and not isinstance(given, type)):
        return given
    from ..auth.login import resolve

    try:
        tokens = _place_of_tokens(options)
        found: Any = (
            resolve(given, url, options) if tokens is None else resolve(given, url, options, tokens=tokens)
        )
    except TypeError:
        found = None
    if not isinstance(found, ClientAuth):
        raise LocalProtocolError(
            f'auth is "oauth", something from dovetail.auth.login, or a ClientAuth, not a {type(given).__name__}'
        )
    return found


def _place_of_tokens(options: Options) -> Callable[[], Any] | None:
    """Where logins keep their tokens unless they say so themselves; None for where they always do."""
    setting = options.store
    if setting is None or not setting.tokens:
        return None

    def place() -> Any:
        from ..auth.login import StoredTokens

        try:
            return StoredTokens(setting.store, keys=setting.keys, allow_unsealed=setting.allow_unsealed)
        except ValueError as problem:
            raise LocalProtocolError(f"the store can't be used: {problem}") from None

    return place


def _unix(path: str, options: Options) -> ClientTarget:
    def make() -> Transport:
        from ..transports.unix.client import UnixTransport

        return UnixTransport(path, **_channel(options, path))

    def key() -> str:
        return selection.of_socket(path)

    return ClientTarget(make, key=key, process=False, again=True, server_key=key)


def _script(path: Path, options: Options) -> ClientTarget:
    if not path.is_file():
        raise ConnectFailed(f"there is no file {str(path)!r}")
    if _runs_itself(path):
        return _command([sys.executable, str(path)], options)
    return _command([sys.executable, "-m", "dovetail.cli.run", str(path)], options)


def _runs_itself(path: Path) -> bool:
    try:
        return scripts.runs_itself(path.read_bytes())
    except OSError as problem:
        raise ConnectFailed(f"the file {str(path)!r} can't be read: {problem.strerror}") from None


def _command(command: Sequence[str], options: Options) -> ClientTarget:
    if not command:
        raise LocalProtocolError("the command is empty")

    def make() -> Transport:
        from ..transports.stdio.client import StdioTransport
        from ..transports.stdio.launching import program_name

        return StdioTransport(
            command,
            env=options.env,
            cwd=options.cwd,
            **_process(options, program_name(command)),
        )

    def key() -> str | None:
        return selection.of_command(command, options.env, options.cwd)

    return ClientTarget(make, key=key, process=True, again=True)


def _memory(target: Any, options: Options) -> ClientTarget:
    def make() -> Transport:
        from ..transports.memory import MemoryTransport

        return MemoryTransport(target.service, **_channel(options, "an app in this process"))

    return ClientTarget(make, key=_nowhere, process=False, again=True)


def _channel(options: Options, target: str) -> dict[str, Any]:
    """What makes the channel of a transport that leads to ``target``, where it is not the usual one."""
    return {} if options.record is None else {"channel": options.record.channel(target)}


def _process(options: Options, target: str) -> dict[str, Any]:
    """As `_channel`, of a server that is started."""
    if options.record is None:
        return {"on_stderr": options.on_stderr}
    return options.record.process(target, options.on_stderr)


def _nowhere() -> None:
    """The key of what is remembered nowhere."""
