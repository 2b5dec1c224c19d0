"""The server side: an author's functions become tools, resources and prompts that every revision can call.

An `App` is in `dovetail`. Here are the types that its methods and its `Context` take and give, for functions of yours
that are annotated, and that pass options on.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.protocol.bindings.origins": ("OriginPolicy",),
        "dovetail.protocol.call": ("Peer",),
        "dovetail.server.access": ("Allow",),
        "dovetail.server.app": ("Lifespan",),
        "dovetail.server.options": (
            "ASGIReceive",
            "ASGIScope",
            "ASGISend",
            "Endpoint",
            "EndpointOptions",
            "HTTPOptions",
            "Mountable",
            "Policy",
            "PromptOptions",
            "ResourceOptions",
            "StdioOptions",
            "ToolOptions",
            "TransportName",
            "UnixOptions",
        ),
        "dovetail.server.questions": ("Question", "SampleOptions"),
        "dovetail.server.session": ("Session",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
