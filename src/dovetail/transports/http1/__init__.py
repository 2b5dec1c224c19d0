"""HTTP/1.1 on connections of our own, at both ends. Neither end knows anything of the other.

Specification: RFC 9112.
"""

__all__: list[str] = []
