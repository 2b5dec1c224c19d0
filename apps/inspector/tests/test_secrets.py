"""Secrets of servers: kept in the keyring, used by connections, and sent to no page and into no conversation."""

from __future__ import annotations

import sys

import keyring
import keyring.backends.fail
import pytest
from inspected import ended
from test_web_access import logged_in, served

from dovetail import App
from dovetail.testing import served as serving
from dovetail_inspector.session.calls import CallRequest
from dovetail_inspector.session.secrets import SecretRefused
from dovetail_inspector.views import ServerTarget

SECRET = "s3cret-äöü-value"
STDIO = """
import os
from dovetail import App
app = App("vault")
@app.tool
def length() -> int:
    "How long the key is."
    return len(os.environ.get("API_KEY", ""))
@app.tool
def whole() -> str:
    "The key."
    return os.environ["API_KEY"]
app.run()
"""


@pytest.fixture
def vault(inspection, tmp_path):
    place = tmp_path / "vault.py"
    place.write_text(STDIO)
    return inspection.add(
        "vault", ServerTarget(command=sys.executable, args=[str(place)], env={"API_KEY": "x"})
    )


async def called(inspection, server, tool):
    return (await ended(inspection, inspection.call(server.id, CallRequest(kind="tool", name=tool)))).result


async def test_a_secret_is_used_and_never_comes_back(inspection, vault, kept):
    async with served(inspection) as (address, access), logged_in(address, access) as session:
        seq = inspection.events.seq
        async with session.post(
            f"/api/servers/{vault.id}/secrets", json={"name": "API_KEY", "value": SECRET}
        ) as answer:
            text = await answer.text()
            assert (await answer.json())["secrets"] == ["API_KEY"]
        assert list(kept.values()) == [SECRET]
        assert all(service == "dovetail inspector" for service, _ in kept)
        vault.connect()
        await vault.connected()
        assert vault.view.state == "ready", vault.view.error
        result = await called(inspection, vault, "length")
        assert result["structuredContent"] == len(SECRET)
        await called(inspection, vault, "whole")
        async with session.get("/api/servers/s1/info") as answer:
            text += await answer.text()
        async with session.get("/api/transcripts/t1/records?limit=100") as answer:
            text += await answer.text()
        async for batch in inspection.events.watch(seq):
            text += "".join(each.data.decode() for each in batch if each.type == "server")
            break
        assert SECRET not in text
        inspection.catch_up()
        assert vault.transcript is not None
        written = inspection.transcripts[vault.transcript].path.read_text()
        assert "structuredContent" in written
        assert SECRET not in written
        assert SECRET.encode("ascii", "backslashreplace").decode() not in written
        async with session.delete(f"/api/servers/{vault.id}/secrets/API_KEY") as answer:
            assert (await answer.json())["secrets"] == []
        assert kept == {}


async def test_a_header_is_sent_from_the_keyring_and_left_out_of_the_conversation(inspection, kept):
    seen: list[str] = []
    endpoint = App("vault").asgi()

    async def watched(scope, receive, send):
        seen.extend(value.decode() for name, value in scope.get("headers", []) if name == b"x-key")
        await endpoint(scope, receive, send)

    async with serving(watched) as url:
        server = inspection.add("vault", ServerTarget(url=url, headers={"X-Other": "open"}))
        await server.keep_secret("X-Key", "s3cret-key")
        server.connect()
        await server.connected()
        assert server.view.state == "ready", server.view.error
        assert set(seen) == {"s3cret-key"}
        await server.disconnect()
        inspection.catch_up()
        written = inspection.transcripts["t1"].path.read_text()
        assert "open" in written
        assert "s3cret-key" not in written


async def test_a_secret_belongs_to_a_place_and_is_found_there_again(inspection, vault, kept):
    await vault.keep_secret("API_KEY", SECRET)
    again = inspection.add("else", vault.target)
    assert again.secrets == []
    await again.keep_secret("API_KEY", "")
    assert again.secrets == ["API_KEY"]
    elsewhere = inspection.add("vault", ServerTarget(command=vault.target.command, args=["other.py"]))
    with pytest.raises(SecretRefused, match="enter it once more"):
        await elsewhere.keep_secret("API_KEY", "")
    again.change(target=ServerTarget(command="other"))
    assert again.secrets == []
    again.change(name="renamed")
    vault.change(name="renamed")
    assert vault.secrets == ["API_KEY"]
    kept.clear()
    vault.connect()
    await vault.connected()
    assert vault.view.state == "failed"
    assert "enter it once more" in vault.view.error.message


@pytest.mark.parametrize(
    "name, value",
    [
        ("API KEY", SECRET),
        ("", SECRET),
        ("A=B", SECRET),
        ("A", "abc"),
        ("A", "a\nb\nc\nd"),
        ("A", "x" * 9000),
    ],
)
async def test_what_can_be_no_secret_is_refused(vault, kept, name, value):
    with pytest.raises(SecretRefused):
        await vault.keep_secret(name, value)
    assert (vault.secrets, kept) == ([], {})


async def test_without_a_keyring_nothing_is_kept(vault):
    before = keyring.get_keyring()
    keyring.set_keyring(keyring.backends.fail.Keyring())
    try:
        with pytest.raises(SecretRefused, match="no keyring"):
            await vault.keep_secret("API_KEY", SECRET)
    finally:
        keyring.set_keyring(before)
    assert vault.secrets == []
