"""Ready middleware for ``App(middleware=[...])``, and what one of your own is written with.

Theory of operation. A middleware is called with each request, its channel, and the handler that would answer it. One
with an attribute ``methods`` stands around those methods alone, and costs all others nothing (`for_method` says it of a
function). One with a ``lifespan`` is entered with the app's life, given the `Serving`, as an extension's is. Anybody's
can have all of that: what is here uses public names alone.

Specification: none.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.extensions": ("Call", "Channel", "Encoded", "Handler", "Middleware", "Result", "Serving"),
        "dovetail.middleware.caching": ("ResultCache",),
        "dovetail.middleware.call_logging": ("CallLogging",),
        "dovetail.middleware.error_table": ("ErrorTable",),
        "dovetail.middleware.failures": ("Failures",),
        "dovetail.middleware.rate_limit": ("ToolRateLimit",),
        "dovetail.middleware.results": ("for_method", "result_of"),
        "dovetail.middleware.retrying": ("Retries",),
        "dovetail.middleware.size_limit": ("SizeLimit",),
        "dovetail.middleware.timing": ("CallOutcome", "CallTimer", "CallTiming"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
