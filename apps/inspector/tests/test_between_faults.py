"""Faults as values: written and read, matched and counted, and what they make of bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dovetail_inspector.between.faults import (
    KINDS,
    ChangedMember,
    Delay,
    Drop,
    Duplicate,
    Error,
    Fault,
    FaultInvalid,
    InvalidUTF8,
    Oversize,
    Truncate,
    WrongId,
    fault_from_words,
    fault_of,
    faults_from_toml,
    in_words,
)
from dovetail_inspector.between.messages import Subject, SubjectTracker
from dovetail_inspector.between.striking import FaultSet, altered

REQUEST = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1}}}'
RESPONSE = b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"3"}]}}'

WRITTEN = [
    "delay seconds=0.5 up_to=1.0 overtaken=true method=tools/call 'tool=a b'",
    "drop nth=3 times=2 share=0.25 seed=7",
    "duplicate copies=3",
    "reorder behind=2 seconds=1.0",
    "status status=503 'text=come back later'",
    "error code=-32000 message=no",
    "cut events=2",
    "cut bytes=10",
    "truncate bytes=9",
    "wrong-id id=99",
    "wrong-id id=other",
    "header name=content-type value=text/html",
    "header name=mcp-session-id",
    "drip bytes=2 seconds=0.5",
    "half-close sender=client",
    "disconnect",
    "oversize bytes=1000",
    "invalid-utf8",
    "change pointer=/result/x",
    "change pointer=/result/x 'value={\"a\":[1,null]}'",
    "change pointer=/result/x 'value=\"1\"'",
    "change pointer=/result/x value=plain",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_fault_is_written_as_it_is_read(text: str) -> None:
    fault = fault_from_words(text)
    assert fault_from_words(in_words(fault)) == fault
    assert sorted(in_words(fault).split()) == sorted(text.split())


def test_every_kind_is_tried_here() -> None:
    assert {fault_from_words(each).__class__ for each in WRITTEN} == set(KINDS)


WRONG = [
    ("", "there is no fault ''"),
    ("nonsense", "there are delay, drop"),
    ("delay", "missing required field `seconds`"),
    ("delay seconds=soon", "seconds"),
    ("delay seconds=-1", "seconds"),
    ("delay seconds=99999", "seconds"),
    ("drop share=2", "share"),
    ("drop nth=-1", "nth"),
    ("drop other=1", "other"),
    ("drop tool", "NAME=VALUE"),
    ("drop 'tool=x", "no closing quotation"),
    ("status status=99", "status"),
    ("header name='a b'", "name"),
    ("header name=a 'value=a\nb'", "value"),
    ("change pointer=x", "pointer"),
    ("drop sender=nobody", "sender"),
]


@pytest.mark.parametrize("text,said", WRONG)
def test_what_is_no_fault_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(FaultInvalid, match=said.replace("(", r"\(")):
        fault_from_words(text)


def test_faults_are_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[fault]]\nkind = "delay"\nseconds = 0.5\nmethod = "tools/*"\n'
        '[[fault]]\nkind = "change"\npointer = "/result/x"\nvalue = {a = [1]}\n'
    )
    assert faults_from_toml(path) == [
        Delay(seconds=0.5, method="tools/*"),
        ChangedMember(pointer="/result/x", value={"a": [1]}),
    ]
    for text, said in (
        ("[[fault]", "no TOML"),
        ("other = 1", "something else"),
        ("fault = 1", "something else"),
        ("fault = [1]", "fault 1"),
        ('[[fault]]\nkind = "drop"\n[[fault]]\nkind = "delay"\n', "fault 2: the fault delay"),
        ('[[fault]]\nkind = "delay"\nseconds = "1"\n', "fault 1"),
    ):
        path.write_text(text)
        with pytest.raises(FaultInvalid, match=said):
            faults_from_toml(path)


def test_a_response_is_about_what_its_request_was_about() -> None:
    talk = SubjectTracker()
    assert talk.heard("client", json.loads(REQUEST)) == [Subject("tools/call", "add")]
    assert talk.heard("server", {"id": 1, "method": "roots/list"}) == [Subject("roots/list")]
    assert talk.heard("server", json.loads(RESPONSE)) == [Subject("tools/call", "add")]
    assert talk.heard("client", {"id": 1, "result": {}}) == [Subject("roots/list")]
    assert talk.heard("server", json.loads(RESPONSE)) == [Subject()]  # answered before
    assert talk.heard("client", [{"id": 2, "method": "ping"}, {"method": "x"}]) == [
        Subject("ping"),
        Subject("x"),
    ]
    for odd in (None, 1, "x", {}, {"id": True}, {"id": None}, {"id": 1.5}, {"method": 1}, {"params": []}):
        assert talk.heard("client", odd) == [Subject()]
    assert talk.heard("client", {"method": "tools/call", "params": {"name": 3}}) == [Subject("tools/call")]
    assert talk.heard("client", []) == []


def struck(fault: Fault, subjects: list[Subject], sender: str = "server") -> list[bool]:
    """Which of some messages a fault strikes."""
    faults = FaultSet("stdio")
    faults.add(fault)
    return [bool(faults.striking("message", sender, [each])) for each in subjects]  # type: ignore[arg-type] # one of two words


def test_which_messages_are_struck() -> None:
    add, other, listing = Subject("tools/call", "add"), Subject("tools/call", "other"), Subject("tools/list")
    said = [add, other, listing, Subject()]
    assert struck(Drop(), said) == [True] * 4
    assert struck(Drop(), said, "client") == [False] * 4
    assert struck(Drop(sender="client"), said, "client") == [True] * 4
    assert struck(Drop(method="tools/call"), said) == [True, True, False, False]
    assert struck(Drop(method="tools/*"), said) == [True, True, True, False]
    assert struck(Drop(tool="add"), said) == [True, False, False, False]
    assert struck(Drop(method="tools/*", nth=2), said) == [False, True, False, False]
    assert struck(Drop(times=3), said) == [True, True, True, False]
    assert struck(Drop(share=0.0), said) == [False] * 4
    many = [add] * 1000
    some = struck(Drop(share=0.3, seed=1), many)
    assert some == struck(Drop(share=0.3, seed=1), many)
    assert some != struck(Drop(share=0.3, seed=2), many)
    assert 250 < sum(some) < 350


def test_faults_come_and_go_and_count() -> None:
    changes: list[int] = []
    faults = FaultSet("http", lambda: changes.append(1))
    assert not faults
    first, second = faults.add(Drop(method="x")), faults.add(Duplicate())
    assert [each.fault.copies for each in faults.striking("message", "server", [Subject("y")])] == [2]  # type: ignore[attr-defined] # a Duplicate
    assert faults.remove(first)
    assert not faults.remove(first)
    (state,) = faults.states()
    assert (state.number, state.fault, state.matched, state.struck) == (second, "duplicate", 1, 1)
    faults.clear()
    assert not faults
    assert len(changes) == 4
    for _ in range(1000):
        faults.add(Drop())
    with pytest.raises(FaultInvalid, match="there are 1000 faults"):
        faults.add(Drop())


def test_what_becomes_of_bytes() -> None:
    assert altered(Truncate(), RESPONSE) == RESPONSE[: len(RESPONSE) // 2]
    assert altered(Truncate(bytes=5), RESPONSE) == RESPONSE[:5]
    assert json.loads(altered(WrongId(id=7), RESPONSE))["id"] == 7
    assert altered(WrongId(), b'{"method":"x"}') == b'{"method":"x"}'
    big = altered(Oversize(bytes=5000), RESPONSE)
    assert len(big) >= 5000
    assert json.loads(big)["result"]["content"] == json.loads(RESPONSE)["result"]["content"]
    assert len(altered(Oversize(bytes=100), b'{"id":1,"error":{}}')) == 100
    assert len(altered(Oversize(bytes=100), b"no json")) == 100
    assert altered(Oversize(bytes=1), b"no json") == b"no json"
    with pytest.raises(UnicodeDecodeError):
        altered(InvalidUTF8(), RESPONSE).decode()
    assert altered(InvalidUTF8(), b"") == b"\xff"
    assert altered(Error(), REQUEST) == REQUEST


def test_a_pointer_leads_to_what_is_changed() -> None:
    def changed(pointer: str, **value: object) -> object:
        return json.loads(altered(ChangedMember(pointer=pointer, **value), RESPONSE))  # type: ignore[arg-type] # any value of JSON

    whole = json.loads(RESPONSE)
    assert changed("/id") == {each: whole[each] for each in whole if each != "id"}
    assert changed("/result", value=None) == {**whole, "result": None}
    assert changed("/result/content/0/text", value=[1])["result"]["content"][0]["text"] == [1]  # type: ignore[index] # a value of JSON
    assert changed("/result/content/0")["result"]["content"] == []  # type: ignore[index] # a value of JSON
    assert changed("/result/new~1name~0", value=1)["result"]["new/name~"] == 1  # type: ignore[index] # a value of JSON
    for nowhere in ("/result/content/5", "/result/content/x", "/nothing/inside", "/id/inside"):
        assert altered(ChangedMember(pointer=nowhere, value=1), RESPONSE) == RESPONSE
    batch = b"[%s,%s]" % (RESPONSE, RESPONSE)
    assert [each["id"] for each in json.loads(altered(WrongId(id=3), batch))] == [3, 3]
    assert altered(ChangedMember(pointer="/id"), b"no json") == b"no json"


def test_plain_values_are_taken_strictly() -> None:
    assert fault_of({"kind": "drop", "nth": 1}) == Drop(nth=1)
    for wrong in ({"kind": "drop", "nth": "1"}, {"kind": ["drop"]}, {}, {"kind": "drop", "nth": 1.5}):
        with pytest.raises(FaultInvalid):
            fault_of(wrong)
