"""Attack: another user of this machine ends somebody's login with an answer of their own, or gets to hear the answer.

They see the address of the login, state and all, on the browser's command line, and can connect to loopback addresses
and listen on them as well as anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from login_stage import Seen, World

from dovetail.auth.login import LoginFailed, local_peers
from dovetail.auth.login.callback import Loopback
from dovetail.auth.login.pages import CallbackPage

NOBODY = 65534
CONNECT = """
import os, socket, sys

port, uid, manner = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.setgid(uid)
os.setuid(uid)
family, host = (socket.AF_INET6, "::1") if manner == "ipv6" else (socket.AF_INET, "127.0.0.1")
if manner == "mapped":
    family, host = socket.AF_INET6, "::ffff:127.0.0.1"
sock = socket.socket(family)
sock.connect((host, port))
sock.sendall(b"GET /callback?state=right&code=mine HTTP/1.1\\r\\nhost: 127.0.0.1:%d\\r\\n\\r\\n" % port)
if manner == "gone":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\x01\\0\\0\\0\\0\\0\\0\\0")
    sock.close()
elif manner == "half":
    sock.shutdown(socket.SHUT_WR)
if manner != "gone":
    sys.stdout.buffer.write(sock.makefile("rb").read())
"""


class Taker:
    """Notes the answers that it is given."""

    def __init__(self) -> None:
        self.taken: list[str] = []

    async def __call__(self, answer: dict[str, str]) -> CallbackPage:
        self.taken.append(answer["code"])
        return CallbackPage.DONE


@contextlib.asynccontextmanager
async def waiting(**options: object) -> AsyncIterator[tuple[Loopback, Taker]]:
    taker = Taker()
    async with Loopback(**options) as loopback:  # type: ignore[arg-type] # what a test says
        loopback.listen_for(taker)
        yield loopback, taker


async def come(loopback: Loopback, uid: int, manner: str) -> bytes:
    """Send an answer as a user of this machine; what comes back."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        CONNECT,
        str(loopback.port),
        str(uid),
        manner,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return said


def needs_users() -> None:
    if not sys.platform.startswith("linux") or not Path("/proc/net/tcp").exists():
        pytest.skip("no-socket-table: only Linux has it")
    if os.getuid() != 0:
        pytest.skip("not-root: users are changed by the superuser")


@pytest.mark.hostile
@pytest.mark.parametrize("manner", ["plain", "mapped", "ipv6", "half", "gone"])
async def test_another_users_answer_is_not_taken(manner: str) -> None:
    """However it comes, and also if its sender is gone before anybody can look whose it was."""
    needs_users()
    async with waiting() as (loopback, taker):
        said = await come(loopback, NOBODY, manner)
        assert b"Not yours" in said or manner == "gone"
        assert b" 200 " in await come(loopback, 0, "plain")
    assert taker.taken == ["mine"], "the user's own answer, and no other"


async def test_the_users_own_answer_is_taken_on_every_way() -> None:
    async with waiting() as (loopback, taker):
        for host in ("127.0.0.1", "::1") if loopback.covers_localhost else ("127.0.0.1",):
            reader, writer = await asyncio.open_connection(host, loopback.port)
            head = (
                f"GET /callback?state=right&code={host} HTTP/1.1\r\nhost: localhost:{loopback.port}\r\n\r\n"
            )
            writer.write(head.encode())
            assert b" 200 " in await reader.readline()
            writer.close()
        assert "127.0.0.1" in taker.taken


async def test_where_nothing_can_be_known_nobody_is_kept_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """No table, or one that does not list our own socket, as in a container that sees another network."""
    for tables in ((), ("/proc/version",), (__file__,), ("/nowhere",)):
        monkeypatch.setattr(local_peers, "_TABLES", tables)
        async with waiting() as (loopback, taker):
            reader, writer = await asyncio.open_connection("127.0.0.1", loopback.port)
            writer.write(f"GET /callback?code=x HTTP/1.1\r\nhost: 127.0.0.1:{loopback.port}\r\n\r\n".encode())
            assert b" 200 " in await reader.readline()
            writer.close()
            assert taker.taken == ["x"]


# Listening where the browser may come


def squatted(address: str, port: int = 0) -> socket.socket:
    """A socket of somebody else."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family)
    if ":" in address:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen()
    except OSError:
        sock.close()
        raise
    return sock


def needs_ipv6() -> None:
    try:
        squatted("::1").close()
    except OSError:
        pytest.skip("no-ipv6: [::1] can't be bound")


@pytest.mark.hostile
async def test_nobody_else_listens_on_the_other_address_of_localhost() -> None:
    """A browser that is sent to localhost tries ::1 first."""
    needs_ipv6()
    async with waiting(name="localhost") as (loopback, _):
        for address in ("::1", "127.0.0.1", "0.0.0.0", "::"):
            with pytest.raises(OSError, match="in use"):
                squatted(address, loopback.port)


@pytest.mark.hostile
async def test_an_address_that_somebody_listens_on_already_is_not_used_as_localhost() -> None:
    needs_ipv6()
    with squatted("::1") as other:
        port = other.getsockname()[1]
        with pytest.raises(LoginFailed, match="somebody else listens"):
            async with Loopback(port, name="localhost"):
                pass
        async with Loopback(
            port, name="127.0.0.1"
        ) as loopback:  # by its number the browser comes to us alone
            assert loopback.port == port
            loopback.check(loopback.redirect_uri)
            with pytest.raises(LoginFailed, match="somebody else listens"):
                loopback.check(f"http://localhost:{port}/callback")


@pytest.mark.hostile
async def test_a_registration_that_wants_localhost_is_not_used_where_somebody_listens() -> None:
    """The server takes no numbers, so the registration is for localhost, after the port was chosen."""
    needs_ipv6()
    async with World() as world:

        def register(seen: Seen) -> object:
            if "//127.0.0.1:" in seen.json["redirect_uris"][0]:
                return 400, {}, {"error": "invalid_redirect_uri"}
            return 201, {}, {**seen.json, "client_id": "me"}

        world.issuer.routes["/register"] = register
        assert await world.use() == "done"
        assert "//localhost:" in world.issuer.at("/authorize")[0].query["redirect_uri"]
        with squatted("::1") as other:
            auth = world.oauth(redirect_uri=f"http://localhost:{other.getsockname()[1]}/callback")
            world.valid = {}
            with pytest.raises(LoginFailed, match="somebody else listens"):
                await world.use(auth)
        assert len(world.visits) == 1
