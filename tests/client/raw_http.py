"""A raw HTTP server for tests: one handler says what each request is answered with; nothing of ours is imported."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

Answer = tuple[int, dict[str, str], Any]
Handler = Callable[[str, dict[str, str], Any], Answer | Awaitable[Answer]]


class RawHTTP:
    """``handler(method, headers, message)`` gives status, headers and body: JSON, bytes, or None for an empty one.

    Among the headers, ``:path`` is the target of the request.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def __aenter__(self) -> "RawHTTP":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}/mcp"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first = await reader.readline()
        if not first:
            return False
        method = first.split()[0].decode()
        headers: dict[str, str] = {":path": first.split()[1].decode()}
        while (line := (await reader.readline()).decode("latin-1").strip()) != "":
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        answer = self._handler(method, headers, json.loads(body) if body else None)
        status, extra, content = answer if isinstance(answer, tuple) else await answer
        data = (
            b""
            if content is None
            else content
            if isinstance(content, bytes)
            else json.dumps(content).encode()
        )
        kind = {} if content is None or "content-type" in extra else {"content-type": "application/json"}
        head = [f"HTTP/1.1 {status} X", f"content-length: {len(data)}"]
        head += [f"{name}: {value}" for name, value in {**kind, **extra}.items()]
        writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + data)
        await writer.drain()
        return True


def result(message: Any, **members: Any) -> dict[str, Any]:
    """A response with a result."""
    return {"jsonrpc": "2.0", "id": message["id"], "result": members}


def error(message: Any, code: int, text: str, data: Any = None) -> dict[str, Any]:
    """A response with an error."""
    told = {"code": code, "message": text} if data is None else {"code": code, "message": text, "data": data}
    return {"jsonrpc": "2.0", "id": message["id"], "error": told}
