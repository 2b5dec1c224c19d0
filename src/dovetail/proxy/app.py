"""A whole server that offers what another one offers.

Specification: none.
"""

from typing import Any

from ..client import Target
from ..extensions.tasks import tasks as running_tasks
from ..server.app import App
from .provider import ProxyProvider


def proxy_app(target: Target, *, name: str = "proxy", tasks: bool = False, **options: Any) -> App:
    """An app that offers what the server at ``target`` offers, under the same names.

    ``tasks``: what that server runs as tasks may be a task of the app, too, for callers who know tasks; without, they
    wait for the answer like all others. ``options`` are those of `ProxyProvider`. To serve it:
    ``proxy_app("python server.py").run("http")``. Raises as `ProxyProvider` does.
    """
    app = App(name, extensions=[running_tasks()] if tasks else [])
    app.mount(None, ProxyProvider(target, **options))
    return app


__all__ = ["proxy_app"]
