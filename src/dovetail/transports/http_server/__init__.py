"""The server's side of HTTP: one bare ASGI application that serves both eras on one endpoint.

Theory of operation. `HTTPApp` is an ASGI 3 callable without a framework beneath it, so it runs under any
ASGI server and mounts into any ASGI framework. Each request passes the origin check (who may call, in which
shape), is read within limits, and goes to one of two halves: `stateless` answers a request of the stateless
era in the task that the server made for it; `stateful` keeps sessions as records in a store, runs each call
in a task of its own and streams its messages in a way that can be resumed. `sse_2024` is the deprecated
HTTP+SSE transport, off unless asked for. What authors see of it is public elsewhere: `App.asgi`, `dovetail.Request`.

Specification: basic/transports of 2025-03-26 to 2025-11-25; 2026-07-28 basic/transports/streamable-http;
2024-11-05 basic/transports, "HTTP with SSE".
"""

__all__: list[str] = []
