"""Where what an app offers can come from, and how it is shown: `Provider` for a source of your own, given to
`dovetail.App.mount`, and transforms for any of them.

Specification: server/tools, server/resources, server/prompts.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.server.catalog": ("ListKind",),
        "dovetail.server.providers.files": ("Files",),
        "dovetail.server.providers.provider": (
            "AskingRunner",
            "Offer",
            "ProvidedPage",
            "Provided",
            "Provider",
        ),
        "dovetail.server.providers.ready": (
            "Argument",
            "Described",
            "Sees",
            "arguments",
            "describe",
            "hide",
            "map_results",
            "namespace",
            "only",
            "rename",
            "tag",
            "versions",
            "visible",
        ),
        "dovetail.server.providers.transform": ("Transform",),
        "dovetail.server.python_files": ("PythonFiles",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
