"""The Inspector: see, try and prove any MCP server.

Theory of operation
-------------------
`inspection` is the Inspector without a face: servers, conversations, calls, questions, on one event loop; what
happens is told as numbered `events`, what is shown is plain data (`views`). Read on in this order: `transcript` (what
was said, as an index over a capture file), `session` (one server that is looked at), `web` (the page's half that is
in Python), `targets` and `command` (``dovetail inspect``).

It is an application: what it imports of Dovetail are public names.

Specification: none; docs/inspector.md.
"""

__all__ = ["__version__"]

__version__ = "0.1.0"
