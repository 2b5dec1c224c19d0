"""Answering what a server asks while a check runs, by what the check says."""

from __future__ import annotations

from typing import Any, cast

from msgspec import UNSET

from dovetail.client import Accept, Cancel, ClientOptions, Decline, ElicitRequest, Visit
from dovetail.errors import UserRejected
from dovetail.types import CreateMessageParams

from ..comparing.values import told
from .reading import CheckAnswers

__all__ = ["CheckAnswering"]


class CheckAnswering:
    """The handlers of a cell's client. ``unanswered``: what was asked in this check, and it has no answer for."""

    def __init__(self, answers: list[CheckAnswers]) -> None:
        self._declared = {
            name for each in answers for name in ("form", "sampling", "visit", "roots")
            if getattr(each, name) is not UNSET
        }  # fmt: skip
        self._answers: dict[str, Any] = {}
        self.unanswered: list[str] = []

    def options(self) -> ClientOptions:
        """The handlers for what some check of the cell answers; nothing else is declared."""
        found = ClientOptions()
        if "form" in self._declared:
            found["elicitation"] = self._form
        if "visit" in self._declared:
            found["approve"] = self._visit
        if "sampling" in self._declared:
            found["sampling"] = self._sampling
        if "roots" in self._declared:
            found["roots"] = self._roots
        return found

    def next(self, answers: dict[str, Any]) -> None:
        """Another check begins."""
        self._answers = {
            name: list(cast("list[Any]", value)) if isinstance(value, list) else value
            for name, value in answers.items()
        }
        self.unanswered = []

    def _taken(self, kind: str, about: str) -> Any:
        """The next answer of a kind; UNSET where there is none."""
        given: Any = self._answers.get(kind, UNSET)
        if isinstance(given, list) and kind != "roots":
            waiting = cast("list[Any]", given)
            given = cast("Any", waiting.pop(0) if waiting else UNSET)
        if given is UNSET:
            self.unanswered.append(f"the server asked ({about}), and the check has no answer: answers.{kind}")
        return cast("Any", given)

    def _form(self, request: ElicitRequest) -> Accept | Decline | Cancel:
        given = self._taken("form", f"a form: {told(request.message)}")
        if given is UNSET or given == "decline":
            return Decline()
        if given == "cancel":
            return Cancel()
        if not isinstance(given, dict):
            self.unanswered.append(
                f'answers.form is a table of fields, "decline" or "cancel", not {told(given)}'
            )
            return Decline()
        return Accept(cast("dict[str, Any]", given))

    def _visit(self, visit: Visit) -> bool:
        given = self._taken("visit", f"to visit {told(visit.url)}")
        return given is True

    def _sampling(self, params: CreateMessageParams) -> str:
        given = self._taken("sampling", "a model")
        if given is UNSET:
            raise UserRejected("the check has no answer for this")
        return str(given)

    def _roots(self) -> list[str]:
        given: Any = self._answers.get("roots", [])
        return [str(each) for each in given]
