"""Lines over the standard streams of a process: the server in it, and the client that started it.

Theory of operation. A server (`server`) takes the streams from Python for itself (`streams`); a client (`client`) owns
the process (`process`) and ends it with all that it started. Neither loads the other.

Specification: basic/transports, "stdio".
"""

__all__: list[str] = []
