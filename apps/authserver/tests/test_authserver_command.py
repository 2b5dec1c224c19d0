"""`dovetail authserver`, as a developer runs it: a process of its own, found by its entry point."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from dovetail.auth import oauth
from dovetail.security import Fetcher, FetchFailed
from dovetail_authserver.command import main
from dovetail_authserver.testing import Browser

RESOURCE = "http://127.0.0.1:9/mcp"
CALLBACK = "http://127.0.0.1:5000/callback"


@contextlib.asynccontextmanager
async def running(*words: str, ends: int = 130) -> AsyncIterator[str]:
    """The command with a free port, until the block ends; its issuer. It is then interrupted, as with Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dovetail", "authserver", RESOURCE, "--port", "0", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            issuer = (await process.stdout.readline()).decode().strip()
        assert issuer, (await process.communicate())[1].decode()
        yield issuer
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
    assert process.returncode == ends, err.decode()
    assert out == b"", "standard output has the issuer and nothing else"
    assert b"Traceback" not in err


async def metadata(issuer: str) -> dict[str, Any]:
    """What the server says of itself."""
    async with Fetcher(allow_loopback=True) as fetcher:
        return await fetcher.get_json(f"{issuer}/.well-known/oauth-authorization-server")


async def tokens(issuer: str, *, user: str = "", scope: str = "files") -> dict[str, Any]:
    """What a client gets that registers itself and sends a person there, who chooses to be `user`."""
    async with Fetcher(allow_loopback=True) as fetcher:
        about = {"client_name": "A test", "redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}
        client = (await fetcher.post_json(f"{issuer}/register", about)).json_object()["client_id"]
        verifier = oauth.new_verifier()
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "state": "x",
            "code_challenge": oauth.challenge_of(verifier),
            "code_challenge_method": "S256",
            "scope": scope,
            "resource": RESOURCE,
        }
        async with Browser(issuer) as browser:
            page = await browser.open(f"{issuer}/authorize?{urlencode(asked)}")
            if user:
                page = await browser.submit(page, user=user)
            page = await browser.submit(page, decision="allow")
        code = dict(parse_qsl(urlsplit(page.left).query))["code"]
        form = {"grant_type": "authorization_code", "client_id": client, "code": code}
        form |= {"redirect_uri": CALLBACK, "code_verifier": verifier}
        return (await fetcher.post_form(f"{issuer}/token", form)).json_object()


async def test_it_says_where_it_is_and_is_one() -> None:
    async with running() as issuer:
        about = await metadata(issuer)
    assert about["issuer"] == issuer
    assert about["protected_resources"] == [RESOURCE]
    assert about["registration_endpoint"] == f"{issuer}/register"


async def test_options_are_what_it_does() -> None:
    words = ("--scope", "files=read your files", "--scope", "mail", "--no-registration")
    async with running(*words) as issuer:
        about = await metadata(issuer)
    assert about["scopes_supported"] == ["files", "mail", "offline_access"]
    assert "registration_endpoint" not in about


async def test_a_whole_login(tmp_path: Path) -> None:
    """Whoever comes chooses who to be; a token lives as long as was said."""
    async with running("--scope", "files", "--access-token", "700") as issuer:
        got = await tokens(issuer, user="bob")
    assert got["token_type"] == "Bearer"
    assert 600 < got["expires_in"] <= 700
    read = oauth.read_compact(got["access_token"], ["ES256"])
    assert (read.claims["sub"], read.claims["aud"], read.claims["scope"]) == ("bob", RESOURCE, "files")


async def test_one_person_is_not_asked_who_they_are() -> None:
    async with running("--scope", "files", "--user", "carol") as issuer:
        got = await tokens(issuer)
    assert oauth.read_compact(got["access_token"], ["ES256"]).claims["sub"] == "carol"


async def test_a_file_outlives_the_process(tmp_path: Path) -> None:
    """The same keys sign again."""
    found: list[Any] = []
    for _ in range(2):
        async with (
            running("--store", str(tmp_path / "kept.db")) as issuer,
            Fetcher(allow_loopback=True) as fetcher,
        ):
            found.append((await fetcher.get_json(f"{issuer}/jwks"))["keys"])
    assert (tmp_path / "kept.db").exists()
    assert found[0] == found[1]


async def test_it_is_there_for_this_machine_alone() -> None:
    """By no other address of the machine, and by no name that somebody pointed at it."""
    async with running() as issuer, Fetcher(allow_loopback=True) as fetcher:
        port = issuer.rpartition(":")[2]
        answer = await fetcher.get(f"{issuer}/authorize", headers={"host": f"evil.example:{port}"})
        assert answer.status == 403
        with pytest.raises(FetchFailed):
            await fetcher.get(f"http://127.0.0.2:{port}/jwks")


def test_a_port_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([RESOURCE, "--port", str(port)]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"dovetail authserver: port {port} can't be had: ")


@pytest.mark.parametrize(
    "words,said",
    [
        ([], "RESOURCE"),
        (["not a url", "--port", "0"], "RESOURCE 'not a url': "),
        ([RESOURCE, "--port", "http"], "--port"),
        ([RESOURCE, "--port", "0", "--access-token", "0"], "access_token"),
        ([RESOURCE, "--port", "0", "--scope", "two words"], "scope"),
        ([RESOURCE, "--user"], "--user"),
    ],
)
def test_a_mistake_is_named(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("port", [-1, 65536, 10**9])
def test_a_port_that_is_none(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([RESOURCE, "--port", str(port)]) == 3
    assert str(port) in capsys.readouterr().err
