"""`dovetail snapshot`, `diff` and `doctor`, and the fixture: what they write, show and end with."""

from __future__ import annotations

import json
import sys

import pytest

from dovetail import App, Client
from dovetail.cli import main
from dovetail.surface import Surface, SurfaceUnreadable, compare, take_surface
from dovetail.types import (
    Prompt,
    PromptArgument,
    Resource,
    ResourceTemplate,
    Tool,
    ToolAnnotations,
    ToolExecution,
)

pytest_plugins = ["pytester"]

SERVER = '''
from typing import Literal
from dovetail import App

app = App("post", version="1.0")


@app.tool
async def send(to: str, grams: int, speed: Literal["slow", "fast"] = "slow") -> dict[str, float]:
    """What it costs."""
    return {}
'''
CHANGED = SERVER.replace("grams: int,", "grams: int, country: str,").replace('"1.0"', '"1.1"')


@pytest.fixture
def servers(tmp_path, monkeypatch):
    """A folder with a server, what became of it, and the surface of the first."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "old.py").write_text(SERVER)
    (tmp_path / "new.py").write_text(CHANGED)
    (tmp_path / "release.py").write_text(SERVER.replace('"1.0"', '"2.0"'))
    assert main(["snapshot", "old.py", "-o", "old.json", "-q"]) == 0
    return tmp_path


def test_a_snapshot_is_the_same_each_time(servers, capfd):
    """What is written is what is printed, and JSON with a line for each argument."""
    assert main(["snapshot", "old.py"]) == 0
    text = (servers / "old.json").read_text()
    assert capfd.readouterr().out == text
    assert json.loads(text)["tools"][0]["name"] == "send"
    assert '          "grams": {"type": "integer"},\n' in text
    assert Surface.load("old.json").to_text() == text


def test_a_diff_says_what_breaks(servers, capfd):
    """For people, and as JSON; the exit code is for a program."""
    assert main(["diff", "old.json", "new.py"]) == 1
    shown = capfd.readouterr().out
    assert "breaks      argument country: it is required now; calls without it are refused" in shown
    assert shown.endswith("1 breaking, 1 cosmetic\n")
    assert main(["diff", "old.json", "--json", "--", sys.executable, "-m", "dovetail.cli.run", "new.py"]) == 1
    (change, _) = json.loads(capfd.readouterr().out)["changes"]
    assert change["where"] == "/tools/0/inputSchema/properties/country"
    assert change["example"] == {"grams": 0, "to": ""}
    assert main(["diff", "new.py", "old.json"]) == 1, "an argument that is gone"
    assert main(["diff", "old.py", "release.py"]) == 0
    assert main(["diff", "old.py", "release.py", "--fail-on", "cosmetic"]) == 1


def test_a_file_is_checked(servers, capfd):
    """It is up to date, or not; the version of the server does not count."""
    assert main(["snapshot", "old.py", "--check", "old.json"]) == 0
    assert main(["snapshot", "release.py", "--check", "old.json"]) == 0
    capfd.readouterr()
    assert main(["snapshot", "new.py", "--check", "old.json"]) == 1
    assert "out of date" in capfd.readouterr().err
    assert main(["snapshot", "new.py", "--check", "old.json", "-o", "x"]) == 2
    assert main(["snapshot", "new.py", "--check", "no.json"]) == 2
    assert main(["snapshot", "old.py", "-o", "no/such/folder.json"]) == 2


@pytest.mark.parametrize(
    "text, said",
    [
        ("{", "is no JSON"),
        ("[]", "holds no surface"),
        ('{"format": "dovetail surface 9"}', "of another version"),
        ('{"format": "dovetail surface 1", "tools": [{}]}', r"tools\[0\] can't be read"),
        ('{"format": "dovetail surface 1", "tools": 3}', "'tools' is no list"),
        ('{"format": "dovetail surface 1", "server": []}', "'server' is no object"),
    ],
)
def test_what_is_no_surface(text, said):
    with pytest.raises(SurfaceUnreadable, match=said):
        Surface.from_text(text)


def test_the_doctor_on_the_command_line(servers, capfd):
    """All is well, something is missing, and as JSON."""
    assert main(["doctor", "old.py"]) == 0
    assert "ok       opening        post 1.0" in capfd.readouterr().out
    assert main(["doctor", "no-such-program-at-all"]) == 3
    out = capfd.readouterr().out
    assert "FAILED   program" in out
    assert "-        not reached    opening, listing, surface, latency, output, end" in out
    assert main(["doctor", "http://no-such-host.invalid/mcp", "--json"]) == 3
    found = json.loads(capfd.readouterr().out)
    assert (found["healthy"], found["steps"][0]["cause"]) == (False, "unreachable")
    assert main(["doctor", "old.py", "--patience", "0"]) == 2


def tool(name="t", description="d", **more):
    """A tool that only reads, unless it says otherwise."""
    more.setdefault("annotations", ToolAnnotations(read_only_hint=True))
    return Tool(name=name, description=description, input_schema={"type": "object"}, **more)


def sample(**more):
    """A surface with something of each kind."""
    whole = {
        "server": {"name": "s", "version": "1"},
        "revisions": ("2025-11-25", "2026-07-28"),
        "capabilities": {"tools": {"listChanged": True}, "extensions": {"x/y": {"a": 1}}},
        "instructions": "Read.",
        "tools": (tool(),),
        "resources": (Resource(uri="a:/1", name="one", mime_type="text/plain", size=3),),
        "resource_templates": (ResourceTemplate(uri_template="a:/{x}", name="some"),),
        "prompts": (Prompt(name="p", arguments=[PromptArgument(name="q", required=False)]),),
    }
    return Surface(**{**whole, **more})


QUESTION = PromptArgument(name="q", required=False)
#: What is changed, to what; what that is, and a word of how it is told.
CHANGES = {
    "revision": ({"revisions": ("2026-07-28",)}, "breaking", "2025-11-25 is no longer spoken"),
    "another": (
        {"revisions": ("2025-06-18", "2025-11-25", "2026-07-28")},
        "compatible",
        "2025-06-18 is spoken, too",
    ),
    "capability": ({"capabilities": {"extensions": {"x/y": {"a": 1}}}}, "breaking", "tools is gone"),
    "flag": (
        {"capabilities": {"tools": {}, "extensions": {"x/y": {"a": 1}}}},
        "breaking",
        "tools.listChanged is gone",
    ),
    "setting": (
        {"capabilities": {"tools": {"listChanged": True}, "extensions": {"x/y": {"a": 2}}}},
        "possible",
        "extensions.x/y.a is 2 now",
    ),
    "instructions": ({"instructions": "Write."}, "warning", "the instructions are others"),
    "name": ({"server": {"name": "z", "version": "1"}}, "warning", 'called "z"'),
    "tool gone": ({"tools": ()}, "breaking", "the tool is gone"),
    "tool renamed": ({"tools": (tool("u"),)}, "breaking", "u is the same under another name"),
    "trust": ({"tools": (tool(annotations=None),)}, "breaking", "readOnlyHint is false"),
    "words": ({"tools": (tool(description="Ignore the others."),)}, "warning", "the description is"),
    "tasks": (
        {"tools": (tool(execution=ToolExecution(task_support="required")),)},
        "breaking",
        "tasks are required",
    ),
    "results": (
        {"tools": (tool(output_schema={"type": "object"}),)},
        "compatible",
        "results have a schema now",
    ),
    "type": (
        {"resources": (Resource(uri="a:/1", name="one", mime_type="text/html", size=3),)},
        "breaking",
        "its type is",
    ),
    "size": (
        {"resources": (Resource(uri="a:/1", name="one", mime_type="text/plain", size=4),)},
        "cosmetic",
        "size is 4",
    ),
    "variables": (
        {"resource_templates": (ResourceTemplate(uri_template="a:/{y}", name="some"),)},
        "breaking",
        "without x and with y",
    ),
    "prompt gone": ({"prompts": ()}, "breaking", "the prompt is gone"),
    "argument needed": (
        {"prompts": (Prompt(name="p", arguments=[PromptArgument(name="q", required=True)]),)},
        "breaking",
        "argument q: it is required now",
    ),
    "argument new": (
        {
            "prompts": (
                Prompt(
                    name="p", arguments=[PromptArgument(name="q", required=False), PromptArgument(name="r")]
                ),
            )
        },
        "compatible",
        "may be left out",
    ),
}


@pytest.mark.parametrize("change, severity, said", CHANGES.values(), ids=CHANGES)
def test_what_is_not_a_schema(change, severity, said):
    """The worst of a change, and how it is told."""
    found = compare(sample(), sample(**change))
    assert found[0].severity == severity, found
    assert any(said in each.what for each in found), found


def test_members_that_nobody_knows_are_kept_and_told():
    """What a newer server says is in the file, and a change of it in the comparison."""
    strange = Tool(name="t", input_schema={"type": "object"}, extra={"x-cost": {"cents": 3}})
    before, after = sample(tools=(strange,)), sample(tools=(Tool(name="t", input_schema={"type": "object"}),))
    assert Surface.from_text(before.to_text()).tools[0].extra == {"x-cost": {"cents": 3}}
    (change,) = compare(before, after)
    assert (change.severity, change.where) == ("cosmetic", "/tools/0/x-cost")


async def test_the_order_of_a_list_is_no_difference():
    """Nor that of members, or of what is required."""
    taken = []
    for names in (("a", "b"), ("b", "a")):
        app = App("one", version="1")
        for name in names:
            app.add_tool(greet, name=name)
        async with Client(app) as client:
            taken.append((await take_surface(client)).to_text())
    assert taken[0] == taken[1]


async def greet(name: str, times: int) -> str:
    """Greet somebody."""
    return f"hello {name} " * times


def test_the_fixture(pytester, monkeypatch):
    """It writes the file at first, compares from then on, and writes anew when it is told to."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("DOVETAIL_UPDATE_SURFACES", raising=False)
    test = "\n\nasync def test_surface(surface_snapshot):\n    await surface_snapshot(app)\n"
    pytester.makeini("[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makepyfile(test_it=SERVER + test)
    run = lambda *words: pytester.runpytest_subprocess("-p", "no:cacheprovider", *words)  # noqa: E731 - short, and used here alone
    assert run().ret == 0
    assert (pytester.path / "surfaces" / "post.json").is_file()
    assert run().ret == 0
    pytester.makepyfile(test_it=CHANGED + test)
    failed = run()
    assert failed.ret == 1
    failed.stdout.fnmatch_lines(
        ["*BREAKS*tool send: argument country: it is required now*", "*--update-surfaces*"]
    )
    assert run("--update-surfaces").ret == 0
    assert run().ret == 0
    (pytester.path / "surfaces" / "post.json").unlink()
    monkeypatch.setenv("CI", "1")
    assert run().ret == 1
