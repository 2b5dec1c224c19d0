"""Logins pass the gate: the whole address is shown first, more scopes are asked about, and rules know them."""

import asyncio
import time
from typing import Any

import pytest
from login_stage import RESOURCE_PATH, World
from test_login_tokens import age

from dovetail import App, Client, LoginRequired
from dovetail.auth import Bearer, ClientCredentials
from dovetail.auth.login import LoginDenied, MemoryTokens, Tokens
from dovetail.host import (
    Approve,
    ConsentRefused,
    ConsentRequest,
    Host,
    HostEvent,
    HostPolicy,
    HostRecord,
    PolicyRule,
    Refuse,
    ServerUnavailable,
)

CALLS = PolicyRule(decision="allow", kind="tool")
WAIT = 20.0


class Person:
    """Is asked, and answers once they have looked."""

    def __init__(self, *answers: Any, looking: asyncio.Event | None = None) -> None:
        self.answers = list(answers)
        self.asked: list[ConsentRequest] = []
        self.looking = looking
        self.reached = asyncio.Event()

    async def __call__(self, request: ConsentRequest) -> Any:
        self.asked.append(request)
        self.reached.set()
        if self.looking is not None:
            await self.looking.wait()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Refused:
    """Waits until a login came to nothing."""

    def __init__(self) -> None:
        self._seen = asyncio.Event()

    def __call__(self, event: HostEvent) -> None:
        if event.kind == "state" and isinstance(event.value.cause, LoginDenied):
            self._seen.set()

    async def wait(self) -> None:
        async with asyncio.timeout(WAIT):
            await self._seen.wait()


@pytest.mark.requirement(
    "R2511-ELICITATION-003",
    "R2607-ELICITATION-003",
    "R2511-ELICITATION-048",
    "R2607-ELICITATION-037",
)
async def test_a_login_waits_for_a_person_who_sees_the_whole_address_and_then_the_server_is_ready() -> None:
    records: list[HostRecord] = []
    async with World() as world:
        world.resource_metadata["scopes_supported"] = ["read", "write"]
        person = Person(True, looking=asyncio.Event())
        assert person.looking is not None
        states: list[str] = []
        async with Host(
            {"web": world.client()},
            consent=person,
            policy=HostPolicy(rules=(CALLS,)),
            audit=records.append,
            on_event=lambda event: states.append(event.value.state) if event.kind == "state" else None,
        ) as host:
            status = await host.server("web").wait_for("needs_login", timeout=WAIT)
            assert isinstance(status.cause, LoginRequired)
            await person.reached.wait()
            assert world.visits == []  # nothing is opened or fetched before
            assert "/authorize" not in world.issuer.paths()
            assert await host.settled(WAIT)  # nobody waits for this server
            assert await host.tools() == []
            with pytest.raises(ServerUnavailable, match="a person is asked to log in"):
                await host.call("web__x")
            person.looking.set()
            await host.server("web").wait_for("ready", timeout=WAIT)
            assert (await host.call("web__x")).text == "done"
        assert states == ["connecting", "needs_login", "ready", "closed"]
        (request,), (address,) = person.asked, world.visits
        assert request.kind == "login"
        assert request.visit is not None
        assert request.visit.url == address
        assert request.scopes == ("read", "write")
        assert request.added == ()
        text = request.text()
        assert text.startswith("The server web wants you to log in.\n")
        before, shown, rest = request.address or ("", "", "")
        assert before + shown + rest == address
        assert f"  address: {before}[{shown}]{rest}\n" in text
        assert "  scopes that it asks for: read, write" in text
        (login,) = (each for each in records if each.kind == "login")
        assert (login.allowed, login.by, login.scopes) == (True, "person", ("read", "write"))
        assert "state=" not in str(login)


@pytest.mark.requirement("R2511-ELICITATION-003", "R2607-ELICITATION-003")
@pytest.mark.parametrize("way", ["person", "nobody", "a rule of logins", "a rule of visits"])
async def test_nobody_is_sent_to_log_in_who_does_not_want_to(way: str) -> None:
    rules = {
        "a rule of logins": (PolicyRule(decision="deny", kind="login", server="we*"),),
        "a rule of visits": (PolicyRule(decision="deny", kind="visit", host="127.*"),),
    }.get(way, ())
    policy = HostPolicy(default=None if way in ("person", "nobody") else "allow", rules=rules)
    consent = Person(False) if way == "person" else None
    refused = Refused()
    async with (
        World() as world,
        Host({"web": world.client()}, consent=consent, policy=policy, on_event=refused) as host,
    ):
        web = host.server("web")
        await refused.wait()
        assert web.state == "needs_login"
        assert web.status.retry_in is None
        assert world.visits == []


async def test_a_login_that_was_refused_is_asked_about_again_once_the_server_is_restarted() -> None:
    async with World() as world:
        person, refused = Person(False, Approve(remember="always"), True), Refused()
        policy = HostPolicy(rules=(CALLS,))
        async with Host({"web": world.client()}, consent=person, policy=policy, on_event=refused) as host:
            web = host.server("web")
            await refused.wait()
            host.restart("web")
            await web.wait_for("ready", timeout=WAIT)
            assert (await host.call("web__x")).text == "done"
        assert len(person.asked) == 2


async def test_a_question_that_nobody_answers_goes_with_its_connection() -> None:
    """A restart or a removal takes it back, and holds up no other question."""
    plain, questions = App("plain"), asyncio.Queue[ConsentRequest]()

    @plain.tool
    async def x() -> str:
        return "done"

    async def consent(request: ConsentRequest) -> bool:
        await questions.put(request)
        if request.kind == "login":
            await asyncio.Event().wait()
        return True

    async with World() as world, Host({"web": world.client(), "plain": plain}, consent=consent) as host:
        async with asyncio.timeout(WAIT):
            assert (await questions.get()).kind == "login"
            host.restart("web")
            assert (await questions.get()).kind == "login"
            await host.remove("web")
            assert (await host.call("plain__x")).text == "done"
        assert (await questions.get()).kind == "tool"
        assert world.visits == []


async def test_the_host_s_own_way_opens_the_address_and_it_is_opened_once() -> None:
    async with World() as world:
        opened: list[str] = []

        async def elsewhere(url: str) -> None:
            opened.append(url)
            await world.browse(url)

        async def never(url: str) -> bool:
            raise AssertionError(f"opened twice: {url}")

        server = world.client(world.oauth(open_browser=never))
        policy = HostPolicy(default="allow")
        async with Host({"web": server}, policy=policy, open_address=elsewhere) as host:
            await host.server("web").wait_for("ready", timeout=WAIT)
        assert opened == world.visits
        assert len(opened) == 1


@pytest.mark.requirement("R2511-ELICITATION-048", "R2607-ELICITATION-037")
@pytest.mark.parametrize(
    "remembered", [Approve(remember="session"), Approve(remember="session", reach="server")]
)
async def test_a_server_that_wants_more_is_asked_about_whatever_was_remembered(remembered: Approve) -> None:
    """A step-up is a login of its own, with the scopes that come on top."""
    async with World() as world:
        world.asked_scopes = "read"
        person = Person(remembered, Refuse(reason="not that"), True)
        tokens = MemoryTokens()
        server = world.client(world.oauth(tokens=tokens, scopes=["read"]))
        async with Host({"web": server}, consent=person, policy=HostPolicy(rules=(CALLS,))) as host:
            await host.server("web").wait_for("ready", timeout=WAIT)
            assert (await host.call("web__x")).text == "done"
            world.needed = {"write"}
            with pytest.raises(LoginDenied):
                await host.call("web__x")
            assert len(world.visits) == 1
            assert host.server("web").state == "ready"  # what it has is still good
            more = person.asked[-1]
            assert (more.kind, more.added) == ("login", ("write",))
            assert set(more.scopes or ()) == {"read", "write"}
            assert "  MORE THAN BEFORE: write" in more.text()
        async with Host({"web": server}, consent=person, policy=HostPolicy(rules=(CALLS,))) as host:
            assert (await host.call("web__x")).text == "done"
        assert [each.kind for each in person.asked] == ["login"] * 3
        assert len(world.visits) == 2


def a_machine(world: World) -> Client:
    """A client without a person."""
    auth = ClientCredentials("us", issuer=world.issuer.url, client_secret="hush-hush", scopes=["read"])
    return world.client(auth)


async def test_credentials_without_a_person_get_no_more_scopes_unless_somebody_agrees() -> None:
    async with World() as world:
        world.metadata["grant_types_supported"] = ["client_credentials"]
        person = Person(False, True)
        async with Host({"web": a_machine(world)}, consent=person, policy=HostPolicy(rules=(CALLS,))) as host:
            await host.server("web").wait_for("ready", timeout=WAIT)
            assert person.asked == []
            world.needed = {"write"}
            before = len(world.grants())
            with pytest.raises(ConsentRefused, match="login of the server 'web' was refused"):
                await host.call("web__x")
            assert len(world.grants()) == before
            results = await asyncio.gather(*(host.call("web__x") for _ in range(3)))
            assert [each.text for each in results] == ["done"] * 3
        assert [(each.kind, each.visit, each.added) for each in person.asked] == [
            ("login", None, ("write",))
        ] * 2
        assert person.asked[0].text().startswith("The server web wants more of the credentials")


@pytest.mark.hostile
@pytest.mark.parametrize("first", ["read", ""])
async def test_a_refused_token_is_no_way_to_more_scopes_either(first: str) -> None:
    """A server that says that the token is bad, and names more scopes for the next one."""
    tokens, person = MemoryTokens(), Person(False, True)
    async with World() as world:
        world.refresh = False
        auth = ClientCredentials(
            "us", issuer=world.issuer.url, client_secret="hush-hush", scopes=first, tokens=tokens
        )
        policy = HostPolicy(rules=(CALLS,))
        async with Host({"web": world.client(auth)}, consent=person, policy=policy) as host:
            await host.server("web").wait_for("ready", timeout=WAIT)
            where = f'resource_metadata="{world.mcp.url}{RESOURCE_PATH}/mcp"'
            world.challenge = f'Bearer error="invalid_token", scope="read admin", {where}'
            world.valid = {}
            minute_ago = time.time() - 60
            await age(tokens, obtained_at=minute_ago, login_at=minute_ago)
            grants = len(world.grants())
            with pytest.raises(ConsentRefused, match="login of the server 'web' was refused"):
                await host.call("web__x")
            assert len(world.grants()) == grants
            assert (await host.call("web__x")).text == "done"
            assert set(world.issuer.at("/token")[-1].form["scope"].split()) == {"read", "admin"}
        assert [(each.kind, each.visit) for each in person.asked] == [("login", None)] * 2
        assert set(person.asked[0].scopes or ()) == {"read", "admin"}


async def test_a_token_of_one_s_own_is_not_asked_about() -> None:
    """It has no more scopes to get."""
    async with World() as world:
        world.valid = {"mine": {"read"}}
        world.needed = {"write"}
        person = Person(True)
        async with Host(
            {"web": world.client(Bearer("mine"))}, consent=person, policy=HostPolicy(rules=(CALLS,))
        ) as host:
            with pytest.raises(LoginRequired):
                await host.call("web__x")
        assert person.asked == []


@pytest.mark.parametrize(
    "decision,scope,scopes,allowed",
    [
        ("allow", "read", "read", True),
        ("allow", "read", "read write", False),  # the token can do more than that
        ("allow", ("re*", "wr*"), "read write", True),
        ("allow", "*d", "", False),
        ("deny", "wr*", "read", True),
        ("deny", "wr*", "read write", False),
        ("deny", ("x", "read"), "read write", False),
        ("ask", "write", "read write", False),
    ],
)
async def test_rules_know_the_scopes_of_the_token(
    decision: Any, scope: Any, scopes: str, allowed: bool
) -> None:
    rule = PolicyRule(decision=decision, kind="tool", scope=scope)
    others = () if decision == "allow" else (CALLS,)
    logins = PolicyRule(decision="allow", kind="login")
    async with World() as world:
        world.resource_metadata["scopes_supported"] = scopes.split()
        async with Host({"web": world.client()}, policy=HostPolicy(rules=(rule, *others, logins))) as host:
            await host.server("web").wait_for("ready", timeout=WAIT)
            if allowed:
                assert (await host.call("web__x")).text == "done"
            else:
                with pytest.raises(ConsentRefused) as caught:
                    await host.call("web__x")
                assert caught.value.request.scopes == tuple(scopes.split())


@pytest.mark.parametrize("scope,refused", [("*", False), (["read", "offline_access"], False), ("read", True)])
async def test_rules_know_the_scopes_that_a_login_asks_for(scope: Any, refused: bool, tmp_path: Any) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(
        f'[[rules]]\ndecision = "allow"\nkind = "login"\nhost = "127.0.0.1"\nscope = {scope!r}\n'.replace(
            "'", '"'
        )
    )
    async with World() as world:
        world.resource_metadata["scopes_supported"] = ["read"]
        world.metadata["scopes_supported"] = ["read", "offline_access"]
        denied = Refused()
        async with Host({"web": world.client()}, policy=HostPolicy.load(path), on_event=denied) as host:
            if refused:
                await denied.wait()
            else:
                await host.server("web").wait_for("ready", timeout=WAIT)
        assert len(world.visits) == (0 if refused else 1)


async def test_scopes_that_nobody_knows_allow_nothing_and_may_be_any() -> None:
    async with World() as world:
        world.valid = {"mine": {"read"}}
        ways: list[dict[str, Any]] = [
            {"auth": Bearer("mine")},
            {"headers": {"Authorization": "Bearer mine"}},
        ]
        for options in ways:
            server = Client(world.resource, revision="2026-07-28", **options)
            for rules in (
                (PolicyRule(decision="allow", scope="read"),),
                (CALLS, PolicyRule(decision="deny", scope="admin")),
            ):
                async with Host({"web": server}, policy=HostPolicy(rules=rules)) as host:
                    with pytest.raises(ConsentRefused) as caught:
                        await host.call("web__x")
                    assert caught.value.request.scopes is None


async def test_a_server_without_a_login_has_no_scopes() -> None:
    app = App("plain")

    @app.tool
    async def x() -> str:
        return "done"

    rules = (CALLS, PolicyRule(decision="deny", scope="?*"))
    async with Host({"plain": app}, policy=HostPolicy(rules=rules)) as host:
        assert (await host.call("plain__x")).text == "done"


async def test_tokens_are_found_by_the_next_host(tmp_path: Any) -> None:
    async with World() as world:
        tokens = MemoryTokens()
        for _ in range(2):
            policy = HostPolicy(default="allow")
            async with Host({"web": world.client(world.oauth(tokens=tokens))}, policy=policy) as host:
                await host.server("web").wait_for("ready", timeout=WAIT)
                assert (await host.call("web__x")).text == "done"
        assert len(world.visits) == 1
        assert isinstance(await world.credentials(world.oauth(tokens=tokens)).status(), Tokens)
