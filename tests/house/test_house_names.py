"""House rules on words: wire names stand once; nothing above the protocol tells revisions apart."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from functools import cache

import pytest
from source_tree import PACKAGE, ROOT, Source, findings, library_sources, package_sources, python_sources

NAMES = "src/dovetail/protocol/names.py"
# Where an extension of ours says its own.
OF_EXTENSIONS = ("src/dovetail/auth/extension_names.py", "src/dovetail/extensions/tasks/names.py")
TYPES = "src/dovetail/protocol/types/"
# The constants of names.py that hold a name with a reserved beginning, whatever value they have.
NAME_PREFIXES = ("HEADER_", "META_", "NOTIFY_", "X_")
WIRE_BEGINNINGS = ("io.modelcontextprotocol/", "notifications/", "mcp-")
SINGLE_WORD_METHODS = frozenset({"INITIALIZE", "PING"})
DATE = re.compile(r"\d{4}-\d\d-\d\d")


@cache
def requirement_rows() -> tuple[dict[str, str], ...]:
    """The committed list of what the specification requires."""
    with (ROOT / "tests" / "requirements.csv").open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))


@cache
def revisions() -> frozenset[str]:
    """The dated revisions that the requirements know."""
    return frozenset(row["revision"] for row in requirement_rows() if DATE.fullmatch(row["revision"]))


@cache
def wire_names() -> dict[str, str]:
    """Each method, ``_meta`` key and header name, and the constant that holds it."""
    found: dict[str, str] = {}
    for node in ast.parse((ROOT / NAMES).read_text("utf-8")).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id=constant), value=ast.Constant(value=str() as value)):
                pass
            case ast.Assign(targets=[ast.Name(id=constant)], value=ast.Constant(value=str() as value)):
                pass
            case _:
                continue
        method = re.fullmatch(r"[a-z]+(/[A-Za-z_]+)+", value) and not constant.startswith("MEDIA_")
        if method or constant in SINGLE_WORD_METHODS or constant.startswith(NAME_PREFIXES):
            found[value] = constant
    return found


def field_names(source: Source) -> set[int]:
    """The ids of strings given as ``name=``, ``rename=`` or ``tag=``: the codec's own renaming of fields."""
    return {
        id(inner)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call | ast.ClassDef)
        for keyword in node.keywords
        if keyword.arg in ("name", "rename", "tag", "tag_field")
        for inner in ast.walk(keyword.value)
    }


def spelled_again(source: Source) -> Iterator[str]:
    """Wire names outside the one file that holds them."""
    if source.name in (NAMES, *OF_EXTENSIONS):
        return
    fields = field_names(source) if source.name.startswith(TYPES) else set[int]()
    for node, value in source.strings():
        if id(node) in fields:
            continue
        lowered = value.lower()
        if value in wire_names() or lowered in wire_names():
            constant = wire_names().get(value) or wire_names()[lowered]
            yield f"{source.at(node)}: {value!r} is names.{constant}"
        elif lowered.startswith(WIRE_BEGINNINGS) and " " not in value:
            yield f"{source.at(node)}: {value!r} is a wire name; it belongs in {NAMES}"


def names_a_revision(source: Source) -> Iterator[str]:
    """Dates of revisions, and comparisons of revisions, above the protocol."""
    if source.parts[:2] == ("dovetail", "protocol") or source.name in OF_EXTENSIONS:
        return
    for node, value in source.strings():
        if value in revisions():
            yield f"{source.at(node)}: {value!r}; ask the profile for the feature instead"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Compare) and compares_revisions(node):
            yield f"{source.at(node)}: compares revisions; ask the profile for the feature instead"
        elif isinstance(node, ast.MatchValue) and ast.unparse(node.value).startswith("Revision."):
            yield f"{source.at(node)}: matches a revision; ask the profile for the feature instead"


def compares_revisions(node: ast.Compare) -> bool:
    """Whether an operand is a revision.

    It may be asked whether there is one (``is None``), and whether it is among those that somebody served, knows or
    asked for, as long as these are not spelled out on the spot: that tells no revision from another.
    """
    operands = [node.left, *node.comparators]
    among = all(isinstance(op, ast.In | ast.NotIn) for op in node.ops)
    if among and all(isinstance(each, ast.Name | ast.Attribute) for each in node.comparators):
        return False
    if any(isinstance(each, ast.Constant) and each.value is None for each in operands):
        return False
    return any(
        re.search(r"\bRevision\.|(^|\.)revision$", ast.unparse(inner))
        for each in operands
        for inner in ast.walk(each)
        if isinstance(inner, ast.Name | ast.Attribute)
    )


def marked_requirements(source: Source) -> Iterator[tuple[str, str]]:
    """The ids that tests of a file claim to prove: where, and which."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "pytest.mark.requirement",
            "mark.requirement",
        ):
            for each in node.args:
                yield (
                    source.at(node),
                    str(each.value) if isinstance(each, ast.Constant) else ast.unparse(each),
                )


@pytest.mark.parametrize("rule", [spelled_again, names_a_revision], ids=lambda rule: rule.__name__)
def test_words(rule):
    """The rules hold for what is shipped. An application spells wire names as any stranger does."""
    assert PACKAGE.is_dir()
    sources = library_sources() if rule is spelled_again else package_sources()
    assert findings(rule, sources) == ""


def test_the_names_are_found():
    """The scan of names.py sees methods, keys and headers."""
    assert {"tools/call", "initialize", "mcp-session-id", "io.modelcontextprotocol/protocolVersion"} <= set(
        wire_names()
    )


def test_every_requirement_marker_names_a_known_id():
    """A tag with a wrong id would count for nothing."""
    known = {row["id"] for row in requirement_rows()}
    assert len(known) == len(requirement_rows())
    sources = [source for source in python_sources() if "tests/" in source.name]
    claims = [
        claim
        for source in sources
        if "tests/house/" not in source.name
        for claim in marked_requirements(source)
    ]
    assert not [f"{where}: {identity}" for where, identity in claims if identity not in known]


WRONG = [
    (spelled_again, "src/dovetail/server/x.py", "method = 'tools/call'\n"),
    (spelled_again, "src/dovetail/server/x.py", "header = b'Mcp-Session-Id'\n"),
    (spelled_again, "src/dovetail/server/x.py", "key = 'io.modelcontextprotocol/unheard'\n"),
    (names_a_revision, "src/dovetail/server/x.py", "first = '2024-11-05'\n"),
    (names_a_revision, "src/dovetail/server/x.py", "if profile.revision >= other: pass\n"),
    (names_a_revision, "src/dovetail/server/x.py", "if profile.revision in ('a', 'b'): pass\n"),
    (names_a_revision, "src/dovetail/server/x.py", "if r == Revision.R2: pass\n"),
    (names_a_revision, "src/dovetail/server/x.py", "match r:\n    case Revision.R2: pass\n"),
]


@pytest.mark.parametrize("rule,name,text", WRONG, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_can_fail(rule, name, text):
    """Each rule finds the wrong it is there for."""
    assert list(rule(Source(name, text)))


FINE = [
    (
        spelled_again,
        "src/dovetail/server/x.py",
        "'''Answers tools/call.'''\nlog = 'could not answer tools/call'\n",
    ),
    (
        spelled_again,
        "src/dovetail/protocol/types/x.py",
        "class A:\n    b: str = field(name='progressToken')\n",
    ),
    (spelled_again, "src/dovetail/protocol/types/x.py", "kind: Literal['ping']\n"),
    (names_a_revision, "src/dovetail/server/x.py", "if profile.revision is None: pass\n"),
    (names_a_revision, "src/dovetail/server/x.py", "if head.revision in service.stateless: pass\n"),
    (names_a_revision, "src/dovetail/server/x.py", "text = 'deprecated since 2026-07-28'\n"),
    (names_a_revision, "src/dovetail/protocol/x.py", "first = '2024-11-05'\n"),
]


@pytest.mark.parametrize("rule,name,text", FINE, ids=lambda value: getattr(value, "__name__", ""))
def test_the_rules_let_pass(rule, name, text):
    """No rule finds what is right."""
    assert not list(rule(Source(name, text)))
