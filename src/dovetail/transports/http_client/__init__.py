"""The client's side of HTTP: what messages, streams and sessions are as requests and responses.

Theory of operation. `transport` is the client's end of the Streamable HTTP transport, `sse_2024` that of the deprecated
HTTP+SSE. Both send through an `endpoint`, which knows the address and puts credentials on each request. Below it is
whatever moves the bytes (`dovetail.transports.http1.client`).

Specification: basic/transports of 2025-03-26 to 2025-11-25; 2026-07-28 basic/transports/streamable-http; 2024-11-05
basic/transports, "HTTP with SSE".
"""

__all__: list[str] = []
