"""Checks run against a real server: over both transports, in both eras, with everything that may be expected."""

from __future__ import annotations

import io
import json
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import checked_server
import pytest

from dovetail.errors import ConnectFailed, RequestTimeout
from dovetail.recording import Capture, CaptureLine
from dovetail.testing import served
from dovetail_inspector.checks.command import RunOptions, run
from dovetail_inspector.checks.reading import CheckFile, read_checks
from dovetail_inspector.checks.reporting import exit_code, junit, line_of, summary_of
from dovetail_inspector.checks.running import CheckCell, CheckResult, CheckSettings, cells_of, run_checks
from dovetail_inspector.checks.variables import EnvironmentMissing

SERVER = Path(checked_server.__file__)
ERAS = ("2025-11-25", "2026-07-28")


def file_of(text: str, server: str = "checked_server.py", folder: Path = SERVER.parent) -> CheckFile:
    """Checks of the server of these tests."""
    return read_checks(f'server = "{server}"\n{text}', folder=folder)


async def ran(file: CheckFile, **settings: Any) -> list[CheckResult]:
    """Everything that came of a file."""
    return [each async for each in run_checks(file, CheckSettings(**settings))]


async def failures(expect: str, call: str = '{ tool = "bake", arguments = { what = "bread" } }') -> list[str]:
    """What is otherwise, in one call."""
    (found,) = await ran(file_of(f'[[check]]\nname = "x"\ncall = {call}\n{expect}'))
    assert found.state == ("failed" if found.failures else "passed")
    return found.failures


WHOLE = """
revisions = ["2025-11-25", "2026-07-28"]

[[check]]
name = "bakes"
call = { tool = "bake", arguments = { what = "bread", count = 3 } }
expect = { structured = { "/what" = "bread", "/order" = { matches = "^o-" } }, within = 20.0, schema = "listed" }
keep = { order = "/structuredContent/order", count = "/structuredContent/count" }

[[check]]
name = "keeps the order"
needs = ["bakes"]
call = { tool = "look", arguments = { order = "${order}" } }
expect = { structured = { "/result" = "${count}" } }
revisions = ["2025-11-25"]

[[check]]
name = "an order is needed"
call = { tool = "look", arguments = { order = "o-${count}-none" } }
expect = { is_error = true, text = { contains = ["no order", "o-3-none"] } }

[[check]]
name = "asks twice"
call = { tool = "ask" }
answers = { form = [{ value = "Ada" }, { value = "Bob" }] }
expect.text = "Ada and Bob"

[[check]]
name = "asks a model"
call = { tool = "think" }
answers = { sampling = "forty-two" }
expect.text.matches = "said forty"

[[check]]
name = "lists"
call = { list = "tools" }
expect = { listed = ["bake", "look"], result = { "/tools" = { length = 5 } } }

[[check]]
name = "lists resources"
call = { list = "resources" }
expect.listed = ["menu://today"]

[[check]]
name = "reads"
call = { read = "menu://today" }
expect = { text = "bread", result = { "/contents/0/uri" = "menu://today" } }

[[check]]
name = "has a prompt"
call = { prompt = "greet", arguments = { name = "Ada" } }
expect = { text.contains = "Ada", result = { "/messages" = { type = "array" }, "/nothing" = { exists = false } } }

[[check]]
name = "asks anything"
call = { request = "prompts/list", params = {} }
expect = { result = { "/prompts/0/name" = "greet" }, schema = { type = "object", required = ["prompts"] } }

[[check]]
name = "refuses"
call = { tool = "nothing" }
expect.error = { code = -32602, message = { contains = "nothing" } }
"""


async def test_everything_at_once_over_stdio() -> None:
    results = await ran(file_of(WHOLE))
    assert [line_of(each) for each in results if not each.passed] == []
    assert len(results) == 21
    assert {each.revision for each in results} == set(ERAS)
    assert exit_code(results) == 0
    assert summary_of(results).startswith("21 passed in ")


async def test_the_same_checks_over_several_targets() -> None:
    async with served(checked_server.app.asgi()) as url:
        text = f"""
        server = "bakery"
        [servers.bakery]
        targets = {{ stdio = "checked_server.py", http = "{url}" }}
        {WHOLE}"""
        text = text.replace("revisions = [", "", 1).replace('"2025-11-25", "2026-07-28"]', "", 1)
        file = read_checks(f'revisions = ["2025-11-25", "2026-07-28"]\n{text}', folder=SERVER.parent)
        assert [str(each) for each in cells_of(file)] == [
            "bakery (2025-11-25, stdio)",
            "bakery (2026-07-28, stdio)",
            "bakery (2025-11-25, http)",
            "bakery (2026-07-28, http)",
        ]
        results = await ran(file)
    assert [line_of(each) for each in results if not each.passed] == []
    assert len(results) == 42


EXPECTED = [
    ('expect.structured = { "/count" = 2 }', ["structured /count is 1, and should be 2"]),
    ('expect.structured = { "/count" = { at_least = 1, at_most = 1, one_of = [1, 2] } }', []),
    ('expect.structured = { "/count" = { at_least = 2 } }', ["structured /count is 1, and should be at least 2"]),
    ('expect.structured = { "/tags" = { contains = "warm", length = 2 } }', []),
    ('expect.structured = { "/tags" = { length = 3 } }', ["structured /tags has the length 2, and should have 3"]),
    ('expect.structured = { "/none" = 1 }', ["structured /none is not there"]),
    ('expect.structured = { "/count" = { exists = false } }', ["structured /count is there: 1"]),
    (
        'expect.structured = { "/what" = { type = "number" } }',
        ["structured /what is 'bread', and should be of the type number"],
    ),
    (
        'expect.structured = { "" = { equals = { a = 1 } } }',
        ["structured content has nothing at /a, and should have 1"],
    ),
    ("expect.is_error = true", ["the tool did not fail: "]),
    ("expect.error = true", ["it was answered, and should be refused: "]),
    ("expect.within = 0.0000001", ["it took "]),
    ('expect.schema = { type = "object", required = ["price"] }', ["it does not fit the schema: "]),
    ('expect.text.contains = "cake"', ["the text is "]),
    (
        'keep = { price = "/structuredContent/price" }',
        ["there is nothing at /structuredContent/price to keep as price"],
    ),
]  # fmt: skip


@pytest.mark.parametrize("expect,wanted", EXPECTED, ids=[each[0] for each in EXPECTED])
async def test_what_is_expected(expect: str, wanted: list[str]) -> None:
    found = await failures(expect)
    assert [each[: len(begin)] for each, begin in zip(found, wanted, strict=False)] == wanted
    assert bool(found) == bool(wanted)


async def test_failures_and_refusals_that_nobody_expects() -> None:
    (said,) = await failures("", '{ tool = "look", arguments = { order = "o-0" } }')
    assert said == "the tool failed: there is no order o-0"
    (said,) = await failures("", '{ read = "menu://none" }')
    assert said.startswith("it was refused: ")
    (said,) = await failures("expect.error = -1", '{ read = "menu://none" }')
    assert said.startswith("the code of the error is -32")
    (said,) = await failures('expect.listed = ["x"]', '{ list = "prompts" }')
    assert said == "'x' is not listed"
    (said,) = await failures('expect.schema = "listed"', '{ tool = "nothing" }')
    assert said.startswith("it was refused")


@pytest.mark.parametrize("revision", ERAS)
async def test_a_question_without_an_answer_fails(revision: str) -> None:
    (answered, found, refused) = await ran(
        file_of(f"""
        revisions = ["{revision}"]
        [[check]]
        name = "declares it"
        call = {{ tool = "ask" }}
        answers = {{ form = [{{ value = "Ada" }}, {{ value = "Bob" }}] }}
        [[check]]
        name = "one is missing"
        call = {{ tool = "ask" }}
        answers = {{ form = [{{ value = "Ada" }}] }}
        [[check]]
        name = "says no"
        call = {{ tool = "ask" }}
        answers = {{ form = "decline" }}
        expect.is_error = true
        """)
    )
    assert answered.passed
    assert (
        found.failures[0] == "the server asked (a form: 'Second?'), and the check has no answer: answers.form"
    )
    assert refused.passed, refused


async def test_what_did_not_pass_is_needed() -> None:
    results = await ran(
        file_of("""
        [[check]]
        name = "first"
        call = { tool = "bake", arguments = { what = "bread" } }
        expect.text = "no"
        keep = { order = "/structuredContent/none" }
        [[check]]
        name = "second"
        needs = ["first"]
        call = { tool = "bake", arguments = { what = "bread" } }
        [[check]]
        name = "third"
        call = { tool = "look", arguments = { order = "${order}" } }
        """)
    )
    assert [each.state for each in results] == ["failed", "skipped", "skipped"]
    assert results[1].failures == ["it needs 'first', which did not pass"]
    assert results[2].failures == ["no check before it kept ${order}"]
    assert exit_code(results) == 1


async def test_secrets_come_from_the_environment_and_are_not_told() -> None:
    text = """
    [[check]]
    name = "whispers"
    call = { tool = "whisper", arguments = { secret = "env:BAKERY_KEY" } }
    expect.text = "nothing"
    """
    with pytest.raises(EnvironmentMissing, match="BAKERY_KEY"):
        await ran(file_of(text), environment={})
    (found,) = await ran(file_of(text), environment={"BAKERY_KEY": "tulip-garden"})
    assert found.failures == ["the text is 'you said env:BAKERY_KEY', and should be 'nothing'"]


async def test_the_environment_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(
        "import os\nfrom dovetail import App\napp = App('s')\n"
        "@app.tool\ndef show() -> str:\n    return f\"{os.environ['X']} in {os.getcwd()}\"\n"
        "app.run()\n"
    )
    (tmp_path / "below").mkdir()
    file = read_checks(
        'server = "s"\n[servers.s]\ntarget = "s.py"\nenv = { X = "env:Y" }\ncwd = "below"\n'
        '[[check]]\nname = "shows"\ncall = { tool = "show" }\nexpect.text.matches = "^tea in .*below$"\n',
        folder=tmp_path,
    )
    (found,) = await ran(file, environment={"Y": "tea"})
    assert found.passed, found


async def test_servers_that_are_not_there(tmp_path: Path) -> None:
    results = await ran(
        file_of('[[check]]\nname = "a"\ncall = { list = "tools" }\n', server="http://127.0.0.1:9/mcp")
    )
    assert [each.state for each in results] == ["error"]
    assert isinstance(results[0].problem, ConnectFailed)
    assert exit_code(results) == 3
    gone = read_checks(
        f'server = "g"\n[servers.g]\ntarget = ["{sys.executable}", "-c", "raise SystemExit(3)"]\n'
        '[[check]]\nname = "a"\ncall = { list = "tools" }\n[[check]]\nname = "b"\ncall = { list = "tools" }\n'
    )
    results = await ran(gone)
    assert [each.state for each in results] == ["error", "error"]
    assert exit_code(results) == 3


async def test_only_some_of_them() -> None:
    file = file_of(WHOLE)
    found = cells_of(file, CheckSettings(names=("keeps the order",), revisions=("2025-11-25",)))
    assert [each.name for each in next(iter(found.values()))] == ["bakes", "keeps the order"]
    needs = cells_of(file, CheckSettings(names=("an order is needed",)))
    assert all([each.name for each in checks] == ["bakes", "an order is needed"] for checks in needs.values())


@dataclass
class Fault:
    """Something that a judge finds."""

    severity: str
    rule: str
    what: str


class Strict:
    """A judge of one rule: nobody may bake."""

    def line(self, line: CaptureLine) -> Iterable[Fault]:
        """What is wrong with a line."""
        if b'"bake"' in line.data and line.sender == "client":
            yield Fault("error", "no-baking", "somebody bakes")
            yield Fault("hint", "other", "a hint")


async def test_messages_are_judged() -> None:
    results = await ran(
        file_of("""
        [[check]]
        name = "bakes unseen"
        call = { tool = "bake", arguments = { what = "bread" } }
        [[check]]
        name = "lists"
        call = { list = "tools" }
        expect.lint = true
        [[check]]
        name = "bakes"
        call = { tool = "bake", arguments = { what = "bread" } }
        expect.lint = true
        """),
        judge=Strict,
    )
    assert [each.passed for each in results] == [True, True, False]
    (said,) = results[2].failures
    assert said.endswith("breaks no-baking: somebody bakes")


async def test_what_was_said_is_kept(tmp_path: Path) -> None:
    text = '[[check]]\nname = "w"\ncall = { tool = "whisper", arguments = { secret = "tulip-garden" } }\n'
    await ran(file_of(text), captures=tmp_path / "talks")
    (path,) = (tmp_path / "talks").iterdir()
    assert path.name == "checked_server.py-auto.jsonl"
    assert path.stat().st_mode & 0o777 == 0o600
    found = Capture.read(path)
    assert found.header.redacted
    assert b"tulip-garden" not in path.read_bytes()
    assert any(b"whisper" in each.data for each in found)


def command(tmp_path: Path, text: str, **options: Any) -> tuple[int, str]:
    """Exit code and output of a run."""
    path = tmp_path / "checks.toml"
    path.write_text(text, "utf-8")
    out = io.StringIO()
    return run(path, RunOptions(stream=out, **options)), out.getvalue()


def test_the_command(tmp_path: Path) -> None:
    text = (
        f'server = "{SERVER}"\n[[check]]\nname = "good \\u001b[31m"\ncall = {{ list = "tools" }}\n'
        '[[check]]\nname = "bad"\ncall = { list = "tools" }\nexpect.listed = ["x"]\n'
    )
    code, out = command(tmp_path, text, junit=tmp_path / "report.xml")
    assert code == 1
    assert "\x1b" not in out
    assert "FAILED" in out
    assert "        'x' is not listed\n" in out
    assert out.splitlines()[-1].startswith("1 passed, 1 failed in ")
    root = ET.parse(tmp_path / "report.xml").getroot()
    assert (root.tag, root.get("tests"), root.get("failures")) == ("testsuites", "2", "1")
    code, out = command(tmp_path, text, quiet=True)
    assert "good" not in out
    code, out = command(tmp_path, text, settings=CheckSettings(names=("none",)))
    assert (code, out) == (2, "dovetail: there is no check 'none'; there are bad, good \\x1b[31m\n")
    code, out = command(tmp_path, text, settings=CheckSettings(revisions=("2025-11-25",)))
    assert code == 2
    code, out = command(tmp_path, text, junit=tmp_path / "no" / "report.xml")
    assert code == 2


def test_what_the_command_refuses(tmp_path: Path) -> None:
    assert command(tmp_path, "x")[0] == 2
    code, out = command(
        tmp_path, 'server = "x"\n[[check]]\nname = "l"\ncall = { list = "tools" }\nexpect.lint = true'
    )
    assert (code, "lint = true needs" in out) == (2, True)
    out_ = io.StringIO()
    assert run(tmp_path / "none.toml", RunOptions(stream=out_)) == 2
    assert "can't be read" in out_.getvalue()
    code, out = command(
        tmp_path,
        'server = "x"\n[[check]]\nname = "l"\ncall = { tool = "t", arguments = { a = "env:NOWHERE_SET" } }',
        settings=CheckSettings(environment={}),
    )
    assert (code, "NOWHERE_SET" in out) == (2, True)


def test_whoever_reads_may_go_away(tmp_path: Path) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    path = tmp_path / "checks.toml"
    path.write_text(f'server = "{SERVER}"\n[[check]]\nname = "a"\ncall = {{ list = "tools" }}\n')
    assert run(path, RunOptions(stream=Closed(), junit=tmp_path / "report.xml")) == 0
    assert (tmp_path / "report.xml").exists()


def result(state: Any, problem: BaseException | None = None, *said: str) -> CheckResult:
    """A result by hand."""
    cell = CheckCell("s", "", "auto")
    return CheckResult(name="n", cell=cell, state=state, problem=problem, failures=list(said), seconds=1.5)


def test_exit_codes() -> None:
    late, gone = RequestTimeout("late"), ConnectFailed("gone")
    assert exit_code([]) == 2
    assert exit_code([result("passed"), result("skipped")]) == 0
    assert exit_code([result("failed"), result("error", gone)]) == 1
    assert exit_code([result("failed", late), result("passed")]) == 5
    assert exit_code([result("error", gone), result("failed", late)]) == 3


def test_reports_for_builds_hold_any_text() -> None:
    odd = "a\x00b\x1b<&>\ud800\uffff é"
    results = [
        result("passed"),
        result("failed", None, odd, "more"),
        result("error", ConnectFailed("x"), odd),
        result("skipped", None, "y"),
    ]
    data = junit(results, began="2026-01-01T00:00:00Z", name=odd)
    root = ET.fromstring(data)
    (suite,) = root
    assert suite.attrib == {
        "name": "s (auto)", "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "6.000",
        "timestamp": "2026-01-01T00:00:00",
    }  # fmt: skip
    assert "skipped" not in root.attrib
    cases = [each for each in suite if each.tag == "testcase"]
    assert [[inner.tag for inner in each] for each in cases] == [[], ["failure"], ["error"], ["skipped"]]
    assert cases[1][0].text == "a\ufffdb\ufffd<&>\ufffd\ufffd é\nmore"
    assert json.dumps(root.get("name"))
