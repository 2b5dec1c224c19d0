"""What servers ask a person, the model and for folders: shown as whose question it is, and refused unless allowed."""

from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, Context, Declined, UserRejected
from dovetail.client import ElicitRequest, Visit
from dovetail.host import (
    Approve,
    ConsentRequest,
    Decisions,
    Host,
    HostPolicy,
    HostRecord,
    PolicyRule,
    SamplingBudget,
)
from dovetail.host.consent import warnings_of_address
from dovetail.types import CreateMessageParams, CreateMessageResult, SamplingMessage, TextContent

CALLS = PolicyRule(decision="allow", kind="tool")
ADDRESS = "https://login.example.org:8443/start/" + "x" * 3000 + "?q=1#end"


def curious() -> App:
    """A server that asks for all there is."""
    app = App("friendly bank")

    @app.tool
    async def form(ctx: Context) -> str:
        return await ctx.elicit("Which colour?", str)

    @app.tool
    async def visit(ctx: Context) -> str:
        try:
            await ctx.elicit_url("Log in there.", ADDRESS)
        except Declined:
            return "declined"
        return "agreed"

    @app.tool
    async def think(ctx: Context, tokens: int = 10) -> str:
        try:
            return (await ctx.sample("What is 1 + 1?", max_tokens=tokens)).text
        except (UserRejected, Declined):
            return "refused"

    @app.tool
    async def look(ctx: Context) -> list[str]:
        return [each.uri for each in await ctx.roots()]

    return app


REVISIONS = pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])


@REVISIONS
@pytest.mark.requirement(
    "R2511-ELICITATION-036",
    "R2607-ELICITATION-026",
    "R2511-ELICITATION-003",
    "R2607-ELICITATION-003",
    "R2511-ELICITATION-038",
    "R2607-ELICITATION-028",
)
async def test_r122_a_form_is_shown_as_that_of_the_server_whatever_it_calls_itself(revision: str) -> None:
    shown: list[ElicitRequest] = []

    async def fill_in(form: ElicitRequest) -> Any:
        shown.append(form)
        return "blue"

    server = Client(curious(), revision=revision)
    async with Host({"stranger": server}, policy=HostPolicy(rules=(CALLS,)), elicitation=fill_in) as host:
        assert (await host.call("stranger__form")).text == "blue"
    assert shown[0].server.startswith("stranger (")
    assert shown[0].message == "Which colour?"
    no_forms = PolicyRule(decision="deny", kind="form", server="str*")
    policy = HostPolicy(rules=(CALLS, no_forms))
    async with Host({"stranger": server}, policy=policy, elicitation=fill_in) as host:
        assert (await host.call("stranger__form")).is_error
    assert len(shown) == 1


@REVISIONS
@pytest.mark.requirement(
    "R2511-ELICITATION-003",
    "R2607-ELICITATION-003",
    "R2511-ELICITATION-048",
    "R2607-ELICITATION-037",
    "R2511-ELICITATION-050",
    "R2607-ELICITATION-039",
)
async def test_r122_r123_an_address_is_opened_once_a_person_saw_all_of_it_and_agreed(revision: str) -> None:
    opened: list[str] = []
    asked: list[ConsentRequest] = []
    answer = False

    async def consent(request: ConsentRequest) -> bool:
        assert opened == []
        asked.append(request)
        return answer

    policy = HostPolicy(rules=(CALLS,))
    server = Client(curious(), revision=revision)
    async with Host({"stranger": server}, policy=policy, consent=consent, open_address=opened.append) as host:
        assert (await host.call("stranger__visit")).text == "declined"
        assert opened == []
        answer = True
        assert (await host.call("stranger__visit")).text == "agreed"
    assert opened == [ADDRESS]
    (request, _) = asked
    assert request.kind == "visit"
    assert request.address == (
        "https://",
        "login.example.org:8443",
        ADDRESS[len("https://login.example.org:8443") :],
    )
    assert "".join(request.address or ()) == ADDRESS
    assert f"https://[login.example.org:8443]{'/start/' + 'x' * 3000}?q=1#end" in request.text()
    assert "The server stranger wants you to visit an address." in request.text()
    assert "Log in there." in request.text()


@REVISIONS
@pytest.mark.requirement("R2511-ELICITATION-048", "R2607-ELICITATION-037")
async def test_r123_each_address_is_shown_whatever_was_agreed_to_before(
    revision: str, tmp_path: Path
) -> None:
    """The next one may lead elsewhere: neither the session nor a file remembers that a person agreed."""
    opened: list[str] = []
    asked: list[str] = []
    answers: list[Any] = [
        Approve(remember="session"),
        Approve(remember="always", reach="server"),
        True,
        False,
    ]

    def consent(request: ConsentRequest) -> Any:
        asked.append(request.visit.url if request.visit else "")
        return answers.pop(0)

    server = Client(curious(), revision=revision)
    decisions = Decisions(tmp_path / "decisions.json")
    async with Host(
        {"stranger": server},
        policy=HostPolicy(rules=(CALLS,)),
        consent=consent,
        decisions=decisions,
        open_address=opened.append,
    ) as host:
        for agreed in (True, True, True, False):
            assert (await host.call("stranger__visit")).text == ("agreed" if agreed else "declined")
    assert asked == [ADDRESS] * 4
    assert opened == [ADDRESS] * 3
    assert not list(decisions)


@pytest.mark.requirement("R2511-ELICITATION-051", "R2607-ELICITATION-040")
@pytest.mark.parametrize(
    "url, host, warning",
    [
        ("https://example.com/", "example.com", ""),
        ("https://xn--80ak6aa92e.com/", "xn--80ak6aa92e.com", "\u0430\u0440\u0440\u04cf\u0435.com"),
        ("https://login.xn--e1awd7f.example/", "login.xn--e1awd7f.example", "other letters"),
        ("https://192.0.2.7/", "192.0.2.7", "a number"),
        ("https://[2001:db8::1]/", "2001:db8::1", "a number"),
        (
            "https://bank.com.login.secure.evil.example/",
            "bank.com.login.secure.evil.example",
            "secure.evil.example",
        ),
        ("http://localhost:1/", "localhost", "not encrypted"),
    ],
)
def test_r122_suspicious_addresses_are_warned_of(url: str, host: str, warning: str) -> None:
    found = warnings_of_address(Visit(server="s", message="m", url=url, host=host))
    assert (warning in " ".join(found)) if warning else found == ()


async def test_hosts_that_nobody_goes_to_are_refused_by_policy() -> None:
    opened: list[str] = []
    deny = PolicyRule(decision="deny", kind="visit", host="*.EXAMPLE.org")
    policy = HostPolicy(default="allow", rules=(deny,))
    async with Host({"stranger": curious()}, policy=policy, open_address=opened.append) as host:
        assert (await host.call("stranger__visit")).text == "declined"
    assert opened == []


@REVISIONS
@pytest.mark.requirement(
    "R2511-SAMPLING-001",
    "R2607-SAMPLING-002",
    "R2511-SAMPLING-002",
    "R2607-SAMPLING-003",
    "R2511-SAMPLING-013",
    "R2607-SAMPLING-019",
    "R2511-ELICITATION-037",
    "R2607-ELICITATION-027",
)
async def test_r119_what_the_model_is_asked_and_says_may_be_looked_over_and_changed(revision: str) -> None:
    prompts: list[str] = []

    async def model(params: CreateMessageParams) -> str:
        prompts.append(str(params.messages[0].content))
        return "two"

    message = SamplingMessage(role="user", content=TextContent(text="What is 2 + 2?"))
    changed = CreateMessageParams(messages=[message], max_tokens=5)
    mended = CreateMessageResult(role="assistant", content=TextContent(text="four"), model="m")
    answers: list[Any] = [
        Approve(replacement=changed),
        Approve(replacement=mended),
        True,
        True,
        False,
        True,
        False,
    ]
    kinds: list[str] = []

    def consent(request: ConsentRequest) -> Any:
        kinds.append(request.kind)
        return answers.pop(0)

    policy = HostPolicy(rules=(CALLS,))
    server = Client(curious(), revision=revision)
    async with Host(
        {"stranger": server}, policy=policy, consent=consent, sampling=model, review_answers=True
    ) as host:
        assert (await host.call("stranger__think")).text == "four"
        assert "2 + 2" in prompts[0]
        assert (await host.call("stranger__think")).text == "two"
        for _ in range(2):  # the request is refused; then the answer
            refused = await _outcome(host)
            assert refused in ("refused", "error")
    assert kinds == ["sampling", "answer"] * 2 + ["sampling"] + ["sampling", "answer"]
    assert len(prompts) == 3


async def _outcome(host: Host) -> str:
    """What a refusal comes to: in the stateless era, an end of the call."""
    try:
        result = await host.call("stranger__think")
    except UserRejected:
        return "refused"
    return "error" if result.is_error else result.text


async def test_a_server_uses_no_more_of_the_model_than_its_budget() -> None:
    records: list[HostRecord] = []
    calls = 0

    async def model(_: CreateMessageParams) -> str:
        nonlocal calls
        calls += 1
        return "two"

    async with Host(
        {"stranger": Client(curious(), revision="2025-11-25")},
        policy=HostPolicy(default="allow"),
        sampling=model,
        sampling_budget=SamplingBudget(requests=3, tokens=100),
        audit=records.append,
    ) as host:
        assert (await host.call("stranger__think", {"tokens": 90})).text == "two"
        assert (await host.call("stranger__think", {"tokens": 20})).text == "refused"
        assert (await host.call("stranger__think", {"tokens": 10})).text == "two"
        assert (await host.call("stranger__think", {"tokens": 0 + 1})).text == "refused"
        host.new_session()
        assert (await host.call("stranger__think", {"tokens": 90})).text == "two"
    assert calls == 3
    assert [each.why for each in records if each.kind == "sampling" and not each.allowed] == [
        "the budget of the server for the model is used up"
    ] * 2


@pytest.mark.requirement("R2511-ROOTS-007", "R2607-ROOTS-006")
async def test_r118_folders_are_told_to_whom_a_person_allows_it(tmp_path: Path) -> None:
    answers: list[Any] = [False, Approve(remember="session")]
    asked: list[ConsentRequest] = []

    def consent(request: ConsentRequest) -> Any:
        asked.append(request)
        return answers.pop(0)

    server = Client(curious(), revision="2025-11-25")
    policy = HostPolicy(rules=(CALLS,))
    async with Host({"stranger": server}, policy=policy, consent=consent, roots=[tmp_path]) as host:
        assert (await host.call("stranger__look")).structured["result"] == []
        for _ in range(2):
            assert (await host.call("stranger__look")).structured["result"] == [tmp_path.as_uri()]
    assert [each.roots for each in asked] == [(str(tmp_path),)] * 2
    assert str(tmp_path) in asked[0].text()


async def test_r119_r121_what_a_host_has_nothing_for_is_not_offered() -> None:
    app = App("asks")
    seen: list[Any] = []

    @app.tool
    async def what(ctx: Context) -> str:
        seen.append(ctx.client.capabilities)
        return "seen"

    async with Host({"a": app}, policy=HostPolicy(default="allow")) as host:
        await host.call("a__what")
    (capabilities,) = seen
    assert (capabilities.elicitation, capabilities.sampling, capabilities.roots) == (None, None, None)
