"""The file of checks: what it may say, what is wrong with others; and calls of captures that become checks in it."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import checked_server
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail import Client, CreateMessageResult
from dovetail.client import ElicitRequest
from dovetail.recording import Capture
from dovetail.testing import Transport, connected
from dovetail.types import CreateMessageParams
from dovetail_inspector.checks.matching import MatcherInvalid, judged_of, misfits
from dovetail_inspector.checks.reading import CheckFileInvalid, read_checks
from dovetail_inspector.checks.running import CheckSettings, run_checks
from dovetail_inspector.checks.saving import CheckNotSaved, add_check, check_of_call, toml_of
from dovetail_inspector.checks.variables import Environment, at_pointer, filled, names_in

CALL = 'call = { tool = "x" }'
FINE = f'server = "s.py"\n[[check]]\nname = "a"\n{CALL}\n'

WRONG = [
    ("", "there is no [[check]]"),
    ("= 1", "is no TOML"),
    ("check = 1", "Expected `array`"),
    (FINE + "extra = 1", "check 1 ('a')"),
    (FINE + "expect.texts = 1", "unknown field `texts`"),
    (f'[[check]]\nname = "a"\n{CALL}', "it names no server"),
    (FINE + f'[[check]]\nname = "a"\n{CALL}', "another one has this name"),
    (f'server = "s"\n[[check]]\nname = " "\n{CALL}', "it has no name"),
    ('server = "s"\n[[check]]\nname = "a"\ncall = {}', "call has one of tool, read, prompt, list, request, not none"),
    ('server = "s"\n[[check]]\nname = "a"\ncall = { tool = "x", read = "y" }', "not tool, read"),
    (FINE.replace('tool = "x"', 'list = "tools", arguments = { a = 1 }'), "a list takes no arguments"),
    ('server = "s"\n[[check]]\nname = "a"\ncall = { list = "things" }', "Invalid enum value"),
    (FINE + 'revisions = ["2020-01-01"]', "there is no '2020-01-01'"),
    ('revisions = ["new"]\n' + FINE, "there is no 'new'"),
    (FINE + 'transports = ["http"]', "its server has no target 'http'"),
    (FINE + 'needs = ["b"]', "it needs 'b', which no earlier check is"),
    (FINE + 'expect.text = "${a}"', "no earlier check keeps ${a}"),
    (FINE + 'keep = { a = "x" }', "'x' is no JSON pointer"),
    (FINE + 'expect.structured = { "x" = 1 }', "'x' is no JSON pointer"),
    (FINE + 'expect.structured = { "/x" = { like = 1 } }', "there is no condition 'like'"),
    (FINE + 'expect.text = { matches = "(" }', "is no regular expression"),
    (FINE + "expect.text = { matches = 1 }", "matches is a regular expression"),
    (FINE + 'expect.text = { type = "text" }', "there is no type 'text'"),
    (FINE + "expect.text = { one_of = 1 }", "one_of is a list"),
    (FINE + 'expect.text = { length = "1" }', "length is a number"),
    (FINE + "expect.text = { exists = 1 }", "exists is true or false"),
    (FINE + "expect.error = false", "error is true, a code, or a table"),
    (FINE + "expect.error = { kind = 1 }", "error is true, a code, or a table"),
    (FINE + 'expect.error = { message = { like = "x" } }', "there is no condition 'like'"),
    (FINE + 'expect.listed = ["x"]', "listed is for a call that lists"),
    (FINE.replace("tool", "read") + 'expect.structured = { "" = 1 }', "structured is for a call of a tool"),
    (FINE.replace("tool", "read") + 'expect.schema = "listed"', "is for a call of a tool"),
    (FINE + 'expect.schema = { type = "thing" }', "its schema can't be used"),
    (FINE + "[servers.s]\n", "has to have either target or targets"),
    (FINE + '[servers.s]\ntarget = "a"\ntargets = { b = "c" }\n', "has to have either target or targets"),
    (FINE + '[servers.s]\ntarget = "a"\ntimeout = 0\n', "a number of seconds above zero"),
]  # fmt: skip


@pytest.mark.parametrize("text,said", WRONG, ids=[each[1] for each in WRONG])
def test_files_that_make_no_sense(text: str, said: str) -> None:
    with pytest.raises(CheckFileInvalid) as found:
        read_checks(text, name="c.toml")
    assert said in str(found.value)
    assert str(found.value).startswith("c.toml")


def test_files_that_are_none() -> None:
    with pytest.raises(CheckFileInvalid, match="no UTF-8"):
        read_checks(b"\xff")
    with pytest.raises(CheckFileInvalid, match="longer than 16 MiB"):
        read_checks("#" * (17 * 1024 * 1024))
    with pytest.raises(CheckFileInvalid):
        read_checks("a = " + "[" * 5_000)


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_text_is_read_or_refused(text: str | bytes) -> None:
    with pytest.raises(CheckFileInvalid):
        read_checks(text)


TABLES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "call", "expect", "tool", "text", "matches", "structured", "keep", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(TABLES)
def test_any_check_is_read_or_refused(value: Any) -> None:
    text = toml_of(value if isinstance(value, dict) else {"name": "a", "call": value})
    with suppress(CheckFileInvalid):
        assert read_checks(f'server = "s"\n{text}').check


def test_conditions() -> None:
    assert list(misfits({"type": "integer"}, 1.0)) == []
    assert list(misfits({"type": "integer"}, True)) != []
    assert list(misfits({"type": "null"}, None)) == []
    assert list(misfits({"contains": "a"}, {"a": 1})) == []
    assert list(misfits({"contains": ["a", "c"]}, "ab")) == ["is 'ab', and should contain 'c'"]
    assert list(misfits({"contains": {"x": 1}}, [{"x": 1}])) == []
    assert list(misfits({"length": 1}, 7)) == ["is 7, which has no length, and should have 1"]
    assert list(misfits({"one_of": [{"a": 1}]}, {"a": 1})) == []
    assert list(misfits({"at_most": 1}, "x")) != []
    assert list(misfits({}, "x")) == []
    with pytest.raises(MatcherInvalid):
        judged_of({"like": "x"})


def test_variables() -> None:
    environment = Environment({"KEY": "tulip-garden", "NO": "no"})
    kept = {"n": 3, "s": "x"}
    assert filled({"a": ["${n}", "<${n}${s}>", "env:KEY"], "b": 1}, kept, environment) == {
        "a": [3, "<3x>", "tulip-garden"],
        "b": 1,
    }
    assert list(names_in({"a": ["${n}", "${n}${s}"]})) == ["n", "n", "s"]
    assert environment.value("env:NO") == "no"
    assert environment.hide("a tulip-garden, no") == "a env:KEY, no"
    assert at_pointer({"a~/b": [1, {"c": None}]}, "/a~0~1b/1/c") == (None, True)
    assert at_pointer({"a": [1]}, "/a/1") == (None, False)
    assert at_pointer({"a": "text"}, "/a/0") == (None, False)


async def answer(request: ElicitRequest) -> dict[str, Any]:
    """Fill in the form."""
    return {"value": "Ada" if "First" in request.message else "Bob"}


async def think(params: CreateMessageParams) -> str | CreateMessageResult:
    """The model."""
    return "forty-two"


async def talk(client: Client) -> None:
    """Everything that a check can hold."""
    await client.call_tool("bake", {"what": 'a "big"\nbread', "count": 2})
    await client.call_tool("ask")
    await client.call_tool("think")
    await client.call_tool("look", {"order": "none"})
    assert [each.name async for each in client.tools()]
    await client.read("menu://today")
    await client.get_prompt("greet", {"name": "Ada"})
    await client.request("resources/list", {})


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_a_recorded_call_becomes_a_check_that_passes(
    transport: Transport, revision: str, tmp_path: Path
) -> None:
    """Each request of a conversation, saved, and run."""
    checked_server.ovens.clear()
    path = tmp_path / "talk.jsonl"
    async with connected(
        checked_server.app,
        transport=transport,
        revision=revision,
        record=path,
        elicitation=answer,
        sampling=think,
    ) as client:
        await talk(client)
    capture = Capture.read(path)
    text = f'# My checks.\nrevisions = ["{revision}"] # of these\n'
    for line in capture:
        value = line.value if line.sender == "client" else None
        if isinstance(value, dict) and "inputResponses" not in value.get("params", {}) and "id" in value:
            if value.get("method") in (None, "initialize", "server/discover"):
                continue
            text = add_check(text, check_of_call(capture, line.n, server="checked_server.py"))
    assert text.startswith("# My checks.\nrevisions = [")
    assert "# of these\n" in text
    file = read_checks(text, folder=Path(checked_server.__file__).parent)
    assert [each.name for each in file.check] == [
        "tools/call bake",
        "tools/call ask",
        "tools/call think",
        "tools/call look",
        "tools/list",
        "resources/read menu://today",
        "prompts/get greet",
        "resources/list",
    ]
    assert file.check[1].answers.form == [{"value": "Ada"}, {"value": "Bob"}]
    assert file.check[3].expect.is_error
    results = [each async for each in run_checks(file, CheckSettings())]
    assert [(each.name, each.failures) for each in results if not each.passed] == []


def test_names_stay_unique_and_the_file_as_it_is() -> None:
    before = 'server = "s" # mine\n\n[[check]] # first\nname = "a"\ncall = { tool = "x" }'
    check = {"name": "a", "call": {"tool": "x"}}
    once = add_check(before, check)
    twice = add_check(once, check)
    assert once.startswith(before)
    assert twice.startswith(once)
    assert [each["name"] for each in tomllib.loads(twice)["check"]] == ["a", "a (2)", "a (3)"]
    assert tomllib.loads(add_check("", check)) == {"check": [check]}


def test_files_that_take_no_check() -> None:
    check = {"name": "a", "call": {"tool": "x"}}
    with pytest.raises(CheckNotSaved, match="no TOML"):
        add_check("x", check)
    with pytest.raises(CheckNotSaved, match="no place"):
        add_check('check = [{ name = "b" }]', check)
    with pytest.raises(CheckNotSaved, match="TOML has no null"):
        add_check("", {**check, "call": {"tool": "x", "arguments": {"a": [None]}}})


def test_lines_that_are_no_request() -> None:
    capture = Capture.parse(b'{"capture":1,"began":"2026-01-01T00:00:00.000000Z"}\n')
    with pytest.raises(CheckNotSaved, match="line 3 of the capture is no request"):
        check_of_call(capture, 3, server="s")


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5),
        st.recursive(
            st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_again(arguments: dict[str, Any]) -> None:
    check = {"name": "a", "call": {"tool": "x", "arguments": arguments}}
    text = add_check("# kept\n", check)
    assert tomllib.loads(text)["check"] == [check]
