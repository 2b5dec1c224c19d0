"""Who takes part when somebody logs in: programs of the peers, a person at a browser, and a server of ours.

Theory of operation: a peer is a process that is told and tells in lines of JSON (`peers/mcp_login_client.py` says
which). When its client would open a browser, it says `open` with the address, the test plays the person there, and the
peer is told the address that the person came back to; so no peer needs a callback of its own. Our side runs in the test
itself. One clock, which tests move, governs our servers; peers are told to move theirs. What reaches our authorization
server is kept as it came, so that a test can say how somebody got in, and not only that.

Follows: basic/authorization of all revisions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import uvicorn

from dovetail import App, Principal
from dovetail.auth import Protected, jwt
from dovetail_authserver.testing import AuthorizationServer, Browser, authorization_server
from interop.conversation import ROOT, environment
from interop.installing import Peers
from interop.steps import STATEFUL, STATELESS

READ, WRITE = "notes:read", "notes:write"
SCOPES = {READ: "read your notes", WRITE: "change your notes"}
ERAS = (STATEFUL[-1], STATELESS)
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LATER = 3600.0
PATIENCE = 20.0
Person = Callable[[str], Awaitable[str]]
"""Goes to an address, does what a person does there, and gives the address that the browser ends up at."""


class PeerFailed(Exception):
    """A peer said that something failed, or ended without a word."""


@dataclass
class Clock:
    """The time of our servers."""

    ahead: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@dataclass
class Seen:
    """A request to our authorization server: its path, its query or form, and the status of the answer."""

    path: str
    form: dict[str, str]
    body: bytes
    status: int = 0


class Ledger:
    """Keeps what reaches an application."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.seen: list[Seen] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = bytearray()
        seen = Seen(scope["path"], dict(parse_qsl(scope["query_string"].decode())), b"")

        async def receiving() -> Any:
            event = await receive()
            body.extend(event.get("body", b""))
            return event

        async def sending(event: Any) -> None:
            if event["type"] == "http.response.start":
                seen.status = event["status"]
                seen.body = bytes(body)
                with contextlib.suppress(ValueError):
                    seen.form |= dict(parse_qsl(body.decode(), strict_parsing=bool(body)))
                self.seen.append(seen)
            await send(event)

        await self.app(scope, receiving, sending)

    def at(self, path: str) -> list[Seen]:
        """What came to a path and was granted."""
        return [each for each in self.seen if each.path == path and each.status < 400]

    @property
    def grants(self) -> list[str]:
        """How tokens were got, in order."""
        return [each.form["grant_type"].rpartition(":")[2] for each in self.at("/token")]


@dataclass
class Place:
    """Our protected server and our authorization server, and whoever has been there."""

    url: str
    authority: AuthorizationServer
    ledger: Ledger
    clock: Clock
    visits: list[dict[str, str]] = field(default_factory=list)

    async def agree(self, url: str) -> str:
        """Somebody who allows whatever is asked; the address that the browser is sent to."""
        self.visits.append(dict(parse_qsl(urlsplit(url).query)))
        return await self.authority.approve(url, visit=False)

    async def refuse(self, url: str) -> str:
        """Somebody who allows nothing."""
        return await self.authority.approve(url, visit=False, allow=False)

    @property
    def asked(self) -> list[set[str]]:
        """The scopes that each visit was about."""
        return [set(each.get("scope", "").split()) for each in self.visits]


def notes(auth: Protected) -> App:
    """A server whose tools need scopes."""
    app = App("notes", auth=auth)

    @app.tool(scopes=[READ])
    async def read(who: Principal) -> str:
        return f"{who.subject or who.client_id} reads"

    @app.tool(scopes=[READ, WRITE])
    async def write(who: Principal) -> str:
        return f"{who.subject or who.client_id} writes"

    return app


@contextlib.asynccontextmanager
async def ours(protected: dict[str, Any] | None = None, **options: Any) -> AsyncGenerator[Place]:
    """Our two servers; options as of `AuthServer`, and ``protected`` for those of `Protected`."""
    clock = Clock()
    with listening() as sock:
        url = address(sock)
        async with authorities(clock=clock, accepts_resource=url.__eq__, **options) as (authority, ledger):
            said = {"scopes_supported": [READ], "clock": clock, **(protected or {})}
            app = notes(Protected(url, jwt(authority.url), **said))
            async with at(sock, app.asgi()):
                yield Place(url, authority, ledger, clock)


@contextlib.asynccontextmanager
async def authorities(**options: Any) -> AsyncGenerator[tuple[AuthorizationServer, Ledger]]:
    """Our authorization server alone, for resources of others; and what came to it."""
    ledgers: list[Ledger] = []

    def keeping(app: Any) -> Ledger:
        ledgers.append(Ledger(app))
        return ledgers[0]

    anywhere = {"accepts_resource": lambda _url: True, "scopes": SCOPES, **options}
    async with authorization_server(wrap=keeping, **anywhere) as authority:
        yield authority, ledgers[0]


@contextlib.contextmanager
def listening() -> Generator[socket.socket]:
    """A socket on a free port of this machine, for a server whose address has to be known before it is made."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock


def address(sock: socket.socket) -> str:
    """The endpoint of the server at a socket."""
    return f"http://127.0.0.1:{sock.getsockname()[1]}/mcp"


@contextlib.asynccontextmanager
async def at(sock: socket.socket, app: Any, **settings: Any) -> AsyncGenerator[None]:
    """An application, served at a socket; settings of uvicorn."""
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1, **settings)
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # the test's process keeps its own
    sock.listen(100)  # whoever comes before it has begun waits
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield
    finally:
        server.should_exit = True
        await task


def trust(folder: Path) -> dict[str, str]:
    """What makes Node trust the certificate in a folder, if there is one."""
    certificate = folder / "certificate.pem"
    return {"NODE_EXTRA_CA_CERTS": str(certificate)} if certificate.exists() else {}


class Peer:
    """A program of a peer's."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.log = log
        self.first: dict[str, Any] = {}

    async def hear(self) -> dict[str, Any]:
        """The next thing it says. Raises `PeerFailed`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        said = json.loads(line) if line else {"error": "it has ended"}
        if "error" in said:
            raise PeerFailed(f"{said['error']}\n{self.log.read_text(errors='replace')[-3000:]}")
        return said

    async def tell(self, **what: Any) -> None:
        """Tell it something."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(what).encode() + b"\n")
        await self.process.stdin.drain()

    async def until_done(self, person: Person | None = None) -> dict[str, Any]:
        """What it says in the end; wherever it sends somebody meanwhile, ``person`` goes."""
        while "open" in (said := await self.hear()):
            if person is None:
                raise PeerFailed(f"sends somebody to {said['open']}, and nobody is here")
            await self.tell(came_back=await person(said["open"]))
        return said

    async def call(self, tool: str, person: Person | None = None) -> str:
        """Call a tool with it; the text of the result."""
        await self.tell(do="call", tool=tool)
        return (await self.until_done(person))["text"]

    async def later(self, seconds: float = LATER) -> None:
        """Move its clock."""
        await self.tell(do="later", seconds=seconds)
        await self.until_done()

    @classmethod
    @contextlib.asynccontextmanager
    async def started(
        cls, command: Sequence[str], options: dict[str, Any], folder: Path, *sockets: int
    ) -> AsyncGenerator[Self]:
        """A program, told what to do in its one argument; it has to end by itself when it is told nothing more.

        It trusts the certificate in its folder, if there is one.
        """
        log = folder / f"{Path(command[-1]).stem}.log"
        with log.open("ab") as stderr:
            process = await asyncio.create_subprocess_exec(
                *command,
                json.dumps(options),
                cwd=ROOT,
                env=environment() | {"PYTHONWARNINGS": "ignore"} | trust(folder),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
                pass_fds=sockets,
            )
        assert process.stdin is not None
        try:
            yield cls(process, log)
            process.stdin.close()
            async with asyncio.timeout(PATIENCE):
                ended = await process.wait()
            assert ended == 0, log.read_text(errors="replace")[-3000:]
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def guest(
    peers: Peers, peer: str, folder: Path, url: str, era: str, person: Person | None = None, **options: Any
) -> AsyncGenerator[Peer]:
    """A client of a peer's, connected to a server; where it has to log in for that, ``person`` does it."""
    told = {"url": url, "era": era, "how": "person", **options}
    async with Peer.started(peers.command(peer, "login_client"), told, folder) as client:
        client.first = await client.until_done(person)
        assert client.first["text"] == era
        yield client


@contextlib.asynccontextmanager
async def host(
    peers: Peers, peer: str, script: str, folder: Path, sock: socket.socket | None = None, **options: Any
) -> AsyncGenerator[tuple[Peer, str]]:
    """A server of a peer's, which gets a socket to listen at, and its origin."""
    with contextlib.nullcontext(sock) if sock else listening() as its:
        origin = address(its).removesuffix("/mcp")
        told = {"fd": its.fileno(), "origin": origin, **options}
        async with Peer.started(peers.command(peer, script), told, folder, its.fileno()) as server:
            await server.until_done()
            yield server, origin


async def browse(url: str, **filled: str) -> str:
    """A person at the pages of somebody else's authorization server: fills in each form and sends it, until the
    browser is sent elsewhere."""
    async with Browser(url) as browser:
        shown = await browser.open(url)
        for _ in range(4):
            if shown.left:
                break
            if shown.status >= 400 or not shown.forms:
                raise PeerFailed(f"{url} shows {shown.status}: {shown.text}")
            shown = await browser.submit(
                shown, **{k: v for k, v in filled.items() if k in shown.forms[0].fields}
            )
        return shown.left


async def visiting(url: str, **filled: str) -> bool:
    """The same, and goes where the browser is sent: what `OAuth(open_browser=...)` takes."""
    left = await browse(url, **filled)
    async with Browser(left) as browser:
        return await browser.visit(left) == 200
