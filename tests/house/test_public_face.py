"""What is public is all that a user needs: every type that a public signature names, and every error that is raised.

Theory of operation. The signatures of what ``tools/public_api.py`` calls public are read from their source, as an
editor shows them: parameters, results, members of classes, and the types behind aliases. Whatever of it is defined in
`dovetail` has to be exported by a public module under that name. So has each error, unless `NEVER_OUT` says what
becomes of it before it reaches a user; and each class that a public docstring names.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
import typing
from collections.abc import Iterable, Iterator
from functools import cache
from types import ModuleType
from typing import Any

import pytest
import reference
from page_blocks import blocks_of, pages
from public_api import GIVEN, NOT_PUBLIC, PROGRAMS, PUBLIC
from source_tree import ROOT

import dovetail

#: What is no part of the library for those who import it: programs, and what only they are made of.
OF_PROGRAMS = (*PROGRAMS, "dovetail.devserver", "dovetail.loading", "dovetail.last_resort")
#: Errors that are no user's to catch, by what becomes of them.
NEVER_OUT = {
    "a request is refused with 401": (
        *("dovetail.auth.dpop.NonceRequired", "dovetail.auth.dpop.ProofInvalid"),
        *(
            "dovetail.auth.protecting.credentials.CredentialsMalformed",
            "dovetail.auth.signed.SignatureInvalid",
        ),
        "dovetail.auth.protecting.verdicts.InvalidToken",
    ),
    "a request is refused with 503": (
        "dovetail.auth.protecting.verdicts.Unavailable",
        "dovetail.transports.http_server.store_failed.StoreFailed",
    ),
    "a handle is made of it": ("dovetail.extensions.tasks.orders.Started",),
    "the run of a task ends unheard": ("dovetail.extensions.tasks.running.LeaseLost",),
    "`dovetail worker` says it, and ends": ("dovetail.extensions.tasks.working_off.NothingShared",),
    "an extension catches what it asked for": ("dovetail.runtime.channel.BodyReached",),
    "`dovetail worker` says so and ends": ("dovetail.extensions.tasks.working_off.NothingShared",),
    "a key is passed over": ("dovetail.auth.signed.KeyUnusable",),
    "what a stranger wrote is named by the error of who read it": (
        *("dovetail.auth.metadata.MetadataInvalid", "dovetail.auth.strict_json.NotAnObject"),
        "dovetail.protocol.envelope.Malformed",
    ),
    "it becomes a `FetchRefused`": ("dovetail.security.addresses.AddressRefused",),
    "it becomes a `HeaderMismatch`, or a `LocalProtocolError`": (
        "dovetail.protocol.bindings.headers.InvalidHeaderValue",
    ),
    "it becomes a `MessageTooLarge`, or an answer": (
        *("dovetail.protocol.bindings.lines.LineTooLong", "dovetail.protocol.bindings.sse.EventTooLarge"),
    ),
    "it becomes an `InvalidParams`, or a result for the model": ("dovetail.server.arguments.BadArguments",),
    "it becomes a `ToolError`": ("dovetail.openapi.styles.Unsendable",),
    "pydantic reports it": ("dovetail.server.pydantic_models.Misread",),
    "an engine answers it": ("dovetail.protocol.call.MessageRefused",),
    "an endpoint answers it": (
        *(
            "dovetail.transports.http_server.answering.HTTPRefusal",
            "dovetail.transports.http_server.bodies.ClientDisconnected",
        ),
        "dovetail.transports.http1.server.heads.RequestRefused",
    ),
    "nobody needs to tell it from the public error that it is": (
        *(
            "dovetail.transports.http1.client.http_backend.ConnectRefused",
            "dovetail.transports.stdio.descriptor_io.PeerGone",
        ),
        "dovetail.server.keys_and_store.NotSharedByWorkers",
    ),
    "a connection is broken off": ("dovetail.transports.http1.server.request.AnswerAborted",),
    "it ends a worker": ("dovetail.transports.http1.server.workers.WorkersNotStarted",),
}


@cache
def modules() -> dict[str, ModuleType]:
    """All modules of the library, loaded."""
    found = [each.name for each in pkgutil.walk_packages(dovetail.__path__, "dovetail.")]
    return {name: importlib.import_module(name) for name in found if not name.endswith("__main__")}


@cache
def exported() -> dict[int, set[str]]:
    """By the identity of each public value, the names that it has."""
    found: dict[int, set[str]] = {}
    for module in PUBLIC:
        loaded = importlib.import_module(module)
        for name in loaded.__all__:
            found.setdefault(id(getattr(loaded, name)), set()).add(name)
    return found


def is_public(name: str, value: object) -> bool:
    """Whether a public module exports a value under this name."""
    return name in exported().get(id(value), ())


def named(node: ast.AST) -> Iterator[str]:
    """The names in an annotation, those in quotes too."""
    for each in ast.walk(node):
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Constant) and isinstance(each.value, str):
            try:
                yield from named(ast.parse(each.value, mode="eval"))
            except SyntaxError:  # a word of a Literal
                continue


def ours(name: str, value: object) -> bool:
    """Whether a name in an annotation stands for a type, or an alias of types, that is defined in the library."""
    if inspect.isclass(value):
        return value.__module__.startswith("dovetail")
    if (
        value is None
        or isinstance(value, typing.TypeVar)
        or inspect.ismodule(value)
        or inspect.isroutine(value)
    ):
        return False
    return getattr(typing, name, None) is not value and not isinstance(value, str)


def missing(owner: str, annotation: ast.expr | None, names: dict[str, Any]) -> Iterator[str]:
    """What of an annotation is ours, and not public."""
    for name in [] if annotation is None else named(annotation):
        value = names.get(name)
        if ours(name, value) and not is_public(name, value):
            yield f"{owner}: {name}"


def of_function(
    owner: str, node: ast.FunctionDef | ast.AsyncFunctionDef, names: dict[str, Any]
) -> Iterator[str]:
    """The same of a signature."""
    given = node.args
    for each in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if each is not None:
            yield from missing(owner, each.annotation, names)
    yield from missing(owner, node.returns, names)


def shows(kind: type, name: str) -> bool:
    """Whether a member of a public class is for its users."""
    if f"{kind.__name__}.{name}" in NOT_PUBLIC or (name == "__init__" and kind.__name__ in GIVEN):
        return False
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def of_public(dotted: str, value: Any, *, instead: Iterable[str] = ()) -> Iterator[str]:
    """What the signatures of a public name leave out. ``instead``: members that are not looked at."""
    value = value if inspect.isclass(value) else inspect.unwrap(value)
    node = ast.parse(textwrap.dedent(inspect.getsource(value))).body[0]
    names = vars(sys.modules[value.__module__])
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        yield from of_function(dotted, node, names)
    elif isinstance(node, ast.ClassDef):
        for each in node.body:
            if getattr(each, "name", "") in instead:
                continue
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)) and shows(value, each.name):
                yield from of_function(f"{dotted}.{each.name}", each, names)
            elif (
                isinstance(each, ast.AnnAssign)
                and isinstance(each.target, ast.Name)
                and shows(value, each.target.id)
            ):
                yield from missing(f"{dotted}.{each.target.id}", each.annotation, names)


def of_alias(dotted: str, value: Any) -> Iterator[str]:
    """Types of ours behind an alias, that are not public."""
    parts = (
        value if isinstance(value, list) else typing.get_args(value)
    )  # a list: the parameters of a Callable
    for each in parts:
        if (
            inspect.isclass(each)
            and each.__module__.startswith("dovetail")
            and not is_public(each.__name__, each)
        ):
            yield f"{dotted}: {each.__name__}"
        else:
            yield from of_alias(dotted, each)


def public_values() -> Iterator[tuple[str, Any]]:
    """Every public name of the library, dotted, with its value."""
    for module, entries in reference.packages().items():
        if module not in PROGRAMS:
            yield from ((entry.dotted, entry.value) for entry in entries)


def unsaid(dotted: str, value: Any) -> Iterator[str]:
    """The types that a public name leaves its users without."""
    if inspect.isclass(value) or inspect.isfunction(value):
        for each in inspect.getmro(value) if inspect.isclass(value) else (value,):
            own = each is value or not is_public(
                each.__name__, each
            )  # what a hidden base gives, the class shows
            if own and each.__module__.startswith("dovetail"):
                yield from of_public(dotted, each, instead=() if each is value else vars(value))
    else:
        yield from of_alias(dotted, value)


def test_every_type_in_a_public_signature_is_public() -> None:
    """Export it, keep it out of the signature, or say in `NOT_PUBLIC` whom the member is for."""
    assert sorted({found for each in public_values() for found in unsaid(*each)}) == []


def errors() -> Iterator[type[BaseException]]:
    """Every class of errors that is defined in the library and has no underscore."""
    loaded = modules()
    for module in loaded.values():
        if any(module.__name__ == each or module.__name__.startswith(f"{each}.") for each in OF_PROGRAMS):
            continue
        for name, value in vars(module).items():
            own = inspect.isclass(value) and value.__module__ == module.__name__
            if own and issubclass(value, BaseException) and not name.startswith("_"):
                yield value


def test_every_error_is_public_or_never_reaches_a_user() -> None:
    """`dovetail.errors` has them all; what is not there is named with what becomes of it."""
    never = {name for names in NEVER_OUT.values() for name in names}
    found = {f"{each.__module__}.{each.__name__}": each for each in errors()}
    everywhere = importlib.import_module("dovetail.errors")
    out = {dotted for dotted, each in found.items() if getattr(everywhere, each.__name__, None) is each}
    assert sorted(found.keys() - out - never) == []
    assert sorted(never - (found.keys() - out)) == [], "no such error, or one that is public by now"


MENTION = re.compile(r"(?<!`)`([A-Z]\w+)(?:\.\w+)*`(?!`)")


@cache
def names_of_classes() -> frozenset[str]:
    """What the library calls its classes, wherever they are."""
    return frozenset(
        name
        for module in modules().values()
        for name, each in vars(module).items()
        if inspect.isclass(each) and each.__module__.startswith("dovetail")
    )


def mentions(dotted: str, value: Any) -> Iterator[str]:
    """Classes that a public docstring names and that are not public."""
    texts = {dotted: value.__doc__}
    if inspect.isclass(value):
        texts |= {
            f"{dotted}.{name}": reference.members_of(value)[name].__doc__
            for name in reference.methods_of(value)
        }
    known = {name for names in exported().values() for name in names}
    for owner, text in texts.items():
        for found in MENTION.findall(text or ""):
            if found in names_of_classes() and found not in known:
                yield f"{owner}: `{found}`"


def test_public_docstrings_name_only_what_is_public() -> None:
    """An error that is raised, above all."""
    values = [
        (name, each) for name, each in public_values() if inspect.isclass(each) or inspect.isroutine(each)
    ]
    assert (
        sorted(
            {
                found
                for each in values
                if each[1].__module__.startswith("dovetail")
                for found in mentions(*each)
            }
        )
        == []
    )


# Pages and examples


def private_imports(where: str, source: str) -> Iterator[str]:
    """What Python code imports from the library that is not public."""
    for node in ast.walk(compile(source, where, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)):
        if isinstance(node, ast.Import):
            for each in node.names:
                if each.name.partition(".")[0] == "dovetail" and each.name not in PUBLIC:
                    yield f"{where}: {each.name}"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "dovetail":
            for each in node.names:
                if f"{node.module}.{each.name}" in PUBLIC:
                    continue
                if node.module not in PUBLIC or each.name not in importlib.import_module(node.module).__all__:
                    yield f"{where}: {each.name} from {node.module}"


def code() -> Iterator[tuple[str, str]]:
    """The Python code of pages and examples, with where it stands."""
    for page in pages():
        yield from ((block.where, block.text) for block in blocks_of(page) if block.language == "python")
    for path in (ROOT / "examples").rglob("*.py"):
        yield str(path.relative_to(ROOT)), path.read_text("utf-8")


def test_pages_and_examples_import_only_what_is_public() -> None:
    """What they show is what users write."""
    assert [found for each in code() for found in private_imports(*each)] == []


def test_the_page_lists_what_is_public() -> None:
    """docs/public.md says for whom each public module is, in the words of the tool."""
    rows = re.findall(
        r"^\| `(dovetail[\w.]*)` \| (.+) \|$", (ROOT / "docs" / "public.md").read_text("utf-8"), re.M
    )
    assert dict(rows) == PUBLIC


# The rules can fail


class Hidden:
    """Not exported."""


class HiddenError(Exception):
    """Not exported either."""


HiddenAlias = list[Hidden]


class Shown:
    """Raises `Rounds`."""

    member: Hidden

    def method(self, given: HiddenAlias) -> Hidden:
        """Takes and gives what nobody can name."""
        raise AssertionError(f"it is only looked at: {given}")


@pytest.fixture
def as_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classes of this file count as the library's."""
    monkeypatch.setattr(sys.modules[__name__], "ours", lambda name, value: value in (Hidden, HiddenAlias))


def test_the_rule_on_signatures_can_fail(as_library: None) -> None:
    """It finds a member, a parameter and a result."""
    assert sorted(of_public("x.Shown", Shown)) == [
        "x.Shown.member: Hidden",
        "x.Shown.method: Hidden",
        "x.Shown.method: HiddenAlias",
    ]


def test_the_rule_on_docstrings_can_fail() -> None:
    """It finds a class of ours that is not public."""
    assert list(mentions("x.Shown", Shown)) == ["x.Shown: `Rounds`"]


@pytest.mark.parametrize(
    "source,found",
    [
        ("from dovetail.runtime import tap", ["x: tap from dovetail.runtime"]),
        ("import dovetail.protocol.codec", ["x: dovetail.protocol.codec"]),
        ("from dovetail import Rounds", ["x: Rounds from dovetail"]),
        ("from dovetail import App, errors\nimport dovetail.client\nimport msgspec", []),
    ],
)
def test_the_rule_on_imports_can_fail(source: str, found: list[str]) -> None:
    """It finds a private module, and a private name of a public one."""
    assert list(private_imports("x", source)) == found
