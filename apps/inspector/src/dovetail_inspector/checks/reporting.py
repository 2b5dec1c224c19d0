"""What is said of a run: lines for a person, JUnit XML for builds, an exit code.

====  ======================================================================
0     all checks passed
1     a check failed
2     the file makes no sense, or nothing in it was meant
3     a server can't be reached or went away
5     no answer in time, where nothing else was wrong
6     a login is needed
130   interrupted
====  ======================================================================

Specification: docs/cli.md, "Exit codes"; JUnit XML as builds read it (times have three places).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from dovetail.errors import AuthorizationError, LoginRequired, RequestTimeout
from dovetail.security import one_line

from .running import CheckCell, CheckResult

__all__ = ["exit_code", "junit", "line_of", "summary_of"]

FAILED, USAGE, NO_SERVER, TIMED_OUT, LOGIN, INTERRUPTED = 1, 2, 3, 5, 6, 130
_NO_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_WORDS: Final = {"passed": "ok", "failed": "FAILED", "error": "ERROR", "skipped": "skipped"}
_LONGEST: Final = 2_000


def line_of(result: CheckResult) -> str:
    """A result for a person: a line, and one more for each thing that was otherwise. Safe to show."""
    took = "" if result.state == "skipped" else f", {result.seconds:.2f} s"
    head = f"{_WORDS[result.state]:<8}{one_line(str(result.cell))} {one_line(result.name)}{took}"
    return "\n".join([head, *(f"        {one_line(each[:_LONGEST])}" for each in result.failures)])


def summary_of(results: Sequence[CheckResult]) -> str:
    """All of them in a line."""
    counts = [
        f"{sum(each.state == state for each in results)} {word}"
        for state, word in (
            ("passed", "passed"),
            ("failed", "failed"),
            ("error", "could not be run"),
            ("skipped", "skipped"),
        )
        if state == "passed" or any(each.state == state for each in results)
    ]
    return f"{', '.join(counts)} in {sum(each.seconds for each in results):.2f} s"


def exit_code(results: Sequence[CheckResult]) -> int:
    """How the command ends."""
    if not results:
        return USAGE
    if any(each.state == "failed" and not isinstance(each.problem, RequestTimeout) for each in results):
        return FAILED
    problems = [each.problem for each in results if each.state in ("error", "failed")]
    if not problems:
        return 0
    if any(isinstance(each, (AuthorizationError, LoginRequired)) for each in problems):
        return LOGIN
    return TIMED_OUT if all(isinstance(each, RequestTimeout) for each in problems) else NO_SERVER


def junit(results: Sequence[CheckResult], *, began: str, name: str = "checks") -> bytes:
    """The report that builds read: a suite for each cell. ``began``: when, as RFC 3339; ``name``: of all."""
    cells: dict[CheckCell, list[CheckResult]] = {}
    for each in results:
        cells.setdefault(each.cell, []).append(each)
    root = ET.Element("testsuites", {"name": _text(name), **_counts(results)})
    del root.attrib["skipped"]  # which only a suite may have
    for cell, found in cells.items():
        suite = ET.SubElement(
            root,
            "testsuite",
            {"name": _text(str(cell)), **_counts(found), "timestamp": began.partition(".")[0].rstrip("Z")},
        )
        spoken = next((each.revision for each in found if each.revision), "")
        properties = ET.SubElement(suite, "properties")
        for key, value in (
            ("server", cell.server),
            ("target", cell.transport),
            ("revision", spoken or cell.revision),
        ):
            ET.SubElement(properties, "property", {"name": key, "value": _text(value)})
        for each in found:
            _case(suite, each)
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _case(suite: ET.Element, result: CheckResult) -> None:
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _text(result.name),
            "classname": _text(str(result.cell)),
            "time": f"{result.seconds:.3f}",
        },
    )
    if result.passed:
        return
    message = _text(result.failures[0] if result.failures else "")
    if result.state == "skipped":
        ET.SubElement(case, "skipped", {"message": message})
        return
    kind = type(result.problem).__name__ if result.problem is not None else "Expectation"
    tag = "failure" if result.state == "failed" else "error"
    element = ET.SubElement(case, tag, {"message": message, "type": kind})
    element.text = "\n".join(_text(each) for each in result.failures)


def _counts(results: Sequence[CheckResult]) -> dict[str, str]:
    return {
        "tests": str(len(results)),
        "failures": str(sum(each.state == "failed" for each in results)),
        "errors": str(sum(each.state == "error" for each in results)),
        "skipped": str(sum(each.state == "skipped" for each in results)),
        "time": f"{sum(each.seconds for each in results):.3f}",
    }


def _text(text: str) -> str:
    """A text as XML may have it."""
    return _NO_XML.sub("\ufffd", text)[:_LONGEST]
