"""Questions of a server on the command line: at a real terminal, without one, and answered beforehand."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from dovetail.cli import main
from dovetail.cli import terminal as terminal_module
from dovetail.cli.answering import TerminalHandlers
from dovetail.cli.coercion import Pair
from dovetail.cli.fields import fields_of
from dovetail.client.answers import Accept, Cancel, Decline, ElicitRequest, Visit
from dovetail.protocol.revisions import STATEFUL, STATELESS

TARGET = str(Path(__file__).with_name("target_server.py"))
ERAS = (STATEFUL[-1], STATELESS[-1])


@pytest.mark.parametrize("revision", ERAS)
def test_a_form_is_filled_in(terminal, revision):
    """Field by field, with types, bounds, choices and suggestions; what does not fit is asked again."""
    shown = terminal("call", TARGET, "book", "-r", revision)
    before = shown.wait_for("city")
    assert "target" in before.lower()
    assert "Where \\x1b[2Jto?" in before
    shown.wait_for("[text] ")
    shown.type("Oslo")
    hint = shown.wait_for("] ")
    assert "whole number, at least 1, at most 14, Enter for 3" in hint
    shown.type("20")
    shown.wait_for("at most 14")
    shown.wait_for("Enter for 3] ")
    shown.type("5")
    choice = shown.wait_for("Enter for red] ")
    assert "1. red" in choice
    assert "2. blue" in choice
    shown.type("2")
    shown.wait_for("y/n, Enter for n] ")
    shown.type("")
    assert shown.result() == (0, "Oslo 5 blue False\n")


@pytest.mark.parametrize("typed", [":decline", ":cancel", "\x04"])
def test_no_answer(terminal, typed):
    """Saying no and closing the question are told apart; the end of input closes it."""
    shown = terminal("call", TARGET, "confirm")
    shown.wait_for("[y/n] ")
    shown.type(typed)
    code, out = shown.result()
    assert (code, out) == (1, "")
    shown.wait_for("the person declined" if typed == ":decline" else "the person did not answer")


def test_interrupted_question(terminal):
    """Ctrl-C ends the command, though nobody ever answers."""
    shown = terminal("call", TARGET, "confirm")
    shown.wait_for("[y/n] ")
    shown.process.send_signal(signal.SIGINT)
    assert shown.result() == (130, "")


def test_interrupted_reading(terminal):
    """So does one Ctrl-C while the arguments are typed in: a loop that waits for them can't be asked to stop."""
    shown = terminal("call", TARGET, "echo", "--args", "-")
    shown.wait_for("reading --args from standard input; end it with Ctrl-D")
    shown.process.send_signal(signal.SIGINT)
    assert shown.result() == (130, "")


@pytest.mark.parametrize("typed,code", [("y", 0), ("n", 1), ("", 1)])
def test_a_visit(terminal, typed, code):
    """The whole address and who wants it visited are shown; a plain Enter is a no."""
    shown = terminal("call", TARGET, "visit")
    before = shown.wait_for("close the question] ")
    assert "https://example.com/login?next=%2Fhome&long=true" in before
    assert re.search("target.* asks you to visit", before, re.IGNORECASE)
    assert "host example.com" in before
    shown.type(typed)
    if code == 0:
        shown.wait_for("Press Enter when you have been there: ")
        shown.type("")
    assert shown.result() == (code, "visited\n" if code == 0 else "")


def test_a_visit_that_leads_nowhere_is_agreed_to_once():
    """Nobody is there to go: what ``--yes`` agreed to is not agreed to again and again."""
    visit = Visit(server="s", message="m", url="https://a.example/", host="a.example", call_waits=True)
    nobody = terminal_module.Terminal()
    nobody.there = False
    handlers = TerminalHandlers(yes=True, terminal=nobody)
    assert [asyncio.run(handlers.visit(visit)) for _ in range(2)] == [True, False]


def test_a_call_goes_on_when_the_person_says_that_the_visit_is_done(terminal):
    """The server never tells that it is: nobody waits for a bound."""
    shown = terminal("call", TARGET, "gate", "-r", ERAS[0], "--timeout", "600")
    shown.wait_for("close the question] ")
    shown.type("y")
    shown.wait_for("Press Enter when you have been there: ")
    shown.type("")
    assert shown.result() == (0, "welcome\n")


def test_progress_is_shown_at_a_terminal(terminal):
    """A bar, and it makes way for the end."""
    shown = terminal("call", TARGET, "wait", "-r", ERAS[0])
    shown.wait_for("waiting")
    shown.process.send_signal(signal.SIGINT)
    assert shown.result()[0] == 130


@pytest.fixture
def run(capfd, monkeypatch):
    """Run a command without a terminal."""
    monkeypatch.setattr("sys.stdin", open(os.devnull, encoding="utf-8"))  # noqa: SIM115 - lives as long as the test

    def command(*words):
        code = main(words)
        return code, *capfd.readouterr()

    yield command
    sys.stdin.close()


@pytest.mark.parametrize("revision", ERAS)
def test_without_a_terminal(run, revision):
    """The question is declined, and standard error says what would have answered it."""
    code, out, err = run("call", TARGET, "confirm", "-r", revision)
    assert (code, out) == (1, "")
    assert (
        "asks: Sure? Declined, because there is no terminal to ask on; give --answer value=... or --yes"
        in err
    )


@pytest.mark.parametrize(
    "words,out",
    [
        (("confirm", "--yes"), "yes\n"),
        (("confirm", "--answer", "value=n"), "no\n"),
        (("book", "--answer", "city=Rome"), "Rome 3 red False\n"),
        (
            ("book", "--answer", "city=Rome", "--answer", "color=blue", "--answer", "days=9"),
            "Rome 9 blue False\n",
        ),
        (("visit", "--yes"), "visited\n"),
    ],
)
def test_answered_beforehand(run, words, out):
    """Fields by name, suggestions for the others, consent by --yes."""
    assert run("call", TARGET, *words)[:2] == (0, out)


def test_answers_that_do_not_do(run):
    """A field that nothing answers is named; a value that does not fit is a usage error."""
    code, _, err = run("call", TARGET, "book", "--yes")
    assert code == 1
    assert "--answer city=..." in err
    code, out, err = run("call", TARGET, "book", "--answer", "city=Rome", "--answer", "days=99")
    assert (code, out) == (2, "")
    assert "--answer days: " in err
    code, _, err = run("call", TARGET, "visit")
    assert code == 1
    assert "https://example.com/login?next=%2Fhome&long=true" in err


FORM = {
    "type": "object",
    "required": ["colors"],
    "properties": {
        "colors": {
            "type": "array",
            "minItems": 1,
            "items": {"anyOf": [{"const": "r", "title": "Red"}, {"const": "b", "title": "Blue"}]},
        },
        "old": {"type": "string", "enum": ["a", "b"], "enumNames": ["First"]},
        "mail": {"type": "string", "format": "email", "title": "\x1bMail", "description": "where to\u202e"},
        "ratio": {"type": "number", "default": 0.5},
    },
}


class Typist(terminal_module.Terminal):
    """A terminal at which somebody types what they were told."""

    def __init__(self, *lines):
        super().__init__()
        self.there = True
        self.lines = list(lines)
        self.prompts = []

    async def ask(self, prompt):
        """The next line."""
        self.prompts.append(prompt)
        return self.lines.pop(0)


async def answered(*lines):
    """The answer to the form."""
    typist = Typist(*lines)
    request = ElicitRequest(server="s", message="m", schema=FORM)
    return await TerminalHandlers(terminal=typist).form(request), typist


async def test_every_kind_of_field():
    """Several choices, titled choices, formats; optional ones left empty."""
    answer, _ = await answered("1, Blue", "First", "a@b.c", "")
    assert answer == Accept({"colors": ["r", "b"], "old": "a", "mail": "a@b.c", "ratio": 0.5})
    answer, _ = await answered("", "3", "b", "", "", "0.25")
    assert answer == Accept({"colors": ["b"], "ratio": 0.25})
    answer, typist = await answered("", "9", "2", "7", "", "", "nan", "1")
    assert answer == Accept({"colors": ["b"], "ratio": 1})
    assert len(typist.prompts) == 8
    assert (await answered("1", ":DECLINE"))[0] == Decline()
    assert (await answered("1", " :cancel "))[0] == Cancel()
    assert (await answered(*["9"] * 20))[0] == Cancel()


def test_fields_are_safe_to_show():
    """Titles, descriptions and hints are the server's text."""
    mail = next(each for each in fields_of(FORM) if each.name == "mail")
    assert mail.title() == "\\x1bMail"
    assert mail.description() == "where to\\u202e"
    assert mail.hint() == "email, may be left empty"


class Typing(terminal_module.Terminal):
    """A person who types these lines."""

    def __init__(self, *lines):
        super().__init__()
        self.there = True
        self.lines = list(lines)

    async def ask(self, prompt):
        return self.lines.pop(0)


NICK = {
    "type": "object",
    "properties": {
        "nick": {"type": "string", "default": "Bob"},
        "name": {"type": "string", "default": "Eve"},
    },
    "required": ["name"],
}


@pytest.mark.requirement("R2511-ELICITATION-011", "R2607-ELICITATION-012")
def test_a_field_with_a_suggestion_is_left_empty(capsys):
    """Only one that may be: of another the word is an answer like any."""
    request = ElicitRequest(server="s", message="m", schema=NICK)
    typed = TerminalHandlers(terminal=Typing(":empty", ":empty"))
    assert asyncio.run(typed.form(request)) == Accept({"nick": None, "name": ":empty"})
    assert ":empty to leave a field empty that may be" in capsys.readouterr().err
    given = TerminalHandlers([Pair("nick", ":empty"), Pair("name", "Ada")], terminal=Typing())
    assert asyncio.run(given.form(request)) == Accept({"nick": None, "name": "Ada"})
