"""A login from beginning to end: what `make demo-auth` runs. Ends with 0 if everything was as expected, else with 1.

A protected server, an authorization server (the command `dovetail authserver`) and a client, each a program of its own;
the person is a real browser without a window if one is there. The client is refused, logs in, refreshes, asks for more,
comes back, and logs out.
"""

import asyncio
import contextlib
import socket
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

from browsing import Chromium, Walker, browser

from dovetail import Client, DovetailError
from dovetail.auth import FileTokens, OAuth
from dovetail.auth.login import LoginDenied
from dovetail.security import Fetcher

HERE = Path(__file__).resolve().parent
#: What the server distinguishes, and what the person is told of it.
SCOPES = {"notes:read": "read your notes", "notes:write": "change your notes"}
LIFETIME = 3.0
START = 20.0


class Play:
    """The client's side of the demo: one person, one file of tokens, and what happened so far."""

    def __init__(self, url: str, issuer: str, tokens: Path, person: Chromium | Walker) -> None:
        self.url = url
        self.issuer = issuer
        self.person = person
        self.visits = 0
        self._visiting: asyncio.Task[bool] | None = None
        self._tokens = tokens

    def auth(self, *, willing: bool = True) -> OAuth:
        """What a client of this person is given."""
        visit = self._visit if willing else self._stay_away
        return OAuth(open_browser=visit, tokens=FileTokens(self._tokens), scopes=["notes:read"])

    async def _visit(self, url: str) -> bool:
        self.visits += 1
        self._visiting = asyncio.create_task(self.person.log_in(url, "alice"))
        return True

    async def _stay_away(self, url: str) -> bool:
        raise LoginDenied("nobody is at the browser", error="declined")

    async def call(self, client: Client, tool: str, **arguments: str) -> str:
        """Call a tool and give its text."""
        result = await client.call_tool(tool, arguments)
        return result.raise_on_error().text

    async def arrived(self) -> None:
        """Wait until the browser shows the page that a login ends with."""
        assert self._visiting is not None, "the browser was not used"
        expect(await self._visiting, "the browser did not come to the client's page")

    async def kept(self) -> tuple[str, str]:
        """The access token and the scopes that are kept."""
        credentials = self.auth().client_auth(self.url)
        tokens = await credentials.status()
        await credentials.close()
        assert tokens is not None, "nothing is kept"
        return tokens.access_token, " ".join(tokens.granted)


async def refused(play: Play) -> str:
    """Without a token nobody gets in."""
    fetcher = Fetcher(allow_loopback=True)
    said = await fetcher.post_json(play.url, {})
    await fetcher.close()
    expect(said.status == 401, f"status {said.status}")
    return f"401, {said.headers['www-authenticate'].partition(',')[0]}"


async def log_in(play: Play) -> str:
    """The client finds out where to go, registers, and sends the person there."""
    async with Client(play.url, auth=play.auth()) as client:
        text = await play.call(client, "read")
    await play.arrived()
    expect(text.startswith("alice:"), text)
    expect(play.visits == 1, f"{play.visits} visits")
    return f"{' -> '.join(play.person.titles)} -> {text!r}"


async def refresh(play: Play) -> str:
    """The token ends; the client gets another one by itself."""
    before, _ = await play.kept()
    await asyncio.sleep(LIFETIME + 0.2)  # the token's life
    async with Client(play.url, auth=play.auth()) as client:
        await play.call(client, "read")
    after, _ = await play.kept()
    expect(before != after, "the token is the same")
    expect(play.visits == 1, "the person was asked again")
    return "the token had ended, a new one came, and nobody was asked"


async def step_up(play: Play) -> str:
    """A tool needs one scope more: the person is asked for that, and the call goes on."""
    async with Client(play.url, auth=play.auth()) as client:
        text = await play.call(client, "write", text="buy rope")
    await play.arrived()
    _, scopes = await play.kept()
    expect(play.visits == 2, f"{play.visits} visits")
    expect(set(scopes.split()) >= {"notes:read", "notes:write"}, scopes)
    return f"asked once more, now with {scopes}: {text!r}"


async def come_back(play: Play) -> str:
    """Another program of the same person finds the login in the file."""
    async with Client(play.url, auth=play.auth(willing=False)) as client:
        text = await play.call(client, "read")
    expect("buy rope" in text, text)
    return text


async def log_out(play: Play) -> str:
    """Forget the tokens here, and end them there."""
    credentials = play.auth().client_auth(play.url)
    tokens = await credentials.log_out()
    await credentials.close()
    assert tokens is not None, "nothing was kept"
    assert tokens.refresh_token is not None, "no refresh token was kept"
    fetcher = Fetcher(allow_loopback=True)
    again = await fetcher.post_form(
        f"{play.issuer}/token",
        {
            "grant_type": "refresh_token",
            "client_id": tokens.client_id,
            "refresh_token": tokens.refresh_token,
        },
    )
    await fetcher.close()
    expect(again.status == 400, f"{again.status}")
    try:
        async with Client(play.url, auth=play.auth(willing=False)) as client:
            await play.call(client, "read")
    except LoginDenied:
        return "forgotten here, revoked there; the next call would need a login"
    raise AssertionError("a call went through after the log-out")


SCENES: dict[str, Callable[[Play], Awaitable[str]]] = {
    "no token": refused,
    "log in": log_in,
    "refresh": refresh,
    "step up": step_up,
    "come back": come_back,
    "log out": log_out,
}


def expect(true: bool, otherwise: str) -> None:
    """Raise AssertionError with what was there instead."""
    if not true:
        raise AssertionError(otherwise)


@contextlib.asynccontextmanager
async def program(port: int, *words: str) -> AsyncGenerator[None]:
    """A Python program that serves on a port, until the block ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(START):
            while not await listens(port):
                expect(process.returncode is None, f"{words} ended with {process.returncode}")
                await asyncio.sleep(0.05)  # nothing tells that a port is open but trying it
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def authority(port: int, resource: str) -> list[str]:
    """The command of the authorization server, as a person types it: ``dovetail authserver RESOURCE ...``."""
    scopes = [word for name, about in SCOPES.items() for word in ("--scope", f"{name}={about}")]
    words = [resource, "--port", str(port), "--access-token", f"{LIFETIME:g}", *scopes]
    return ["-m", "dovetail", "authserver", *words]


async def listens(port: int) -> bool:
    """Whether something serves on a port."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def play_scene(play: Play, title: str) -> bool:
    """One scene, shown as it ends."""
    began = time.perf_counter()
    problem = ""
    try:
        detail = await asyncio.wait_for(SCENES[title](play), 40)
    except (DovetailError, AssertionError, OSError, TimeoutError) as error:
        detail, problem = "", f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() - began
    print(
        f"  {'FAILED' if problem else 'ok':6}  {title:10} {problem or detail}  ({seconds:.1f} s)", flush=True
    )
    return not problem


async def main() -> int:
    """Start everything, play all scenes, and give the exit code."""
    url, at = f"http://127.0.0.1:{(port := free_port())}/mcp", free_port()
    issuer = f"http://127.0.0.1:{at}"
    print(f"A login, from beginning to end. Server: {url}; authorization server: {issuer}")
    with tempfile.TemporaryDirectory(prefix="login-") as folder:
        async with (
            program(at, *authority(at, url)),
            program(port, str(HERE / "server.py"), str(port), issuer),
            browser() as person,
        ):
            print(f"The browser: {person.kind}")
            play = Play(url, issuer, Path(folder) / "tokens", person)
            good = [await play_scene(play, title) for title in SCENES]
    print(f"{good.count(True)} of {len(good)} as expected")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
