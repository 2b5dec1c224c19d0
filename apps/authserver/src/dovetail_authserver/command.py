"""``dovetail authserver RESOURCE ...``: an authorization server for the servers that you develop.

Theory of operation. What a developer needs and nothing more: on this machine only, whoever comes chooses who to be,
clients register themselves or publish a document on this machine, and with no file named all is forgotten at the end.
The socket is opened first: so a port that is taken is told before anything else, and port 0 is any free one, which the
issuer then names. Standard output gets one line, the issuer, once connections are taken; everything else goes to
standard error. An operator's server is a few lines of Python instead (`dovetail_authserver.AuthServer`).

Specification: basic/authorization.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from dovetail.auth.oauth import canonical_resource
from dovetail.security import one_line
from dovetail.stores import MemoryStore

from .login import pick_user, single_user
from .server import AuthServer
from .settings import Lifetimes

__all__ = ["main"]

_DEFAULT_PORT = 8400
_CANNOT_START = 3
_INTERRUPTED = 130


def main(words: Sequence[str]) -> int:
    """Serve until interrupted, and give the exit code: 0 stopped, 2 usage, 3 cannot start, 130 interrupted.

    ``words``: those after ``dovetail authserver``. Ends with `SystemExit` for a mistake in them.
    """
    parser = _parser()
    options = parser.parse_args(words)
    try:
        listener = _listener(options.port)
    except (OSError, OverflowError) as problem:
        said = f"port {options.port} can't be had: {problem}"
        print(f"dovetail authserver: {one_line(said)}", file=sys.stderr)
        return _CANNOT_START
    with listener:
        issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            server = _server(issuer, options)
        except ValueError as problem:
            parser.error(str(problem))
        try:
            _serve(server, listener, options)
        except KeyboardInterrupt:
            return _INTERRUPTED
    return 0


def _listener(port: int) -> socket.socket:
    """A socket of this machine alone. Raises `OSError` for a port that is taken, `OverflowError` for none at all."""
    # With its protocol named, asyncio turns Nagle's algorithm off for it, which costs 40 ms per answer.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two listen on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
    except (OSError, OverflowError):
        listener.close()
        raise
    return listener


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dovetail authserver",
        description="Run an OAuth authorization server on this machine, for servers that you develop. Whoever comes "
        "to its pages chooses who to be, so it is for you alone.",
        epilog="The server behind a RESOURCE is App(..., auth=Protected(RESOURCE, jwt(ISSUER))). Exit codes: "
        "0 stopped, 2 usage, 3 cannot start, 130 interrupted.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("resources", nargs="+", metavar="RESOURCE", help="the URL of a server that tokens are for")
    add(
        "--port",
        type=int,
        default=_DEFAULT_PORT,
        help="where it listens (default: %(default)s; 0: any free port)",
    )
    add(
        "--user",
        dest="users",
        action="append",
        metavar="NAME",
        help="somebody to be (default: alice and bob)",
    )
    add(
        "--scope",
        dest="scopes",
        action="append",
        default=[],
        metavar="NAME[=WORDS]",
        help="a scope, and what the person is told of it",
    )
    add(
        "--store",
        metavar="FILE",
        help="keep everything in this SQLite file (default: nothing outlives the process)",
    )
    add(
        "--access-token",
        type=float,
        default=Lifetimes().access_token,
        metavar="SECONDS",
        help="how long an access token lives (default: %(default)g)",
    )
    add("--dpop", action="store_true", help="issue no bearer tokens: each is bound to a key of its client")
    add("--no-registration", action="store_true", help="take no clients that register themselves")
    return parser


def _server(issuer: str, options: argparse.Namespace) -> AuthServer:
    """The server that the options ask for. Raises `ValueError`."""
    for each in options.resources:
        try:
            canonical_resource(each)
        except ValueError as problem:
            raise ValueError(f"RESOURCE {each!r}: {problem}") from None
    scopes: dict[str, str] = {}
    for each in options.scopes:
        name, _, about = each.partition("=")
        scopes[name] = about or name
    users: list[str] = options.users or ["alice", "bob"]
    return AuthServer(
        issuer,
        login=pick_user(*users) if len(users) > 1 else single_user(users[0]),
        store=MemoryStore() if options.store is None else options.store,
        resources=options.resources,
        scopes=scopes,
        registration="off" if options.no_registration else "open",
        documents="loopback",
        require_dpop=options.dpop,
        lifetimes=Lifetimes(access_token=options.access_token),
    )


def _serve(server: AuthServer, listener: socket.socket, options: argparse.Namespace) -> None:
    """Take connections until a signal comes. Raises `ImportError` without uvicorn, which names the extra."""
    try:
        import uvicorn
    except ImportError:
        raise ImportError("serving needs uvicorn: pip install 'dovetail[server]'") from None

    print(one_line(server.issuer), flush=True)
    served = ", ".join(options.resources)
    print(f"authorization server for {one_line(served)}; Ctrl-C stops it", file=sys.stderr, flush=True)
    config = uvicorn.Config(server, log_level="warning", server_header=False, proxy_headers=False)
    uvicorn.Server(config).run(sockets=[listener])
