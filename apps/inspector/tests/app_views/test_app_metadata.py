"""What tools and resources say of views, and what of it is taken."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from dovetail_inspector.app_views.metadata import (
    MAX_DOCUMENT,
    AppDocumentInvalid,
    document_of,
    resource_uri,
    visible_to,
)

URI = "ui://a/b"
HTML = "<!DOCTYPE html><p>here</p>"


def contents(**members: Any) -> dict[str, Any]:
    """A result of resources/read."""
    made = {"uri": URI, "mimeType": "text/html;profile=mcp-app", "text": HTML, **members}
    return {"contents": [{name: value for name, value in made.items() if value is not None}]}


@pytest.mark.parametrize(
    "meta, uri",
    [
        ({"ui": {"resourceUri": URI}}, URI),
        ({"ui/resourceUri": URI}, URI),
        ({"ui": {"resourceUri": URI}, "ui/resourceUri": "ui://old"}, URI),
        ({"ui": {"resourceUri": "https://a.example"}}, ""),
        ({"ui": {"resourceUri": 5}}, ""),
        ({"ui": URI}, ""),
        ({"ui": {"visibility": ["app"]}}, ""),
        (None, ""),
        ([], ""),
    ],
)
def test_the_view_of_a_tool(meta, uri):
    assert resource_uri({"name": "x", "_meta": meta}) == uri


@pytest.mark.parametrize(
    "visibility, model, app",
    [
        (None, True, True),
        (["model"], True, False),
        (["app"], False, True),
        (["model", "app"], True, True),
        ([], False, False),
        ("app", False, False),
        ({"app": True}, False, False),
    ],
)
def test_who_may_call_a_tool(visibility, model, app):
    tool = {"_meta": {"ui": {"visibility": visibility}}}
    assert (visible_to(tool, "model"), visible_to(tool, "app")) == (model, app)


def test_a_document_is_text_or_base64():
    assert document_of(URI, contents()).html == HTML
    blob = base64.b64encode(HTML.encode()).decode()
    assert document_of(URI, contents(text=None, blob=blob)).html == HTML
    assert document_of(URI, contents(mimeType="text/html; Profile=mcp-app")).notes == []


@pytest.mark.parametrize(
    "result, says",
    [
        ({}, "no contents"),
        ({"contents": []}, "no contents"),
        (contents(mimeType="text/html"), "text/html;profile=mcp-app"),
        (contents(mimeType=None), "of none"),
        (contents(text=None), "neither a text nor a blob"),
        (contents(text=None, blob="%%%"), "Base64"),
        (contents(text=None, blob=base64.b64encode(b"\xff\xfe").decode()), "UTF-8"),
        (contents(text="x" * (MAX_DOCUMENT + 1)), "at most"),
    ],
)
def test_what_is_no_document_says_why(result, says):
    with pytest.raises(AppDocumentInvalid, match=says):
        document_of(URI, result)


def test_what_the_contents_say_goes_before_what_the_list_says():
    listed = {"_meta": {"ui": {"prefersBorder": True, "csp": {"connectDomains": ["https://list.example"]}}}}
    said = {"ui": {"prefersBorder": False}}
    assert document_of(URI, contents(_meta=said), listed).ui == {"prefersBorder": False}
    assert document_of(URI, contents(), listed).ui["prefersBorder"] is True
    assert document_of(URI, contents(_meta={"ui": {}}), listed).ui == {}
    broken = document_of(URI, contents(_meta={"ui": "camera"}), listed)
    assert broken.ui == {}
    assert "no object" in broken.notes[0]


def test_what_is_odd_about_a_document_is_told():
    assert "quirks" in document_of(URI, contents(text="<p>here</p>")).notes[0]
    assert "ui://other" in document_of(URI, contents(uri="ui://other")).notes[0]
