"""What could never work is refused where it stands, with file and line: what is no function, templates that no URI
reaches, completers of what is not there.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from dovetail import App, Client, RegistrationError


def refused(register: Callable[[], Any], told: str) -> None:
    with pytest.raises(RegistrationError) as caught:
        register()
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{__file__}:"), str(caught.value)


def words(typed: str) -> list[str]:
    return [typed]


def first(name: str) -> str:
    return f"first {name}"


def second(id: str) -> str:
    return f"second {id}"


@pytest.mark.parametrize(
    "given, told",
    [
        (dict, "dict(): has no readable signature"),
        (5, "5 is not callable; give a function"),
        ({"a": 1}, "{'a': 1} is not callable"),
        (partial(print, 1), "print(), parameter '*args'"),
        (print, "print(), parameter '*args'"),
    ],
)
def test_what_is_no_function_of_an_author_is_refused_with_the_line_that_gave_it(
    given: Any, told: str
) -> None:
    app = App("x")
    refused(lambda: app.add_tool(given), told)
    refused(lambda: app.add_prompt(given), told)
    refused(lambda: app.add_resource(given, "note://x"), told)


@pytest.mark.parametrize("template", ["note://{name*}", "note://a{/name*}", "note://a{?name*}"])
def test_a_variable_that_is_a_list_is_no_text(template: str) -> None:
    app = App("x")
    refused(lambda: app.add_resource(first, template), "gives a list of texts; write {+name} for one value")

    def of_all(name: list[str]) -> str:
        return "/".join(name)

    app.add_resource(of_all, template)


@pytest.mark.parametrize(
    "one, other",
    [
        ("note://{name}", "note://{id}"),
        ("note://{+name}", "note://{+id}"),
        ("note://a/{name}{?day,hour}", "note://a/{id}{?hour,day}"),
    ],
)
async def test_a_template_that_reads_what_another_reads_is_refused(one: str, other: str) -> None:
    app = App("x")
    options = "{?day" in one

    def of(variable: str) -> Any:
        if options:
            return {
                "name": lambda name, day="", hour="": name,
                "id": lambda id, day="", hour="": id,
            }[variable]
        return {"name": first, "id": second}[variable]

    def add(variable: str, uri: str) -> None:
        fn = of(variable)
        fn.__annotations__ = dict.fromkeys((variable, "day", "hour") if options else (variable,), str)
        app.add_resource(fn, uri)

    add("name", one)
    refused(lambda: add("id", other), f"the template {other!r} reads the same URIs as {one!r}")
    app.remove_resource(one)
    add("id", other)
    async with Client(app) as client:
        assert [each.uri_template async for each in client.resource_templates()] == [other]


async def test_templates_that_differ_in_what_they_read_stand_side_by_side_and_the_first_wins() -> None:
    app = App("x")
    app.add_resource(first, "note://a/{name}")
    app.add_resource(second, "note://{+id}")

    @app.resource("note://a/b")
    def fixed() -> str:
        return "fixed"

    async with Client(app) as client:
        for uri, text in (("a/b", "fixed"), ("a/c", "first c"), ("b/c", "second b/c")):
            (contents,) = (await client.read(f"note://{uri}")).contents
            assert contents.text == text


def test_the_same_template_again_is_still_refused_as_such() -> None:
    app = App("x")
    app.add_resource(first, "note://{name}")
    refused(
        lambda: app.add_resource(first, "note://{name}"),
        "there is a resource template 'note://{name}' already",
    )
    app.add_resource(first, "note://{name}", replace=True)


def test_completers_of_variables_that_a_template_does_not_have_are_refused() -> None:
    app = App("x")
    refused(
        lambda: app.completion("note://{name}", "nmae")(words),
        "words(): 'note://{name}' has no variable 'nmae' to complete; did you mean 'name'?",
    )
    refused(lambda: app.completion("note://today", "x")(words), "it has none at all")
    refused(lambda: app.completion("note://{name", "name")(words), "is no URI template")
    refused(lambda: app.completion(words, "x"), "write @app.completion('prompt or template', 'argument')")  # pyright: ignore[reportArgumentType] - that is what is refused


def test_completers_of_arguments_that_a_prompt_does_not_have_are_refused() -> None:
    app = App("x")

    def orders(ship: str, tone: str = "calm") -> str:
        return ship + tone

    app.add_prompt(orders)
    refused(
        lambda: app.completion("orders", "tonne")(words),
        "words(): 'orders' has no argument 'tonne' to complete; did you mean 'tone'?",
    )
    app.completion("orders", "tone")(words)


def test_a_prompt_that_lacks_what_an_earlier_completer_completes_is_refused() -> None:
    app = App("x")
    app.completion("orders", "crew")(words)

    def orders(ship: str) -> str:
        return ship

    told = f"orders(): has no argument 'crew', which words() in {__file__}:"
    refused(lambda: app.add_prompt(orders), told)
    app.remove_completion("orders", "crew")
    app.add_prompt(orders)


def test_templates_that_come_and_go_are_forgotten() -> None:
    app = App("x")

    def read(id: str) -> str:
        return id

    for number in range(300):
        app.add_resource(read, f"kept{number}://{{id}}", name="kept")
        app.remove_resource(f"kept{number}://{{id}}")
    assert len(app._catalog._shapes) <= 101
    app.add_resource(read, "note://{id}", name="note")
    app.add_resource(read, "note://{id}", name="note", replace=True)
