"""The session that a call belongs to, and what an app keeps in it: the stateful era alone has sessions.

Theory of operation. What is kept is a member of the session's own record: it lives as long as the session, belongs to
whom the session belongs to, and ends with it. Over HTTP that record is in the store, so with a store that they share
all workers see the same; a change is made by compare-and-set on the newest record, and made again when somebody else
was faster. On stdio, unix sockets and in memory the session is the connection, and so is its record. Values go through
JSON, the first time too: what is read is the same wherever it was kept. What one session keeps is bounded in bytes, for
a client decides how many sessions there are.

Specification: 2025-11-25 basic/transports "Session Management"; 2026-07-28 has no sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar, overload

import msgspec
from msgspec import UNSET, Raw

from ..protocol import codec
from ..protocol.errors import FeatureUnavailable, LocalProtocolError
from ..protocol.session import SessionState
from ..protocol.types.wire import Open
from ..runtime.channel import Channel
from . import native, pydantic_models

__all__ = ["MAX_KEPT_BYTES", "Session"]

T = TypeVar("T")

MAX_KEPT_BYTES: Final = 64 * 1024
"""Bytes of JSON that an app may keep in one session, names included."""

_encode: Final = msgspec.json.Encoder().encode


class Session:
    """The session of a call. ``id`` names it, to tell sessions apart in a log or as a key of your own: 64 characters,
    the same on every worker, and no secret (it is not the ``Mcp-Session-Id`` that the client shows).
    """

    __slots__ = ("_channel", "id")

    def __init__(self, id: str, channel: Channel) -> None:
        self.id = id
        self._channel = channel

    @overload
    async def get(self, key: str, default: Any = None) -> Any: ...
    @overload
    async def get(self, key: str, default: T, *, into: type[T]) -> T: ...
    @overload
    async def get(self, key: str, default: None = None, *, into: type[T]) -> T | None: ...
    async def get(self, key: str, default: Any = None, *, into: Any = None) -> Any:
        """What is kept under a key, or ``default``: plain JSON values, or an ``into``.

        Raises `LocalProtocolError` for what is no ``into``, and `StoreError` while the store does not answer.
        """
        state = await self._channel.read_session()
        found = {} if state.kept is UNSET else state.kept
        return _read(key, found[key], into) if key in found else default

    async def set(self, key: str, value: Any) -> None:
        """Keep a value under a key for as long as the session lasts: anything that a tool may return as data.

        Raises `LocalProtocolError` for what JSON can't carry, and beyond `MAX_KEPT_BYTES`; `StoreError` while the
        store does not answer.
        """
        data = _written(key, value)

        def change(kept: dict[str, Raw]) -> None:
            kept[key] = data

        await self._change(change)

    async def update(self, key: str, change: Callable[[Any], Any], default: Any = None) -> Any:
        """Replace what is kept by what ``change`` makes of it, in one move: no other change of the session is lost.

        Gives the new value. ``change`` is given plain JSON values, or ``default``; it is a plain function, and may be
        called again when somebody else was faster. Raises as `set` does.
        """
        made: list[Any] = []

        def replace(kept: dict[str, Raw]) -> None:
            data = _written(key, change(_read(key, kept[key], None) if key in kept else default))
            kept[key] = data
            made[:] = [codec.decode(data)]

        await self._change(replace)
        return made[0]

    async def delete(self, key: str) -> bool:
        """Keep it no longer. False where nothing was kept. Raises `StoreError`."""
        was: list[bool] = []

        def drop(kept: dict[str, Raw]) -> None:
            was[:] = [kept.pop(key, None) is not None]

        await self._change(drop)
        return was[0]

    async def _change(self, change: Callable[[dict[str, Raw]], None]) -> None:
        def on(state: SessionState) -> None:
            kept = {} if state.kept is UNSET else dict(state.kept)
            change(kept)
            size = len(_encode(kept))
            if size > MAX_KEPT_BYTES:
                raise LocalProtocolError(
                    f"a session keeps at most {MAX_KEPT_BYTES} bytes, and this would be {size}: keep what is large in "
                    "a store of your own, under ctx.session_id"
                )
            state.kept = kept or UNSET

        await self._channel.change_session(on)

    def __repr__(self) -> str:
        return f"Session({self.id!r})"


_INSTEAD: Final = (
    "what asks or tells the client is of the context itself, ctx.sample or ctx.log; keep what belongs to a caller in a "
    "store of your own under ctx.principal.key, what belongs to one piece of work "
    "under a handle that the tool returns and takes as an argument, and what is needed between two questions in "
    "ctx.step; ctx.session_id is None where there is no session"
)
"""What the author is told; whoever calls can do nothing about it."""


def session_of(channel: Channel, revision: str) -> Session:
    """The session of a call. Raises `FeatureUnavailable` where there is none."""
    id = channel.session_id
    if id is None:
        problem = FeatureUnavailable(
            f"this call has no session (revision {revision}, {channel.transport or 'no transport'})"
        )
        problem.add_note(_INSTEAD)
        raise problem
    return Session(id, channel)


def _written(key: str, value: Any) -> Raw:
    if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance] - authors' code is not always checked
        raise LocalProtocolError(f"what a session keeps has a text for a key, not {key!r:.100}")
    try:
        if isinstance(value, Open):
            return Raw(codec.encode(value))
        plain = native.to_plain(value)
        data = _encode(plain)
    except Exception as problem:
        raise LocalProtocolError(f"{key!r} can't be kept in the session: {problem}") from problem
    if (told := codec.no_number_in(plain, data)) is not None:
        raise LocalProtocolError(f"{key!r} can't be kept in the session: JSON has no such number, {told}")
    return Raw(data)


def _read(key: str, data: Raw, into: Any) -> Any:
    if into is None:
        return codec.decode(data)
    try:
        adapted = pydantic_models.adapt(into) if pydantic_models.only_pydantic(into) else None
        read: Callable[[Raw], Any] = native.reader(native.prepare(into)) if adapted is None else adapted.read
        return read(data)
    except (*codec.DECODE_ERRORS, TypeError) as problem:
        raise LocalProtocolError(
            f"what the session keeps under {key!r} is no {into!r:.100}: {problem}"
        ) from problem


_ELSEWHERE: Final = {
    "can_send_request": "see `ctx.client.capabilities`",
    "check_client_capability": "see `ctx.client.capabilities`",
    "client_capabilities": "see `ctx.client.capabilities`",
    "client_params": "see `ctx.client`",
    "create_message": "write `await ctx.sample(...)`",
    "elicit": "write `await ctx.elicit(message, form)`",
    "elicit_form": "write `await ctx.elicit(message, form)`",
    "elicit_url": "write `await ctx.elicit_url(message, url)`",
    "list_roots": "write `await ctx.roots()`",
    "protocol_version": "write `ctx.revision`",
    "report_progress": "write `await ctx.progress(progress, total, message)`",
    "send_elicit_complete": "write `await ctx.elicitation_complete(id)`",
    "send_log_message": "write `await ctx.log(level, data)`",
    "send_notification": "write `await ctx.progress(...)`, `await ctx.log(...)` or `app.resource_updated(uri)`",
    "send_ping": "open streams are kept alive without one",
    "send_progress_notification": "write `await ctx.progress(progress, total, message)`",
    "send_prompt_list_changed": "clients are told by themselves when a prompt is added or removed",
    "send_request": "write `await ctx.elicit(...)`, `await ctx.sample(...)` or `await ctx.roots()`",
    "send_resource_list_changed": "clients are told by themselves when a resource is added or removed",
    "send_resource_updated": "write `app.resource_updated(uri)`",
    "send_tool_list_changed": "clients are told by themselves when a tool is added or removed",
}


def _no_such_name(self: object, name: str) -> NoReturn:
    from .other_names import naming  # for mistakes alone

    naming("a Session", _ELSEWHERE)(self, name)


setattr(Session, "__getattr__", _no_such_name)  # noqa: B010 - type checkers would take any name
