"""Lines over a unix socket, server and client. Neither loads the other.

Specification: none; the framing is that of basic/transports, "stdio".
"""

__all__: list[str] = []
