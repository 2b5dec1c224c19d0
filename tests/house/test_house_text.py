"""House rule on text: what a peer said is made safe before it is logged or shown.

A terminal acts on control characters and a log believes line breaks. So loggers come from `dovetail.logs`,
which makes every record safe; and whatever is printed or written to a standard stream is a constant, or has passed a
function of `dovetail.protocol.safe_text`. What is neither stands below, with the reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import Source, findings, package_sources

LOGS = "src/dovetail/logs.py"
LEVELS = frozenset({"debug", "info", "warning", "warn", "error", "exception", "critical", "log"})
SAFE = frozenset({"safe", "one_line", "in_place", "passage", "as_json", "traceback_text", "len"})
#: Functions that write what they are given, by name, or by the last part of what they are called on.
WRITERS = frozenset({"print", "say", "Text"})
STREAMS = ("sys.stdout", "sys.stderr", "stream", "_stream", ".err", ".out")
#: Functions of one file that write what they are given.
LOCAL_WRITERS = {
    "src/dovetail/cli/answering.py": "_show",
    "src/dovetail/cli/chatting.py": "_show",
    "src/dovetail/cli/tables.py": "said.append",
    "src/dovetail/transports/http1/server/runner.py": "_tell",
}

OTHER_LOGGERS = {
    "src/dovetail/devserver/child.py": "adds a handler and logs nothing",
    "src/dovetail/transports/http1/server/request.py": "the access log: quoted parts, and a template of uvicorn's",
}
CHECKED = {
    ("src/dovetail/cli/__init__.py", "dovetail.__version__"): "ours",
    ("src/dovetail/cli/__init__.py", "missing"): "an ImportError of ours",
    ("src/dovetail/cli/answering.py", "_DECLINE"): "ours",
    ("src/dovetail/cli/answering.py", "_CANCEL"): "ours",
    ("src/dovetail/cli/answering.py", "_EMPTY"): "ours",
    ("src/dovetail/cli/answering.py", "number"): "a number",
    ("src/dovetail/cli/answering.py", "each.title()"): "safe to show, by its contract",
    ("src/dovetail/cli/answering.py", "each.description()"): "safe to show, by its contract",
    ("src/dovetail/cli/answering.py", "wanted"): "joined from names made safe",
    ("src/dovetail/cli/answering.py", "text"): "_show itself: each call of it is judged",
    ("src/dovetail/cli/chatting.py", "HELP"): "ours",
    ("src/dovetail/cli/chatting.py", "request.text()"): "safe to show, by its contract",
    ("src/dovetail/cli/chatting.py", "text"): "_show itself: each call of it is judged",
    ("src/dovetail/cli/exits.py", "'; '.join(said)"): "each of them one_line",
    ("src/dovetail/last_resort.py", "before"): "the details of `tell`, made by traceback_text and one_line",
    (
        "src/dovetail/last_resort.py",
        "line",
    ): "one_line, just above; and say itself: each call of it is judged",
    (
        "src/dovetail/last_resort.py",
        "traceback_text(problem).rstrip('\\n')",
    ): "safe, without its line break",
    ("src/dovetail/cli/outcomes.py", "told"): "made by passage and one_line",
    ("src/dovetail/devserver/printing.py", "clock"): "the time",
    ("src/dovetail/devserver/printing.py", "text"): "_line itself: its callers cut with one_line",
    (
        "src/dovetail/cli/screen.py",
        "text",
    ): "what remarks and results were made of, by safe, one_line or passage",
    ("src/dovetail/cli/screen.py", "what"): "show itself: tables and texts whose parts are judged",
    ("src/dovetail/cli/tables.py", "title"): "ours",
    ("src/dovetail/cli/tables.py", "row.name"): "in_place, where rows are made",
    ("src/dovetail/cli/sources.py", "option"): "ours",
    ("src/dovetail/cli/terminal.py", "prompt"): "ours, or a hint of `Field`, which is safe to show",
    ("src/dovetail/client/options.py", "line"): "made safe by plain_text, which cuts the lines",
    ("src/dovetail/transports/unix/server.py", "place"): "the path that the operator chose",
    ("src/dovetail/transports/http1/server/runner.py", "line"): "an address that the operator chose",
}


def other_loggers(source: Source) -> Iterator[str]:
    """Loggers that make nothing safe."""
    if source.name == LOGS or source.name in OTHER_LOGGERS:
        return
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        name = called.rpartition(".")[2]
        if name == "getLogger" or (called.startswith("logging.") and name in LEVELS):
            yield f"{source.at(node)}: {called}; use get_logger of dovetail.logs"


def raw_output(source: Source) -> Iterator[str]:
    """What is written to where people read, and has not been made safe."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and node.args and writes(source, ast.unparse(node.func)):
            for part in unsafe(node.args[0]):
                if (source.name, part) not in CHECKED:
                    yield f"{source.at(node)}: {part} is shown as it is; make it safe, or say in CHECKED why it is"


def writes(source: Source, called: str) -> bool:
    """Whether a function shows its first argument."""
    owner, _, name = called.rpartition(".")
    known = called in WRITERS or called == LOCAL_WRITERS.get(source.name)
    return known or (name in ("write", "print") and owner.endswith(STREAMS))


def unsafe(node: ast.expr) -> Iterator[str]:
    """The parts of an expression that are neither constants nor made safe."""
    match node:
        case ast.Constant():
            return
        case ast.JoinedStr(values=values) | ast.BoolOp(values=values):
            parts = values
        case ast.FormattedValue(value=value):
            parts = [value]
        case ast.IfExp(body=body, orelse=orelse):
            parts = [body, orelse]
        case ast.BinOp(left=left, right=right):
            parts = [left, right]
        case ast.Call(func=func, args=[first, *_]) if ast.unparse(func) == "Text":
            parts = [first]
        case ast.Call(func=func) if ast.unparse(func).rpartition(".")[2] in SAFE:
            return
        case _:
            yield ast.unparse(node)
            return
    for each in parts:
        yield from unsafe(each)


@pytest.mark.parametrize("rule", [other_loggers, raw_output], ids=lambda rule: rule.__name__)
def test_text_is_made_safe(rule):
    """The rules hold for what is shipped."""
    assert findings(rule, package_sources()) == ""


@pytest.mark.parametrize(
    "rule, text",
    [
        (other_loggers, "import logging\nlog = logging.getLogger('x')"),
        (other_loggers, "from logging import getLogger\nlog = getLogger('x')"),
        (other_loggers, "import logging\nlogging.warning('%s', text)"),
        (raw_output, "print(text)"),
        (raw_output, "print(f'a {problem} b', file=sys.stderr)"),
        (raw_output, "sys.stderr.write(safe(a) + b)"),
        (raw_output, "self._screen.err.print(Text(f'{one_line(a)} {b}'))"),
        (raw_output, "say(text if text else 'nothing')"),
    ],
)
def test_the_rules_find_what_is_wrong(rule, text):
    """A rule that finds nothing proves nothing."""
    assert findings(rule, [Source("src/dovetail/new.py", text)])


def test_safe_text_is_let_through():
    """What has been made safe is nobody's concern."""
    good = "print(f'a {one_line(b)} {len(c)}')\nsay(passage(text) or 'nothing')\nlog = get_logger('x')"
    for rule in (other_loggers, raw_output):
        assert findings(rule, [Source("src/dovetail/new.py", good)]) == ""


def test_every_exception_is_needed():
    """An exception that nothing uses would let the next thing through."""
    sources = {source.name: source for source in package_sources()}
    shown = {
        (source.name, part)
        for source in sources.values()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and node.args and writes(source, ast.unparse(node.func))
        for part in unsafe(node.args[0])
    }
    assert set(CHECKED) - shown == set()
    assert all("logging.getLogger" in sources[name].text for name in OTHER_LOGGERS)
