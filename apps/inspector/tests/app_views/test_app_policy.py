"""What a browser may do for a view: what its server declares, and nothing that could become more than that."""

from __future__ import annotations

import re
from typing import Any

import pytest

from dovetail_inspector.app_views.policy import MOST_DOMAINS, policy_of

DEFAULT = {
    "default-src": "'none'",
    "script-src": "'self' 'unsafe-inline'",
    "style-src": "'self' 'unsafe-inline'",
    "img-src": "'self' data:",
    "media-src": "'self' data:",
    "connect-src": "'none'",
}
KINDS = ("connectDomains", "resourceDomains", "frameDomains", "baseUriDomains")


def directives(ui: dict[str, Any], ports: tuple[int, ...] = ()) -> dict[str, str]:
    """The policy for a view, by directive."""
    return dict(each.split(" ", 1) for each in policy_of(ui, ports).directives.split("; "))


@pytest.mark.parametrize("ui", [{}, {"csp": None}, {"csp": {}}, {"csp": []}, {"csp": "https://evil.example"}])
def test_where_nothing_is_declared_nothing_is_reached(ui):
    made = directives(ui)
    assert DEFAULT.items() <= made.items()
    assert (made["object-src"], made["frame-src"], made["base-uri"]) == ("'none'", "'none'", "'self'")
    assert (made["form-action"], made["font-src"]) == ("'none'", "'none'")
    assert not policy_of(ui).declared


def test_what_is_declared_stands_where_it_belongs_and_nowhere_else():
    csp = {
        "connectDomains": ["https://api.example.com", "wss://live.example.com:8443"],
        "resourceDomains": ["https://*.cdn.example", "https://fonts.example/"],
        "frameDomains": ["https://video.example"],
        "baseUriDomains": ["https://base.example"],
    }
    made = directives({"csp": csp})
    assert made["connect-src"] == "https://api.example.com wss://live.example.com:8443"
    resources = "https://*.cdn.example https://fonts.example"
    for each in ("script-src", "style-src", "img-src", "media-src", "font-src"):
        assert made[each].endswith(resources)
    assert made["frame-src"] == "https://video.example"
    assert made["base-uri"] == "https://base.example"
    assert made["default-src"] == "'none'"
    assert policy_of({"csp": csp}).refused == []


HOSTILE = [
    "'; script-src *",
    "https://a.example; script-src *",
    "https://a.example, default-src *",
    "https://a.example 'unsafe-eval'",
    "https://a.example\n",
    "https://a.example\r\nset-cookie: x=y",
    "*",
    "https:",
    "https://",
    "https://*",
    "https://*.com:*",
    "https://*.localhost",
    "http://*:6280",
    "data:",
    "blob:",
    "'self'",
    "'unsafe-eval'",
    "'none'",
    "'nonce-x'",
    "filesystem:",
    "javascript://a.example",
    "ftp://a.example",
    "https://user@a.example",
    "https://a.example/path",
    "https://a.example?x",
    "https://a.example#x",
    "https://a.example:99999",
    "https://a.example:*",
    "https://a..example",
    "https://-a.example",
    "https://\u0430pple.example",
    "api.example.com",
    "",
    " https://a.example",
    "https://" + "a" * 400,
    7,
    None,
    ["https://a.example"],
    {"https://a.example": 1},
]


@pytest.mark.hostile
@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_origin_is_in_no_policy(kind, value):
    made = policy_of({"csp": {kind: [value, "https://right.example"]}})
    assert made.domains[kind] == ["https://right.example"]
    assert [each.kind for each in made.refused] == [kind]
    assert made.refused[0].reason
    # A policy has those directives that it has, whatever was declared, and each value of it is a source of its own.
    parts = [each.split(" ") for each in made.directives.split("; ")]
    assert [each[0] for each in parts] == list(directives({}))
    sources = {source for each in parts for source in each[1:]}
    assert sources <= {"'none'", "'self'", "'unsafe-inline'", "data:", "https://right.example"}


@pytest.mark.hostile
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "x.localhost", "0.0.0.0"])
@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_the_inspector_itself_is_reached_by_nobody(scheme, host):
    made = policy_of({"csp": {"connectDomains": [f"{scheme}://{host}:6280"]}}, (6280, 6281))
    assert made.domains["connectDomains"] == []
    assert "Inspector" in made.refused[0].reason
    other = policy_of({"csp": {"connectDomains": [f"{scheme}://{host}:3000"]}}, (6280, 6281))
    assert other.domains["connectDomains"] == [f"{scheme}://{host}:3000".lower()]


@pytest.mark.hostile
def test_a_policy_has_an_end():
    many = [f"https://{n}.example" for n in range(10_000)]
    made = policy_of({"csp": {"connectDomains": many, "frameDomains": "https://a.example"}})
    assert len(made.domains["connectDomains"]) == MOST_DOMAINS
    assert [each.kind for each in made.refused] == ["connectDomains", "frameDomains"]
    assert len(made.directives) < 10_000


def test_permissions_are_those_that_were_declared():
    wanted = {"camera": {}, "clipboardWrite": {}, "microphone": True, "usb": {}, "geolocation; camera *": {}}
    made = policy_of({"permissions": wanted})
    assert made.permissions == ["camera", "clipboardWrite"]
    assert made.allow == "camera; clipboard-write"
    assert [each.value for each in made.refused] == ["microphone", "usb", "geolocation; camera *"]
    for nothing in ({}, {"permissions": None}, {"permissions": ["camera"]}, {"permissions": "camera"}):
        assert policy_of(nothing).allow == ""
    assert re.fullmatch(r"[a-z-]+(; [a-z-]+)*", made.allow)
