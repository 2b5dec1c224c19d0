"""A client of models: whole answers and streams of them, and every way in which a server can fail."""

import json
import threading
from typing import Any

import pytest
from model_server import Answer, events, model_server, says, wants

from dovetail import LocalProtocolError, RequestTimeout, TransportError
from dovetail.models import ChatModel, ModelCall, ModelFailed

ASKED = [{"role": "user", "content": "Hello?"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_a_text(streamed: bool) -> None:
    heard: list[str] = []
    with model_server(says("Good morning.")) as server:
        async with ChatModel(server.url, "scripted") as model:
            reply = await model.ask(ASKED, on_text=heard.append if streamed else None)
    assert (reply.text, reply.finish, reply.model, reply.calls) == ("Good morning.", "stop", "scripted-1", ())
    assert reply.message == {"role": "assistant", "content": "Good morning."}
    assert "".join(heard) == ("Good morning." if streamed else "")
    assert server.asked == [
        {"model": "scripted", "messages": ASKED, **({"stream": True} if streamed else {})}
    ]
    assert "authorization" not in server.headers[0]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_calls_of_tools(streamed: bool) -> None:
    wanted = wants(("look", {"at": "the rake", "deep": [1]}), ("look", {}), text="I look.")
    with model_server(wanted) as server:
        async with ChatModel(server.url, "scripted") as model:
            reply = await model.ask(
                ASKED,
                tools=[TOOL],
                tool_choice="required",
                max_tokens=5,
                temperature=0.0,
                stop=["x"],
                on_text=(lambda _: None) if streamed else None,
            )
    assert reply.calls == (
        ModelCall(id="call_0", name="look", arguments={"at": "the rake", "deep": [1]}),
        ModelCall(id="call_1", name="look"),
    )
    assert reply.message == wanted["choices"][0]["message"]
    (asked,) = server.asked
    del asked["model"], asked["messages"]
    asked.pop("stream", None)
    assert asked == {
        "tools": [TOOL],
        "tool_choice": "required",
        "max_tokens": 5,
        "temperature": 0.0,
        "stop": ["x"],
    }


@pytest.mark.parametrize("indexed", [True, False])
async def test_calls_in_pieces_as_servers_differ(indexed: bool) -> None:
    """Some number the calls, some send each whole, without a number."""
    parts: list[dict[str, Any]] = [
        {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"x":'}},
        {"index": 0, "function": {"arguments": "1}"}},
        {"index": 1, "id": "b", "function": {"name": "see", "arguments": None}},
    ]
    if not indexed:
        parts = [{name: value for name, value in each.items() if name != "index"} for each in parts]
    pieces = [{"choices": [{"delta": {"tool_calls": [each]}}]} for each in parts]
    usage = {"choices": [], "usage": {"total_tokens": 12}}
    with model_server(events(*pieces, usage, done=False)) as server:
        async with ChatModel(server.url, "scripted") as model:
            reply = await model.ask(ASKED, on_text=lambda _: None)
    assert reply.calls == (
        ModelCall(id="a", name="look", arguments={"x": 1}),
        ModelCall(id="b", name="see"),
    )
    assert reply.tokens == 12


async def test_json_in_place_of_a_stream() -> None:
    heard: list[str] = []
    with model_server(Answer(json.dumps(says("Whole.")).encode())) as server:
        async with ChatModel(server.url, "scripted") as model:
            assert (await model.ask(ASKED, on_text=heard.append)).text == "Whole."
    assert heard == ["Whole."]


@pytest.mark.parametrize(
    "answer, said",
    [
        (Answer(b'{"error": {"message": "no such model"}}', 404), "status 404: no such model"),
        (Answer(b'{"error": "too\\u001b[2J busy"}', 429, headers={"retry-after": "7"}), "status 429: too"),
        (Answer(b"<html>" + b"x" * 100_000, 502, "text/html"), "status 502: <html>"),
        (Answer(b"", 500), "status 500: no reason"),
        (Answer(b"<html>", 200, "text/html"), "is no JSON; does the URL lead"),
        (Answer(b"[]"), "nothing that is a message"),
        (Answer(b'{"choices": []}'), "nothing that is a message"),
        (events({"error": {"message": "out of memory"}}), "failed while it answered: out of memory"),
        (events(), "ended before there was any of it"),
        (Answer(b"data: {\n\n", kind="text/event-stream"), "is no JSON"),
    ],
)
async def test_a_server_that_fails(answer: Answer, said: str) -> None:
    with model_server(answer) as server:
        async with ChatModel(server.url, "scripted", key="s3cret") as model:
            with pytest.raises(ModelFailed) as failed:
                await model.ask(ASKED, on_text=lambda _: None)
    assert said in str(failed.value)
    assert "\x1b" not in str(failed.value)
    assert len(str(failed.value)) < 1_000
    assert failed.value.status == answer.status
    assert failed.value.retry_after == (7.0 if answer.status == 429 else None)


async def test_an_answer_that_is_cut_off_and_a_server_that_is_not_there() -> None:
    with model_server(Answer(b'{"choices"', cut=True)) as server:
        async with ChatModel(server.url, "scripted") as model:
            with pytest.raises(TransportError):
                await model.ask(ASKED)
    async with ChatModel(server.url, "scripted") as model:
        with pytest.raises(TransportError):
            await model.ask(ASKED)


async def test_a_model_that_says_nothing_is_not_waited_for() -> None:
    silent = threading.Event()

    def wait(asked: dict[str, Any]) -> dict[str, Any]:
        silent.wait(30)
        return says("late")

    with model_server(wait) as server:
        async with ChatModel(server.url, "scripted", timeout=0.2) as model:
            with pytest.raises(RequestTimeout, match=r"said nothing for 0\.2 seconds"):
                await model.ask(ASKED)
        silent.set()


async def test_the_key_is_sent_and_never_told() -> None:
    echo = Answer(b'{"error": "the key s3cret is unknown"}', 401)
    with model_server(echo) as server:
        async with ChatModel(server.url, "scripted", key="s3cret", headers={"X-Org": "us"}) as model:
            with pytest.raises(ModelFailed) as failed:
                await model.ask(ASKED)
            assert "s3cret" not in repr(model)
    assert server.headers[0]["authorization"] == "Bearer s3cret"
    assert server.headers[0]["x-org"] == "us"
    assert "s3cret" not in str(failed.value)


@pytest.mark.parametrize("url", ["http://example.com/v1", "http://10.0.0.1/v1"])
def test_a_key_goes_nowhere_unencrypted(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="plain http"):
        ChatModel(url, "scripted", key="s3cret")
    assert ChatModel(url, "scripted").url == f"{url}/chat/completions"


@pytest.mark.parametrize("url", ["", "localhost:11434", "ftp://example.com", "https://a:b@example.com/v1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(LocalProtocolError, match="no URL of a model"):
        ChatModel(url, "scripted")


def test_the_whole_url_may_be_given() -> None:
    for url in (
        "https://example.com/v1",
        "https://example.com/v1/",
        "https://example.com/v1/chat/completions",
    ):
        assert ChatModel(url, "scripted", key="k").url == "https://example.com/v1/chat/completions"
    with_query = ChatModel("https://example.com/deployments/a?api-version=1", "scripted")
    assert with_query.url == "https://example.com/deployments/a/chat/completions?api-version=1"
