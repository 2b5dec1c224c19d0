"""Names that other libraries have for what an App or a Client has: who writes one is told what to write instead."""

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dovetail import App, Client, LocalProtocolError, RegistrationError
from dovetail.client import ClientOptions
from dovetail.client.other_names import MEANT_OF_CLIENT, MEANT_OF_CLIENT_OPTIONS
from dovetail.server import HTTPOptions
from dovetail.server.other_names import MEANT_OF_APP, MEANT_OF_SERVING, MEANT_OF_TRANSPORTS

FORMER = {
    *(
        "read_resource",
        "set_logging_level",
        "is_connected",
        "initialize_result",
        "session",
        "protocol_version",
    )
}
OF_SERVERS = {*("enable", "disable", "add_middleware", "http_app", "run_async", "from_openapi", "list_tools")}


@pytest.mark.parametrize("name", sorted(MEANT_OF_APP))
def test_what_to_write_with_an_app(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(App("x"), name)
    assert str(caught.value) == f"an App has no {name!r}; {MEANT_OF_APP[name]}"


@pytest.mark.parametrize("name", sorted(MEANT_OF_CLIENT))
def test_what_to_write_with_a_client(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(Client(App("x")), name)
    assert str(caught.value) == f"a Client has no {name!r}; {MEANT_OF_CLIENT[name]}"


def test_the_usual_ones_are_known_and_others_are_plain() -> None:
    assert MEANT_OF_CLIENT.keys() >= FORMER
    assert MEANT_OF_APP.keys() >= OF_SERVERS
    for thing, what in ((App("x"), "an App"), (Client(App("x")), "a Client")):
        assert not hasattr(thing, "no_such_thing")
        with pytest.raises(AttributeError, match=f"^{what} has no 'no_such_thing'$"):
            _ = thing.no_such_thing  # pyright: ignore[reportAttributeAccessIssue] - what this test is about


def test_what_is_to_be_written_is_there() -> None:
    """The advice names only what exists."""
    for advice in (*MEANT_OF_APP.values(), *MEANT_OF_CLIENT.values()):
        for name in re.findall(r"\bapp\.(\w+)", advice):
            assert hasattr(App, name), advice
        for name in re.findall(r"\bclient\.(\w+)", advice):
            assert hasattr(Client, name), advice


async def test_an_option_that_is_none_names_the_nearest() -> None:
    """Of a client, and of a call; nothing is sent."""
    wrong: dict[str, Any] = {"timout": 3}
    inner: dict[str, Any] = {"additions": None}
    with pytest.raises(
        LocalProtocolError, match=r"^a client has no option 'timout'; did you mean 'timeout'\?$"
    ):
        Client(App("x"), **wrong)
    with pytest.raises(
        LocalProtocolError, match=r"^a client has no option 'additions'; there are info, revision,"
    ):
        Client(App("x"), **inner)
    async with Client(App("x")) as client:
        with pytest.raises(
            LocalProtocolError, match=r"a call has no option 'timout'; did you mean 'timeout'\?"
        ):
            await client.list_tools(**wrong)


def test_an_option_of_serving_that_is_none_names_the_nearest() -> None:
    port: dict[str, Any] = {"prot": 1}
    health: dict[str, Any] = {"helth": "/health"}
    with pytest.raises(TypeError, match=r"did you mean 'port'\?"):
        App("x").run("http", **port)
    with pytest.raises(TypeError, match=r"did you mean 'health'\?"):
        App("x").asgi(**health)


def test_a_client_that_is_refused_leaves_no_word_at_the_end_of_the_interpreter(tmp_path: Path) -> None:
    """What was never made has nothing to let go of, also where its frames live until the interpreter ends."""
    script = tmp_path / "refused.py"
    script.write_text("from dovetail import Client\nClient('x', timout=1)\n")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "did you mean 'timeout'?" in ended.stderr
    assert "Exception ignored" not in ended.stderr


@pytest.mark.parametrize("name", sorted(MEANT_OF_CLIENT_OPTIONS))
async def test_an_option_by_another_librarys_name_says_what_to_write(name: str) -> None:
    """Of a client, and of a call."""
    other: dict[str, Any] = {name: None}
    with pytest.raises(LocalProtocolError) as caught:
        Client(App("x"), **other)
    assert str(caught.value) == f"a client has no option {name!r}; {MEANT_OF_CLIENT_OPTIONS[name]}"
    async with Client(App("x")) as client:
        with pytest.raises(LocalProtocolError) as caught:
            await client.list_tools(**other)
    assert str(caught.value) == f"a call has no option {name!r}; {MEANT_OF_CLIENT_OPTIONS[name]}"


def test_an_option_that_is_to_be_written_is_there() -> None:
    known = {*ClientOptions.__annotations__, *inspect.signature(App).parameters}
    assert not MEANT_OF_CLIENT_OPTIONS.keys() & ClientOptions.__annotations__.keys()
    for told in MEANT_OF_CLIENT_OPTIONS.values():
        for name in re.findall(r"(\w+)=", told):
            assert name in known, told


@pytest.mark.parametrize("name", sorted(MEANT_OF_SERVING))
def test_an_option_of_serving_by_another_librarys_name(name: str) -> None:
    """It is told wherever HTTP is served, and nowhere else."""
    other: dict[str, Any] = {name: None}
    told = MEANT_OF_SERVING[name]
    with pytest.raises(TypeError) as caught:
        App("x").run("http", **other)
    assert str(caught.value) == f"there is no option {name!r} for the transport 'http'; {told}"
    with pytest.raises(TypeError) as caught:
        App("x").asgi(**other)
    assert str(caught.value) == f"App.asgi has no option {name!r}; {told}"
    with pytest.raises(TypeError, match=r"for the transport 'stdio'; (did you mean|there are)"):
        App("x").run(**other)
    known = {*HTTPOptions.__annotations__, *inspect.signature(App).parameters}
    assert name not in known
    for option in re.findall(r"(\w+)=", told):
        assert option in known, told


@pytest.mark.parametrize("name", sorted(MEANT_OF_TRANSPORTS))
def test_a_transport_by_another_librarys_name(name: str) -> None:
    other: Any = name
    with pytest.raises(ValueError, match=f"^there is no transport {name!r}; ") as caught:
        App("x").run(other)
    assert str(caught.value).endswith(MEANT_OF_TRANSPORTS[name])


async def test_handlers_of_a_low_level_server_are_told_apart() -> None:
    """Who registered lists and calls by hand is told of tools, and not only of a client."""
    app: Any = App("x")
    for name in ("list_tools", "call_tool"):
        with pytest.raises(AttributeError, match=r"write `@app\.tool` for each, or `app\.add_tool"):
            getattr(app, name)
    with pytest.raises(AttributeError, match=r"write `@app\.method\(name\)`"):
        _ = app.add_request_handler


@pytest.mark.parametrize("name", ["as_proxy", "from_client", "from_fastapi", "from_openapi"])
def test_what_others_ask_the_class_for(name: str) -> None:
    with pytest.raises(AttributeError) as caught:
        getattr(App, name)
    assert str(caught.value) == f"an App has no {name!r}; {MEANT_OF_APP[name]}"
    assert not hasattr(App, name)


@pytest.mark.parametrize(
    "prefix, what, told",
    [
        (App("weather"), "weather", "the prefix comes first"),
        ("far", "https://far.example/mcp", r"write ProxyProvider\(target\), of dovetail.proxy"),
        ("far", ["python", "far.py"], r"write ProxyProvider\(target\), of dovetail.proxy"),
        ("far", 3, "it is no app and no Provider"),
    ],
)
def test_what_can_not_be_mounted_says_what_to_write(prefix: Any, what: Any, told: str) -> None:
    with pytest.raises(RegistrationError, match=told) as caught:
        App("x").mount(prefix, what)
    assert caught.value.where is not None
    assert "test_other_names.py:" in caught.value.where
