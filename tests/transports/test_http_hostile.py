"""Clients that mean harm, or are broken, on real sockets. Tests are named after the rows they guard against."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import resource
import time

import pytest
from http_serving import META, MODERN, Bench, Connection, Prober, bench, head_bytes, serving, until

from dovetail.stores import MemoryStore
from dovetail.transports.http_server.asgi import HTTPApp

pytestmark = pytest.mark.hostile

LIMIT = 64 * 1024


def peak() -> int:
    """The most memory this process ever had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def still_serves(prober: Prober) -> None:
    answer = await prober.ask("server/discover")
    assert answer.status == 200


async def raw(prober: Prober, data: bytes) -> int | None:
    """The status that raw bytes are answered with, None when the connection just ends."""
    connection = await Connection.open(prober.port)
    try:
        connection.writer.write(data)
        async with asyncio.timeout(5):
            return (await connection.head()).status
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    finally:
        await connection.close()


def post_head(prober: Prober, **extra: str) -> bytes:
    fields = {
        "host": "localhost",
        "content-type": "application/json",
        **{k.replace("_", "-"): v for k, v in extra.items()},
    }
    return head_bytes("POST", "/mcp", fields)


async def test_f9_v27_a_declared_length_over_the_cap_is_refused_unread():
    async with bench(service={"max_message": LIMIT}) as (found, prober):
        assert await raw(prober, post_head(prober, content_length=str(LIMIT + 1))) == 413
        assert await raw(prober, post_head(prober, content_length="9" * 19)) == 413
        for strange in ("-1", "1e3", "0x10", "", "1,1"):
            assert await raw(prober, post_head(prober, content_length=strange) + b"x") in (400, None)
        await still_serves(prober)
        assert not found.calls


async def test_f9_v27_a_chunked_body_is_refused_once_it_outgrows_the_cap():
    store = MemoryStore()
    async with bench(service={"max_message": LIMIT}, store=store) as (_, prober):
        connection = await Connection.open(prober.port)
        before = peak()
        await connection.send(post_head(prober, transfer_encoding="chunked"))
        chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
        for _ in range(8):
            connection.writer.write(chunk)
        assert (await connection.head()).status == 413
        await connection.close()
        assert peak() - before < 64 * 1024
        assert await store.sessions.count() == 0
        await still_serves(prober)


async def test_f9_a_body_of_exactly_the_cap_is_read():
    async with bench(service={"max_message": LIMIT}) as (_, prober):
        body, headers = prober.modern("server/discover")
        padded = body + b" " * (LIMIT - len(body))
        assert (await prober.send("POST", padded, headers)).status == 200
        assert (await prober.send("POST", padded + b" ", headers)).status == 413


@pytest.mark.parametrize("path,method", [("/nowhere", "POST"), ("/mcp", "PUT"), ("/mcp/messages", "POST")])
async def test_v27_no_route_reads_an_endless_body(path, method):
    async with bench(service={"max_message": LIMIT}, http_sse=True) as (_, prober):
        fields = {"host": "localhost", "content-type": "application/json", "transfer-encoding": "chunked"}
        connection = await Connection.open(prober.port)
        await connection.send(head_bytes(method, path, fields))
        for _ in range(8):
            connection.writer.write(b"8000\r\n" + b" " * 0x8000 + b"\r\n")
        assert (await connection.head()).status in (404, 405, 413)
        await connection.close()


async def test_f30_a_body_that_drips_is_given_up():
    async with bench(body_timeout=0.1) as (_, prober):
        connection = await Connection.open(prober.port)
        await connection.send(post_head(prober, content_length="100") + b"{")
        answer = await asyncio.wait_for(connection.answer(), 5)
        assert (answer.status, answer.headers["connection"]) == (408, "close")
        await connection.close()
        await still_serves(prober)


async def test_f30_a_body_that_is_late_but_in_time_is_served_and_watched():
    async with bench(body_timeout=5) as (found, prober):
        body, headers = prober.modern("tools/call", {"name": "wait", "arguments": {"key": "a"}})
        connection = await Connection.open(prober.port)
        whole = {
            "host": "localhost",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }
        await connection.send(head_bytes("POST", "/mcp", whole) + body[:20])
        await asyncio.sleep(0.02)
        await connection.send(body[20:])
        await found.event(found.started, "a").wait()
        connection.abort()
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 5)


@pytest.mark.parametrize(
    "head",
    [
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n{}   ",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-method: a\r\n b\r\ncontent-length: 0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nmcp-name: a\x00b\r\ncontent-length: 0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nmcp name: a\r\ncontent-length: 0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"POST /mcp HTTP/1.1\r\nhost: localhost\r\n"
        b"x-pad: " + b"a" * 70_000 + b"\r\ncontent-length: 0\r\n\r\n",
        b"POST http://evil.example/mcp HTTP/1.1\r\nhost: evil.example\r\ncontent-length: 0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n\r\n\r\n\r\nnonsense\r\n\r\n",
    ],
    ids=lambda value: value[:60].hex()[-12:],
)
async def test_f15_heads_that_two_readers_could_read_differently(head):
    async with bench() as (found, prober):
        status = await raw(prober, head)
        assert status is None or 400 <= status < 500
        assert not found.calls
        await still_serves(prober)


@pytest.mark.parametrize(
    "extra,status",
    [
        ([("content-length", "5"), ("transfer-encoding", "chunked")], 400),
        ([("transfer-encoding", "gzip, chunked")], 415),
        ([("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")], 400),
        ([("content-length", "5"), ("content-length", "5")], 400),
        ([("content-length", "+5")], 400),
    ],
)
async def test_f15_framing_is_judged_whatever_the_server_let_through(extra, status):
    """uvicorn refuses most of these by itself; another ASGI server may not."""
    fields = [("host", "localhost"), ("content-type", "application/json"), *extra]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/mcp",
        "headers": [(name.encode(), value.encode()) for name, value in fields],
    }
    sent = []

    async def receive():
        raise AssertionError("the body must not be read")

    async def send(event):
        sent.append(event)

    await HTTPApp(Bench().service)(scope, receive, send)
    assert sent[0]["status"] == status


async def test_f10_v29_swarms_of_tiny_items_are_refused_cheaply():
    async with bench() as (_, prober):
        before = peak()
        for body in (
            b"[" + b"[]," * 1_000_000 + b"[]]",
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{'
            + b",".join(b'"a%d":0' % n for n in range(400_000))
            + b"}}",
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[' + b"1," * 1_000_000 + b"1]}}",
            b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001,
        ):
            began = time.process_time()
            for headers in ({}, {"MCP-Protocol-Version": MODERN}):
                assert (await prober.send("POST", body, headers)).status == 400
            assert time.process_time() - began < 5
        assert peak() - before < 400 * 1024
        await still_serves(prober)


@pytest.mark.parametrize(
    "body",
    [
        b'{"jsonrpc":"2.0","ID":1,"Method":"tools/call","PARAMS":{}}',
        b'{"Jsonrpc":"2.0","id":1,"method":"ping"}',
    ],
)
async def test_v12_names_of_another_case_are_no_names(body):
    async with bench() as (found, prober):
        await prober.ready()
        answer = await prober.send("POST", body)
        assert (answer.status, answer.json["error"]["code"]) == (400, -32600)
        assert not found.calls


async def test_v13_names_with_strange_characters_are_no_names():
    async with bench() as (_, prober):
        await prober.ready()
        for name in ("method\\u0000", "met\\u200bhod", "m\\u0435thod", "\\ud800method"):
            body = b'{"jsonrpc":"2.0","id":1,"' + name.encode() + b'":"ping"}'
            assert (await prober.send("POST", body)).status == 400
        assert (await prober.call("ping")).status == 200


async def test_v1_no_mutated_message_ends_a_session_or_the_server(caplog):
    """A fixed seed: a failure can be repeated."""
    mutate = random.Random(2026)
    caplog.set_level(logging.ERROR)
    async with bench() as (_, prober):
        await prober.ready()
        seeds = [
            prober.message("tools/call", {"name": "echo", "arguments": {"text": "x"}}),
            prober.message("resources/subscribe", {"uri": "notes://x"}),
            prober.message("notifications/cancelled", {"requestId": 1}, notice=True),
            prober.message("initialize", {"protocolVersion": "2025-11-25"}),
            prober.modern("tools/call", {"name": "echo", "arguments": {}})[0],
            b'{"jsonrpc":"2.0","id":"s1","error":{"code":1,"message":"no"}}',
            b"[" + prober.message("ping") + b"]",
        ]
        connection = await Connection.open(prober.port)
        for turn in range(1500):
            body = bytearray(mutate.choice(seeds))
            for _ in range(mutate.randint(1, 4)):
                where = mutate.randrange(len(body))
                match mutate.randrange(4):
                    case 0:
                        body[where] = mutate.randrange(256)
                    case 1:
                        del body[where : where + mutate.randint(1, 8)]
                    case 2:
                        body[where:where] = mutate.choice(
                            [b"{", b"]", b'"', b"null", b"\xff", b"1e999", b"\\u0000"]
                        )
                    case _:
                        body[where:where] = body[: mutate.randint(1, 30)]
                body = body or bytearray(b"{")
            headers = prober.headers({"content-type": "application/json", "content-length": str(len(body))})
            if turn % 3 == 0:
                headers["MCP-Protocol-Version"] = MODERN
            await connection.send(head_bytes("POST", "/mcp", headers) + bytes(body))
            answer = await asyncio.wait_for(connection.answer(), 5)
            assert answer.status in (200, 202, 400, 404), answer
        await connection.close()
        assert (await prober.call("ping")).status == 200
        await still_serves(prober)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("modern", [True, False])
async def test_v2_f19_f36_connections_that_break_at_every_byte(modern, caplog):
    found = Bench()
    app = HTTPApp(found.service, linger=0.0)
    caplog.set_level(logging.ERROR)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        body, headers = prober.modern("tools/call", {"name": "talk", "arguments": {"times": 2}})
        if not modern:
            body, headers = (
                prober.message("tools/call", {"name": "talk", "arguments": {"times": 2}}),
                prober.headers(),
            )
        fields = {
            "host": "localhost",
            "content-type": "application/json",
            "content-length": str(len(body)),
            **headers,
        }
        whole = head_bytes("POST", "/mcp", fields) + body

        async def cut(at):
            connection = await Connection.open(port)
            await connection.send(whole[:at])
            if at % 2:
                connection.abort()
            else:
                await connection.close()

        for start in range(0, len(whole) + 1, 40):
            await asyncio.gather(*(cut(at) for at in range(start, min(start + 40, len(whole) + 1))))
        await still_serves(prober)
        assert (await prober.call("ping")).status == 200
        await until(lambda: not (app._limits.requests or app._limits.streams or app._stateful._calls._tasks))
        for connection in prober.opened:
            await connection.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("modern", [True, False])
async def test_f19_clients_that_leave_while_the_answer_is_written(modern):
    found = Bench()
    app = HTTPApp(found.service)
    async with serving(app) as port:
        prober = await Prober(port).ready()
        for count in range(0, 900, 75):
            body, headers = prober.modern("tools/call", {"name": "talk", "arguments": {"times": 5}})
            if not modern:
                body, headers = (
                    prober.message("tools/call", {"name": "talk", "arguments": {"times": 5}}),
                    prober.headers(),
                )
            connection = await prober.start("POST", body, headers)
            await connection.reader.read(count or 1)
            connection.abort()
        await still_serves(prober)
        await until(lambda: not (app._limits.requests or app._limits.streams or app._stateful._calls._tasks))
        for connection in prober.opened:
            await connection.close()


async def test_f29_a_client_that_never_reads_loses_its_stream_and_nobody_elses():
    async with bench(send_timeout=0.2) as (found, prober):
        big = prober.modern(
            "tools/call", {"name": "talk", "arguments": {"key": "a", "times": 100_000, "pad": 100_000}}
        )
        connection = await prober.start("POST", *big)
        await asyncio.wait_for(found.event(found.cancelled, "a").wait(), 30)
        await still_serves(prober)
        connection.abort()


async def test_f42_f78_floods_of_openings_and_deaths():
    store = MemoryStore()
    async with bench(store=store) as (_, prober):
        for _ in range(60):
            client = prober.another()
            client.session = client.revision = None
            await client.initialize()
            assert (await client.send("DELETE")).status == 204
            assert (await client.call("ping")).status == 404
        assert await store.sessions.count() == 0


async def test_f52_a_flood_of_options_leaks_nothing():
    async with bench() as (_, prober):
        for _ in range(50):
            answer = await prober.send("OPTIONS", None, {"access-control-request-method": "POST"})
            assert answer.status == 405
            assert not [name for name in answer.headers if name.startswith("access-control")]


async def test_f37_pipelined_requests_are_answered_in_order():
    async with bench() as (_, prober):
        connection = await Connection.open(prober.port)
        for number in range(5):
            body, headers = prober.modern(
                "tools/call", {"name": "echo", "arguments": {"text": str(number)}}, id=number
            )
            fields = {
                "host": "localhost",
                "content-type": "application/json",
                "content-length": str(len(body)),
                **headers,
            }
            connection.writer.write(head_bytes("POST", "/mcp", fields) + body)
        for number in range(5):
            assert (await connection.answer()).json["id"] == number
        await connection.close()


async def test_session_ids_of_any_shape_are_unknown():
    async with bench() as (_, prober):
        await prober.ready()
        real = prober.session or ""
        for fake in (
            real + "x",
            real[:-1],
            real.swapcase(),
            "a b",
            "\x7f",
            "\xff" * 20,
            "x" * 5000,
            "../" + real,
            "%00",
        ):
            answer = await prober.call("ping", **{"Mcp-Session-Id": fake})
            # A control character does not even get past the HTTP server.
            assert answer.status == 404 or (answer.status, fake) == (400, "\x7f"), fake
            assert real not in answer.body.decode()


async def test_nothing_is_echoed_that_could_be_injected():
    async with bench() as (_, prober):
        evil = "<script>\\u000d\\u000aset-cookie: a=b"
        body, headers = prober.modern("tools/call", {"name": "echo"}, meta={**META, "x": evil})
        answer = await prober.send("POST", body, {**headers, "Mcp-Method": "a<script>b"})
        assert answer.headers["content-type"] == "application/json"
        assert "set-cookie" not in answer.headers
        assert json.loads(answer.body)["error"]["code"] == -32020


async def test_v9_a_websocket_handshake_is_refused():
    """V9: no transport without the guard."""
    sent = []

    async def receive():
        return {"type": "websocket.connect"}

    async def send(event):
        sent.append(event["type"])

    await HTTPApp(Bench().service)({"type": "websocket", "path": "/mcp", "headers": []}, receive, send)
    assert sent == ["websocket.close"]
