"""The public names of serving over HTTP; what is behind them is the room ``http_server``.

Specification: basic/transports of every revision.
"""

from ..http_server.asgi import HTTPApp
from ..http_server.routes import Request, Response, Route

__all__ = ["HTTPApp", "Request", "Response", "Route"]
