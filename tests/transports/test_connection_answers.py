"""Our HTTP connection and its application: what it does wrong, what it may not say, how its answers end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from connection_serving import (
    GET,
    Recorder,
    body,
    on_both_ends,
    on_both_loops,
    read,
    reply,
    serving,
    settled,
    start,
)

pytestmark = pytest.mark.hostile


class Fatal(BaseException):
    pass


async def _returns(send: Any) -> None:
    pass


async def _fails(send: Any) -> None:
    raise ValueError("no")


async def _ends_everything(send: Any) -> None:
    raise SystemExit(3)


async def _interrupts(send: Any) -> None:
    raise KeyboardInterrupt


async def _base(send: Any) -> None:
    raise Fatal


async def _many(send: Any) -> None:
    raise BaseExceptionGroup("many", [Fatal(), ValueError()])


async def _cancels(send: Any) -> None:
    asyncio.current_task().cancel()  # type: ignore[union-attr] - there is one
    await asyncio.sleep(0)


async def _starts_only(send: Any) -> None:
    await send(start())


async def _starts_and_fails(send: Any) -> None:
    await send(start(204, (b"connection", b"keep-alive")))
    raise ValueError("no")


async def _starts_twice(send: Any) -> None:
    await send(start(200, (b"content-length", b"5")))
    await send(start())


async def _body_first(send: Any) -> None:
    await send(body(b"x"))


async def _trailers(send: Any) -> None:
    await send(start())
    await send({"type": "http.response.trailers", "headers": []})


async def _too_long(send: Any) -> None:
    await send(start(200, (b"Content-Length", b"3")))
    await send(body(b"abcd"))


async def _too_short(send: Any) -> None:
    await send(start(200, (b"content-length", b"3")))
    await send(body(b"ab"))


async def _text(send: Any) -> None:
    await send(start(200, (b"content-length", b"3")))
    await send(body("abc"))


def _heading(*headers: Any, status: Any = 200) -> Any:
    async def app(send: Any) -> None:
        await send(start(status, *headers))
        await send(body(b"x"))

    return app


BEFORE = {
    "returns": _returns,
    "fails": _fails,
    "SystemExit": _ends_everything,
    "KeyboardInterrupt": _interrupts,
    "BaseException": _base,
    "a group": _many,
    "starts only": _starts_only,
    "starts and fails": _starts_and_fails,
    "starts twice": _starts_twice,
    "body first": _body_first,
    "trailers": _trailers,
    "too long": _too_long,
    "too short": _too_short,
    "text": _text,
    "a name with a space": _heading((b"a b", b"c")),
    "a name with a line": _heading((b"a\r\nb", b"c")),
    "no name": _heading((b"", b"c")),
    "a name that is text": _heading(("a", "b")),
    "a value with a line": _heading((b"x", b"a\r\nset-cookie: evil")),
    "a value with LF": _heading((b"x", b"a\nb")),
    "a value with NUL": _heading((b"x", b"a\0b")),
    "a connection with a line": _heading((b"connection", b"a\r\nx: b")),
    "a length with a sign": _heading((b"content-length", b"+1")),
    "a length with an underscore": _heading((b"content-length", b"1_0")),
    "no length": _heading((b"content-length", b"")),
    "two lengths": _heading((b"content-length", b"1"), (b"Content-Length", b"2")),
    "a provisional status": _heading(status=101),
    "no status": _heading(status="200"),
    "a status of four digits": _heading(status=2000),
}


@pytest.mark.parametrize("name", [pytest.param(name, id=name.replace(" ", "-")) for name in BEFORE])
@on_both_loops
async def test_f24_what_an_application_does_wrong_costs_its_request_alone(name: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/still":
            await reply(send, b"still")
        else:
            await BEFORE[name](send)

    async with serving(app) as served:
        peer = await served.open()
        await peer.send(GET % b"")
        answer = await peer.answer()
        assert (answer.status, answer.body) == (500, b"Internal Server Error")
        assert answer.headers["connection"] == "close"
        assert await peer.ended()
        await peer.close()
        await served.still_serves()
        await served.idle()
        assert len(served.troubles) == 1


@pytest.mark.parametrize("how", ["fails", "returns", "too-long", "too-short", "out-of-order"])
@pytest.mark.parametrize("length", [False, True])
@pytest.mark.parametrize("version", ["1.0", "1.1"])
@on_both_loops
async def test_f24_an_answer_that_breaks_off_never_looks_whole(how: str, length: bool, version: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, *([(b"content-length", b"10")] if length else [])))
        await send(body(b"abc", more=True))
        if how == "fails":
            raise ValueError("no")
        if how == "too-long":
            await send(body(b"x" * (11 if length else 70_000), more=True))
            raise ValueError("no")
        if how == "too-short" and length:
            await send(body(b"d"))
        if how == "out-of-order":
            await send(start())

    async with serving(app) as served:
        peer = await served.open()
        await peer.send(b"GET / HTTP/%b\r\nhost: a\r\n\r\n" % version.encode())
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ValueError)):
            await peer.answer()
        await peer.close()
        await served.idle()
        assert len(served.troubles) == 1


@on_both_loops
async def test_f67_a_request_that_is_cancelled_is_answered_before_it_began_and_cut_off_after() -> None:
    begun = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/begun":
            await send(start())
            await send(body(b"x", more=True))
        begun.set()
        await asyncio.Event().wait()

    async with serving(app) as served:
        for path, status in ((b"", 503), (b"begun", 200)):
            begun.clear()
            peer = await served.open()
            await peer.send(GET % path)
            await begun.wait()
            for task in tuple(served.server.server_state.tasks):
                task.cancel()
            assert (await peer.head()).status == status
            await peer.ended()
            await peer.close()
        await served.idle()


@on_both_loops
async def test_f67_a_task_that_never_ran_holds_up_no_end() -> None:
    # Where tasks can begin at once, only those of a factory do not.
    asyncio.get_running_loop().set_task_factory(
        lambda loop, work, **options: asyncio.Task(work, loop=loop, **options)
    )
    async with serving(Recorder()) as served:
        peer = await served.open()
        await settled(lambda: served.connections.all)
        (connection,) = served.connections.all
        connection.data_received(GET % b"1")
        tasks = served.server.server_state.tasks
        for task in tuple(tasks):
            task.cancel()
        await settled(lambda: all(task.done() for task in tasks))
        connection.shutdown()
        assert await peer.ended()
        await peer.close()
        tasks.clear()
        await served.idle()


@on_both_loops
async def test_f67_an_end_closes_idle_connections_and_finishes_answers() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            await go.wait()
        await reply(send, b"done")

    async with serving(app) as served:
        fresh, idle, busy = [await served.open() for _ in range(3)]
        await idle.send(GET % b"1")
        await idle.answer()
        await busy.send(GET % b"wait" + GET % b"2")
        await settled(lambda: served.server.server_state.tasks)
        for connection in tuple(served.connections.all):
            connection.shutdown()
        assert await fresh.ended()
        assert await idle.ended()
        go.set()
        answer = await busy.answer()
        assert (answer.body, answer.headers["connection"]) == (b"done", "close")
        assert await busy.ended()
        for peer in (fresh, idle, busy):
            await peer.close()
        await served.idle()


@on_both_loops
async def test_f15_the_server_alone_says_where_an_answer_ends() -> None:
    heads: dict[str, Any] = {
        "/chunked": [(b"Transfer-Encoding", b"chunked")],
        "/both": [(b"transfer-encoding", b"chunked"), (b"Content-Length", b"3")],
        "/twice": [(b"content-length", b"3"), (b"content-length", b"3")],
        "/list": [[b"X-A", b"b"], [b"content-length", b"3"]],
        "/kept": [(b"connection", b"keep-alive")],
        "/closed": [(b"Connection", b"x, Close")],
    }

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = heads[scope["path"]]
        await send({"type": "http.response.start", "status": 200, "headers": iter(headers)})
        await send(body(b"abc"))

    async with serving(app) as served:
        peer = await served.open()
        closed = False
        for path in heads:
            await peer.send(GET % path[1:].encode())
            answer = await peer.answer()
            closed = answer.headers.get("connection") == "close"
            assert answer.body == b"abc"
            framing = [n for n, _ in answer.pairs if n in ("content-length", "transfer-encoding")]
            expected = (
                ["transfer-encoding"] if path in ("/chunked", "/kept", "/closed") else ["content-length"]
            )
            assert framing == expected, path
            if path == "/list":
                assert answer.headers["x-a"] == "b"
        assert closed
        assert await peer.ended()
        await peer.close()
        await served.idle()


@on_both_loops
async def test_answers_without_a_body_have_none() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = int(scope["path"][1:])
        await send(start(status, *([(b"content-length", b"5")] if scope["query_string"] else [])))
        await send(body(b"abcde"))

    async with serving(app) as served:
        peer = await served.open()
        for method, target, length in (
            (b"HEAD", b"/200?l", "5"),
            (b"HEAD", b"/200", None),
            (b"GET", b"/304?l", "5"),
            (b"GET", b"/304", None),
            (b"GET", b"/204", None),
            (b"GET", b"/204?l", None),
        ):
            await peer.send(b"%b %b HTTP/1.1\r\nhost: a\r\n\r\n" % (method, target))
            answer = await peer.answer(bodiless=True)
            assert answer.headers.get("content-length") == length
            assert "transfer-encoding" not in answer.headers
        await peer.send(GET % b"200")
        assert (await peer.answer()).body == b"abcde"  # nothing was left over
        await peer.close()


@on_both_ends
async def test_statuses_without_a_name_and_bodies_of_all_sizes() -> None:
    sizes = [0, 1, 65535, 65536, 65537, 3_000_000]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        size = int(scope["path"][1:])
        length = [(b"content-length", b"%d" % (2 * size))] if scope["query_string"] else []
        await send(start(299, *length))
        await send(body(b"x" * size, more=True))
        await send(body(memoryview(b"y" * size)))

    async with serving(app) as served:
        peer = await served.open()
        for size in sizes:
            for query in (b"", b"?l"):
                await peer.send(GET % (b"%d%b" % (size, query)))
                answer = await peer.answer()
                assert (answer.status, answer.body) == (299, b"x" * size + b"y" * size)
        await peer.close()


@on_both_loops
async def test_receiving_too_often_and_too_late() -> None:
    outcomes: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await read(receive) == b""
        first = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="awaited already"):
            await receive()
        await reply(send)
        outcomes.append((await first)["type"])
        outcomes.append((await receive())["type"])
        with pytest.raises(RuntimeError, match="out of order"):
            await send(body(b"more"))

    async with serving(app) as served:
        peer = await served.open()
        for _ in range(2):
            await peer.send(GET % b"")
            assert (await peer.answer()).status == 200
        await peer.close()
        await served.idle()
        assert outcomes == ["http.disconnect"] * 4
        assert not served.troubles
