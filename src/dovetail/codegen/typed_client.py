"""What the classes of a written module are: a client of one server, whose methods it adds.

When it is opened, it lists the tools, for two reasons: results are then held against the schemas that the server gives
for them, and a tool that asks for something else than it did when the module was written can be named. That is a
warning: the call may well work still, and the server's answer says whether it does.
"""

import warnings
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, ClassVar, TypeVar, Unpack, cast

from msgspec import UNSET

from dovetail.client import BlockingClient, Client, ClientOptions, ProgressHandler, Seconds, Target
from dovetail.errors import LocalProtocolError, RPCError
from dovetail.types import GetPromptResult, Tool

from .surface import marks_of

__all__ = ["BlockingTypedClient", "SurfaceChanged", "TypedClient"]

Self = TypeVar("Self", bound="TypedClient")
BlockingSelf = TypeVar("BlockingSelf", bound="BlockingTypedClient")


class SurfaceChanged(UserWarning):
    """A server no longer offers what a module was written from. Write the module anew."""


class _WrittenClient:
    """What both kinds have in common: what the module was written from."""

    written_tools: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Of each tool the marks of what it took and gave when the module was written."""
    written_revision: ClassVar[str] = ""
    """The revision that was spoken then."""
    changed: tuple[str, ...] = ()
    """The tools that are gone, or whose schemas are others than those that the module was written from; known once the
    client is open.
    """

    def _compare(self, tools: Iterable[Tool], revision: str) -> None:
        """Note what changed, and warn of it."""
        now, changed = marks_of(tools), dict[str, str]()
        # Other revisions know fewer kinds of results, so they are compared where the same is spoken.
        results = {self.written_revision: self.written_tools}.get(revision, {})
        for name, (taken, given) in self.written_tools.items():
            there = now.get(name)
            if there is None:
                changed[name] = "is gone"
            elif there[0] != taken:
                changed[name] = "takes other arguments"
            elif name in results and there[1] != given:
                changed[name] = "gives other results"
        self.changed = tuple(changed)
        if changed:
            said = "; ".join(f"the tool {name!r} {how}" for name, how in changed.items())
            text = (
                f"{said[:2000]} since {type(self).__module__} was written; write it anew with `dovetail gen`"
            )
            warnings.warn(text, SurfaceChanged, stacklevel=4)

    def _not_compared(self, problem: RPCError) -> None:
        text = f"whether the server is still as {type(self).__module__} says is not known: {problem}"
        warnings.warn(text, SurfaceChanged, stacklevel=4)


class TypedClient(_WrittenClient):
    """A client of one server, with a method for each thing that it offers: what ``dovetail gen`` writes.

    ``target``: as for `Client`, with its ``options``; or a `Client`, which its owner opens and closes. ``check``: list
    the tools when it is opened, hold results against their schemas, and warn (`SurfaceChanged`) of what is no longer as
    it was when the module was written.
    """

    def __init__(self, target: Target, *, check: bool = True, **options: Unpack[ClientOptions]) -> None:
        _refuse(target, Client, options)
        self._owned = not isinstance(target, Client)
        self._check = check
        self.client: Client = Client(target, **options) if self._owned else target

    async def open(self: Self) -> Self:
        """Connect, and see whether the server is still as it was. Raises as `Client.open` does."""
        await self.client.open()
        if self._check and self.written_tools:
            try:
                tools = [each async for each in self.client.tools()]
            except RPCError as problem:
                self._not_compared(problem)
            else:
                self._compare(tools, self.client.revision)
        return self

    async def close(self) -> None:
        """Let go of the server; does nothing to a `Client` that was given. Idempotent."""
        if self._owned:
            await self.client.close()

    async def __aenter__(self: Self) -> Self:
        try:
            return await self.open()
        except BaseException:
            await self.close()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        into: Any,
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> Any:
        """Call a tool: its value as ``into``, or the whole result if that is None. Raises as `Client.call_tool` does,
        and `ToolFailed`.
        """
        given = _given(arguments)
        if into is None:
            result = await self.client.call_tool(tool, given, timeout=timeout, progress=progress, meta=meta)
            return result.raise_on_error()
        return await self.client.call_tool(
            tool, given, into=into, timeout=timeout, progress=progress, meta=meta
        )

    async def _read(
        self,
        uri: str,
        variables: Mapping[str, Any] | None,
        into: Any,
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> Any:
        """Read a resource, or one that a template means."""
        values = None if variables is None else _given(variables)
        return await self.client.read(uri, values, into=into, timeout=timeout, progress=progress, meta=meta)

    async def _prompt(
        self,
        name: str,
        arguments: Mapping[str, Any],
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> GetPromptResult:
        """The messages of a prompt."""
        return await self.client.get_prompt(
            name, _given(arguments) or None, timeout=timeout, progress=progress, meta=meta
        )


class BlockingTypedClient(_WrittenClient):
    """`TypedClient`, blocking. ``target``: as there, or a `BlockingClient`."""

    def __init__(self, target: Target, *, check: bool = True, **options: Unpack[ClientOptions]) -> None:
        _refuse(target, BlockingClient, options)
        self._owned = not isinstance(target, BlockingClient)
        self._check = check
        self.client: BlockingClient = Client.sync(target, **options) if self._owned else target

    def open(self: BlockingSelf) -> BlockingSelf:
        """Connect, and see whether the server is still as it was. Raises as `BlockingClient.open` does."""
        self.client.open()
        if self._check and self.written_tools:
            try:
                tools = list(self.client.tools())
            except RPCError as problem:
                self._not_compared(problem)
            else:
                self._compare(tools, self.client.revision)
        return self

    def close(self) -> None:
        """Let go of the server; does nothing to a `BlockingClient` that was given. Idempotent."""
        if self._owned:
            self.client.close()

    def __enter__(self: BlockingSelf) -> BlockingSelf:
        try:
            return self.open()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _call(
        self,
        tool: str,
        arguments: Mapping[str, Any],
        into: Any,
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> Any:
        """See `TypedClient`."""
        given = _given(arguments)
        if into is None:
            result = self.client.call_tool(tool, given, timeout=timeout, progress=progress, meta=meta)
            return result.raise_on_error()
        return self.client.call_tool(tool, given, into=into, timeout=timeout, progress=progress, meta=meta)

    def _read(
        self,
        uri: str,
        variables: Mapping[str, Any] | None,
        into: Any,
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> Any:
        """Read a resource, or one that a template means."""
        values = None if variables is None else _given(variables)
        return self.client.read(uri, values, into=into, timeout=timeout, progress=progress, meta=meta)

    def _prompt(
        self,
        name: str,
        arguments: Mapping[str, Any],
        timeout: Seconds,
        progress: ProgressHandler | None,
        meta: Mapping[str, Any] | None,
    ) -> GetPromptResult:
        """The messages of a prompt."""
        return self.client.get_prompt(
            name, _given(arguments) or None, timeout=timeout, progress=progress, meta=meta
        )


def _given(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What was not left out."""
    return {name: value for name, value in arguments.items() if value is not UNSET}


def _refuse(target: Any, kind: type[Any], options: ClientOptions) -> None:
    """Raise `LocalProtocolError` for what does not go together."""
    if isinstance(target, kind) and options:
        named = ", ".join(cast("dict[str, Any]", options))
        raise LocalProtocolError(f"a client that is there has its options already: {named}")
    if isinstance(target, (Client, BlockingClient)) and not isinstance(target, kind):
        raise LocalProtocolError(f"this class stands on a {kind.__name__}, not on a {type(target).__name__}")
    if options.get("rounds") == "manual":
        raise LocalProtocolError('rounds="manual" gives questions in place of values; use a Client for it')
