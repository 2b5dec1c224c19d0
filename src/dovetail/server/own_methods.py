"""A method of an app's own, and the function that answers it.

Theory of operation. The function is like a tool's: its parameters are the members of the request's ``params``, read
into the author's types, and the server fills those for context, principal, dependencies and questions. One parameter
called ``params`` gets all members at once, as a dataclass, Struct, TypedDict, pydantic model or dict. ``_meta`` belongs
to the protocol and is left out (`Context.meta` has it). What the function returns is the result: an object, since every
result is one. All of this is the same in both eras; but since 2026-07-28 only the protocol's own calls may be answered
with questions, so there a question in such a method says that it can't be asked.

Specification: basic/index, "Messages"; basic/patterns/mrtr, "Supported Requests".
"""

from __future__ import annotations

from typing import Any, Final, cast

import msgspec
from msgspec import Raw

from ..protocol import codec, names
from ..protocol.call import Call
from ..protocol.errors import InvalidParams, RPCError
from ..protocol.revisions import PROFILES
from ..protocol.types.requests import Result
from ..runtime.channel import Channel
from . import hints
from .arguments import ArgumentsPlan, BadArguments
from .data import DataPlan, OutputMismatch, check_returns, check_size, encode, promises
from .entries import raise_received
from .running import Runner
from .signature import Plan

__all__ = ["MethodEntry", "check_method_name"]

_WHOLE: Final = "params"
_RESULT_TYPE: Final = "resultType"
_members: Final = msgspec.json.Decoder(dict[str, Raw])


class MethodEntry:
    """One method: ``name`` on the wire, and the function behind it."""

    def __init__(self, name: str, runner: Runner) -> None:
        """Raises `RegistrationError`."""
        plan = runner.plan
        self.name = name
        self.plan = plan
        self._runner = runner
        self._whole = [each.name for each in plan.inputs] == [_WHOLE]
        self._arguments = ArgumentsPlan(plan)
        self._results = _ResultPlan(plan)

    async def answer(self, call: Call, channel: Channel) -> Result:
        """The result of a request. Raises `InvalidParams`, and what the function raises."""
        try:
            values = self._arguments.decode(self._given(call))
        except BadArguments as problem:
            raise InvalidParams(f"the parameters of {self.name} are invalid: {problem}") from None
        try:
            return self._results.result(await self._runner.run(call, channel, values))
        except RPCError as problem:
            raise_received(f"method {self.name!r}", problem)
            raise

    def _given(self, call: Call) -> bytes:
        """The members of ``params`` that are the author's."""
        members = _members.decode(call.raw) if call.raw else {}
        members.pop(names.META, None)
        return codec.encode({_WHOLE: members} if self._whole else members)


class _ResultPlan(DataPlan):
    """How what a method's function returns becomes a result."""

    __slots__ = ()

    def __init__(self, plan: Plan) -> None:
        check_returns(plan, "a method")
        super().__init__(plan)
        kind = hints.without_markers(plan.returns)
        if not promises(plan.returns) or kind in (None, type(None)):
            return
        if isinstance(kind, type) and issubclass(kind, Result):
            return
        self._promise(plan, plan.returns)
        self._compile(plan, "what it returns")
        if self.wraps:
            raise plan.refuse(
                f"returns {plan.returns!r:.120}, and the result of a method is an object: return a dict, a dataclass,"
                " a TypedDict or a model"
            )

    def result(self, value: Any) -> Result:
        """The result that a value stands for. Raises `OutputMismatch` and `AnswerTooLarge`."""
        if isinstance(value, Result):
            check_size(value)
            return value
        if value is None and self.schema is None:
            return Result()
        self._refuse_foreign(value)
        members = self._plain(value)
        if not isinstance(members, dict):
            raise OutputMismatch(
                f"{self._name}() returned a {type(value).__qualname__}, and the result of a method is an object"
            )
        self._refuse_no_number(members, encode(members))
        if self.schema is not None:
            self._check(members)
        rest = dict(cast("dict[str, Any]", members))
        meta, kind = rest.pop(names.META, None), rest.pop(_RESULT_TYPE, None)
        return Result(meta=meta, result_type=kind, extra=rest or None)


def check_method_name(plan: Plan, name: str) -> None:
    """Refuse a name that is the protocol's, or reserved by JSON-RPC. Raises `RegistrationError`."""
    if not name or not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
        raise plan.refuse(f"the name of a method is a text, not {name!r:.100}")
    if any(name in profile.client_requests for profile in PROFILES.values()):
        raise plan.refuse(f"{name!r} is a method of the protocol; choose a name of your own")
    if name.startswith(("rpc.", names.NOTIFICATIONS)):
        raise plan.refuse(
            f"{name!r} is no name for a method: 'rpc.' is JSON-RPC's own, {names.NOTIFICATIONS!r} is for notifications"
        )
