"""Keys of _meta under each rule, extension identifiers, and trace context."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.meta_keys import (
    ReservedRule,
    check_meta_key,
    is_baggage,
    is_extension_identifier,
    is_reserved,
    is_traceparent,
    is_tracestate,
)

RULES: tuple[ReservedRule, ...] = ("none", "any-label", "second-label")


@pytest.mark.requirement(
    "R2607-SCHEMA-018",
    "R2607-SCHEMA-019",
    "R2607-SCHEMA-021",
    "R2511-SCHEMA-010",
    "R2511-SCHEMA-011",
    "R2511-SCHEMA-013",
)
@pytest.mark.parametrize(
    "key, good",
    [
        ("a", True),
        ("a-b_c.d", True),
        ("9", True),
        ("com.example/", True),
        ("com.example/x", True),
        ("c/x", True),
        ("c-1.d2/X.y", True),
        ("", False),
        ("/x", False),
        ("/", False),
        ("1com/x", False),
        ("com-/x", False),
        ("com..example/x", False),
        (".com/x", False),
        ("com./x", False),
        ("com_x/x", False),
        ("com/a/b", False),
        ("com/-x", False),
        ("com/x.", False),
        ("a b", False),
        ("é", False),
        ("a\0", False),
        ("a\n", False),
        ("com\n/x", False),
        ("x" * 513, False),
    ],
)
@pytest.mark.requirement("R2607-SCHEMA-040", "R2607-SCHEMA-041", "R2607-SCHEMA-043")
def test_the_grammar(key: str, good: bool) -> None:
    assert (check_meta_key(key, reserved_rule="none") is None) is good


@pytest.mark.requirement("R2607-SCHEMA-058")
@pytest.mark.parametrize(
    "key, any_label, second_label",
    [
        ("modelcontextprotocol.io/x", True, False),
        ("mcp.dev/x", True, False),
        ("api.modelcontextprotocol.org/x", True, True),
        ("tools.mcp.com/x", True, True),
        ("io.modelcontextprotocol/x", False, True),
        ("dev.mcp/", False, True),
        ("org.modelcontextprotocol.api/x", True, True),
        ("com.example.mcp/x", False, False),
        ("com.example.mcp.tools/x", True, False),
        ("mcp/x", False, False),
        ("com.example/mcp", False, False),
        ("io.mcpx/x", False, False),
        ("io.MCP/x", False, False),
        ("mcp", False, False),
    ],
)
def test_reserved_prefixes_of_each_revision_family(key: str, any_label: bool, second_label: bool) -> None:
    assert [is_reserved(key, reserved_rule=rule) for rule in RULES] == [False, any_label, second_label]
    assert (check_meta_key(key, reserved_rule="second-label") is None) is not second_label


def test_bare_trace_keys_are_reserved() -> None:
    problem = check_meta_key("traceparent", reserved_rule="second-label")
    assert problem is not None
    assert "reserved" in problem


@pytest.mark.requirement("R2607-VERSIONING-023", "R2607-VERSIONING-024")
@pytest.mark.parametrize(
    "identifier, good",
    [
        ("com.example/x", True),
        ("io.modelcontextprotocol/ui", True),
        ("io.modelcontextprotocol/auth/dpop", True),
        ("io.modelcontextprotocol//dpop", False),
        ("io.modelcontextprotocol/auth/", False),
        ("io.modelcontextprotocol/a/b/c", False),
        ("com.example/auth/dpop", False),
        ("x", False),
        ("com.example/", False),
        ("/x", False),
        ("com example/x", False),
    ],
)
def test_extension_identifiers_need_prefix_and_name(identifier: str, good: bool) -> None:
    assert is_extension_identifier(identifier) is good


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


@pytest.mark.requirement("R2607-SCHEMA-032")
@pytest.mark.parametrize(
    "value, good",
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f"cc-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes", True),
        (f"00-{TRACE}-{SPAN}-01-x", False),
        (f"cc-{TRACE}-{SPAN}-01x", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE}-{SPAN}-1", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        ("", False),
        (None, False),
        (5, False),
        ("0" * 1_000_000, False),
        (f"cc-{TRACE}-{SPAN}-01-" + "-" * 1_000_000, False),
    ],
)
def test_v44_f13_traceparent(value: object, good: bool) -> None:
    assert is_traceparent(value) is good


@pytest.mark.parametrize(
    "value, good",
    [
        ("rojo=00f067aa0ba902b7", True),
        ("rojo=1 , congo=t61,,", True),
        ("tenant@system=1", True),
        ("9tenant@system=1", True),
        ("", True),
        ("a=1,a=2", False),
        ("A=1", False),
        ("a", False),
        ("a=", False),
        ("a=b=c", False),
        ("a=é", False),
        ("9a=1", False),
        ("a@9=1", False),
        ("a=" + "x" * 257, False),
        (",".join(f"k{n}=v" for n in range(32)), True),
        (",".join(f"k{n}=v" for n in range(33)), False),
        ("a" * 1_000_000, False),
        (None, False),
    ],
)
def test_tracestate(value: object, good: bool) -> None:
    assert is_tracestate(value) is good


@pytest.mark.parametrize(
    "value, good",
    [
        ("k=v", True),
        ("k = v ; p ; q = 1 , k2=%20", True),
        ("k=", True),
        ("k=a=b", True),
        ("k", False),
        ("=v", False),
        ("k=a b", False),
        ('k="v"', False),
        ("k=v;", False),
        ("k=v;p q", False),
        ("k=v,", False),
        ("", False),
        ("é=v", False),
        (",".join(f"k{n}=v" for n in range(64)), True),
        (",".join(f"k{n}=v" for n in range(65)), False),
        ("k=" + "v" * 1_000_000, False),
        ([], False),
    ],
)
def test_baggage(value: object, good: bool) -> None:
    assert is_baggage(value) is good


@given(st.text(max_size=300))
def test_checks_are_total(text: str) -> None:
    for rule in RULES:
        check_meta_key(text, reserved_rule=rule)
    is_extension_identifier(text)
    is_traceparent(text)
    is_tracestate(text)
    is_baggage(text)
