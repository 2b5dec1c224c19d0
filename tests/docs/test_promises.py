"""What pages say of the future and of what is missing is tied to facts, and the facts are so (see `promises`)."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from page_blocks import ROOT, pages
from promises import LEAST_REASON, Tie, paragraphs, untied

EVERY_PAGE = [
    *pages(),
    *(ROOT / name for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "examples").rglob("README.md")),
]


def no_release() -> bool:
    """Nothing was released: the changelog's newest version says so."""
    newest = re.search(r"(?m)^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"))
    return newest is not None and newest[1].endswith("(unreleased)")


def before_one() -> bool:
    """The version's first number is 0."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return project["version"].startswith("0.")


FACTS: dict[str, Callable[[], bool]] = {
    "no release": no_release,
    "before 1.0": before_one,
}


def exists(name: str) -> bool:
    """Whether there is such a module, attribute of a module or class, or parameter: ``package.thing(parameter)``."""
    name, _, parameter = name.rstrip(")").partition("(")
    parts = name.split(".")
    found: object = importlib.import_module(parts[0])
    for end, part in enumerate(parts[1:], 2):
        path = ".".join(parts[:end])
        if (
            inspect.ismodule(found)
            and hasattr(found, "__path__")
            and importlib.util.find_spec(path) is not None
        ):
            found = importlib.import_module(path)
        elif hasattr(found, part):
            found = getattr(found, part)
        else:
            return False
    if not parameter:
        return True
    return callable(found) and parameter in inspect.signature(found).parameters


def functions_of(path: Path) -> set[str]:
    """The names of the test functions in a file."""
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def trouble(tie: Tie) -> str | None:
    """Why a comment does not hold; None if it does."""
    if tie.kind == "absent":
        return f"{tie.object} is there now" if exists(tie.object) else None
    if tie.kind == "fact":
        if tie.object not in FACTS:
            return f"nobody knows the fact {tie.object!r}"
        return None if FACTS[tie.object]() else "it is no longer so"
    if tie.kind == "held":
        file, _, test = tie.object.partition("::")
        path = ROOT / file
        return None if test and path.is_file() and test in functions_of(path) else "there is no such test"
    return None if len(tie.object) >= LEAST_REASON else f"{tie.object!r} is no reason"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name_of)
def test_what_a_page_promises_is_tied_to_a_fact(path: Path) -> None:
    found = untied(path.read_text("utf-8"), name_of(path))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", EVERY_PAGE, ids=name_of)
def test_the_facts_of_a_page_are_so(path: Path) -> None:
    ties = [tie for each in paragraphs(path.read_text("utf-8"), name_of(path)) for tie in each.ties]
    wrong = [f"{tie}: {problem}" for tie in ties if (problem := trouble(tie))]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "text",
    [
        "Stores for Redis are not there yet.",
        "That will be in the next release.",
        "* one\n* It needs a POSIX system for now.",
        "| a | planned |",
        "<!-- fact: a -->\nThis is planned. That is not supported.",
        "Windows is not supported (a paragraph\nof two lines).",
        "Names may still change.",
    ],
)
def test_a_promise_without_a_fact_is_found(text: str) -> None:
    assert untied(f"# Page\n\n{text}\n", "page.md")


@pytest.mark.parametrize(
    "text",
    [
        "## What is not there yet",
        "`print` still works.",
        "A call that is still there gets a task.",
        "A key that your shell has is not there unless you pass it.",
        "```text\nnot yet\n```",
        "It says `not yet` then.",
        "<!-- absent: dovetail.tasks -->\nTasks are planned.",
        "Tasks are planned. <!-- absent: dovetail.tasks -->",
        "| tasks | planned <!-- absent: dovetail.tasks --> |",
    ],
)
def test_what_is_no_promise_or_is_tied_passes(text: str) -> None:
    assert not untied(f"# Page\n\n{text}\n", "page.md")


@pytest.mark.parametrize(
    "kind,what,told",
    [
        ("absent", "dovetail.stores.tape", None),
        ("absent", "dovetail.stores.sqlite", "is there now"),
        ("absent", "dovetail.App", "is there now"),
        ("absent", "dovetail.App(store)", "is there now"),
        ("absent", "dovetail.App(tasks)", None),
        ("absent", "dovetail.App.tool", "is there now"),
        ("fact", "the moon is cheese", "nobody knows"),
        ("held", "tests/docs/test_promises.py::test_a_fact_that_changed_is_told", None),
        ("held", "tests/docs/test_promises.py::test_nothing", "no such test"),
        ("held", "tests/docs/nothing.py::test_nothing", "no such test"),
        ("plain", "no", "is no reason"),
        ("plain", "a word of another sense", None),
    ],
)
def test_a_comment_is_looked_up(kind: str, what: str, told: str | None) -> None:
    found = trouble(Tie("page.md", 1, kind, what))
    assert (found is None) if told is None else (found is not None and told in found)


def test_a_fact_that_changed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FACTS, "no release", lambda: False)
    assert trouble(Tie("page.md", 1, "fact", "no release")) == "it is no longer so"


def test_every_fact_is_used() -> None:
    ties = {
        tie for path in EVERY_PAGE for each in paragraphs(path.read_text("utf-8"), "") for tie in each.ties
    }
    assert {tie.object for tie in ties if tie.kind == "fact"} == set(FACTS)
