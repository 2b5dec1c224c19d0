"""Two captures beside each other, two values, two surfaces."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from capture_samples import (
    ERAS,
    ada,
    asks,
    client,
    gives,
    hand,
    refuses,
    sample,
    server,
    tells,
)
from hypothesis import given
from hypothesis import strategies as st
from recorded_app import app

from dovetail import App, Client
from dovetail.recording import Capture, redacted_lines
from dovetail.surface import Surface, SurfaceUnreadable, take_surface
from dovetail.testing import connected
from dovetail_inspector.comparing.aligning import aligned
from dovetail_inspector.comparing.captures import Comparison, compare_captures
from dovetail_inspector.comparing.surfaces import compare_surfaces, surface_of_capture
from dovetail_inspector.comparing.values import changes_of, without

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


def compared(a: Capture, b: Capture, *ignore: str) -> Comparison:
    """Two captures beside each other."""
    return compare_captures(lambda: a, lambda: b, ignore)


@pytest.mark.parametrize("revision", ERAS)
async def test_the_same_conversation_twice(revision: str, tmp_path: Path) -> None:
    """Over another transport, with other ids, states and times."""
    a = await sample(tmp_path / "a.jsonl", "stdio", revision)
    b = await sample(tmp_path / "b.jsonl", "http", revision)
    said = [
        each for each in compared(a, b).rows if each.method.startswith(("tools/", "prompts/", "resources/r"))
    ]
    assert [each for each in said if each.kind != "same"] == []
    assert len(said) > 7
    assert compared(a, a).same


async def test_without_secrets_it_is_the_same_conversation(tmp_path: Path) -> None:
    whole = await sample(tmp_path / "a.jsonl")
    found = compared(whole, Capture(whole.header, redacted_lines(whole)))
    assert found.same, str(found)
    assert found.counts["changed"] == 0


def test_what_is_new_gone_and_changed() -> None:
    def call(id: int, name: str, text: str) -> list[dict[str, Any]]:
        return [
            client(asks(id, "tools/call", name=name, arguments={"n": 1})),
            server(gives(id, content=[{"type": "text", "text": text}])),
        ]

    a = hand(*call(1, "first", "1"), *call(2, "gone", "2"), *call(3, "changed", "3"), *call(4, "last", "4"))
    b = hand(*call(7, "first", "1"), *call(8, "changed", "x"), *call(9, "new", "2"), *call(10, "last", "4"))
    found = compared(a, b)
    assert [(each.kind, each.name, each.a, each.b) for each in found.rows] == [
        ("same", "first", 1, 1),
        ("only-a", "gone", 3, None),
        ("changed", "changed", 5, 3),
        ("only-b", "new", None, 5),
        ("same", "last", 7, 7),
    ]
    (change,) = found.rows[2].changes
    assert (change.pointer, change.a, change.b) == ("/result/content/0/text", "3", "x")
    assert str(found) == (
        "2 the same, 1 changed, 1 only in the first, 1 only in the second\n"
        "tools/call gone: only in the first, line 3\n"
        "tools/call changed (lines 5 and 3): /result/content/0/text: was '3', is 'x'\n"
        "tools/call new: only in the second, line 5"
    )
    assert not found.same
    assert compared(a, b, "/result/content/*/text").counts["changed"] == 0


def test_outcomes_of_another_kind() -> None:
    a = hand(client(asks(1, "ping")), server(gives(1)), client(asks(2, "x")))
    b = hand(
        client(asks(1, "ping")), server(refuses(1, -32601, "no")), client(asks(2, "x")), server(gives(2))
    )
    ping, other = compared(a, b).rows
    assert [str(each) for each in ping.changes] == [
        "/result: {} is gone",
        "/error: {'code': -32601, 'message': 'no'} is new",
    ]
    assert [str(each) for each in other.changes] == ["/result: {} is new"]


def test_what_varies_anyway() -> None:
    def said(id: int, mark: str) -> Capture:
        return hand(
            client(asks(id, "tools/list", _meta={"x": mark}, cursor=mark)),
            server(gives(id, _meta={"x": mark}, nextCursor=mark, ttlMs=id, resultType="complete")),
            client(tells("notifications/progress", progressToken=mark, progress=1)),
            client(asks(id + 1, "tasks/get", taskId=mark)),
            server(gives(id + 1, taskId=mark, createdAt=mark, status="working")),
        )

    assert compared(said(1, "a"), said(5, "b")).same


def test_ids_of_several_clients_behind_one_link() -> None:
    def said(first: str, second: str) -> Capture:
        post = {"method": "POST", "target": "/"}
        return hand(
            client(asks(1, "tools/call", name="a"), http={"exchange": 1, **post}),
            client(asks(1, "tools/call", name="b"), http={"exchange": 2, **post}),
            server(gives(1, is_=first), http={"exchange": 1, "status": 200, "end": "complete"}),
            server(gives(1, is_=second), http={"exchange": 2, "status": 200, "end": "complete"}),
        )

    rows = compared(said("x", "y"), said("z", "y")).rows
    assert [(each.name, each.kind) for each in rows] == [("a", "changed"), ("b", "same")]


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_alignment_is_whole_and_in_order(a: list[str], b: list[str]) -> None:
    left, right = [(each, each) for each in a], [(each, each) for each in b]
    found = list(aligned(left, right))
    assert [i for i, _ in found if i is not None] == list(range(len(a)))
    assert [j for _, j in found if j is not None] == list(range(len(b)))
    assert all(left[i] == right[j] for i, j in found if i is not None and j is not None)
    if a == b:
        assert found == [(each, each) for each in range(len(a))]


def test_alignment_of_much_that_differs_is_quick() -> None:
    rng = random.Random(7)
    a = [(f"k{rng.randrange(20)}", rng.randrange(1_000)) for _ in range(100_000)]
    b = [(f"k{rng.randrange(20)}", rng.randrange(1_000)) for _ in range(100_000)]
    began = time.process_time()
    assert len(list(aligned(a, b))) >= 100_000
    assert time.process_time() - began < 20


@given(JSON, JSON)
def test_changes_of_values(a: Any, b: Any) -> None:
    assert changes_of(a, a) == []
    found = changes_of(a, b)
    assert bool(found) == (msgspec.json.encode(a, order="sorted") != msgspec.json.encode(b, order="sorted"))
    for each in found:
        assert str(each)


def test_entries_are_known_by_name() -> None:
    a = [{"name": "x", "v": 1}, {"name": "y", "v": 2}]
    b = [{"name": "new", "v": 0}, {"name": "y", "v": 3}, {"name": "x", "v": 1}]
    assert [str(each) for each in changes_of(a, b)] == [
        "/1/v: was 2, is 3",
        "/0: {'name': 'new', 'v': 0} is new",
    ]
    assert len(changes_of([{"name": "x"}, {"name": "x"}], [{"name": "x"}])) == 1


def test_placeholders_fit_what_they_stand_for() -> None:
    assert changes_of("Bearer [redacted-1]", "Bearer abc") == []
    assert changes_of("abc", "[redacted-7]") == []
    assert changes_of("Bearer [redacted-1]", "Basic abc") != []
    assert changes_of(["[redacted-1]"], [["x"]]) != []


def test_pointers() -> None:
    value = {"a": [{"b": 1, "c": 2}, {"b": 3}], "x/y": 1}
    assert without(value, ["/a/*/b", "/x~1y"]) == {"a": [{"c": 2}, {}]}
    assert without(value, [""]) == value


def test_deep_values_end() -> None:
    a: Any = 1
    b: Any = 2
    for _ in range(5_000):
        a, b = [a], [b]
    assert changes_of(a, b) != []


@pytest.mark.parametrize("revision", ERAS)
async def test_the_surface_of_a_capture_is_that_of_the_server(revision: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    async with connected(app, transport="stdio", revision=revision, elicitation=ada, record=path) as opened:
        live = await take_surface(opened)
    found = surface_of_capture(Capture.read(path))
    assert compare_surfaces(live, found) == []
    assert [each.name for each in found.tools] == [each.name for each in live.tools]


async def test_what_changed_in_a_surface() -> None:
    old, new = App("shop", version="1"), App("shop", version="2")

    @old.tool(name="b")
    async def before(item: str) -> str:
        """Buy."""
        return item

    @new.tool(name="a")
    async def added() -> str:
        """New."""
        return ""

    @new.tool(name="b")
    async def after(item: str, count: int) -> str:
        """Buy."""
        return item

    async with Client(old) as first, Client(new) as second:
        found = compare_surfaces(await take_surface(first), await take_surface(second))
    assert found[0].severity == "breaking"
    assert (found[0].kind, found[0].name) == ("tool", "b")
    required = next(
        each for each in found if each.where.endswith("/inputSchema/required") or "count" in each.what
    )
    assert required.before != required.after
    version = next(each for each in found if each.where == "/server/version")
    assert (version.before, version.after) == ("1", "2")


def test_pages_and_later_listings_of_a_capture() -> None:
    def page(id: int, name: str, cursor: str = "") -> list[dict[str, Any]]:
        params = {"cursor": cursor} if cursor else {}
        return [
            client(asks(id, "tools/list", **params)),
            server(gives(id, tools=[{"name": name, "inputSchema": {"type": "object"}}])),
        ]

    first = hand(*page(1, "a"), *page(2, "b", "next"))
    assert [each.name for each in surface_of_capture(first).tools] == ["a", "b"]
    again = hand(*page(1, "a"), *page(2, "b", "next"), *page(3, "c"))
    assert [each.name for each in surface_of_capture(again).tools] == ["c"]
    assert surface_of_capture(again, link=2) == Surface(server={})
    odd = hand(client(asks(1, "tools/list")), server(gives(1, tools=[{"name": 7}])))
    with pytest.raises(SurfaceUnreadable, match="what the capture lists"):
        surface_of_capture(odd)
    assert surface_of_capture(hand(client(asks(1, "tools/list")), server(gives(1, tools=7)))).tools == ()
