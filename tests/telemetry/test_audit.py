"""The audit record: every decision, what it says of whom, what becomes of it when its sink fails, blocks or is slow."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, cast

import msgspec
import pydantic
import pytest

from dovetail import App, Client, Principal, Secret
from dovetail.errors import AuthenticationFailed, InternalError, RateLimited, RPCError
from dovetail.telemetry import Audit, AuditRecord
from dovetail.telemetry.audit import RATE_LIMITED
from dovetail.testing import connected, served

ERAS = ("2025-11-25", "2026-07-28")


def kept(**options: Any) -> tuple[Audit, list[AuditRecord]]:
    found: list[AuditRecord] = []
    return Audit(found.append, **options), found


def desk(audit: Audit, **options: Any) -> App:
    app = App("desk", telemetry=audit, **options)

    @app.tool
    async def add(a: int, b: int) -> int:
        return a + b

    @app.tool
    async def fail() -> None:
        raise ValueError("no")

    return app


def calls(found: list[AuditRecord]) -> list[AuditRecord]:
    return [each for each in found if each.method == "tools/call"]


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("transport", ["memory", "stdio", "http-json"])
async def test_each_call_is_recorded_with_what_was_decided(transport: Any, revision: str) -> None:
    audit, found = kept()
    async with connected(desk(audit), transport=transport, revision=revision) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
        await client.call_tool("fail")
        with pytest.raises(RPCError):
            await client.call_tool("evil\nname")
    audit.close()
    assert [(each.decision, each.reason, each.target) for each in calls(found)] == [
        ("allowed", "ok", "add"),
        ("failed", "tool_error", "fail"),
        ("failed", "-32602", ""),
    ]
    assert "\n" not in calls(found)[2].named
    assert all(each.arguments is None and each.revision == revision and not each.remote for each in found)
    assert all(bool(each.session) == (revision == ERAS[0]) for each in calls(found))


def test_the_code_is_that_of_who_calls_too_often() -> None:
    assert RateLimited.default_code == RATE_LIMITED


TOKENS = {
    "good": Principal("https://issuer", "ann", scopes=frozenset({"read"})),
    "other": Principal("https://issuer", "bob"),
}


class Tokens:
    async def authenticate(self, credentials: Any) -> Principal:
        shown = "".join(credentials.authorization).removeprefix("Bearer ")
        if shown not in TOKENS:
            raise AuthenticationFailed("the token is unknown", status=401)
        return TOKENS[shown]


async def test_what_was_denied_and_limited_is_recorded() -> None:
    audit, found = kept(identities=True)
    app = App("desk", telemetry=audit, rate_limit=0.001, burst=1)

    @app.tool(allow=lambda who: who.subject == "ann")
    async def mine() -> str:
        return "mine"

    @app.tool
    async def ours() -> str:
        return "ours"

    async with served(app.asgi(authenticate=cast("Any", Tokens()))) as url:
        async with Client(url, revision=ERAS[1], headers={"authorization": "Bearer good"}) as ann:
            await ann.call_tool("mine")
            with pytest.raises(RPCError, match="too many calls"):
                await ann.call_tool("mine")
        async with Client(url, revision=ERAS[1], headers={"authorization": "Bearer other"}) as bob:
            with pytest.raises(RPCError):
                await bob.call_tool("mine")
        with pytest.raises(Exception, match="401"):
            async with Client(url, revision=ERAS[1], headers={"authorization": "Bearer bad"}):
                pass
    audit.close()
    decided = [(each.subject, each.decision, each.reason, each.target) for each in calls(found)]
    assert decided == [
        ("ann", "allowed", "ok", "mine"),
        ("ann", "limited", "rate", "mine"),
        ("bob", "denied", "hidden", "mine"),
    ]
    refused = [each for each in found if each.event == "refused"]
    assert {(each.decision, each.reason, each.status) for each in refused} == {("denied", "auth", 401)}
    assert {each.remote for each in calls(found)} == {"127.0.0.1"}
    assert not any("good" in repr(each) or "Bearer" in repr(each) for each in found)


async def test_by_default_callers_are_digests(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dovetail.audit")
    app = desk(Audit())
    async with connected(app, revision=ERAS[1]) as client:
        await client.call_tool("add", {"a": 1, "b": 2})
    lines = [record for record in caplog.records if record.name == "dovetail.audit"]
    line = next(record for record in lines if "tools/call" in record.getMessage())
    assert line.getMessage() == "call tools/call add: allowed (ok)"
    assert (line.__dict__["audit_decision"], line.__dict__["audit_target"]) == ("allowed", "add")


@dataclass
class Card:
    owner: str
    number: Annotated[str, Secret]


@dataclass
class Basket:
    cards: list[Card] = field(default_factory=list[Card])
    best: Card | None = None
    named: dict[str, Card] = field(default_factory=dict[str, Card])


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


class Account(pydantic.BaseModel):
    login: Login
    others: list[Login] = []


async def test_secrets_are_in_no_record_at_any_depth() -> None:
    audit, found = kept(arguments=True)
    app = App("desk", telemetry=audit)

    @app.tool
    async def pay(basket: Basket, pin: Annotated[str, Secret]) -> str:
        return "paid"

    @app.tool
    async def enter(account: Account) -> str:
        return "entered"

    card = {"owner": "ann", "number": "HUSH-1"}
    async with connected(app, revision=ERAS[1]) as client:
        basket = {"cards": [card], "best": card, "named": {"a": card}}
        await client.call_tool("pay", {"basket": basket, "pin": "HUSH-2"})
        await client.call_tool(
            "pay", {"basket": basket, "pin": "HUSH-2", "pim": "HUSH-3", "basked": {"x": "HUSH-4"}}
        )
        login = {"user": "ann", "password": "HUSH-5"}
        await client.call_tool("enter", {"account": {"login": login, "others": [login]}})
    audit.close()
    assert "HUSH" not in repr(found)
    shown = {"owner": "ann", "number": "[redacted]"}
    paid, wrong, entered = (each.arguments for each in calls(found))
    assert paid == {"basket": {"cards": [shown], "best": shown, "named": {"a": shown}}, "pin": "[redacted]"}
    assert (wrong["pim"], wrong["basked"]) == ("[undeclared]", "[undeclared]")
    assert entered["account"]["login"] == {"user": "ann", "password": "[redacted]"}
    assert entered["account"]["others"] == [{"user": "ann", "password": "[redacted]"}]


@pytest.mark.hostile
async def test_what_is_large_or_deep_is_cut() -> None:
    audit, found = kept(arguments=True, max_arguments=2000)
    app = App("desk", telemetry=audit)

    @app.tool
    async def take(values: list[dict[str, str]]) -> None:
        return None

    deep: Any = 1
    for _ in range(60):
        deep = {"a": deep}
    async with connected(app, revision=ERAS[1]) as client:
        await client.call_tool("take", {"values": [{"a": "x" * 100_000}]})
        await client.call_tool("take", {"values": [{str(n): "y" * 100 for n in range(50)}]})
        await client.call_tool("take", {"values": [deep]})
    audit.close()
    assert all(len(msgspec.json.encode(each.arguments)) <= 2000 for each in calls(found))
    assert calls(found)[1].arguments == "[cut]"
    assert "[cut]" in repr(calls(found)[0].arguments) + repr(calls(found)[2].arguments)


async def test_a_sink_that_fails_costs_no_call_and_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def broken(record: AuditRecord) -> None:
        raise OSError("the disk is full")

    audit = Audit(broken)
    async with connected(desk(audit), revision=ERAS[1]) as client:
        assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    audit.close()
    assert audit.lost >= 1
    assert sum("audit records were lost" in each.getMessage() for each in caplog.records) == 1


async def test_a_sink_that_blocks_holds_nobody_up() -> None:
    release = threading.Event()
    audit = Audit(lambda _: release.wait(), queue_size=3)
    async with connected(desk(audit), revision=ERAS[1]) as client:
        for _ in range(10):
            assert (await client.call_tool("add", {"a": 1, "b": 2})).text == "3"
    assert audit.lost >= 6
    release.set()
    audit.close()


def failing(record: AuditRecord) -> None:
    raise OSError("the disk is full")


@pytest.mark.parametrize("revision", ERAS)
async def test_what_has_to_be_recorded_is_not_done_where_it_can_not(revision: str) -> None:
    done: list[str] = []
    sink: list[Callable[[AuditRecord], None]] = [lambda _: None]
    audit = Audit(lambda record: sink[0](record), required=True)
    app = App("desk", telemetry=audit)

    @app.tool
    async def act() -> str:
        done.append("act")
        return "done"

    async with connected(app, revision=revision) as client:
        assert (await client.call_tool("act")).text == "done"
        sink[0] = failing
        with pytest.raises(InternalError, match="can't be recorded"):
            await client.call_tool("act")
        sink[0] = lambda _: None
        assert (await client.call_tool("act")).text == "done"
    audit.close()
    assert done == ["act", "act"]


async def test_what_has_to_be_recorded_waits_no_longer_than_told() -> None:
    release = threading.Event()
    audit = Audit(
        lambda record: record.method == "tools/call" and release.wait(), required=True, timeout=0.05
    )
    async with connected(desk(audit), revision=ERAS[1]) as client:
        with pytest.raises(InternalError, match="can't be recorded"):
            await client.call_tool("add", {"a": 1, "b": 2})
    release.set()
    audit.close()


async def test_an_attempt_is_recorded_before_the_call_runs() -> None:
    audit, found = kept(required=True)
    app = App("desk", telemetry=audit)
    before: list[int] = []

    @app.tool
    async def act() -> None:
        before.append(len(calls(found)))

    async with connected(app, revision=ERAS[1]) as client:
        await client.call_tool("act")
    audit.close()
    assert before == [1]
    assert [each.event for each in calls(found)] == ["attempt", "call"]


async def test_ten_thousand_calls_have_ten_thousand_records() -> None:
    audit, found = kept(queue_size=20_000)
    app = desk(audit, rate_limit=None)
    async with connected(app, revision=ERAS[1]) as client:
        for _ in range(100):
            await asyncio.gather(*(client.call_tool("add", {"a": 1, "b": 2}) for _ in range(100)))
    audit.close()
    assert len(calls(found)) == 10_000
    assert audit.lost == 0
    assert len({each.request_id for each in calls(found)}) == 10_000


def test_bounds_make_sense() -> None:
    options: list[dict[str, Any]] = [{"timeout": 0}, {"queue_size": 0}, {"max_arguments": 0}]
    for wrong in options:
        with pytest.raises(ValueError, match="above zero"):
            Audit(**wrong)
