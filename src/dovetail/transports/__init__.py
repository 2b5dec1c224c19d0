"""Bytes in and out.

Theory of operation. A transport moves messages between an engine and a peer and knows nothing of what they
say. The modules of this package are imported by name; the package itself exports nothing, so that a stdio
server pays for no HTTP and the other way round.

Specification: basic/transports.
"""

__all__: list[str] = []
