"""How messages map onto bytes: HTTP headers and origins, event streams, and lines.

Each module here is one pure mapping between values and bytes, without I/O. Transports feed
them what they read and write what they return. Import the module you need:

* ``sse``      server-sent events, written and parsed incrementally
* ``lines``    one message per line, as the stdio transport wants it
* ``headers``  request headers that mirror the body, media types, session identifiers
* ``origins``  who may talk to this endpoint, judged by Host and Origin

Specification: basic/transports of every revision.
"""

from __future__ import annotations

__all__: list[str] = []
