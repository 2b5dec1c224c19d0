"""What a server asks the person, over everything else: forms, addresses, requests to run the model, rounds.

Theory of operation. A question waits until it is answered; Escape puts it off, and F2 brings it back. It closes by
itself when nobody waits for its answer any more. An address is shown whole, its host marked; nothing opens it by
itself.

Specification: client/elicitation, client/sampling; 2026-07-28 basic/patterns on input-required results.
"""

from __future__ import annotations

import json
import os
from typing import Any, ClassVar, cast
from urllib.parse import parse_qs, urlsplit

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from ..browser import open_browser
from ..inspection import Inspection
from ..session.questions import AnswerRefused, PersonAnswer
from ..views import QuestionView
from .dialog import DialogScreen
from .form import FormInvalid, SchemaForm
from .reader import TextReader
from .text import Row, block, inline, json_rows, json_text
from .view import tell_person

__all__ = ["FormQuestion", "JSONQuestion", "QuestionScreen", "VisitQuestion", "question_screen"]


class QuestionScreen(DialogScreen):
    """A question. It says who asks."""

    BINDINGS: ClassVar = [Binding("escape", "later", "Later")]

    def __init__(self, inspection: Inspection, question: QuestionView) -> None:
        server = inspection.servers.get(question.server)
        super().__init__(f"{server.name if server is not None else question.server} asks")
        self.question = question
        self._inspection = inspection

    @property
    def waits(self) -> bool:
        """Whether somebody still waits for the answer."""
        return any(each.id == self.question.id for each in self._inspection.questions.views)

    def answer(self, action: Any, content: Any = None) -> None:
        """Give the answer; it is closed when that was taken."""
        try:
            self._inspection.answer(self.question.id, PersonAnswer(action, content))
        except (AnswerRefused, LookupError) as problem:
            self.complain(problem)
        else:
            self.dismiss()

    def action_later(self) -> None:
        """Put it off."""
        self.dismiss()

    def action_decline(self) -> None:
        """Say no."""
        self.answer("decline")

    def action_dismissed(self) -> None:
        """Close it without an answer."""
        self.answer("cancel")

    def on_screen_resume(self) -> None:
        """It is on top again; perhaps nobody waits any more."""
        if not self.waits:
            self.dismiss()


class FormQuestion(QuestionScreen):
    """A form."""

    buttons: ClassVar = (
        ("accept", "Send"),
        ("decline", "Decline"),
        ("dismissed", "Cancel"),
        ("json", "Fields/JSON"),
        ("later", "Later"),
    )
    BINDINGS: ClassVar = [
        Binding("f5", "accept", "Send", priority=True),
        Binding("f4", "json", "Fields/JSON", priority=True),
    ]

    def body(self) -> ComposeResult:
        """Called when it is made."""
        words = "\n".join("".join(text for text, _ in row) for row in block(self.question.message[:2000]))
        yield Static(Content(words))
        yield SchemaForm(self.question.schema)

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(SchemaForm).focus_first()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter sends."""
        event.stop()
        self.action_accept()

    def action_accept(self) -> None:
        """Send what was filled in."""
        try:
            value = self.query_one(SchemaForm).value()
        except FormInvalid as problem:
            self.complain(str(problem))
        else:
            self.answer("accept", value)

    def action_json(self) -> None:
        """Write it the other way."""
        try:
            self.query_one(SchemaForm).toggle()
        except FormInvalid as problem:
            self.complain(str(problem))


class VisitQuestion(QuestionScreen):
    """An address to be visited."""

    buttons: ClassVar = (
        ("later", "Later"),
        ("agree", "I open it myself"),
        ("open_here", "Open it here"),
        ("decline", "Decline"),
        ("copy", "Copy"),
    )
    DEFAULT_CSS = """
    VisitQuestion .visit--url { padding: 1 0; }
    """

    def body(self) -> ComposeResult:
        """Called when it is made."""
        question = self.question
        with VerticalScroll():
            words = "\n".join("".join(text for text, _ in row) for row in block(question.message[:2000]))
            yield Static(Content(words))
            yield Static(_marked(question.url, question.host), classes="visit--url")
            yield Static(Content.assemble("It leads to ", (inline(question.host), "bold reverse")))
            if port := _comes_back_to(question):
                yield Static(
                    Content(
                        f"The browser comes back here: forward the port, ssh -L {port}:127.0.0.1:{port} ..."
                    )
                )
            if question.host.startswith("xn--") or ".xn--" in question.host:
                yield Static(
                    Content(
                        "The host has an international name, which can look like another; this is how it is resolved."
                    )
                )

    def action_agree(self) -> None:
        """The person visits it in a browser of their own."""
        self.answer("accept")

    def action_copy(self) -> None:
        """Into the clipboard of the terminal."""
        cast("App[Any]", self.app).copy_to_clipboard(self.question.url)
        tell_person(self, "Copied, if your terminal lets programs do that.")

    def action_open_here(self) -> None:
        """In the browser of this machine."""
        if open_browser(self.question.url):
            self.answer("accept")
        else:
            self.complain("There is no browser here. Copy the address, open it yourself, and say so.")


class JSONQuestion(QuestionScreen):
    """What is answered with JSON: a request to run the model, a round."""

    buttons: ClassVar = (
        ("accept", "Send"),
        ("decline", "Decline"),
        ("dismissed", "Cancel"),
        ("later", "Later"),
    )
    BINDINGS: ClassVar = [Binding("f5", "accept", "Send", priority=True)]
    DEFAULT_CSS = """
    JSONQuestion TextReader { height: 1fr; }
    JSONQuestion TextArea { height: 1fr; }
    """

    def body(self) -> ComposeResult:
        """Called when it is made."""
        yield TextReader([*_asked(self.question), *json_rows(self.question.params)])
        yield Static(Content("The answer, as JSON:"), classes="name")
        yield TextArea(json_text(_suggested(self.question)), tab_behavior="focus")

    def on_mount(self) -> None:
        """Begin to write."""
        self.query_one(TextArea).focus()

    def action_accept(self) -> None:
        """Send what was written."""
        try:
            content: Any = json.loads(self.query_one(TextArea).text)
        except (ValueError, RecursionError) as problem:
            self.complain(f"This is no JSON: {inline(str(problem))}")
        else:
            self.answer("accept", content)


def question_screen(inspection: Inspection, question: QuestionView) -> QuestionScreen:
    """The screen of a question."""
    kinds: dict[str, type[QuestionScreen]] = {
        "form": FormQuestion,
        "visit": VisitQuestion,
        "login": VisitQuestion,
    }
    return kinds.get(question.kind, JSONQuestion)(inspection, question)


def _marked(url: str, host: str) -> Content:
    """An address, whole, its host marked where it stands in it."""
    shown, part = inline(url, len(url)), inline(host)
    after = shown.find("://") + 3
    end = min((at for at in (shown.find(each, after) for each in "/?#") if at >= 0), default=len(shown))
    at = shown.lower().rfind(part.lower(), after, end) if part else -1
    if at < 0:
        return Content(shown)
    return Content.assemble(shown[:at], (shown[at : at + len(part)], "bold reverse"), shown[at + len(part) :])


def _comes_back_to(question: QuestionView) -> int:
    """The port of this machine that a login ends at, where the person is at another; 0 for none."""
    if question.kind != "login" or "SSH_CONNECTION" not in os.environ:
        return 0
    try:
        back = urlsplit(parse_qs(urlsplit(question.url).query).get("redirect_uri", [""])[0])
        return back.port or 0 if back.hostname in ("127.0.0.1", "localhost", "::1") else 0
    except ValueError:
        return 0


def _asked(question: QuestionView) -> list[Row]:
    params = question.params or {}
    match question.kind:
        case "sampling":
            return [[("It asks that a model be run. You are the model, or say no.", "title")]]
        case "round":
            return [
                [(f"Round {params.get('round', '')}: a response for each key of inputRequests.", "title")]
            ]
        case _:
            return [[(inline(question.kind), "title")], *block(question.message)]


def _suggested(question: QuestionView) -> Any:
    params = question.params or {}
    match question.kind:
        case "sampling":
            return _message()
        case "roots":
            return []
        case _:
            found: Any = params.get("inputRequests")
            requests = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
            return {key: _response(requests[key]) for key in requests}


def _response(request: Any) -> Any:
    asked = cast("dict[str, Any]", request) if isinstance(request, dict) else {}
    match asked.get("method"):
        case "elicitation/create":
            return {"action": "accept", "content": {}}
        case "sampling/createMessage":
            return _message()
        case "roots/list":
            return {"roots": []}
        case _:
            return {}


def _message() -> dict[str, Any]:
    text = {"type": "text", "text": ""}
    return {"role": "assistant", "content": text, "model": "a person", "stopReason": "endTurn"}
