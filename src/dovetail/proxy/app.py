"""A whole server that offers what another one offers.

Specification: none.
"""

from typing import Any

from ..client import Target
from ..server.app import App
from .provider import ProxyProvider


def proxy_app(target: Target, *, name: str = "proxy", **options: Any) -> App:
    """An app that offers what the server at ``target`` offers, under the same names.

    ``options`` are those of `ProxyProvider`. To serve it: ``proxy_app("python server.py").run("http")``. Raises as
    `ProxyProvider` does.
    """
    app = App(name)
    app.mount(None, ProxyProvider(target, **options))
    return app


__all__ = ["proxy_app"]
