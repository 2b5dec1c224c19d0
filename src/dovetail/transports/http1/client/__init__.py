"""Requests over HTTP/1.1: what a backend is (`http_backend`), our own (`http1_backend`), that through proxies
(`aiohttp_backend`).

Specification: RFC 9110; RFC 9112.
"""

__all__: list[str] = []
