"""The door: what the policy lets in, what a person is asked, what is recorded, and what callers without either get."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from dovetail import (
    App,
    Client,
    Context,
    InternalError,
    InvalidParams,
    InvalidRequest,
    LocalProtocolError,
    Principal,
    RPCError,
)
from dovetail.extensions.tasks import tasks
from dovetail.gateway import Gateway
from dovetail.host import HostPolicy, HostRecord
from dovetail.host.policy import PolicyFlow, PolicyRule
from dovetail.providers import Provided, visible
from dovetail.security import Credentials
from dovetail.stores import SQLiteStore
from dovetail.testing.serving import served
from dovetail.types import ResourceReference
from wire_of_server import Wire

STATEFUL, STATELESS = "2025-11-25", "2026-07-28"
KEYS = [b"k" * 32]
ERAS = pytest.mark.parametrize("revision", [STATEFUL, STATELESS])
BEHIND = pytest.mark.parametrize("behind", [STATEFUL, STATELESS])


def files(done: list[str]) -> App:
    app = App("files", extensions=[tasks()])

    @app.tool
    async def read(path: str) -> str:
        done.append(f"read {path}")
        return f"the text of {path}"

    @app.tool
    async def remove(path: str, ctx: Context) -> str:
        why = await ctx.elicit("why?", str)
        done.append(f"remove {path}: {why}")
        return "gone"

    @app.tool
    async def shred(path: str) -> str:
        done.append("shred")
        return "shredded"

    @app.tool(task="optional")
    async def copy(path: str) -> str:
        done.append(f"copy {path}")
        return "copied"

    @app.resource("note://secret")
    async def secret() -> str:
        return "secret"

    @app.resource("note://{name}")
    async def note(name: str) -> str:
        return f"note {name}"

    @app.prompt
    async def tidy() -> str:
        return "Tidy up."

    return app


@asynccontextmanager
async def opened(
    done: list[str], policy: HostPolicy, revision: str, behind: str = STATELESS, **options: Any
) -> AsyncGenerator[Client]:
    """A caller of a gateway with that policy. ``audit`` and ``audit_...`` are the gateway's."""
    own = {name: options.pop(name) for name in list(options) if name.startswith("audit")}
    gateway = Gateway({"files": Client(files(done), revision=behind)}, policy=policy, **own)
    async with Client(gateway.app, revision=revision, **options) as client:
        yield client


@ERAS
async def test_what_is_denied_is_not_shown_and_not_done(revision: str) -> None:
    """A tool, a resource and a prompt; and a tool with one argument, which is shown."""
    done: list[str] = []
    policy = HostPolicy(
        default="allow",
        rules=(
            PolicyRule(decision="deny", tool="shred"),
            PolicyRule(decision="deny", kind="resource", tool="note://secret"),
            PolicyRule(decision="deny", kind="prompt"),
            PolicyRule(decision="deny", tool="read", arguments={"path": "/etc/*"}),
        ),
    )
    async with opened(done, policy, revision) as client:
        assert [tool.name async for tool in client.tools()] == ["files__read", "files__remove", "files__copy"]
        assert [each.uri async for each in client.resources()] == []
        assert [each.name async for each in client.prompts()] == []
        with pytest.raises(InvalidParams, match="there is no tool"):
            await client.call_tool("files__shred", {"path": "x"})
        with pytest.raises(Exception, match="note://files/secret"):
            await client.read("note://files/secret")
        assert await client.read("note://files/other", into=str) == "note other"
        refused = await client.call_tool("files__read", {"path": "/etc/passwd"})
        assert refused.is_error
        assert "was refused: a rule of the policy" in refused.text
        assert (await client.call_tool("files__read", {"path": "/home"})).text == "the text of /home"
    assert done == ["read /home"]


@ERAS
async def test_a_default_of_no_shows_what_a_rule_lets_in(revision: str) -> None:
    done: list[str] = []
    policy = HostPolicy(
        default="deny",
        rules=(PolicyRule(decision="allow", kind="tool", tool="read", arguments={"path": "/home/*"}),),
    )
    async with opened(done, policy, revision) as client:
        assert [tool.name async for tool in client.tools()] == ["files__read"]
        assert (await client.call_tool("files__read", {"path": "/home/x"})).text == "the text of /home/x"
        assert (await client.call_tool("files__read", {"path": "/home/../etc"})).is_error
        with pytest.raises(Exception, match="note://files/a"):
            await client.read("note://files/a")


@ERAS
@BEHIND
@pytest.mark.parametrize("says", [True, False])
async def test_who_is_to_be_asked_is_asked_before_anything_is_done(
    revision: str, behind: str, says: bool
) -> None:
    """The question shows what is to be done; the server's own question comes after it."""
    done: list[str] = []
    asked: list[str] = []

    def answer(form: Any) -> Any:
        asked.append(form.message)
        return says if "May it be done?" in form.message else "old"

    policy = HostPolicy(default="allow", rules=(PolicyRule(decision="ask", tool="remove"),))
    async with opened(done, policy, revision, behind, elicitation=answer) as client:
        result = await client.call_tool("files__remove", {"path": "a.txt"})
        assert result.is_error is not says
        if says:
            assert (done, asked[1:]) == (["remove a.txt: old"], ["why?"])
        else:
            assert (done, asked[1:]) == ([], [])
            assert "the person said no" in result.text
        assert "files__remove of the server files" in asked[0]
        assert "a.txt" in asked[0]
        assert (await client.call_tool("files__read", {"path": "b"})).text == "the text of b"


@ERAS
async def test_a_caller_that_can_not_be_asked_is_refused_with_a_word(revision: str) -> None:
    """Of a tool by a result, of a prompt by an error."""
    done: list[str] = []
    policy = HostPolicy(rules=(PolicyRule(decision="ask", kind="prompt"),))
    async with opened(done, policy, revision) as client:
        refused = await client.call_tool("files__read", {"path": "b"})
        assert refused.is_error
        assert "can't ask its person" in refused.text
        with pytest.raises(InvalidRequest, match="can't ask its person"):
            await client.get_prompt("files__tidy")
        assert await client.read("note://files/a", into=str) == "note a"
    assert done == []


@ERAS
@pytest.mark.hostile
async def test_r100_a_state_that_nobody_gave_opens_no_door(revision: str) -> None:
    """Whatever a caller sends as the state of a round, what is to be asked is not done without it."""
    done: list[str] = []
    records: list[tuple[str, str]] = []
    gateway = Gateway(
        {"files": files(done)}, policy=HostPolicy(), audit=lambda each: records.append((each.event, each.by))
    )
    wire = Wire(gateway.app, revision, {"elicitation": {}} if revision == STATELESS else {})
    await wire.open()
    for state in ("x", "door.", "door.x"):
        params = {"name": "files__read", "arguments": {"path": "b"}, "requestState": state}
        answer = await wire.request("tools/call", params)
        assert answer["result"]["isError"] if revision == STATEFUL else answer["error"]["code"] == -32602
    await wire.close()
    await gateway.app.service.stop()
    assert done == []
    by = "remembered" if revision == STATELESS else "nobody"
    assert records[0] == ("decision", by), "what is passed on for the server to judge is recorded, too"


@ERAS
@pytest.mark.hostile
async def test_of_a_member_that_is_there_twice_the_server_gets_the_one_that_was_judged(revision: str) -> None:
    """Readers of JSON differ in which of the two they take."""
    sent: list[bytes] = []

    async def seen(call: Any, channel: Any, handler: Any) -> Any:
        if call.method == "tools/call":
            sent.append(bytes(call.params.arguments))
        return await handler(call, channel)

    behind = App("files", middleware=[seen])

    @behind.tool
    async def read(path: str) -> str:
        return path

    policy = HostPolicy(
        default="allow", rules=(PolicyRule(decision="deny", tool="read", arguments={"path": "/etc/*"}),)
    )
    gateway = Gateway({"files": behind}, policy=policy)
    wire = Wire(gateway.app, revision)
    await wire.open()
    for twice in (b'{"path":"/etc/x","path":"/home"}', b'{"path":"/home","path":"/etc/x"}'):
        params = {"name": "files__read", "arguments": "HERE", "_meta": wire.meta()}
        message = {"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": params}
        await wire.raw(json.dumps(message).encode().replace(b'"HERE"', twice))
        answer = await wire.next()
        assert answer["result"].get("isError", False) is (twice.count(b'/etc/x"}') == 1)
    await wire.close()
    await gateway.app.service.stop()
    assert sent == [b'{"path":"/home"}']


@ERAS
async def test_each_decision_and_each_call_is_recorded(revision: str, tmp_path: Path) -> None:
    """Before it is done and after; arguments as a digest unless they are asked for."""
    done: list[str] = []
    path = tmp_path / "audit.jsonl"
    policy = HostPolicy(
        default="allow",
        rules=(PolicyRule(decision="deny", tool="read", arguments={"path": "/etc/*"}),),
    )
    async with opened(done, policy, revision, audit=path, audit_arguments=True) as client:
        await client.call_tool("files__read", {"path": "/home"})
        await client.call_tool("files__read", {"path": "/etc/x"})
        await client.call_tool("files__copy", {})
        await client.read("note://files/a")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [
        (each["event"], each["name"], each.get("allowed", True), each.get("outcome", "")) for each in lines
    ] == [
        ("decision", "files__read", True, ""),
        ("call", "files__read", True, "ok"),
        ("decision", "files__read", False, ""),
        ("decision", "files__copy", True, ""),
        ("call", "files__copy", True, "tool_error"),
        ("decision", "note://a", True, ""),
        ("call", "note://a", True, "ok"),
    ]
    assert json.loads(lines[0]["arguments"]) == {"path": "/home"}
    assert path.stat().st_mode & 0o077 == 0


async def test_what_can_not_be_recorded_is_not_done() -> None:
    done: list[str] = []

    def full(record: HostRecord) -> None:
        raise OSError("no space")

    async with opened(done, HostPolicy(default="allow"), STATELESS, audit=full) as client:
        with pytest.raises(InternalError, match="can't be recorded"):
            await client.call_tool("files__read", {"path": "b"})
    assert done == []


class Named:
    """Names callers by their token."""

    async def authenticate(self, request: Credentials) -> Principal:
        """Who is calling."""
        return Principal(issuer="test", subject=request.authorization[0].removeprefix("Bearer "))


@ERAS
async def test_v52_each_caller_has_the_servers_of_its_own_and_no_other(revision: str) -> None:
    """Each role at each server: what is not its own is in no list, and can't be called, read, got or completed."""
    uses = {"ann": {"mail", "files"}, "bob": {"files"}, "eve": set[str]()}
    done: dict[str, list[str]] = {"mail": [], "files": []}
    gateway = Gateway({name: files(here) for name, here in done.items()})

    def theirs(thing: Provided[Any], who: Principal | None) -> bool:
        name = thing.name.partition("://")[2].partition("/")[0] or thing.name.partition("__")[0]
        return who is not None and name in uses[who.subject]

    front = App("front")
    front.mount(None, gateway.app, visible(theirs))
    async with served(front.asgi(authenticate=Named())) as url:
        for caller, own in uses.items():
            headers = {"Authorization": f"Bearer {caller}"}
            async with Client(url, headers=headers, revision=revision) as client:
                listed = [each.name async for each in client.tools()]
                listed += [each.name async for each in client.prompts()]
                listed += [f"{each.uri}__" async for each in client.resources()]
                listed += [f"{each.uri_template}__" async for each in client.resource_templates()]
                for name, here in done.items():
                    assert any(name in each for each in listed) is (name in own), (caller, name)
                    here.clear()
                    for ask in (
                        client.call_tool(f"{name}__read", {"path": caller}),
                        client.read(f"note://{name}/secret", into=str),
                        client.read(f"note://{name}/other", into=str),
                        client.get_prompt(f"{name}__tidy"),
                    ):
                        if name in own:
                            await ask
                        else:
                            with pytest.raises(RPCError):
                                await ask
                    assert here == ([f"read {caller}"] if name in own else [])


async def test_records_name_callers_where_names_are_asked_for() -> None:
    """A digest tells callers apart, and no more."""
    for identities in (False, True):
        records: list[HostRecord] = []
        gateway = Gateway({"files": files([])}, audit=records.append, audit_identities=identities)
        async with served(gateway.app.asgi(authenticate=Named())) as url:
            for name in ("ann", "bob"):
                async with Client(url, headers={"Authorization": f"Bearer {name}"}) as client:
                    await client.call_tool("files__read", {"path": "b"})
        principals = [each.principal for each in records if each.event == "call"]
        assert len(set(principals)) == 2
        assert ("ann" in principals[0]) is identities


@pytest.mark.requirement("R2607-AUTH-136", "R2511-AUTH-105")
async def test_v52_r66_r103_each_principal_has_its_own_credentials_and_no_token_of_a_caller_goes_on() -> None:
    """One server gets those of the principal, the other one its own; nobody gets what the caller showed."""
    seen: list[Mapping[str, str]] = []

    def mail() -> App:
        app = App("mail")

        @app.tool
        async def whoami(ctx: Context) -> str:
            seen.append(ctx.headers)
            return ctx.headers.get("x-account", "nobody")

        return app

    async with served(mail().asgi()) as one, served(mail().asgi()) as two:
        gateway = Gateway(
            {"mail": one, "shared": Client(two, headers={"X-Account": "everybody"})},
            credentials={"mail": lambda principal: {"headers": {"X-Account": f"for-{principal.subject}"}}},
        )
        async with served(gateway.app.asgi(authenticate=Named())) as url:
            for name in ("ann", "bob"):
                headers = {"Authorization": f"Bearer {name}", "Cookie": f"a={name}", "X-Secret": name}
                async with Client(url, headers=headers) as client:
                    assert (await client.call_tool("mail__whoami")).text == f"for-{name}"
                    assert (await client.call_tool("shared__whoami")).text == "everybody"
    assert len(seen) == 4
    for each in seen:
        assert not {"authorization", "cookie", "x-secret"} & each.keys()


async def test_a_caller_that_calls_too_often_is_told_when_to_come_back() -> None:
    gateway = Gateway({"files": files([])}, rate_limit=0.1, burst=3)
    async with (
        served(gateway.app.asgi(authenticate=Named())) as url,
        Client(url, headers={"Authorization": "Bearer ann"}) as client,
    ):

        async def often() -> None:
            for _ in range(5):
                await client.call_tool("files__read", {"path": "b"})

        with pytest.raises(RPCError, match="try again in"):
            await often()


async def test_a_server_may_be_used_less_often_than_others(tmp_path: Path) -> None:
    """Each caller has its own allowance of that server, which workers with one store share."""
    store = str(tmp_path / "store.db")

    def front() -> App:
        servers = {"files": files([]), "more": files([])}
        return Gateway(servers, rate_limits={"files": (0.01, 3)}, store=SQLiteStore(store), keys=KEYS).app

    async with (
        served(front().asgi(authenticate=Named())) as one,
        served(front().asgi(authenticate=Named())) as other,
        Client(one, headers={"Authorization": "Bearer ann"}) as ann,
        Client(other, headers={"Authorization": "Bearer ann"}) as too,
        Client(one, headers={"Authorization": "Bearer bob"}) as bob,
    ):
        for client in (ann, too, ann):
            await client.call_tool("files__read", {"path": "b"})
        for client in (ann, too):
            with pytest.raises(
                RPCError, match="too many calls of the server 'files'; try again in"
            ) as refused:
                await client.call_tool("files__read", {"path": "b"})
            assert refused.value.data["retryAfter"] > 0
        await ann.call_tool("more__read", {"path": "b"})
        await bob.call_tool("files__read", {"path": "b"})


async def test_whoever_calls_too_often_is_not_asked_first() -> None:
    asked: list[str] = []
    policy = HostPolicy(default="ask")
    gateway = Gateway({"files": files([])}, rate_limits={"files": (0.01, 1)}, policy=policy)

    def no(form: Any) -> bool:
        asked.append(form.message)
        return False

    async with Client(gateway.app, revision=STATEFUL, elicitation=no) as client:
        await client.call_tool("files__read", {"path": "b"})
        with pytest.raises(RPCError, match="too many calls"):
            await client.call_tool("files__read", {"path": "b"})
        with pytest.raises(RPCError, match="too many calls"):
            await client.read("note://files/secret")
        with pytest.raises(RPCError, match="too many calls"):
            await client.get_prompt("files__tidy")
    assert len(asked) == 1


@pytest.mark.parametrize(
    "limits,said",
    [
        ({"files": (0.0, 1)}, "above zero"),
        ({"files": (1.0, 0)}, "at least 1"),
        ({"files": 2.0}, "such as"),
        ({"none": (1.0, 1)}, "no such server; there are: files"),
    ],
)
def test_rate_limits_that_can_not_be_are_refused(limits: Any, said: str) -> None:
    with pytest.raises(LocalProtocolError, match=said):
        Gateway({"files": files([])}, rate_limits=limits)


def rooms(done: list[str]) -> App:
    app = App("rooms")

    @app.prompt
    async def tidy(room: str, how: str = "") -> str:
        return f"Tidy the {room}."

    @app.completion("tidy", "how")
    async def ways(typed: str) -> list[str]:
        done.append(f"how {typed}")
        return ["well"]

    @app.resource("plan://{room}")
    async def plan(room: str) -> str:
        return f"the plan of {room}"

    @app.completion("plan://{room}", "room")
    async def named(typed: str) -> list[str]:
        done.append(f"room {typed}")
        return ["cellar"]

    return app


@ERAS
async def test_a_completion_passes_the_door_as_what_it_completes(revision: str) -> None:
    """With what is known of the other arguments and what is typed; it is recorded as what it is, before and after."""
    done: list[str] = []
    records: list[HostRecord] = []
    policy = HostPolicy(
        default="allow",
        rules=(
            PolicyRule(decision="deny", kind="prompt", tool="tidy", arguments={"room": "cellar*"}),
            PolicyRule(decision="deny", kind="prompt", tool="tidy", arguments={"how": "roughly"}),
        ),
    )
    gateway = Gateway({"rooms": rooms(done)}, policy=policy, audit=records.append, audit_arguments=True)
    async with Client(gateway.app, revision=revision) as client:
        found = await client.complete("rooms__tidy", "how", "w", {"room": "kitchen"})
        assert found.values == ["well"]
        for value, known in (("w", {"room": "cellar two"}), ("roughly", {"room": "kitchen"})):
            with pytest.raises(InvalidRequest, match="completion of prompt rooms__tidy was refused: a rule"):
                await client.complete("rooms__tidy", "how", value, known)
    assert done == ["how w"]
    assert [(each.event, each.kind, each.allowed, each.outcome) for each in records] == [
        ("decision", "completion", True, ""),
        ("call", "completion", True, "ok"),
        ("decision", "completion", False, ""),
        ("decision", "completion", False, ""),
    ]
    assert [json.loads(each.arguments) for each in records if each.event == "decision"][1] == {
        "room": "cellar two",
        "how": "w",
    }


@ERAS
async def test_nobody_is_asked_at_each_letter(revision: str) -> None:
    """Where a person has to be asked, a completion is refused, whoever could be asked."""
    done: list[str] = []
    asked: list[str] = []
    policy = HostPolicy(default="allow", rules=(PolicyRule(decision="ask", kind="resource"),))
    gateway = Gateway({"rooms": rooms(done)}, policy=policy)

    def yes(form: Any) -> bool:
        asked.append(form.message)
        return True

    async with Client(gateway.app, revision=revision, elicitation=yes) as client:
        template = ResourceReference(uri="plan://rooms/{room}")
        with pytest.raises(InvalidRequest, match="nobody is asked for completions"):
            await client.complete(template, "room", "c")
        assert (done, asked) == ([], [])
        assert await client.read("plan://rooms/attic", into=str) == "the plan of attic"
        assert len(asked) == 1


@ERAS
async def test_a_completion_that_can_not_be_recorded_is_not_made(revision: str) -> None:
    done: list[str] = []

    def full(record: HostRecord) -> None:
        raise OSError("no space left")

    gateway = Gateway({"rooms": rooms(done)}, audit=full)
    async with Client(gateway.app, revision=revision) as client:
        with pytest.raises(InternalError, match="can't be recorded"):
            await client.complete("rooms__tidy", "how", "w")
    assert done == []


def test_a_policy_with_flows_is_refused() -> None:
    """A gateway sees no conversation, so it says that it can't keep them."""
    with pytest.raises(LocalProtocolError, match="flows"):
        Gateway({"files": files([])}, policy=HostPolicy(flows=(PolicyFlow(source="a", target="b"),)))
