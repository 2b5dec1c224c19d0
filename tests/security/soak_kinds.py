"""What `soak` can do to a server: a table of attacks, one function each.

To add one, write a function that makes one hostile request, under ``@kind`` with a name. What the server needs to be
attacked so goes into `soak_server`; what else has to be there, into `soak_beside`.
"""

from __future__ import annotations

import html
import random
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from soak_talk import KIB, MIB, Attacker, Talk, initialize, message, modern

Attack = Callable[[Attacker], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of attack: one of its requests. ``options``: those of the endpoint that it is made on; ``beside``: what
    has to be there besides, by its name in `soak_beside`; ``good``: how the good caller calls, by its name in
    `soak_good`, and ``headers`` of all that it sends; ``script``: what is attacked.
    """

    attack: Attack
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    beside: str = ""
    good: str = "call"
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    script: str = "soak_server.py"


KINDS: Final[dict[str, Kind]] = {}


def kind(name: str, **more: Any) -> Callable[[Attack], Attack]:
    """Put an attack into the table. ``more``: the rest of a `Kind`."""

    def add(attack: Attack) -> Attack:
        KINDS[name] = Kind(attack, **more)
        return attack

    return add


@kind("subscriptions")
async def subscribe(attacker: Attacker) -> None:
    """10,000 long URIs in one subscription, whose stream stays open."""
    uris = [f"soak://{attacker.number}/{attacker.turn}/{'x' * 40}/{n}" for n in range(10_000)]
    body, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
    talk = await Talk.open(attacker.port)
    attacker.keep(talk, 40)
    await talk.send(body, headers)
    status, _ = await talk.head()
    if status == 200:
        await talk.part()
    attacker.outcomes[str(status)] += 1


@kind("questions", options={"linger": 1.0})
async def leave_question(attacker: Attacker) -> None:
    """A tool asks, its arguments are large, and the client is gone."""
    if attacker.turn % 20 == 0 or not attacker.session:
        await attacker.open_session({"elicitation": {}})
    params = {
        "name": "ask",
        "arguments": {"text": "x" * (15 * MIB if attacker.turn % 20 == attacker.number else MIB)},
    }
    talk = await Talk.open(attacker.port)
    try:
        await talk.send(message("tools/call", params, id=attacker.turn + 1), attacker.in_session())
        status, _ = await talk.head()
        if status == 200:
            await talk.part()
            attacker.outcomes["asked"] += 1
        else:
            attacker.outcomes[str(status)] += 1
    finally:
        talk.drop()


@kind("bodies", options={"body_timeout": 5.0})
async def leave_body(attacker: Attacker) -> None:
    """16 MiB are announced; the last byte, or most of it, never comes."""
    talk = await Talk.open(attacker.port)
    attacker.keep(talk, 50)
    _, headers = modern("tools/call", {"name": "echo"})
    size = (16 * MIB if attacker.turn % 50 == attacker.number else MIB) - 1
    await talk.send(b" " * size, headers, declared=16 * MIB)
    attacker.outcomes["left"] += 1


@kind("heads")
async def leave_head(attacker: Attacker) -> None:
    """A large head, to which another line could always come."""
    talk = await Talk.open(attacker.port)
    attacker.keep(talk, 50)
    talk.writer.write(b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nx-more: " + b"x" * (60 * KIB))
    await talk.writer.drain()
    attacker.outcomes["left"] += 1


@kind("sessions")
async def open_session(attacker: Attacker) -> None:
    """Sessions that nobody uses, of nobody in particular."""
    status, _, _ = await attacker.post(initialize({}), {})
    attacker.outcomes[str(status)] += 1


@kind("unread")
async def leave_answer(attacker: Attacker) -> None:
    """A large answer that nobody reads."""
    talk = await Talk.open(attacker.port, narrow=True)
    attacker.keep(talk, 50)
    await talk.send(*modern("tools/call", {"name": "make", "arguments": {"size": 4 * MIB}}))
    status, _ = await talk.head()  # and nothing more
    attacker.outcomes[str(status)] += 1


@kind("rollback")
async def roll_back(attacker: Attacker) -> None:
    """A round that was answered is answered again, otherwise, where a state counts once."""
    params: dict[str, Any] = {"name": "guess", "arguments": {"door": f"{attacker.number}/{attacker.turn}"}}
    code, asked = await attacker.ask("tools/call", params)
    if "requestState" not in asked:
        attacker.outcomes[code] += 1
        return
    for number in (1, 2, 7):
        answer = {"action": "accept", "content": {"value": number}}
        again = {**params, "requestState": asked["requestState"], "inputResponses": {"number": answer}}
        code, result = await attacker.ask("tools/call", again)
        opened = number > 1 and "open" in str(result)
        attacker.outcomes["GUESSED" if opened else "one try" if number == 1 and code == "200" else code] += 1


@kind("journals")
async def fill_journal(attacker: Attacker) -> None:
    """A call that is left between its rounds, with an answer that the server has to keep."""
    params: dict[str, Any] = {"name": "talk", "arguments": {}}
    code, asked = await attacker.ask("tools/call", params)
    if "requestState" in asked:
        answer = {"action": "accept", "content": {"value": "x" * (32 * KIB)}}
        again = {**params, "requestState": asked["requestState"], "inputResponses": {"0": answer}}
        code, _ = await attacker.ask("tools/call", again)
    attacker.outcomes[code] += 1


@kind("tokens", beside="issuer", headers={"authorization": "Bearer good"})
async def make_up_token(attacker: Attacker) -> None:
    """A token that nobody gave out, which the issuer has to be asked about."""
    made_up = {"authorization": f"Bearer {secrets.token_urlsafe(24)}"}
    outcome, _ = await attacker.ask("tools/call", {"name": "echo", "arguments": {"text": "x"}}, **made_up)
    attacker.outcomes[outcome] += 1


@kind(
    "networks",
    options={"body_timeout": 5.0},
    good="session",
    headers={"x-forwarded-for": "203.0.113.7"},
)
async def come_from_everywhere(attacker: Attacker) -> None:
    """Of one IPv6 network, under an address that never comes again: subscriptions and unfinished bodies. And sessions
    of no name, from as many networks as there are.
    """
    here = {"x-forwarded-for": _address()}
    match attacker.turn % 4:
        case 0:
            talk = await Talk.open(attacker.port)
            attacker.keep(talk, 50)
            await talk.send(
                b" " * MIB, {**modern("tools/call", {"name": "echo"})[1], **here}, declared=16 * MIB
            )
            attacker.outcomes["left"] += 1
        case 1:
            uris = [f"soak://{attacker.number}/{attacker.turn}/{n}" for n in range(1_000)]
            body, headers = modern("subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}})
            talk = await Talk.open(attacker.port)
            attacker.keep(talk, 50)
            await talk.send(body, {**headers, **here})
            attacker.outcomes[str((await talk.head())[0])] += 1
        case _:
            anywhere = f"{random.randrange(1, 100)}.{random.randrange(256)}.{random.randrange(256)}.1"
            where = here if attacker.turn % 4 == 2 else {"x-forwarded-for": anywhere}
            status, _, _ = await attacker.post(initialize({}), where)
            attacker.outcomes[str(status)] += 1


def _address() -> str:
    """One of the addresses of one IPv6 network."""
    return "2001:db8:0:1:" + ":".join(f"{random.getrandbits(16):x}" for _ in range(4))


LOGIN: Final = {
    "client_id": "soak",
    "redirect_uri": "http://127.0.0.1:1/back",
    "response_type": "code",
    "code_challenge": "c" * 43,
    "code_challenge_method": "S256",
    "state": "s",
}
FORM: Final = "application/x-www-form-urlencoded"


def login_of(headers: Mapping[str, str], page: bytes) -> tuple[str, str]:
    """Where the form of a login page goes, and the cookie that belongs to it."""
    found = re.search(r'action="([^"]+)"', page.decode())
    return html.unescape(found[1]) if found else "", headers.get("set-cookie", "").split(";")[0]


@kind(
    "guesses",
    good="login",
    headers={"x-forwarded-for": "203.0.113.7"},
    script="soak_login.py",
)
async def guess_password(attacker: Attacker) -> None:
    """A wrong password, each time from another address, as the header says. The proxy adds the real one."""
    forged = {"x-forwarded-for": f"{_address()}, 198.51.100.9"}
    if "form" not in attacker.noted:
        status, headers, page = await attacker.post(
            b"", forged, method="GET", path=f"/authorize?{urlencode(LOGIN)}"
        )
        attacker.noted["form"] = login_of(headers, page)
        attacker.outcomes[f"page {status}"] += 1
    path, cookie = attacker.noted["form"]
    guess = urlencode({"name": "ann", "password": secrets.token_hex(4)}).encode()
    status, _, _ = await attacker.post(guess, {**forged, "cookie": cookie, "content-type": FORM}, path=path)
    attacker.outcomes["wrong" if status == 200 else str(status)] += 1


@kind("caches", beside="hoarder")
async def feed_client(attacker: Attacker) -> None:
    """A server that a client of the process talks to gives it more to keep, each time, and for a year."""
    arguments = {"number": attacker.turn * 1000 + attacker.number}
    code, result = await attacker.ask("tools/call", {"name": "relay", "arguments": arguments})
    attacker.outcomes["isError" if result.get("isError") else code] += 1
