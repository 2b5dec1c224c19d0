"""Headers that repeat the body, session identifiers, Accept and Content-Type."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol import names
from dovetail.protocol.bindings.headers import (
    InvalidHeaderValue,
    accepts,
    check_mirrors,
    check_parameters,
    decode_value,
    encode_value,
    is_json_content_type,
    is_session_id,
    mirror,
    parameter_matches,
    render_parameter,
    routing_headers,
)
from dovetail.protocol.errors import HEADER_MISMATCH, HeaderMismatch
from dovetail.protocol.header_parameters import HeaderParameter

REGION = HeaderParameter(("region",), "mcp-param-region", "string")
COUNT = HeaderParameter(("filter", "count"), "mcp-param-count", "integer")
DRY = HeaderParameter(("dry",), "mcp-param-dry", "boolean")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-042",
    "R2607-TRANSPORT-HTTP-044",
    "R2607-TRANSPORT-HTTP-045",
    "R2607-TRANSPORT-HTTP-047",
)
@pytest.mark.parametrize(
    "text, encoded",
    [
        ("us-west1", "us-west1"),
        ("", ""),
        ("a b\tc", "a b\tc"),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        ("\tx", "=?base64?CXg=?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?=", "=?base64?PT9iYXNlNjQ/PQ==?="),
        ("=?BASE64?x?=", "=?BASE64?x?="),
        ("=?base64?open", "=?base64?open"),
        ("\x7f", "=?base64?fw==?="),
    ],
)
def test_value_encoding(text: str, encoded: str) -> None:
    assert encode_value(text) == encoded
    assert decode_value(encoded) == text
    assert decode_value(encoded.encode()) == text


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-041", "R2607-TRANSPORT-HTTP-043")
@given(TEXT)
def test_every_text_survives_and_is_a_legal_value(text: str) -> None:
    encoded = encode_value(text)
    assert all(c == "\t" or " " <= c <= "~" for c in encoded)
    assert encoded == encoded.strip(" \t")
    assert decode_value(f" \t{encoded} ") == text


@pytest.mark.parametrize(
    "value",
    [
        "=?base64?SGVsbG8?=",
        "=?base64?SGVs bG8=?=",
        "=?base64?SGVs!G8=?=",
        "=?base64?SGVsbG9=?=",
        "=?base64?_-8=?=",
        "=?base64?/w==?=",
        "=?base64?=",
        "=?base64?7aCA?=",
        "café",
        "a\x00b",
        "a\r\nmcp-name: b",
        "a\x7f",
        "x" * 20_000,
    ],
)
def test_bad_values_are_refused(value: str) -> None:
    with pytest.raises(InvalidHeaderValue):
        decode_value(value)
    with pytest.raises(InvalidHeaderValue):
        decode_value(value.encode())


def test_lone_surrogates_cannot_be_sent() -> None:
    with pytest.raises(InvalidHeaderValue, match="surrogate"):
        encode_value("a\ud800")


@given(st.binary(max_size=80))
def test_decoding_is_total_and_one_to_one(value: bytes) -> None:
    try:
        text = decode_value(value)
    except InvalidHeaderValue:
        return
    assert encode_value(text) == value.decode().strip(" \t")


def test_rendering() -> None:
    rendered = [render_parameter(v) for v in ("x", 42, -7, True, False, None, 42.0, 1e3, "", 2**53 - 1)]
    assert rendered == ["x", "42", "-7", "true", "false", None, "42", "1000", "", str(2**53 - 1)]


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), [], {}, b"x", 2**53, -(2**53), 1e300])
def test_values_a_header_cannot_carry(value: object) -> None:
    with pytest.raises(InvalidHeaderValue):
        render_parameter(value)


@pytest.mark.parametrize(
    "header, body, kind, same",
    [
        ("42", 42, "integer", True),
        ("42.0", 42, "integer", True),
        ("42", 42.0, "integer", True),
        ("042", 42, "integer", True),
        ("-0", 0, "integer", True),
        ("42.5", 42, "integer", False),
        ("4_2", 42, "integer", False),
        ("+42", 42, "integer", False),
        (" 42", 42, "integer", False),
        ("\u0664\u0662", 42, "integer", False),
        ("1", True, "integer", False),
        (str(2**53), 2**53, "integer", False),
        ("9" * 5000, 1, "integer", False),
        ("true", True, "boolean", True),
        ("True", True, "boolean", False),
        ("1", True, "boolean", False),
        ("a", "a", "string", True),
        ("a", "A", "string", False),
        ("42.0", "42", "string", False),
        ("x", ["x"], "string", False),
    ],
)
def test_comparing(header: str, body: object, kind: str, same: bool) -> None:
    assert parameter_matches(header, body, kind) is same  # pyright: ignore[reportArgumentType] - kinds from the table


@pytest.mark.requirement(
    "R2607-TRANSPORT-HTTP-048",
    "R2607-TRANSPORT-HTTP-054",
    "R2607-TRANSPORT-HTTP-055",
    "R2607-TRANSPORT-HTTP-056",
)
def test_the_client_mirrors_the_body() -> None:
    arguments = {"region": "世", "filter": {"count": 3}, "dry": None, "other": 1}
    assert mirror(names.TOOLS_CALL, "run", arguments, (REGION, COUNT, DRY)) == [
        ("mcp-method", "tools/call"),
        ("mcp-name", "run"),
        ("mcp-param-region", "=?base64?5LiW?="),
        ("mcp-param-count", "3"),
    ]
    assert mirror(names.TOOLS_LIST, None) == [("mcp-method", "tools/list")]
    assert mirror(names.TOOLS_CALL, "run", {"filter": []}, (COUNT,)) == mirror(names.TOOLS_CALL, "run")


def test_an_argument_that_cannot_be_mirrored_is_named_without_its_value() -> None:
    with pytest.raises(InvalidHeaderValue, match=r"argument filter\.count") as caught:
        mirror(names.TOOLS_CALL, "run", {"filter": {"count": 1.25}}, (COUNT,))
    assert "1.25" not in str(caught.value)


def served(**changed: bytes | None) -> dict[str, bytes]:
    headers = {"protocol_version": b"R", "method": b"tools/call", "name": b"run"} | changed
    return routing_headers(
        [(b"Mcp-" + k.replace("_", "-").encode(), v) for k, v in headers.items() if v is not None]
    )


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-046", "R2607-TRANSPORT-HTTP-058", "R2607-TRANSPORT-HTTP-069")
def test_agreeing_headers_pass_with_spaces_around_them_and_names_in_any_case() -> None:
    check_mirrors(served(), revision="R", method="tools/call", name="run")
    check_mirrors(served(name=b"  run\t"), revision="R", method="tools/call", name="run")
    check_mirrors(served(name=b"=?base64?cnVu?="), revision="R", method="tools/call", name="run")
    check_mirrors(served(name=b"ignored"), revision="R", method="tools/call", name=None)
    check_mirrors(
        routing_headers([(b"MCP-METHOD", b"m"), (b"mcp-protocol-version", b"R")]),
        revision="R",
        method="m",
        name=None,
    )


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-059", "R2607-TRANSPORT-HTTP-071")
@pytest.mark.parametrize(
    "changed",
    [
        {"protocol_version": None},
        {"protocol_version": b"S"},
        {"protocol_version": b""},
        {"method": None},
        {"method": b"TOOLS/CALL"},
        {"method": b"=?base64?dG9vbHMvY2FsbA==?="},
        {"method": b"tools/call\x00"},
        {"name": None},
        {"name": b"Run"},
        {"name": b"run, run"},
        {"name": b"=?base64?cnVu"},
        {"name": b"=?base64?cn!u?="},
        {"name": b"r\xc3\xbcn"},
    ],
)
def test_disagreeing_headers_are_refused(changed: dict[str, bytes | None]) -> None:
    with pytest.raises(HeaderMismatch, match="Header mismatch: mcp-") as caught:
        check_mirrors(served(**changed), revision="R", method="tools/call", name="run")
    assert caught.value.code == HEADER_MISMATCH


@pytest.mark.parametrize("name", [b"Mcp-Name", b"mcp-method", b"MCP-Protocol-Version", b"mcp-PARAM-x"])
def test_a_routing_header_sent_twice_is_refused_even_if_equal(name: bytes) -> None:
    with pytest.raises(HeaderMismatch, match="more than once"):
        routing_headers([(name, b"a"), (b"accept", b"x"), (name.lower(), b"a")])
    assert routing_headers([(b"mcp-session-id", b"a"), (b"mcp-session-id", b"b"), (b"x", b"")]) == {}


PARAMETER_CASES = [
    ({}, {}, True),
    ({}, {"region": None}, True),
    ({"mcp-param-region": b"eu"}, {"region": "eu"}, True),
    ({"mcp-param-region": b"=?base64?ZXU=?="}, {"region": "eu"}, True),
    ({"mcp-param-count": b"3.0"}, {"filter": {"count": 3}}, True),
    ({"mcp-param-unknown": b"\xff"}, {}, True),
    ({}, {"region": "eu"}, False),
    ({}, {"region": ""}, False),
    ({"mcp-param-region": b"eu"}, {}, False),
    ({"mcp-param-region": b"eu"}, {"region": None}, False),
    ({"mcp-param-region": b"eu"}, {"region": "us"}, False),
    ({"mcp-param-region": b"\xff"}, {"region": "us"}, False),
    ({"mcp-param-region": b"=?base64?ZX?="}, {"region": "eu"}, False),
    ({"mcp-param-count": b"4"}, {"filter": {"count": 3}}, False),
    ({}, {"region": ["eu"]}, False),
]


@pytest.mark.requirement("R2607-TRANSPORT-HTTP-051", "R2607-TRANSPORT-HTTP-052", "R2607-TRANSPORT-HTTP-057")
@pytest.mark.parametrize("headers, arguments, good", PARAMETER_CASES)
def test_parameter_headers(headers: dict[str, bytes], arguments: dict[str, object], good: bool) -> None:
    if good:
        check_parameters(headers, arguments, (REGION, COUNT))
        return
    with pytest.raises(HeaderMismatch) as caught:
        check_parameters(headers, arguments, (REGION, COUNT))
    assert "eu" not in str(caught.value)


@given(region=TEXT, count=st.integers(-(2**53) + 1, 2**53 - 1), dry=st.booleans() | st.none())
def test_what_our_client_mirrors_our_server_accepts(region: str, count: int, dry: bool | None) -> None:
    arguments = {"region": region, "filter": {"count": count}, "dry": dry}
    sent = mirror("tools/call", region or None, arguments, (REGION, COUNT, DRY))
    routing = routing_headers([(b"mcp-protocol-version", b"R"), *((k.encode(), v.encode()) for k, v in sent)])
    check_mirrors(routing, revision="R", method="tools/call", name=region or None)
    check_parameters(routing, arguments, (REGION, COUNT, DRY))


@pytest.mark.requirement("R2511-TRANSPORT-HTTP-042")
def test_session_identifiers() -> None:
    assert is_session_id("abc-123~!")
    assert is_session_id(b"x" * 128)
    for bad in ("", " ", "a b", "a\n", "é", "\x7f", "x" * 129):
        assert not is_session_id(bad)
    assert not is_session_id(b"\xff")


@pytest.mark.parametrize(
    "header, allowed",
    [
        (None, True),
        ("", False),
        ("application/json", True),
        ("APPLICATION/Json", True),
        ("application/json, text/event-stream", True),
        ("text/event-stream;q=0.5 , application/json;q=0.1", True),
        ("*/*", True),
        ("application/*", True),
        ("text/*", False),
        ("text/event-stream", False),
        ("application/json;q=0", False),
        ("application/json;q=0.000, */*", False),
        ("application/json;Q=0", False),
        ("application/*;q=0, */*;q=1", False),
        ("application/json;q=1, application/*;q=0", True),
        ("application/json;q=2", False),
        ("application/json;charset=utf-8", True),
        ("application/jsonx", False),
        ("xapplication/json", False),
        ("application/json text/event-stream", False),
        ('text/html;x="a, application/json", image/png', False),
        ('text/html;x="a\\", b", application/json', True),
        ("*/json", False),
        (",,, application/json ,", True),
        ("application/json," * 1000, False),
    ],
)
def test_accept(header: str | None, allowed: bool) -> None:
    assert accepts(header, names.MEDIA_JSON) is allowed
    assert accepts(None if header is None else header.encode(), names.MEDIA_JSON) is allowed


@pytest.mark.parametrize(
    "header, good",
    [
        ("application/json", True),
        ("Application/JSON ; charset=UTF-8", True),
        ('application/json;charset="utf-8"', True),
        ("application/json;", True),
        ("application/json; profile=x", True),
        (None, False),
        ("", False),
        ("text/plain", False),
        ("application/jsonx", False),
        ("application/json-rpc", False),
        ("application/json, text/plain", False),
        ("application/json application/json", False),
        ("application/x-www-form-urlencoded", False),
        ("multipart/form-data; boundary=application/json", False),
        ("text/plain; application/json", False),
        ("application/json; charset=utf-16", False),
        ("application/json; charset=utf-8; charset=utf-8", False),
        ("application/json; charset", False),
        ("application/json;" * 1000, False),
    ],
)
def test_v10_content_type_corpus(header: str | None, good: bool) -> None:
    assert is_json_content_type(header) is good


@given(st.text(max_size=200))
def test_media_headers_never_raise(header: str) -> None:
    accepts(header, names.MEDIA_JSON)
    is_json_content_type(header)
