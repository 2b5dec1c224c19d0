"""From a function to a plan: slots by annotation, hints from anywhere, refusals that teach."""

from __future__ import annotations

import functools
from typing import Annotated, Any, Generic, TypeVar

import pytest
from typing_extensions import TypeAliasType

from dovetail import App
from dovetail.server.markers import Ask, Depends, Doc
from dovetail.server.signature import MISSING, RegistrationError, inspect_function

T = TypeVar("T")


class Ctx(Generic[T]):
    """Stands for the context."""


class Who:
    """Stands for the principal."""


KINDS = {Ctx: "context", Who: "principal"}


def provide() -> int:
    """A provider."""
    return 1


def read(function):
    """The plan, with both kinds of slot."""
    return inspect_function(function, injectables=KINDS)


def test_slots_are_found_by_annotation_and_never_by_name():
    """A parameter named ctx is input; one named x is a slot."""

    def tool(ctx: int, x: Ctx, principal: str, y: Who | None, z: Annotated[int, Depends(provide)]):
        return ctx, x, principal, y, z

    plan = read(tool)
    assert [each.name for each in plan.inputs] == ["ctx", "principal"]
    assert [(each.name, each.kind, each.optional) for each in plan.slots] == [
        ("x", "context", False),
        ("y", "principal", True),
        ("z", Depends(provide), False),
    ]
    assert plan.invoke((1, 2), ("a", "b", "c")) == (1, "a", 2, "b", "c")


def test_generic_and_marked_injectables():
    """`Ctx[int]`, a subclass, and `Annotated[Ctx, ...]` are slots too."""

    class Mine(Ctx[int]):
        pass

    def tool(
        a: Ctx[str], b: Mine, c: Annotated[Ctx, Doc("x")], d: Annotated[Annotated[str, Ask("who?")], "doc"]
    ): ...

    assert [each.kind for each in read(tool).slots] == ["context", "context", "context", Ask("who?")]


@pytest.mark.parametrize("flavor", range(4))
def test_every_order_of_parameters_is_called_right(flavor):
    """Slots first, last, between, keyword-only."""

    def last(a: int, b: int, c: Ctx):
        return a, b, c

    def first(c: Ctx, a: int, b: int):
        return a, b, c

    def between(a: int, c: Ctx, /, b: int):
        return a, b, c

    def keywords(a: int, *, c: Ctx, b: int = 3):
        return a, b, c

    plan = read((last, first, between, keywords)[flavor])
    assert plan.invoke((1, 2), ("ctx",)) == (1, 2, "ctx")


def test_local_types_in_string_annotations():
    """Types known only inside the function that registers are found in its variables."""

    class Local:
        pass

    def tool(x: Local, y: list[Local]) -> Local: ...

    plan = read(tool)
    assert plan.inputs[0].annotation is Local
    assert plan.inputs[1].annotation == list[Local]
    assert plan.returns is Local


def test_methods_callables_partials_and_decorated():
    """What can be called can be served."""

    class Thing:
        def method(self, a: int) -> str:
            """Docs.

            Args:
                a: an a
            """
            return str(a)

        async def __call__(self, a: int): ...

        @staticmethod
        def static(a: int): ...

        @classmethod
        def of(cls, a: int): ...

    thing = Thing()

    @functools.wraps(thing.method)
    def wrapped(*args, **kwargs):
        return thing.method(*args, **kwargs)

    for each in (thing.method, thing, Thing.static, Thing.of, wrapped):
        assert [(p.name, p.annotation) for p in read(each).inputs] == [("a", int)]
    assert read(thing).flavor == "async"
    assert read(thing.method).inputs[0].description == "an a"

    def base(a: int, b: int, *, c: int = 3):
        return a, b, c

    plan = read(functools.partial(base, 1, c=9))
    assert [each.name for each in plan.inputs] == ["b"]
    assert plan.invoke((2,), ()) == (1, 2, 9)


def test_flavors():
    """Sync, async and both kinds of generator are told apart, through partials too."""

    async def coroutine(): ...

    async def stream():
        yield 1

    def generator():
        yield 1

    assert [read(each).flavor for each in (coroutine, stream, generator, provide)] == [
        "async",
        "async generator",
        "generator",
        "sync",
    ]
    assert read(functools.partial(coroutine)).is_async


def unannotated(a): ...


def star(*a: int): ...


def stars(**a: int): ...


def unknown(a): ...


def broken(a): ...


unknown.__annotations__ = {"a": "Nowhere"}
broken.__annotations__ = {"a": "list[int"}


def default_marker(a: Any = Depends(provide)): ...


def both(a: Annotated[int, Depends(provide), Ask("x")]): ...


def bare(a: Annotated[int, Depends]): ...


def mixed(a: Ctx | int): ...


@pytest.mark.parametrize(
    "function,parameter,hint",
    [
        (unannotated, "a", "`a: str`"),
        (star, "*a", "list"),
        (stars, "**a", "dict"),
        (unknown, "a", "Nowhere"),
        (broken, "a", "cannot be evaluated"),
        (default_marker, "a", "Annotated[T, Depends(...)]"),
        (both, "a", "one way only"),
        (bare, "a", "Depends(function)"),
        (mixed, "a", "union"),
    ],
)
def test_refusals_name_everything(function, parameter, hint):
    """Function, parameter, file, line, and what to do."""
    with pytest.raises(RegistrationError) as caught:
        read(function)
    text = str(caught.value)
    assert text.startswith(f"{__file__}:{function.__code__.co_firstlineno}: {function.__name__}()")
    assert caught.value.parameter == parameter
    assert hint in text


class Notes:
    """A class whose methods somebody tries to offer."""

    def method(self, a: int): ...

    @classmethod
    def made(cls, a: int): ...


def wants_context(ctx): ...


def wants_caller(principal, a: int): ...


@pytest.mark.parametrize(
    "function,parameter,hint",
    [
        (wants_context, "ctx", "`ctx: Context` (from dovetail import Context)"),
        (wants_caller, "principal", "`principal: Principal` (from dovetail import Principal)"),
        (Notes.method, "self", "`app.add_tool(Notes().method)`"),
        (Notes.made.__func__, "cls", "`app.add_tool(Notes.made)`"),
        (vars(Notes)["made"], None, "`app.add_tool(TheClass.the_method)`"),
    ],
)
def test_refusals_say_what_to_write(function, parameter, hint):
    """For what people forget: the context's annotation, and that a method belongs to an object."""
    with pytest.raises(RegistrationError) as caught:
        App("refused").tool(function)
    assert caught.value.parameter == parameter
    assert hint in str(caught.value)
    assert f"{__file__}:" in str(caught.value)


def test_what_is_no_function():
    """Classes without a signature, numbers and the like."""
    with pytest.raises(RegistrationError):
        read(3)
    with pytest.raises(RegistrationError):
        read(type)


def test_defaults():
    """A default is kept as it is."""

    def tool(a: int = 3, b: Any = None): ...

    assert [each.default for each in read(tool).inputs] == [3, None]
    assert read(provide).returns is int
    assert read(unannotated_return).returns is MISSING


def unannotated_return(): ...


def test_type_aliases():
    """`type X = Ctx` is a slot like Ctx (the class stands in for the statement, which is younger than Python 3.11)."""

    def tool(a: Any, b: int): ...

    tool.__annotations__["a"] = TypeAliasType("Alias", Ctx)  # pyright: ignore - made at run time on purpose

    assert [each.name for each in read(tool).slots] == ["a"]
