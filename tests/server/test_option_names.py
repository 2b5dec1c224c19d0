"""Options that an app, a tool, a resource or a prompt does not have: the author is told what to write instead."""

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest
from reference import typed_options

from dovetail import App, RegistrationError
from dovetail.server import EndpointOptions, HTTPOptions, PromptOptions, ResourceOptions, ToolOptions
from dovetail.server.other_names import MEANT_OF_OPTIONS

app = App("x")


def fn() -> str:
    """Nothing to see."""
    return ""


#: Every way to give options, with what its options are of.
WAYS: dict[str, tuple[Callable[..., Any], str]] = {
    "@app.tool": (lambda **options: app.tool(**options)(fn), "a tool"),
    "app.tool(fn)": (lambda **options: app.tool(fn, **options), "a tool"),
    "app.add_tool": (lambda **options: app.add_tool(fn, **options), "a tool"),
    "@app.resource": (lambda **options: app.resource("x://y", **options)(fn), "a resource"),
    "app.add_resource": (lambda **options: app.add_resource(fn, "x://y", **options), "a resource"),
    "@app.prompt": (lambda **options: app.prompt(**options)(fn), "a prompt"),
    "app.add_prompt": (lambda **options: app.add_prompt(fn, **options), "a prompt"),
    "App": (lambda **options: App("x", **options), "App(...)"),
    "App.mount": (lambda **options: App("y").mount("x", app, **options), "App.mount"),
}


@pytest.mark.parametrize("way", WAYS)
def test_an_option_that_is_none_says_what_to_write(way: str) -> None:
    make, what = WAYS[way]
    for name, told in MEANT_OF_OPTIONS[way if way.startswith("App") else "entry"].items():
        with pytest.raises(RegistrationError) as caught:
            make(**{name: None})
        assert caught.value.problem == f"{what} has no option {name!r}; {told}"
        assert caught.value.where is not None
        assert "test_option_names.py:" in caught.value.where


@pytest.mark.parametrize("way", [each for each in WAYS if each != "App.mount"])
def test_a_slip_names_the_nearest(way: str) -> None:
    make, _ = WAYS[way]
    with pytest.raises(TypeError, match=r"has no option 'titel'; did you mean 'title'\?"):
        make(titel="x")
    with pytest.raises(TypeError, match=r"has no option 'zzzz'; there are .*\btitle\b"):
        make(zzzz=1)


def test_no_advice_is_about_an_option_that_is_there() -> None:
    signatures = {
        "entry": [App.add_tool, App.add_resource, App.add_prompt],
        "App": [App],
        "App.mount": [App.mount],
    }
    for kind, advice in MEANT_OF_OPTIONS.items():
        for each in signatures[kind]:
            assert not advice.keys() & set(inspect.signature(each).parameters)


def test_what_is_to_be_written_is_there() -> None:
    """The advice names only options and names that exist."""
    entries = {
        name for each in (ToolOptions, ResourceOptions, PromptOptions) for name in each.__annotations__
    }
    own = set(inspect.signature(App).parameters)
    hints = {"read_only_hint", "destructive_hint", "idempotent_hint", "open_world_hint"}
    served = {*EndpointOptions.__annotations__, *HTTPOptions.__annotations__}
    for kind, advice in MEANT_OF_OPTIONS.items():
        for told in advice.values():
            for name in re.findall(r"(\w+)=", told):
                assert name in {*entries, *hints, *served, *(own if kind == "App" else ())}, told


async def test_what_is_right_is_taken_as_before() -> None:
    """The check changes neither what a method gives nor what an editor shows; decorators take the same options."""
    fresh = App("x", version="2")
    assert fresh.tool(title="A")(fn) is fn
    assert fresh.resource("x://y", title="B")(fn) is fn
    for decorator, method, options in (
        (App.tool, App.add_tool, ToolOptions),
        (App.resource, App.add_resource, ResourceOptions),
        (App.prompt, App.add_prompt, PromptOptions),
    ):
        assert options in typed_options(decorator)
        assert typed_options(method) == [options]
    assert (App.add_tool.__doc__ or "").startswith("Offer a function")
