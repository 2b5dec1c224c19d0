"""A server of a model that says what it is told to: a real one, over HTTP, in a thread.

Each answer is a dict, sent as JSON or as a stream as the request wants; an `Answer`; or a function of the request that
gives either. What was asked is kept.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Answer:
    """An answer byte by byte. ``cut``: the connection ends before the body does."""

    body: bytes
    status: int = 200
    kind: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


Step = dict[str, Any] | Answer | Callable[[dict[str, Any]], "dict[str, Any] | Answer"]


@dataclass
class ModelServer:
    """``url``: for `ChatModel`. ``asked``: the requests, ``headers``: theirs."""

    steps: list[Step]
    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def answer(self, asked: dict[str, Any], headers: dict[str, str]) -> Answer:
        """The next answer."""
        self.asked.append(asked)
        self.headers.append(headers)
        step = self.steps.pop(0) if self.steps else Answer(b"nothing is left to say", 500)
        given = step(asked) if callable(step) else step
        if isinstance(given, Answer):
            return given
        return stream_of(given) if asked.get("stream") else Answer(json.dumps(given).encode())


def says(text: str, finish: str = "stop") -> dict[str, Any]:
    """A completion that is a text."""
    message = {"role": "assistant", "content": text}
    return {"model": "scripted-1", "choices": [{"message": message, "finish_reason": finish}]}


def wants(*calls: tuple[str, dict[str, Any]], text: str | None = None) -> dict[str, Any]:
    """A completion that calls tools."""
    message = {
        "role": "assistant",
        "content": text,
        "tool_calls": [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for number, (name, arguments) in enumerate(calls)
        ],
    }
    return {"model": "scripted-1", "choices": [{"message": message, "finish_reason": "tool_calls"}]}


def stream_of(whole: dict[str, Any]) -> Answer:
    """A completion in pieces of three characters, as servers send them."""
    (choice,) = whole["choices"]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    text = message.get("content") or ""
    deltas += [{"content": text[at : at + 3]} for at in range(0, len(text), 3)]
    for index, call in enumerate(message.get("tool_calls", ())):
        arguments = call["function"]["arguments"]
        deltas.append(
            {"tool_calls": [{**call, "index": index, "function": {**call["function"], "arguments": ""}}]}
        )
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + 3]}}]}
            for at in range(0, len(arguments), 3)
        ]
    pieces = [
        {"model": whole["model"], "choices": [{"index": 0, "delta": each, "finish_reason": None}]}
        for each in deltas
    ]
    pieces.append({"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    return events(*pieces)


def events(*pieces: Any, done: bool = True) -> Answer:
    """A stream of these."""
    lines = [f"data: {json.dumps(each)}\n\n" for each in pieces] + (["data: [DONE]\n\n"] if done else [])
    return Answer("".join(lines).encode(), kind="text/event-stream; charset=utf-8")


@contextmanager
def model_server(*steps: Step) -> Iterator[ModelServer]:
    """A server that answers with these, one after the other."""
    script = ModelServer(list(steps))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = script.answer(asked, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(found.status)
            self.send_header("content-type", found.kind)
            self.send_header("content-length", str(len(found.body) + (1 if found.cut else 0)))
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)
            if found.cut:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
