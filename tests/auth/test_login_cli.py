"""``dovetail auth`` and ``--auth``, as a person runs them: in processes of their own, with a script for a browser."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from login_stage import World
from test_cli_measuring import programs

BROWSER = """
import sys, urllib.request
urllib.request.urlopen(sys.argv[1]).read()
"""


class Desk:
    """A user with a home of their own, and perhaps a browser."""

    def __init__(self, home: Path, *, browser: bool = True) -> None:
        self.home = home
        script = home / "browser.py"
        script.write_text(BROWSER)
        self.env = {
            name: value for name, value in os.environ.items() if "DISPLAY" not in name and "proxy" not in name
        }
        self.env |= {
            "XDG_STATE_HOME": str(home),
            "HOME": str(home),
            "LOCALAPPDATA": str(home),
            "COLUMNS": "150",
        }
        self.env.pop("BROWSER", None)
        if browser:
            self.env["BROWSER"] = f"{sys.executable} {script} %s"

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run a command: exit code, standard output, standard error."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "dovetail", *words, env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    def kept(self) -> list[Path]:
        return sorted((self.home / "dovetail" / "logins").glob("*.json"))


async def test_log_in_use_look_log_out(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with World() as world:
        code, _, err = await desk.run("auth", "status", world.resource)
        assert code == 6
        assert f"dovetail auth login {world.resource}" in err

        code, out, err = await desk.run("auth", "login", world.resource, "--scope", "read")
        assert (code, out) == (0, "")
        assert "You are logged in." in err
        assert f"{world.issuer.url}/authorize?" in err
        assert len(world.issuer.at("/authorize")) == 1
        assert world.issuer.at("/authorize")[0].query["scope"] == "read"

        code, out, _ = await desk.run("auth", "status", world.resource)
        assert code == 0
        for words in (world.issuer.url, "read", "for 59 minutes; renewed by itself", str(tmp_path)):
            assert words in out.replace("\n", "")
        code, out, _ = await desk.run("auth", "status", world.resource, "--json")
        said: dict[str, Any] = json.loads(out)
        assert (said["loggedIn"], said["issuer"], said["scopes"]) == (True, world.issuer.url, ["read"])

        code, out, _ = await desk.run("call", world.resource, "x", "--auth", "-r", "2026-07-28")
        assert (code, out) == (0, "done\n")
        code, _, err = await desk.run("auth", "login", world.resource)
        assert code == 0
        assert "already" in err
        assert len(world.issuer.at("/authorize")) == 1
        code, _, err = await desk.run("auth", "login", world.resource, "--again")
        assert code == 0
        assert world.issuer.at("/authorize")[1].query["scope"] == "read"

        for words in (out, err, "".join(desk.env.values())):
            assert "token-1" not in words
        code, _, err = await desk.run("auth", "logout", world.resource, "--forget")
        assert (code, "logged out" in err) == (0, True)
        assert [path.name.partition("-")[0] for path in desk.kept()] == ["client"]
        code, _, err = await desk.run("auth", "logout", world.resource)
        assert (code, "no login" in err) == (0, True)


async def test_without_a_person_the_error_says_what_to_do(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with World() as world:
        code, out, err = await desk.run("list", world.resource, "-r", "2026-07-28")
        assert (code, out) == (6, "")
        code, out, err = await desk.run("list", world.resource, "--auth", "-r", "2026-07-28")
        assert (code, out) == (6, "")
        assert f"dovetail auth login {world.resource}" in err
        assert world.issuer.at("/authorize") == []


async def test_a_client_registered_by_hand_is_said_once(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    async with World() as world:
        given = ("--client-id", "me", "--issuer", world.issuer.url, "--secret-env", "MY_SECRET")
        code, _, err = await desk.run("auth", "login", world.resource, *given)
        assert (code, "MY_SECRET" in err) == (2, True)
        desk.env["MY_SECRET"] = "s3cret"
        code, _, err = await desk.run("auth", "login", world.resource, *given)
        assert code == 0
        assert (await desk.run("call", world.resource, "x", "--auth", "-r", "2026-07-28"))[:2] == (
            0,
            "done\n",
        )
        assert world.issuer.at("/register") == []
        assert world.issuer.at("/token")[0].headers["authorization"].startswith("Basic ")
        for path in desk.kept():
            assert "s3cret" not in path.read_text()


async def test_a_denial_and_a_headless_machine(tmp_path: Path) -> None:
    async with World() as world:
        world.callback = {"code": "", "error": "access_denied"}
        code, _, err = await Desk(tmp_path).run("auth", "login", world.resource)
        assert (code, "access_denied" in err) == (6, True)
        code, _, err = await Desk(tmp_path, browser=False).run("auth", "login", world.resource)
        assert (code, "paste" in err) == (6, True)
        assert Desk(tmp_path).kept()[0].name.startswith("client-")


@pytest.mark.parametrize(
    "words",
    [
        ("auth", "login", "server.py"),
        ("auth", "login", "http://server.example/mcp"),
        ("auth", "status", "https://a@server.example/mcp"),
        ("auth", "login", "https://server.example/mcp", "--client-id", "me"),
        ("auth", "login", "https://server.example/mcp", "--secret-env", "X"),
        ("auth", "login", "https://server.example/mcp", "--client-metadata-url", "http://x"),
        ("list", "--auth", "server.py"),
        ("auth", "nonsense"),
    ],
)
async def test_what_makes_no_sense_is_usage(tmp_path: Path, words: tuple[str, ...]) -> None:
    code, out, err = await Desk(tmp_path).run(*words)
    assert (code, out) == (2, "")
    assert "Traceback" not in err


@pytest.mark.hostile
async def test_the_conformance_suite_is_let_in_by_a_stored_login(tmp_path: Path) -> None:
    """Every request of the suite carries the token of the login, renewed where it has run out; no word of it has it."""
    desk = Desk(tmp_path)
    desk.env["PATH"] = f"{programs(tmp_path, 'v22.1.0')}{os.pathsep}{desk.env['PATH']}"
    async with World() as world:
        words = ("conformance", world.resource, "--only", "ping", "-r", "2026-07-28")
        code, _, err = await desk.run(*words, "--auth")
        assert code == 6
        assert f"dovetail auth login {world.resource}" in err
        assert (await desk.run("auth", "login", world.resource))[0] == 0
        for renewed in (False, True):
            if renewed:
                world.valid.clear()  # what was issued is good no more
            world.mcp.seen.clear()
            code, out, err = await desk.run(*words, "--auth")
            assert code == 1, err  # this server's messages are not those of a good one, which is told
            assert "1 of 1 scenarios passed" in out
            assert "token-" not in out + err
            asked = [
                each.headers.get("authorization", "")
                for each in world.mcp.seen
                if each.method == "POST" and each.json["method"] in ("initialize", "tools/list")
            ]
            assert len(asked) == 2, asked
            assert {each.removeprefix("Bearer ") in world.valid for each in asked} == {True}
        assert len(world.issuer.at("/authorize")) == 1
