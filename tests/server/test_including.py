"""What is marked of an object or a module is offered, and what can't be right is refused with words."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import dovetail
from dovetail import App, Client, Context, RegistrationError, completion, prompt, resource, tool
from dovetail.protocol.revisions import REVISIONS
from dovetail.types import TextContent

EVERY = pytest.mark.parametrize("revision", REVISIONS)


class Shelf:
    """A shelf of books."""

    def __init__(self, *books: str) -> None:
        self.books = list(books)
        self.callback = Other().unasked  # another object's: no part of what this one offers

    @tool
    async def find(self, word: str, ctx: Context) -> list[str]:
        """Find books.

        Args:
            word: part of a title
        """
        assert ctx.revision
        return [book for book in self.books if word in book]

    @tool(name="add_book", title="Add")
    def add(self, book: str) -> int:
        """Put a book on the shelf."""
        self.books.append(book)
        return len(self.books)

    @resource("shelf://{number}")
    def title(self, number: int) -> str:
        """The title of a book."""
        return self.books[number]

    @prompt
    def recommend(self, book: str) -> str:
        """Recommend a book."""
        return f"Recommend {book}, one of {len(self.books)}."

    @completion("recommend", "book")
    def titles(self, typed: str) -> list[str]:
        return [book for book in self.books if book.startswith(typed)]

    @classmethod
    @tool
    def kind(cls) -> str:
        """What this is."""
        return cls.__name__

    @tool
    @staticmethod
    def width() -> int:
        """In centimetres."""
        return 80

    find_dune = tool(functools.partialmethod(find, word="Dune"))

    def unmarked(self) -> str:
        return "not to be offered"


class Other:
    @tool
    def unasked(self) -> str:
        return "not to be offered by who holds it"


@EVERY
async def test_all_that_is_marked_is_offered_by_the_object(revision: str) -> None:
    app = App("library")
    app.include(Shelf("Dune", "Emma"))
    async with Client(app, revision=revision) as client:
        tools = {each.name: each async for each in client.tools()}
        assert list(tools) == ["find", "add_book", "kind", "width", "find_dune"]
        assert tools["find"].description == "Find books."
        assert tools["find"].input_schema["properties"]["word"]["description"] == "part of a title"
        assert tools["find_dune"].input_schema["properties"] == {}
        assert "Emma" in (await client.call_tool("find", {"word": "mm"})).text
        assert (await client.call_tool("add_book", {"book": "Dune II"})).text == "3"
        assert "Dune II" in (await client.call_tool("find_dune")).text
        assert (await client.call_tool("kind")).text == "Shelf"
        assert (await client.call_tool("width")).text == "80"
        assert (await client.read("shelf://1")).contents[0].text == "Emma"
        (said,) = (await client.get_prompt("recommend", {"book": "Emma"})).messages
        assert isinstance(said.content, TextContent)
        assert said.content.text == "Recommend Emma, one of 3."


class Cellar(Shelf):
    """Some methods are others here."""

    width: Any = None

    async def find(self, word: str, ctx: Context) -> list[str]:
        """Find wine."""
        return [f"a bottle of {word}"]

    @tool(title="Drink")
    def drink(self) -> str:
        """Open a bottle."""
        return "cheers"


async def test_what_a_subclass_says_counts() -> None:
    app = App("house")
    app.include(Cellar())
    async with Client(app) as client:
        tools = {each.name: each async for each in client.tools()}
        assert list(tools) == ["find", "add_book", "kind", "find_dune", "drink"]
        assert tools["find"].description == "Find wine."
        assert (await client.call_tool("find", {"word": "port"})).value == ["a bottle of port"]


async def test_several_objects_of_a_class_have_prefixes() -> None:
    class Lamp:
        def __init__(self, room: str) -> None:
            self.room = room

        @tool
        def switch(self) -> str:
            return self.room

        @prompt
        def mood(self, light: str) -> str:
            return f"{light} in the {self.room}"

        @completion("mood", "light")
        def lights(self, typed: str) -> list[str]:
            return [f"{typed} ({self.room})"]

    app = App("house")
    app.include(Lamp("hall"), prefix="hall_")
    app.include(Lamp("attic"), prefix="attic_")
    async with Client(app) as client:
        assert (await client.call_tool("attic_switch")).text == "attic"
        assert (await client.complete("hall_mood", "light", "dim")).values == ["dim (hall)"]


async def test_a_module_offers_its_own_functions() -> None:
    module = ModuleType("some_tools")
    exec(
        "from dovetail import tool\nfrom test_including import imported\n"
        "@tool\ndef here() -> str:\n    return 'here'\n\n"
        "def there() -> str:\n    return 'there'\n",
        vars(module),
    )
    app = App("modules")
    app.include(module)
    async with Client(app) as client:
        assert [each.name async for each in client.tools()] == ["here"]
        assert (await client.call_tool("here")).text == "here"


@tool
def imported() -> str:
    return "offered by the module that it is written in"


async def test_an_object_may_get_what_it_offers_when_it_is_made() -> None:
    def scaled(factor: int, number: int) -> int:
        """Times something."""
        return factor * number

    class Scale:
        def __init__(self) -> None:
            self.double = tool(functools.partial(scaled, 2))
            self.triple = tool(title="Three times")(functools.partial(scaled, factor=3))

    app = App("numbers")
    app.include(Scale())
    async with Client(app) as client:
        assert [each.name async for each in client.tools()] == ["double", "triple"]
        assert (await client.call_tool("double", {"number": 4})).value == 8
        assert (await client.call_tool("triple", {"number": 4})).value == 12


async def test_a_decorator_around_a_mark_keeps_it() -> None:
    def twice(function: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(function)
        def again(*args: Any, **kwargs: Any) -> str:
            return function(*args, **kwargs) * 2

        return again

    class Echo:
        @twice
        @tool
        def say(self, text: str) -> str:
            return text

    app = App("echo")
    app.include(Echo())
    async with Client(app) as client:
        assert (await client.call_tool("say", {"text": "ho"})).text == "hoho"


class Clash:
    @tool
    def first(self) -> str:
        return "1"

    @resource("clash://x")
    def second(self) -> str:
        return "2"

    @prompt
    def third(self) -> str:
        return "3"

    @tool
    def taken(self) -> str:
        return "4"


async def test_all_of_it_is_offered_or_nothing() -> None:
    app = App("clash")
    app.add_tool(lambda: "mine", name="taken")
    with pytest.raises(RegistrationError, match="there is a tool 'taken' already") as caught:
        app.include(Clash())
    assert f"{__file__}:" in str(caught.value)
    async with Client(app) as client:
        assert [each.name async for each in client.tools()] == ["taken"]
        assert [each async for each in client.resources()] == []
        assert [each async for each in client.prompts()] == []


class Bare:
    def method(self) -> str:
        return "unmarked"


@pytest.mark.parametrize(
    "given,hint",
    [
        (Shelf, r"Shelf is a class; write app.include\(Shelf\(\)\)"),
        (Bare(), "nothing of the Bare object is marked; put @tool"),
        (sys, "nothing of the module sys is marked"),
        (imported, "imported is a function; register it with @app.tool"),
    ],
)
def test_what_can_not_be_included_is_refused(given: object, hint: str) -> None:
    with pytest.raises(RegistrationError, match=hint) as caught:
        App("refused").include(given)
    assert __file__ in caught.value.where


ANY: Any = dovetail
"""As a program sees it that no type checker reads."""


@pytest.mark.parametrize(
    "mark,hint",
    [
        (lambda: ANY.tool("find"), r"write @tool\(name='find'\)"),
        (lambda: ANY.prompt("find"), r"write @prompt\(name='find'\)"),
        (lambda: tool(property(lambda self: 1)), "a property is read, not called"),
        (lambda: tool(len), "takes no attributes"),
        (lambda: ANY.tool(naem="find"), "a tool has no option 'naem'; did you mean 'name'"),
        (lambda: ANY.resource(imported), r"@resource stands alone; write @resource\('notes://today'\)"),
        (lambda: ANY.resource("x://y", titel="Y"), "did you mean 'title'"),
        (lambda: ANY.completion(imported, "a"), r"write @completion\('prompt or template', 'argument'\)"),
    ],
)
def test_a_mark_that_can_not_be_right_is_refused(mark: Callable[[], Any], hint: str) -> None:
    with pytest.raises(RegistrationError, match=hint):
        mark()


async def test_what_can_be_called_is_named_after_itself() -> None:
    class Adder:
        """Adds things."""

        def __init__(self, start: int = 0) -> None:
            self.start = start

        def __call__(self, number: int) -> int:
            return self.start + number

    def power(base: int, exponent: int) -> int:
        """To the power."""
        return base**exponent

    app = App("callables")
    app.add_tool(Adder(5))
    app.add_tool(functools.partial(Adder(7)), name="seven_more")
    app.add_tool(functools.partial(power, exponent=2), name="square")
    app.add_tool(functools.partial(power, 2))
    async with Client(app) as client:
        tools = {each.name: each async for each in client.tools()}
        assert list(tools) == ["Adder", "seven_more", "square", "power"]
        assert tools["Adder"].description == "Adds things."
        assert list(tools["square"].input_schema["properties"]) == ["base"]
        assert (await client.call_tool("Adder", {"number": 1})).value == 6
        assert (await client.call_tool("seven_more", {"number": 1})).value == 8
        assert (await client.call_tool("square", {"base": 3})).value == 9
        assert (await client.call_tool("power", {"exponent": 3})).value == 8


def test_an_object_that_can_not_be_served_is_named_by_its_class() -> None:
    class Untyped:
        def __call__(self, number): ...

    line = Untyped.__call__.__code__.co_firstlineno
    with pytest.raises(RegistrationError) as caught:
        App("refused").add_tool(Untyped())
    assert str(caught.value).startswith(f"{__file__}:{line}: Untyped(), parameter 'number'")
