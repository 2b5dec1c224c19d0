"""Answering what a server asks: by the person at the terminal, or by what the command line said beforehand.

A form is filled in field by field. At any field ``:decline`` says no and ``:cancel`` (or Ctrl-D) closes the
form; ``:empty`` leaves an optional field empty for which something is suggested. An address is shown whole,
with the name of the server that wants it visited; it is never opened here, the person does that. Without a
terminal, ``--answer key=value`` fills in fields and ``--yes`` agrees to the rest; otherwise the question is
declined, and standard error says what would have answered it. Specification: client/elicitation.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Literal

from ..client.answers import Accept, Cancel, Decline, ElicitRequest, Visit
from ..protocol.safe_text import in_place, one_line, passage
from .coercion import Pair, texts
from .exits import UsageError
from .fields import TerminalField, fields_of
from .terminal import EndOfInput, Terminal

__all__ = ["TerminalHandlers"]

_DECLINE: Final = ":decline"
_CANCEL: Final = ":cancel"
_EMPTY: Final = ":empty"
_TRIES: Final = 20
_INDENT: Final = "  "


class TerminalHandlers:
    """The handlers of a client on the command line. ``given``: what ``--answer`` says; ``apart``: entered
    while something is shown and typed, so that nothing else is.

    ``problem`` is what was wrong with the answers given, if a question showed it.
    """

    def __init__(
        self,
        given: Sequence[Pair] = (),
        *,
        yes: bool = False,
        terminal: Terminal | None = None,
        apart: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._given = texts(given)
        self._yes = yes
        self._terminal = terminal or Terminal()
        self._apart = apart
        self._agreed: set[str] = set()
        self.problem: UsageError | None = None

    async def form(self, request: ElicitRequest) -> Accept | Decline | Cancel:
        """Fill in a form."""
        with self._apart():
            return await self._form(request)

    async def _form(self, request: ElicitRequest) -> Accept | Decline | Cancel:
        fields = fields_of(request.schema)
        try:
            content, open_fields = self._prepared(fields)
        except UsageError as problem:
            self.problem = problem
            return Decline()
        if not open_fields and (self._given or self._yes):
            return Accept(content)
        if not self._terminal.there:
            return _refused(request, [each for each in open_fields if each.required] or open_fields)
        _show(f"\n{one_line(request.server)} asks:\n{passage(request.message, indent=_INDENT)}")
        emptied = any(each.has_default and each.optional for each in open_fields)
        _show(f"({_DECLINE} to say no, {_CANCEL} to close the question)")
        if emptied:
            _show(f"({_EMPTY} to leave a field empty that may be)")
        try:
            return await self._filled(content, open_fields)
        except EndOfInput:
            return Cancel()

    async def visit(self, visit: Visit) -> bool | Literal["done"] | None:
        """Ask for consent to a visit; where a call waits for its end, wait for the person to say so, too."""
        with self._apart():
            return await self._visit(visit)

    async def _visit(self, visit: Visit) -> bool | Literal["done"] | None:
        _show(f"\n{one_line(visit.server)} asks you to visit an address:")
        _show(f"{passage(visit.message, indent=_INDENT)}\n")
        _show(f"  {in_place(visit.url)}\n\nIt leads to the host {in_place(visit.host)}.")
        if not self._terminal.there:
            if self._yes and visit.call_waits and visit.url in self._agreed:
                _show(
                    "Refused: it was agreed to by --yes before, and the server does not see that you were there."
                )
                return False
            if self._yes:
                self._agreed.add(visit.url)
                _show("Agreed to by --yes. It was not opened; open it yourself.")
                if visit.call_waits:
                    _show("The call goes on when the server sees that you were there, or after --timeout.")
                return True
            _show("Refused: nobody is here to agree. Run this in a terminal, or with --yes.")
            return False
        try:
            typed = await self._terminal.ask("Will you open it yourself? [y/N, or c to close the question] ")
            answer = typed.strip().lower()
            if answer in ("c", _CANCEL):
                return None
            if answer not in ("y", "yes"):
                return False
            if not visit.call_waits:
                return True
            await self._terminal.ask("Press Enter when you have been there: ")
        except EndOfInput:
            return None
        return "done"

    def _prepared(self, fields: list[TerminalField]) -> tuple[dict[str, Any], list[TerminalField]]:
        """What the command line answers, and the fields that are left."""
        content: dict[str, Any] = {}
        left: list[TerminalField] = []
        by_itself = self._yes or (bool(self._given) and not self._terminal.there)
        for each in fields:
            if each.name in self._given:
                if each.optional and self._given[each.name] == _EMPTY:
                    content[each.name] = None
                    continue
                try:
                    content[each.name] = each.read(self._given[each.name])
                except ValueError as problem:
                    raise UsageError(f"--answer {each.name}: {problem}") from None
            elif by_itself and each.has_default:
                content[each.name] = each.default
            elif self._yes and each.is_boolean:
                content[each.name] = True
            elif not (by_itself and each.optional):
                left.append(each)
        return content, left

    async def _filled(
        self, content: dict[str, Any], fields: list[TerminalField]
    ) -> Accept | Decline | Cancel:
        for each in fields:
            _show(f"\n{each.title()}{': ' + each.description() if each.description() else ''}")
            for number, (value, title) in enumerate(each.choices, 1):
                _show(f"  {number}. {one_line(title)}{'' if title == value else f' ({one_line(value)})'}")
            for _ in range(_TRIES):
                typed = await self._terminal.ask(f"[{each.hint()}] ")
                word = typed.strip().lower()
                if word == _DECLINE:
                    return Decline()
                if word == _CANCEL:
                    return Cancel()
                if word == _EMPTY and each.optional:
                    content[each.name] = None
                    break
                if not word and (each.has_default or each.optional):
                    if each.has_default:
                        content[each.name] = each.default
                    break
                try:
                    content[each.name] = each.read(typed)
                    break
                except ValueError as problem:
                    _show(f"  {one_line(str(problem))}")
            else:
                return Cancel()
        return Accept(content)


def _refused(request: ElicitRequest, fields: Sequence[TerminalField]) -> Decline:
    """Nobody is here: say what was asked and how to answer beforehand."""
    wanted = " ".join(f"--answer {in_place(each.name)}=..." for each in fields)
    _show(
        f"dovetail: {one_line(request.server)} asks: {one_line(request.message)} "
        f"Declined, because there is no terminal to ask on; give {wanted or '--yes'}{' or --yes' if wanted else ''}"
    )
    return Decline()


def _show(text: str) -> None:
    print(text, file=sys.stderr)
