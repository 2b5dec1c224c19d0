"""Serving an ASGI application over HTTP/1.1: sockets, worker processes, connections.

Theory of operation. `runner` binds and tells the address, `workers` keeps processes alive, `uvicorn_server` is uvicorn
as it is run here, and `connection` is what it runs for each client.

Specification: RFC 9112; ASGI 3.0, "HTTP".
"""

__all__: list[str] = []
