"""Serving over HTTP with uvicorn: sockets, workers, one line that tells the address, an end in good order.

The socket is ours: bound before uvicorn is asked for anything, so that a port in use is a plain error, port
0 can be told, and several workers accept from one queue. Only loopback addresses are bound without being
asked twice. A signal to end begins the drain at once, not after all connections have closed by themselves,
because streams never would; a second signal ends now. The whole end takes no longer than the application's drain
limit: what can't be ended in time is logged, and the process ends with status 70 (see `dovetail.runtime.shutdown`).
Workers that die are replaced, and SIGHUP replaces them by others with new code (see `workers`). The line that tells the
address comes when the app has started: before that, clients wait in the socket's queue.

Specification: basic/transports "Security Warning" (bind to loopback); the rest is operation, not protocol.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import ipaddress
import os
import signal
import socket
import stat
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Literal

from ....logs import get_logger
from ....runtime.service import LifespanFailed
from ....runtime.shutdown import Shutdown
from ...http_server.answering import Drainable
from .generations import ChildEnds, Predecessor, obstacle, predecessor, start_again
from .workers import Supervisor, WorkersNotStarted

log = get_logger("dovetail.http")

_BACKLOG: Final = 2048
_FAILED: Final = "the server did not start; see the log"


class AddressUnavailable(OSError):
    """The address or socket file cannot be served on; the message says why and what to do."""


def serve(
    app: Drainable,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    path: str = "/mcp",
    uds: str | None = None,
    workers: int = 1,
    allow_remote: bool = False,
    announce: Callable[[str], None] | None = None,
    header_timeout: float = 10.0,
    forwarded_allow_ips: Sequence[str] = (),
    connections: Literal["own", "uvicorn"] | None = None,
    **options: Any,
) -> None:
    """Serve until a signal ends it (SIGINT, SIGTERM, SIGHUP). With several ``workers`` SIGHUP, unless the terminal went
    away, starts this program again, and replaces them once those of the new one serve.

    ``host`` and ``port`` (0: any free one), or ``uds``, the path of a unix socket. An address that is not
    loopback needs ``allow_remote``. ``workers`` processes share the socket (POSIX only); each runs ``app`` as it stands
    when this is called, and is replaced when it dies; this process looks after them. ``announce`` gets the line that
    tells the address (default: standard error). ``header_timeout`` is how long a client may take for the head of a
    request, in seconds. ``forwarded_allow_ips``: the proxies, by address or network, whose ``X-Forwarded-For`` and
    ``X-Forwarded-Proto`` are believed. ``connections``: ours ("own") or those of uvicorn ("uvicorn"); None: ours, if
    they were tried with the uvicorn that is installed. Other ``options`` go to ``uvicorn.Config``.

    Raises `AddressUnavailable` when the address cannot be bound, ValueError for an address that others can reach
    without ``allow_remote``, for proxies that have no such name and for connections that do not exist, ImportError
    without uvicorn, and what the app raises when it starts; where several workers do not start, the log has that, and
    it is `AddressUnavailable`.
    """
    server = _SocketServing(app, header_timeout, connections, {**_believing(forwarded_allow_ips), **options})
    before = predecessor()
    with _bound(host, port, uds, allow_remote, before) as sock:
        started = _teller(sock, path, announce)
        if workers > 1 or before is not None:
            _run_workers(server, sock, workers, started, (host, port, uds), before)
        else:
            server.run(sock, Shutdown(app.drain_limit), None, started)


async def serve_here(
    app: Drainable,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    path: str = "/mcp",
    uds: str | None = None,
    allow_remote: bool = False,
    announce: Callable[[str], None] | None = None,
    header_timeout: float = 10.0,
    forwarded_allow_ips: Sequence[str] = (),
    connections: Literal["own", "uvicorn"] | None = None,
    **options: Any,
) -> None:
    """Do what `serve` does with one worker, in the running loop, until a signal or a cancellation ends it. A second
    one of either ends it now.
    """
    server = _SocketServing(app, header_timeout, connections, {**_believing(forwarded_allow_ips), **options})
    with _bound(host, port, uds, allow_remote) as sock:
        await server.serve(sock, Shutdown(app.drain_limit), _teller(sock, path, announce))


class _SocketServing:
    """Serves an app on a socket, with connections of a kind and further ``options`` of uvicorn's. Raises ImportError
    without what it needs, ValueError for connections that do not exist.
    """

    def __init__(
        self, app: Drainable, header_timeout: float, connections: str | None, options: Mapping[str, Any]
    ) -> None:
        for needed in ("uvicorn", "httptools"):
            if importlib.util.find_spec(needed) is None:
                raise ImportError(f"serving over HTTP needs {needed}: pip install 'dovetail[server]'")
        if connections not in (None, "own", "uvicorn"):
            raise ValueError(f'connections are "own" or "uvicorn", not {connections!r}')
        self.app = app
        self._connections = (header_timeout, connections)
        self._options = options

    def run(
        self, sock: socket.socket, ending: Shutdown, pipes: ChildEnds | None, started: Callable[[], None]
    ) -> None:
        """Serve until it is over, in a loop of its own."""
        from .uvicorn_server import choose, run  # an extra

        with ending.enforced():
            run(self.app, sock, ending, pipes, choose(*self._connections), started, **self._settings())

    async def serve(self, sock: socket.socket, ending: Shutdown, started: Callable[[], None]) -> None:
        """Serve until it is over, in the loop that runs."""
        from .uvicorn_server import choose, serve  # an extra

        await serve(self.app, sock, ending, choose(*self._connections), started, **self._settings())

    def _settings(self) -> dict[str, Any]:
        """What uvicorn is told."""
        return {
            "loop": "uvloop" if importlib.util.find_spec("uvloop") is not None else "asyncio",
            "ws": "none",
            "lifespan": "on",
            "log_config": None,
            "log_level": "warning",
            "access_log": False,
            "server_header": False,
            "proxy_headers": False,
            "forwarded_allow_ips": [],  # whoever switches them on names whom to believe as well
            "timeout_graceful_shutdown": 5,
            **self._options,
        }


@contextlib.contextmanager
def _bound(
    host: str, port: int, uds: str | None, allow_remote: bool, before: Predecessor | None = None
) -> Generator[socket.socket]:
    """A listening socket, gone afterwards, with its file if it has one; or the one that is handed over."""
    if before is not None:
        if before.address != [host, port, uds]:
            raise AddressUnavailable(
                "the new code would serve on another address than the old one, whose socket it was given; to move, "
                "start another process"
            )
        with before.socket:
            yield before.socket
        return
    sock = bind_unix(uds) if uds is not None else bind(host, port, allow_remote=allow_remote)
    identity = None if uds is None else _identity(uds)
    try:
        yield sock
    finally:
        sock.close()
        if uds is not None and _identity(uds) == identity:
            with contextlib.suppress(OSError):
                os.unlink(uds)


def _teller(sock: socket.socket, path: str, announce: Callable[[str], None] | None) -> Callable[[], None]:
    """What tells the address, once."""
    line = f"dovetail: serving on {address_of(sock, path)}"
    return lambda: (announce or _tell)(line)


def bind(host: str, port: int, *, allow_remote: bool = False) -> socket.socket:
    """A listening socket for ``host`` and ``port``. Raises `AddressUnavailable` and ValueError as `serve`
    does.
    """
    if not 0 <= port <= 65535:
        raise AddressUnavailable(f"{port} is not a port: ports go from 0 (any free one) to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as problem:
        raise AddressUnavailable(f"{host!r} is not an address to serve on: {problem}") from None
    if not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        if not allow_remote:
            raise ValueError(
                f"{host} can be reached from other machines; pass allow_remote=True if that is meant"
            )
        log.warning("serving on %s: other machines can reach it; set allowed hosts and authentication", host)
    sock = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as problem:
        sock.close()
        used = problem.errno == errno.EADDRINUSE
        reason = "it is in use; choose another port, or 0 for any" if used else str(problem)
        raise AddressUnavailable(f"cannot serve on {host} port {port}: {reason}") from None
    return sock


def bind_unix(path: str) -> socket.socket:
    """A listening unix socket, for this user alone. A file left by a server that is gone is replaced, any
    other never.

    Raises `AddressUnavailable`.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise AddressUnavailable("this system has no unix sockets; serve on a port")
    _remove_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        sock.bind(path)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except OSError as problem:
        sock.close()
        raise AddressUnavailable(f"cannot serve on the socket {path}: {problem}") from None
    finally:
        os.umask(before)
    return sock


def _remove_stale(path: str) -> None:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise AddressUnavailable(f"{path} exists and is not a socket; choose another path")
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    probe.settimeout(1.0)
    try:
        probe.connect(path)
    except ConnectionRefusedError:
        os.unlink(path)
    except OSError as problem:
        raise AddressUnavailable(
            f"cannot tell whether a server still uses the socket {path}: {problem}"
        ) from None
    else:
        raise AddressUnavailable(f"a server is listening on the socket {path} already")
    finally:
        probe.close()


def address_of(sock: socket.socket, path: str) -> str:
    """The URL of a listening socket."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return f"unix:{sock.getsockname()}"
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _tell(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _run_workers(
    server: _SocketServing,
    sock: socket.socket,
    count: int,
    started: Callable[[], None],
    address: tuple[str, int, str | None],
    before: Predecessor | None,
) -> None:
    """Serve on a socket in processes of their own, until this one is told to end."""
    if not hasattr(os, "fork"):
        raise ValueError("several workers need a system that can fork; run one worker")

    limit = server.app.drain_limit

    def work(pipes: ChildEnds) -> None:
        ending = Shutdown(limit, signals=(signal.SIGTERM,), force=(signal.SIGQUIT,))
        try:
            server.run(sock, ending, pipes, lambda: pipes.tell_serving(limit))
        except LifespanFailed as problem:
            log.error("%s", problem, exc_info=problem.__cause__)
            raise WorkersNotStarted from None

    try:
        Supervisor(
            count,
            work,
            limit=limit,
            at_end=sock.close,
            at_start=started,
            at_roll=lambda: _tell("dovetail: new workers serve; the old ones finish what they have"),
            successor=obstacle() or (lambda pipes: start_again(sock, address, pipes)),
            above=None if before is None else before.pipes,
        ).run()
    except WorkersNotStarted:
        raise AddressUnavailable(_FAILED) from None


def _believing(proxies: Sequence[str]) -> dict[str, Any]:
    """What uvicorn is told of the proxies. Raises ValueError for what is no address and no network, or is everybody."""
    if isinstance(proxies, str):
        raise ValueError(f"forwarded_allow_ips is a list: write forwarded_allow_ips=[{proxies!r}]")
    for each in proxies:
        try:
            everybody = ipaddress.ip_network(each).prefixlen == 0
        except ValueError:
            everybody = each == "*"
            if not everybody:
                raise ValueError(
                    f"{each!r} is no address or network of a proxy; write '10.0.0.7' or '10.1.0.0/16'"
                ) from None
        if everybody:
            raise ValueError(
                f"{each!r} would let every caller say where it comes from; name the proxies alone, as in '10.0.0.7'"
            )
    return {"proxy_headers": True, "forwarded_allow_ips": list(proxies)} if proxies else {}
