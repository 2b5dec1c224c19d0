"""The page about defaults says what the code does: its numbers are looked up, its HTTP table is tried.

Each row of a table of limits names what sets it, and the default of that has to be the number of the row. Each row of
the HTTP table has a request here that does what the row says, and its status has to come back; a row without a request
fails.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from typing import Any

import pytest
from page_blocks import ROOT

from dovetail import App
from dovetail.client.options import Options
from dovetail.protocol import names
from dovetail.protocol.revisions import STATEFUL, STATELESS
from dovetail.protocol.schema.screening import DEFAULT_DIALECT, DIALECTS
from dovetail.stores import StoreBounds
from dovetail.transports.http1.server.runner import serve
from dovetail.transports.http_server.asgi import HTTPApp

PAGE = ROOT / "docs" / "defaults.md"
UNITS = {"KiB": 1024, "MiB": 1024**2}
PLACES: dict[str, Any] = {"App": App, "HTTPApp": HTTPApp, "serve": serve}
MODERN = STATELESS[-1]
LIMIT = 64 * 1024


def rows(*header: str) -> Iterator[list[str]]:
    """The rows of every table with such a header."""
    wanted = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            wanted = False
        elif cells == list(header):
            wanted = True
        elif wanted and not set(line) <= set("|- "):
            yield cells


def default_of(setting: str) -> Any:
    """The value behind a name such as ``App(threads)`` or ``protocol.envelope.MAX_DEPTH``."""
    place, _, parameter = setting.rstrip(")").partition("(")
    if place == "Client":
        return getattr(Options(), parameter)
    if place.startswith("StoreBounds."):
        value: Any = StoreBounds()
        for part in place.split(".")[1:]:
            value = getattr(value, part)
        return value
    module, _, name = place.rpartition(".")
    package = module if module.startswith("dovetail_") else f"dovetail.{module}"  # or that of an application
    found = PLACES[place] if place in PLACES else getattr(import_module(package), name)
    return inspect.signature(found).parameters[parameter].default if parameter else found


@pytest.mark.parametrize(
    "what,told,setting",
    [(row[0], row[1], row[3]) for row in rows("what", "by default", "beyond it", "set by")],
    ids=lambda value: value.strip("`"),
)
def test_a_number_is_the_one_in_the_code(what: str, told: str, setting: str) -> None:
    named = re.match(r"`([^`]+)`", setting)
    assert named is not None, what
    if told == "none":
        assert default_of(named[1]) is None
        return
    amount = re.match(r"([\d,]+) ?(\w*)", told)
    assert amount is not None, what
    assert default_of(named[1]) == int(amount[1].replace(",", "")) * UNITS.get(amount[2], 1)


SHARES = list(rows("what", "share", "of", "beyond it", "set by"))


@pytest.mark.parametrize(
    "what,told,setting", [(row[0], row[1], row[4]) for row in SHARES], ids=lambda value: value.strip("`")
)
def test_a_share_is_the_one_in_the_code(what: str, told: str, setting: str) -> None:
    assert default_of(setting.strip("`")) == float(Fraction(told)), what


def test_the_bytes_of_shares_are_those_of_the_page() -> None:
    whole = default_of("StoreBounds.kv.max_bytes") / 1024**2
    rounds, caller = (float(Fraction(row[1])) for row in SHARES[:2])
    told = f"Of the {whole:.0f} MiB of `StoreBounds.kv.max_bytes` that is {whole * rounds:.0f} MiB for calls"
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"{told} between rounds, and {whole * rounds * caller:.0f} MiB for those of one" in page


#: What the README repeats of it: the words around a number, and what sets that.
REPEATED = [
    ("one message has at most {} MiB", "App(max_message)", 1024**2),
    ("{} levels and", "protocol.envelope.MAX_DEPTH", 1),
    ("and {} items", "protocol.envelope.MAX_ITEMS", 1),
    ("{} calls at a time on one connection or session", "runtime.service.Service(max_running)", 1),
    ("{} s for a body to arrive", "HTTPApp(body_timeout)", 1),
    ("{} in all", "StoreBounds.sessions.max_sessions", 1),
    ("{} for each principal", "StoreBounds.sessions.max_per_principal", 1),
    ("after {} h unused", "StoreBounds.sessions.idle_ttl", 3600),
    ("{} calls a second for each remote caller", "App(rate_limit)", 1),
    ("expires in {} minutes", "protocol.rounds.LIFETIME", 60),
    ("a call ends after {} s without answer or progress", "Client(timeout)", 1),
]


@pytest.mark.parametrize("words,setting,unit", REPEATED, ids=lambda value: str(value))
def test_the_readme_repeats_the_numbers_that_are_so(words: str, setting: str, unit: int) -> None:
    readme = (PAGE.parents[1] / "README.md").read_text(encoding="utf-8")
    assert words.format(f"{default_of(setting) / unit:,.0f}") in readme


def modern(method: str = names.TOOLS_LIST, **changes: Any) -> dict[str, Any]:
    """A right request of the stateless era; ``params`` and ``meta`` change what is in it."""
    meta = {
        names.META_PROTOCOL_VERSION: MODERN,
        names.META_CLIENT_CAPABILITIES: {},
        **changes.pop("meta", {}),
    }
    meta = {key: value for key, value in meta.items() if value is not None}
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**changes, names.META: meta}}


def headers(**changes: str | None) -> dict[str, str]:
    """The headers of such a request; ``_`` stands for ``-``, None leaves one out."""
    whole: dict[str, str | None] = {
        "host": "127.0.0.1:8000",
        "content-type": names.MEDIA_JSON,
        "accept": f"{names.MEDIA_JSON}, {names.MEDIA_SSE}",
        names.HEADER_PROTOCOL_VERSION: MODERN,
        names.HEADER_METHOD: names.TOOLS_LIST,
        **{key.replace("_", "-"): value for key, value in changes.items()},
    }
    return {key: value for key, value in whole.items() if value is not None}


def stateful(**changes: str | None) -> dict[str, str]:
    """The headers of a request of the stateful era."""
    return headers(mcp_protocol_version=STATEFUL[-1], mcp_method=None, **changes)


async def status_of(
    sent: dict[str, str],
    body: Any,
    *,
    method: str = "POST",
    path: str = "/mcp",
    twice: tuple[str, str] = ("", ""),
) -> int:
    """The status that a fresh app answers with; its body has to be a JSON-RPC message."""
    app = App("probed", max_message=LIMIT)
    app.tool(a_tool)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [(key.encode(), value.encode()) for key, value in sent.items()]
    if twice[0]:
        lines.append((twice[0].encode(), twice[1].encode()))
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": lines,
        "client": ("127.0.0.1", 1),
    }
    got: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": data, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        got.append(event)

    await app.asgi()(scope, receive, send)
    await app.service.stop()
    said = json.loads(b"".join(event.get("body", b"") for event in got))
    assert said["jsonrpc"] == "2.0"
    return got[0]["status"]


async def a_tool() -> str:
    """A tool, so that there are some to list."""
    return "here"


LIST = modern()
OLD = {"jsonrpc": "2.0", "id": 1, "method": names.TOOLS_LIST, "params": {}}
CALL = modern(names.TOOLS_CALL, name="nothing", arguments={})
OPENING = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": names.INITIALIZE,
    "params": {
        "protocolVersion": STATEFUL[-1],
        "capabilities": {},
        "clientInfo": {"name": "c", "version": "1"},
    },
}
PROBES: dict[str, dict[str, Any]] = {
    "a `Host` that is not loopback": {"sent": headers(host="shop.example"), "body": LIST},
    "an `Origin` that is not loopback": {"sent": headers(origin="https://shop.example"), "body": LIST},
    "a request across sites without an `Origin`": {
        "sent": headers(sec_fetch_site="cross-site"),
        "body": LIST,
    },
    "a header twice that must stand alone": {
        "sent": headers(),
        "body": LIST,
        "twice": (names.HEADER_METHOD, names.TOOLS_LIST),
    },
    "another path": {"sent": headers(), "body": LIST, "path": "/elsewhere"},
    "a method that is not served": {"sent": headers(), "body": LIST, "method": "PUT"},
    "a body that is not `application/json`": {"sent": headers(content_type="text/plain"), "body": LIST},
    "a compressed body": {"sent": headers(content_encoding="gzip"), "body": LIST},
    "an `Accept` with neither JSON nor an event stream": {"sent": headers(accept="text/html"), "body": LIST},
    "a length that is no number": {"sent": headers(content_length="many"), "body": LIST},
    "a length beyond the limit": {"sent": headers(content_length=str(LIMIT + 1)), "body": b"{}"},
    "a body beyond the limit, whatever was declared": {"sent": headers(), "body": b" " * (LIMIT + 1)},
    "a body that is not JSON": {"sent": headers(), "body": b"{"},
    "a message nested too deeply": {"sent": headers(), "body": b"[" * 200},
    "`2026-07-28`: a version header that does not match the body": {
        "sent": headers(mcp_protocol_version=STATEFUL[-1]),
        "body": LIST,
    },
    "`2026-07-28`: no version header": {"sent": headers(mcp_protocol_version=None), "body": LIST},
    "`2026-07-28`: no method header": {"sent": headers(mcp_method=None), "body": LIST},
    "`2026-07-28`: a name header that does not match the body": {
        "sent": headers(mcp_method=names.TOOLS_CALL, mcp_name="other"),
        "body": CALL,
    },
    "`2026-07-28`: a revision that is not served": {
        "sent": headers(mcp_protocol_version="2199-01-01"),
        "body": modern(meta={names.META_PROTOCOL_VERSION: "2199-01-01"}),
    },
    "`2026-07-28`: no capabilities in `_meta`": {
        "sent": headers(),
        "body": modern(meta={names.META_CLIENT_CAPABILITIES: None}),
    },
    "`2026-07-28`: an unknown method": {"sent": headers(mcp_method="no/such"), "body": modern("no/such")},
    "`2026-07-28`: an unknown tool": {
        "sent": headers(mcp_method=names.TOOLS_CALL, mcp_name="nothing"),
        "body": CALL,
    },
    "before: a request without a session id": {"sent": stateful(), "body": OLD},
    "before: a session that is not there, or not yours": {
        "sent": stateful(mcp_session_id="none"),
        "body": OLD,
    },
    "before: a version header that is not served": {
        "sent": headers(mcp_protocol_version="2001-01-01", mcp_method=None, mcp_session_id="none"),
        "body": OLD,
    },
    "before: a batch where there are none": {"sent": headers(), "body": [OLD]},
    "before: a method or name header that does not match the body": {
        "sent": headers(mcp_protocol_version=None, mcp_method=names.TOOLS_LIST),
        "body": OPENING,
    },
}


@pytest.mark.requirement("R2511-SCHEMA-007", "R2607-SCHEMA-011")
def test_the_dialects_of_the_page_are_those_of_the_code() -> None:
    *others, last = DIALECTS.values()
    assert f"{', '.join(others)} or {last}." in " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"Without one it is {DIALECTS[DEFAULT_DIALECT]}" in PAGE.read_text(encoding="utf-8")


@pytest.mark.hostile
@pytest.mark.parametrize("what,told", list(rows("what comes", "answer")), ids=lambda value: value.strip("`"))
async def test_the_http_table_is_true(what: str, told: str) -> None:
    assert what in PROBES, "the row has no request that tries it"
    assert await status_of(**PROBES[what]) == int(told)


async def test_a_right_request_passes() -> None:
    assert await status_of(headers(), LIST) == 200
