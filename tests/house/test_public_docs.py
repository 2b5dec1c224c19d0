"""Every public name says what it is: its parameters, their units, and what it raises.

What a docstring can be held to without reading it: it is there; a parameter that is a time or a size has its unit
named; a function that raises an error of ours says that it raises.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import reference

TIME = re.compile(
    r"(^|_)(timeout|ttl|seconds|lifetime|lifetimes|leeway|interval|retry|age|linger|grace|keepalive)(_|$)"
)
SIZE = re.compile(r"(^|_)(bytes|size|max_message|max_body)(_|$)")
#: Sizes that count something else, and say so.
COUNTS = {"page_size"}


def documented() -> Iterator[tuple[str, Any, str]]:
    """Every public function, class and method: dotted name, object, and the text that has to speak for it."""
    seen: set[int] = set()
    for entries in reference.packages().values():
        for entry in entries:
            value = entry.value
            if not (inspect.isclass(value) or inspect.isroutine(value)) or id(value) in seen:
                continue
            seen.add(id(value))
            own = own_text(value)
            yield entry.dotted, value, own
            if inspect.isclass(value) and value.__module__.startswith("dovetail"):
                for name in reference.methods_of(value):
                    member = reference.members_of(value)[name]
                    plain = getattr(member, "__func__", getattr(member, "fget", member))
                    yield f"{entry.dotted}.{name}", plain, own_text(plain)


def own_text(value: Any) -> str:
    """The docstring; for a class also that of its constructor. Not one that was inherited from outside."""
    text = value.__doc__ or ""
    if inspect.isclass(value) and isinstance(vars(value).get("__init__"), type(own_text)):
        text += "\n" + (value.__init__.__doc__ or "")
    return text


def whole_text(value: Any, text: str) -> str:
    """The docstring with those of the classes that a class has its fields from."""
    if not inspect.isclass(value):
        return text
    return "\n".join(
        [text, *(own_text(base) for base in value.__mro__[1:] if base.__module__.startswith("dovetail"))]
    )


def undocumented(name: str, value: Any, text: str) -> Iterator[str]:
    """No docstring, or one that `dataclass` and its like wrote."""
    plain = text.strip()
    if not plain or plain.startswith(f"{name.rpartition('.')[2]}("):
        yield f"{name}: no docstring"


def without_unit(name: str, value: Any, text: str) -> Iterator[str]:
    """A time or a size whose unit is nowhere said."""
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return
    text = whole_text(value, text)
    for parameter in parameters:
        if TIME.search(parameter) and not re.search(
            r"\b(milli)?seconds?\b|\bdays?\b|[Ss]ee `|as `|[Oo]ptions (are|as)", text
        ):
            yield f"{name}: {parameter} is a time; say in what (seconds)"
        if (
            SIZE.search(parameter)
            and parameter not in COUNTS
            and not re.search(r"\b[Bb]ytes?\b|\bMiB\b|[Ss]ee `|as `", text)
        ):
            yield f"{name}: {parameter} is a size; say of what (bytes)"


def silent_raise(name: str, value: Any, text: str) -> Iterator[str]:
    """A function that raises, and does not say so."""
    functions: list[Callable[..., Any]] = [value] if inspect.isroutine(value) else []
    if inspect.isclass(value) and not issubclass(value, BaseException):
        made = vars(value).get("__init__")  # that of a Protocol is typing's own
        functions = [made] if inspect.isfunction(made) and made.__module__ != "typing" else []
    for function in functions:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        except (OSError, TypeError):
            continue
        raised = {
            getattr(node.exc.func, "id", "")
            for node in ast.walk(tree)
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        }
        if raised - {"", "AttributeError", "NotImplementedError"} and not re.search(
            r"[Rr]aises|[Ss]ee `", text
        ):
            yield f"{name}: raises {', '.join(sorted(raised))} and does not say so"


@pytest.mark.parametrize("rule", [undocumented, without_unit, silent_raise], ids=lambda rule: rule.__name__)
def test_public_names_say_what_users_need(rule):
    """Each rule for each public name."""
    assert [found for each in documented() for found in rule(*each)] == []


def _bare(timeout: float) -> None:
    raise ValueError(timeout)


@pytest.mark.parametrize("rule", [undocumented, without_unit, silent_raise], ids=lambda rule: rule.__name__)
def test_the_rules_can_fail(rule):
    """Each rule finds the wrong it is there for."""
    assert list(rule("x._bare", _bare, own_text(_bare)))
