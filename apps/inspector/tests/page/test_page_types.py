"""What the page says of the views is what the views are."""

from __future__ import annotations

import re
import typing

import msgspec
import pytest
from page import PAGE, markup

from dovetail_inspector import views

SOURCE = (PAGE / "src" / "api.ts").read_text()
VIEWS = [
    name
    for name in views.__all__
    if isinstance(getattr(views, name), type) and issubclass(getattr(views, name), msgspec.Struct)
]
CHOICES = [name for name in views.__all__ if typing.get_origin(getattr(views, name)) is typing.Literal]


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_knows_the_members_of_each_view(name):
    declared = re.search(rf"export interface {name} \{{\n(.*?)\n\}}", SOURCE, re.DOTALL)
    assert declared is not None
    members = dict(re.findall(r"^  (\w+): ([^;]+);$", declared.group(1), re.MULTILINE))
    fields = {each.encode_name: each.type for each in msgspec.structs.fields(getattr(views, name))}
    assert list(members) == list(fields)
    for member, kind in fields.items():
        nullable = type(None) in typing.get_args(kind)
        assert ("null" in members[member]) == nullable or members[member] == "Json", member


@pytest.mark.parametrize("name", CHOICES)
def test_the_page_knows_the_values_of_each_choice(name):
    declared = re.search(rf"export type {name} =(.*?);", SOURCE, re.DOTALL)
    assert declared is not None
    assert re.findall(r'"([^"]+)"', declared.group(1)) == list(typing.get_args(getattr(views, name)))


@pytest.mark.parametrize(
    "line",
    [
        "<p dangerouslySetInnerHTML={{ __html: text }} />",
        "element.innerHTML = text;",
        "element.outerHTML = text;",
        'element.insertAdjacentHTML("beforeend", text);',
        "document.write(text);",
        "new DOMParser().parseFromString(text)",
        "<iframe srcdoc={text} />",
        'location.href = "javascript:" + text;',
        "eval(text);",
        'new Function("x", text);',
    ],
)
def test_what_makes_markup_of_text_is_found(line):
    assert next(markup("a.tsx", f"const x = 1;\n{line}\n")).startswith("a.tsx:2: ")
    assert list(markup("a.tsx", "<p>{text}</p>")) == []
