"""A client of models behind any URL that speaks OpenAI's Chat Completions API: providers, gateways, local servers.

Theory of operation. One request is one POST; its answer is read whole, or as a stream where somebody listens to the
text. Pieces of tool calls come by their index and are put together; some servers repeat what they sent, number nothing,
or answer a stream with plain JSON, and all of that is read. Nothing is sent twice: a model that is asked again costs
again. The key goes to the one origin of the URL, and over plain http to this machine alone; it is in no text of ours.

Specification: none; the API is OpenAI's.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..errors import DovetailError, LocalProtocolError, RequestTimeout
from ..protocol.bindings.sse import EventTooLarge, SSEParser
from ..security import one_line
from ..security.fetching import FetchRefused, parse_url
from .answers import ModelCall, member
from .openai_chat import calls

__all__ = ["MAX_ANSWER", "ChatModel", "ChatReply", "ModelFailed"]

MAX_ANSWER: Final = 16 * 1024 * 1024
"""Bytes of an answer that are read (16 MiB)."""
_EXCERPT: Final = 500
_ERROR_BODY: Final = 64 * 1024
_DONE: Final = b"[DONE]"
_OPENAI: Final = "api.openai.com"


class ModelFailed(DovetailError):
    """The server of a model refused, or gave what can't be read. ``status``: of HTTP; ``retry_after``: after how many
    seconds it wants to be asked again, None if it did not say. A ``status`` of 429 or above 499 passes, maybe.
    """

    def __init__(self, message: str, *, status: int, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class ChatReply(Struct, frozen=True, kw_only=True):
    """What a model answered. ``message``: to be appended to the conversation as it is. ``text``: what it says;
    ``calls``: the tools that it wants called. ``finish``: why it stopped, such as "stop", "length", "tool_calls".
    ``model``: what answered. ``tokens``: how many it read and wrote, where the server says so; 0 where not.
    """

    message: dict[str, Any]
    text: str
    calls: tuple[ModelCall, ...]
    finish: str
    model: str
    tokens: int = 0


class ChatModel:
    """A model: ``async with ChatModel("http://127.0.0.1:11434/v1", "llama") as model: await model.ask(messages)``.

    ``url``: of the API, up to ``/chat/completions``. ``key``: sent as a bearer token. ``headers``: sent besides.
    ``timeout``: seconds without a byte of an answer (300).

    Raises `LocalProtocolError` for a URL that is none, or for a key that would go to another machine unencrypted.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        key: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 300.0,
    ) -> None:
        path, mark, query = url.partition("?")
        self.url = f"{path.rstrip('/').removesuffix('/chat/completions')}/chat/completions{mark}{query}"
        self.model = model
        try:
            place = parse_url(self.url)
        except FetchRefused as problem:
            raise LocalProtocolError(f"{url!r} is no URL of a model: {problem}") from None
        if key and place.scheme == "http" and not place.is_local_name and not _is_loopback(place.host):
            raise LocalProtocolError(
                f"the key of a model is not sent to {place.host} over plain http, where others can read it; use https"
            )
        self._limit_name = "max_completion_tokens" if place.host == _OPENAI else "max_tokens"
        self._key = key
        self._headers = [
            ("content-type", "application/json"),
            *((name.lower(), value) for name, value in (headers or {}).items()),
            *([("authorization", f"Bearer {key}")] if key else []),
        ]
        self._timeout = timeout
        self._backend: Any = None

    async def __aenter__(self) -> "ChatModel":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Idempotent, bounded; the next question opens another."""
        backend, self._backend = self._backend, None
        if backend is not None:
            await backend.close()

    async def ask(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        on_text: Callable[[str], Any] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        stop: Sequence[str] = (),
        tool_choice: str | None = None,
    ) -> ChatReply:
        """Ask the model. ``messages`` and ``tools``: as "openai-chat" has them. ``on_text``: is given the text piece by
        piece, as it comes. ``max_tokens``, ``temperature``, ``stop``, ``tool_choice``: as the API has them.

        Raises `ModelFailed`, `RequestTimeout`, and `TransportError` where the server can't be reached.
        """
        asked: dict[str, Any] = {"model": self.model, "messages": list(messages)}
        if tools:
            asked["tools"] = list(tools)
            if tool_choice is not None:
                asked["tool_choice"] = tool_choice
        if max_tokens is not None:
            asked[self._limit_name] = max_tokens
        if temperature is not None:
            asked["temperature"] = temperature
        if stop:
            asked["stop"] = list(stop)
        if on_text is not None:
            asked["stream"] = True
        reader = _AnswerReader(on_text)
        clock = asyncio.timeout(self._timeout)
        try:
            async with clock:
                await self._exchange(msgspec.json.encode(asked), reader, clock)
        except TimeoutError:
            if not clock.expired():
                raise
            raise RequestTimeout(
                f"the model {self.model!r} said nothing for {self._timeout:g} seconds"
            ) from None
        return self._reply(reader.message())

    async def _exchange(self, body: bytes, reader: "_AnswerReader", clock: asyncio.Timeout) -> None:
        response = await self._opened().request("POST", self.url, self._headers, body)
        try:
            reader.begin(response.headers.get("content-type", ""), response.status)
            while chunk := await response.read():
                clock.reschedule(asyncio.get_running_loop().time() + self._timeout)
                if reader.feed(chunk):
                    break
        finally:
            response.close()
        if response.status != 200:
            raise self._refused(response, reader.body())

    def _opened(self) -> Any:
        if self._backend is None:
            from ..transports.http1.client.http1_backend import HTTP1Backend  # only who asks needs an extra

            self._backend = HTTP1Backend()
        return self._backend

    def _refused(self, response: Any, body: bytes) -> ModelFailed:
        try:
            error: Any = member(msgspec.json.decode(body), "error", "message", "detail")
        except (msgspec.DecodeError, RecursionError):
            error = body.decode("utf-8", "replace")
        said = member(error, "message") if isinstance(error, Mapping) else error
        text = one_line(str(said or ""))
        if self._key:
            text = text.replace(self._key, "...")
        after = response.headers.get("retry-after", "")
        return ModelFailed(
            f"{urlsplit(self.url).hostname} refused with status {response.status}: {text[:_EXCERPT] or 'no reason'}",
            status=response.status,
            retry_after=float(after) if after.isdigit() else None,
        )

    def _reply(self, whole: Any) -> ChatReply:
        choices = member(whole, "choices")
        message = member(choices[0], "message") if isinstance(choices, list) and choices else None
        if not isinstance(message, dict):
            raise ModelFailed(f"the model {self.model!r} answered with nothing that is a message", status=200)
        answered = {"role": "assistant", **cast("dict[str, Any]", message)}
        text = answered.get("content")
        tokens = member(member(whole, "usage"), "total_tokens")
        return ChatReply(
            message={
                name: value for name, value in answered.items() if value is not None or name == "content"
            },
            text=text if isinstance(text, str) else "",
            calls=tuple(calls(answered)),
            finish=str(member(cast("list[Any]", choices)[0], "finish_reason") or ""),
            model=str(member(whole, "model") or self.model),
            tokens=tokens if isinstance(tokens, int) else 0,
        )

    def __repr__(self) -> str:
        return f"<ChatModel {self.model!r} at {self.url}>"


class _AnswerReader:
    """Reads the body of one answer, as JSON or as a stream of pieces."""

    def __init__(self, on_text: Callable[[str], Any] | None) -> None:
        self._on_text = on_text
        self._parser: SSEParser | None = None
        self._body = bytearray()
        self._size = 0
        self._limit = MAX_ANSWER
        self._texts: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._rest: dict[str, Any] = {}
        self._finish: Any = None
        self._error: Any = None

    def begin(self, kind: str, status: int) -> None:
        """The headers are there."""
        if status != 200:
            self._limit = _ERROR_BODY
        elif kind.partition(";")[0].strip().lower() == "text/event-stream":
            self._parser = SSEParser(MAX_ANSWER)

    def feed(self, chunk: bytes) -> bool:
        """Some of the body; whether no more is needed."""
        self._size += len(chunk)
        if self._size > self._limit:
            if self._limit == _ERROR_BODY:
                self._body += chunk[: _ERROR_BODY - len(self._body)]
                return True
            raise ModelFailed(f"the answer is longer than {MAX_ANSWER} bytes", status=200)
        if self._parser is None:
            self._body += chunk
            return False
        try:
            events = self._parser.feed(chunk)
        except EventTooLarge as problem:
            raise ModelFailed(f"the answer can't be read: {problem}", status=200) from None
        for event in events:
            if event.data.strip() == _DONE:
                return True
            if event.data:
                self._piece(event.data)
        return False

    def body(self) -> bytes:
        """What was read."""
        return bytes(self._body)

    def message(self) -> Any:
        """The whole answer, as it would have come without a stream."""
        if self._parser is None:
            whole = self._decoded(self.body())
            text = member(member((member(whole, "choices") or [None])[0], "message"), "content")
            if self._on_text is not None and isinstance(text, str) and text:
                self._on_text(text)
            return whole
        if self._error is not None:
            raise ModelFailed(f"the model failed while it answered: {one_line(str(self._error))}", status=200)
        if not self._texts and not self._calls and self._finish is None:
            raise ModelFailed("the answer ended before there was any of it", status=200)
        found: dict[str, Any] = {"role": "assistant", "content": "".join(self._texts) or None}
        if self._calls:
            found["tool_calls"] = [self._calls[each] for each in sorted(self._calls)]
        return {**self._rest, "choices": [{"message": found, "finish_reason": self._finish}]}

    def _decoded(self, data: bytes) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError):
            raise ModelFailed(
                "the answer is no JSON; does the URL lead to the API of a model?", status=200
            ) from None

    def _piece(self, data: bytes) -> None:
        piece = self._decoded(data)
        error = member(piece, "error")
        if error is not None:
            self._error = member(error, "message") or error
            return
        self._rest |= {
            name: value for name in ("model", "usage") if (value := member(piece, name)) is not None
        }
        choices = member(piece, "choices")
        if not isinstance(choices, list) or not choices:
            return
        choice = cast("list[Any]", choices)[0]
        self._finish = member(choice, "finish_reason") or self._finish
        delta = member(choice, "delta")
        text = member(delta, "content")
        if isinstance(text, str) and text:
            self._texts.append(text)
            if self._on_text is not None:
                self._on_text(text)
        for each in member(delta, "tool_calls") or ():
            self._call(each)

    def _call(self, part: Any) -> None:
        """A piece of a tool call. One without an index belongs to the last call, unless it brings an id of its own."""
        index, id = member(part, "index"), member(part, "id")
        last = max(self._calls, default=-1)
        if not isinstance(index, int):
            fresh = id is not None and (last < 0 or self._calls[last]["id"] != id)
            index = last + 1 if fresh or last < 0 else last
        call = self._calls.setdefault(
            index, {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        wanted = member(part, "function")
        call["id"] = call["id"] or str(id or "")
        call["function"]["name"] = call["function"]["name"] or str(member(wanted, "name") or "")
        call["function"]["arguments"] += str(member(wanted, "arguments") or "")


def _is_loopback(host: str) -> bool:
    from ipaddress import ip_address

    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
