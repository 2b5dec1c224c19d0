"""Methods of extensions: what a side declared may be spoken, and what nobody declared is told.

Specification: basic/versioning, "Extension Negotiation".
"""

from __future__ import annotations

from typing import Any

import pytest
from talking import EVERYTHING, LAST_STATEFUL, META, MODERN, Said

from dovetail.linting import lint_capture

SKILLS, UI, PRICES = f"{META}skills", f"{META}ui", "com.example/prices"


def unknown(said: Said) -> list[str]:
    """What is said of methods that nobody knows."""
    return [each.what for each in lint_capture(said.lines) if each.rule == "unknown-method"]


def declaring(*extensions: str) -> dict[str, Any]:
    """Capabilities with these extensions."""
    return {**EVERYTHING, "extensions": {each: {} for each in extensions}}


SPOKEN = (
    (SKILLS, "skills/list"),
    (SKILLS, "resources/directory/read"),
    (UI, "ui/initialize"),
    (PRICES, "com.example/prices/get"),
    (PRICES, "prices/get"),
    (f"{META}auth/dpop", "auth/dpop/nonce"),
)


@pytest.mark.parametrize("extension,method", SPOKEN)
@pytest.mark.parametrize("revision", [LAST_STATEFUL, MODERN])
def test_a_method_of_an_extension_that_the_server_declared_is_known(
    revision: str, extension: str, method: str
) -> None:
    assert unknown(Said(revision).hello(declaring(extension)).ask(method, result={})) == []


def test_a_method_of_an_extension_that_the_client_declared_is_known() -> None:
    stateful = Said().hello(client={"extensions": {PRICES: {}}}).ask("prices/get", result={})
    assert unknown(stateful) == []
    capabilities = {"extensions": {PRICES: {}}}
    stateless = Said(MODERN).ask("prices/get", result={}, __clientCapabilities=capabilities)
    assert unknown(stateless) == []


def test_a_notification_of_an_extension_is_known() -> None:
    said = Said().hello(declaring(PRICES))
    for method in ("notifications/com.example/prices/changed", "notifications/prices/changed"):
        said.server(said.notice(method))
    assert unknown(said) == []


@pytest.mark.parametrize("revision", [LAST_STATEFUL, MODERN])
@pytest.mark.parametrize("method", [method for _, method in SPOKEN])
def test_a_method_of_an_extension_that_nobody_declared_is_told_once(revision: str, method: str) -> None:
    said = Said(revision).hello().ask(method, result={}).ask(method, result={})
    what = f"no revision has {method!r}, and neither side declared an extension of that name"
    assert unknown(said) == [what]


def test_another_extension_than_the_one_that_was_declared_is_told() -> None:
    said = Said().hello(declaring(UI, "com.example/price"))
    for method in ("skills/list", "prices/get", "resources/directory/read", "uix/open", "price"):
        said.ask(method, result={})
    assert len(unknown(said)) == 5


@pytest.mark.parametrize("extensions", [["prices"], "prices", {"": {}}, {"/": {}}, {"prices": {}}, None, 1])
def test_a_declaration_that_names_no_extension_hides_nothing(extensions: Any) -> None:
    said = Said().hello({**EVERYTHING, "extensions": extensions}).ask("/get", result={})
    assert len(unknown(said.ask("prices/get", result={}))) == 2
