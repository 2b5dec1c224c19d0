"""The same client for programs without an event loop, in a few cells."""

import asyncio
import re
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from everywhere_app import NOTE, Person, Sum, make_app
from everywhere_cells import REVISIONS, STATELESS
from everywhere_serving import command
from everywhere_spots import Host

from dovetail import Client, Closed, InvalidParams, RequestTimeout
from dovetail.protocol.listening import Change

ERAS = ("2025-11-25", STATELESS)


@pytest.fixture(scope="module")
def http_url() -> Iterator[str]:
    """The app served over HTTP by a process."""
    with subprocess.Popen(command("http", run={"port": 0}), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://\S+", process.stderr.readline())
        assert found is not None
        yield found[0]
        process.terminate()
        process.communicate()
        assert process.returncode == 0


def target_of(kind: str, http_url: str) -> Any:
    return {"memory": make_app, "stdio": command, "http": lambda: http_url}[kind]()


@pytest.mark.parametrize("revision", ERAS)
@pytest.mark.parametrize("kind", ["memory", "stdio", "http"])
def test_everything_without_a_loop(kind: str, revision: str, http_url: str) -> None:
    host = Host()
    host.fill = lambda request: {"name": "Ada"} if "Who" in request.message else "Ada"
    options = {**host.options(), "on_change": None, "logging": None}
    with Client.sync(target_of(kind, http_url), revision=revision, **options) as client:
        assert client.revision == revision
        assert client.call_tool("add", {"a": 1, "b": 2}, into=Sum) == Sum(3, [1, 2])
        assert len([tool.name for tool in client.tools()]) > 21
        assert client.read(NOTE).contents[0].text == "# A note\n"
        assert len(client.get_prompt("greet", {"name": "x"}).messages) == 3
        assert client.complete("greet", "style", "pl").values == ["plain"]
        heard: list[float] = []
        client.call_tool("count", {"to": 3}, progress=lambda notice: heard.append(notice.progress))
        assert heard == [1, 2, 3]
        assert client.call_tool("name_please").text == "Hello, Ada"
        assert client.call_tool("survey", into=Person).name == "Ada"
        with pytest.raises(InvalidParams):
            client.call_tool("nobody")
        with pytest.raises(RequestTimeout):
            client.call_tool("hang", {"tag": f"late-{revision}"}, timeout=0.05)
        assert client.call_tool("ended", {"tag": f"late-{revision}"}).text == "cancelled"
        with client.listen(resources=[NOTE]) as events:
            client.call_tool("touch", {"uri": NOTE})
            assert next(iter(events)) == Change("resource", NOTE)
        client.ping()
    with pytest.raises(Closed):
        client.call_tool("echo", {"text": "x"})


@pytest.mark.parametrize("revision", REVISIONS)
def test_from_many_threads(revision: str, http_url: str) -> None:
    with Client.sync(http_url, revision=revision) as client, ThreadPoolExecutor(20) as pool:
        found = pool.map(
            lambda secret: client.call_tool(
                "meet", {"room": f"threads-{revision}", "size": 20, "secret": secret}, into=int
            ),
            range(20),
        )
        assert list(found) == list(range(20))


def test_closing_from_another_thread_ends_a_call() -> None:
    begun = threading.Event()
    with Client.sync(make_app()) as client, ThreadPoolExecutor(1) as pool:

        def tell(notice: Any) -> None:
            begun.set()

        call = pool.submit(client.call_tool, "meet", {"room": "r", "size": 2, "secret": 1}, progress=tell)
        begun.wait()
        client.close()
        with pytest.raises(Closed):
            call.result()
    assert not [thread for thread in threading.enumerate() if thread.name == "dovetail-client"]


async def test_beside_a_running_loop() -> None:
    """A blocking client has a loop of its own: it may be used in a thread of a program that has one too."""

    def work() -> str:
        with Client.sync(make_app()) as client:
            return client.call_tool("echo", {"text": "beside"}).text

    assert await asyncio.to_thread(work) == "beside"
