"""Whatever a capture says, the linter goes on; and however long it is, what it remembers stays within bounds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import seeded_contents
import seeded_http
import seeded_messages
import seeded_requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET, Raw
from msgspec.structs import replace
from talking import LAST_STATEFUL, MODERN, TOOL, Said

from dovetail.linting import Linter, lint_capture
from dovetail.linting.memory import MAX_ENTRIES, MAX_REQUESTS, MAX_TABLE_BYTES, MAX_TALKS
from dovetail.protocol.bounded import Bounded
from dovetail.protocol.safe_text import one_line
from dovetail.recording import CaptureLine, HTTPPart

MADE: list[Callable[[], Said]] = [
    made
    for _, made in (
        *seeded_messages.SEEDS,
        *seeded_requests.SEEDS,
        *seeded_http.SEEDS,
        *seeded_contents.SEEDS,
    )
]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places in a value."""
    yield path
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*path, name))
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from places(each, (*path, at))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A value with another one at a place."""
    if not path:
        return new
    found = copy.deepcopy(value)
    inner = found
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_message_is_too_odd(data: st.DataObject) -> None:
    said = data.draw(st.sampled_from(MADE))()
    lines = list(said.lines)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(lines) - 1))
        line = lines[at]
        if line.body is UNSET:
            continue
        value = json.loads(bytes(line.body))
        path = data.draw(st.sampled_from(list(places(value))))
        odd = changed(value, path, data.draw(VALUES))
        lines[at] = replace(line, body=Raw(json.dumps(odd).encode()))
    order = data.draw(st.permutations(lines)) if data.draw(st.booleans()) else lines
    for each in lint_capture(order):
        assert one_line(each.what) == each.what
        assert len(each.what) <= 400
        assert len(each.where) <= 400


def test_a_list_in_any_place_is_judged() -> None:
    """Each place of each method's messages once: what can be no key of a table may stand where a name is meant."""
    seen: set[Any] = set()
    for made in MADE:
        lines = list(made().lines)
        for at, line in enumerate(lines):
            value = json.loads(bytes(line.body)) if line.body is not UNSET else None
            method = value.get("method") if isinstance(value, dict) else None
            for path in places(value):
                place = (method, tuple("*" if isinstance(step, int) else step for step in path))
                if value is not None and place not in seen:
                    seen.add(place)
                    odd = replace(line, body=Raw(json.dumps(changed(value, path, [])).encode()))
                    lint_capture([*lines[:at], odd, *lines[at + 1 :]])
    assert len(seen) > 200


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.builds(
            CaptureLine,
            n=st.integers(-5, 5),
            seconds=st.floats(),
            time=st.text(),
            link=st.integers(-1, 3),
            transport=st.sampled_from(["", "http", "stdio", "sse", "unix", "memory", "pigeon"]),
            sender=st.sampled_from(["client", "server", UNSET]),
            revision=st.sampled_from(["", LAST_STATEFUL, MODERN, "2024-11-05", "tomorrow"]),
            era=st.sampled_from(["", "stateful", "stateless", "golden"]),
            http=st.none()
            | st.builds(
                HTTPPart,
                exchange=st.integers(-1, 3),
                method=st.sampled_from(["", "POST", "GET", "DELETE", "BREW"]),
                target=st.text(),
                status=st.integers(-1, 600),
                headers=st.dictionaries(
                    st.sampled_from(["accept", "content-type", "mcp-session-id", "mcp-method", "mcp-name"])
                    | st.text(),
                    st.text(),
                ),
                event=st.sampled_from(["", "endpoint", "message", "x"]),
                id=st.text(),
                end=st.sampled_from(["", "complete", "broken"]),
            ),
            body=st.just(UNSET)
            | VALUES.map(lambda value: Raw(json.dumps(value).encode()))
            | st.binary().map(Raw),
            text=st.text(),
            base64=st.text(),
            mark=st.sampled_from([UNSET, "open", "close", "limit"]),
        ),
        max_size=6,
    )
)
def test_no_line_is_too_odd(lines: list[CaptureLine]) -> None:
    lint_capture(lines)


def tables(linter: Linter) -> dict[str, Bounded[Any, Any]]:
    """What a linter remembers, table by table."""
    found = {name: value for name, value in vars(linter._memory).items() if isinstance(value, Bounded)}
    assert len(found) > 8
    return found


def fresh(n: int, method: str, params: dict[str, Any], **members: Any) -> CaptureLine:
    """A request that nobody answers."""
    body = {"jsonrpc": "2.0", "id": f"{n}-{'x' * 40}", "method": method, "params": params}
    return CaptureLine(
        n=n,
        seconds=0.0,
        time="",
        link=members.pop("link", 1),
        transport="stdio",
        sender="client",
        revision=LAST_STATEFUL,
        era="stateful",
        body=Raw(json.dumps(body).encode()),
        **members,
    )


def requests(n: int) -> CaptureLine:
    """A call with an id, a token, and a name of its own."""
    meta = {"progressToken": f"t{n}" * 10}
    return fresh(n, "tools/call", {"name": f"tool{n}", "_meta": meta, "task": {}})


def pages(n: int) -> CaptureLine:
    """Somebody else's page, on a connection of its own."""
    return fresh(n, "tools/list", {"cursor": f"c{n}" * 20}, link=n)


@pytest.mark.parametrize("made", [requests, pages], ids=["requests", "connections"])
def test_a_stream_without_end_is_remembered_within_bounds(made: Callable[[int], CaptureLine]) -> None:
    linter = Linter()
    for n in range(1, MAX_REQUESTS + 5_000):
        linter.line(made(n))
    for name, table in tables(linter).items():
        assert len(table) <= {"talks": MAX_TALKS, "asked": MAX_REQUESTS, "ended": MAX_REQUESTS}.get(
            name, MAX_ENTRIES
        )
        assert table.size <= MAX_TABLE_BYTES


def test_who_may_have_been_forgotten_is_not_blamed() -> None:
    linter = Linter()
    linter.line(Said().lines[0])
    for n in range(1, MAX_REQUESTS + 100):
        linter.line(requests(n))
    answer = {"jsonrpc": "2.0", "id": f"1-{'x' * 40}", "result": {"content": []}}
    line = replace(requests(1), n=99_999, sender="server", body=Raw(json.dumps(answer).encode()))
    assert [each.rule for each in linter.line(line) if each.severity == "error"] == []


def test_the_findings_of_one_line_are_bounded() -> None:
    said = Said().hello()
    said.tools(*(TOOL | {"name": f"a b {n}", "description": ""} for n in range(2_000)))
    assert len(lint_capture(said.lines)) <= 200


def test_an_error_code_may_be_anything() -> None:
    """Of a stateless answer, whose code says which revision is spoken."""
    meta = '{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}'
    asked = f'{{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{meta}}}'
    for code in ("[]", "{}", '"x"', "null", "1.5"):
        said = f'{{"jsonrpc":"2.0","id":1,"error":{{"code":{code},"message":"x"}}}}'
        common: dict[str, Any] = {
            "seconds": 0.0,
            "time": "",
            "link": 1,
            "transport": "stdio",
            "revision": MODERN,
        }
        client = CaptureLine(n=1, sender="client", body=Raw(asked.encode()), **common)
        server = CaptureLine(n=2, sender="server", body=Raw(said.encode()), **common)
        assert lint_capture([client, server])
