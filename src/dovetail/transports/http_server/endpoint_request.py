"""One HTTP request to the endpoint, as all that serve it hand it on.

It lives as long as the ASGI server's task for it. What goes on for longer takes out of it what it
needs.
Specification: none.
"""

from __future__ import annotations

from msgspec import Struct

from ...security.principal import Principal
from .answering import Receive, Send
from .head import Head
from .watching import RequestWatch

__all__ = ["EndpointRequest", "PostRequest"]


class EndpointRequest(Struct, eq=False):
    """Whose it is, what its head says, and the ways to its client."""

    head: Head
    principal: Principal
    receive: Receive
    send: Send


class PostRequest(EndpointRequest, eq=False):
    """A POST. ``readable``: which kinds of answer its client accepts (`JSON_OK`, `SSE_OK`)."""

    readable: int
    watch: RequestWatch
