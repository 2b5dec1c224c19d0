"""A typed client of one server, as a Python module: what ``dovetail gen`` writes, and what it stands on.

Theory of operation
-------------------
`surface_of` asks a connected client for what its server offers, a `ServerSurface`. `generate` makes of it the source of
a module: a class for the server, one more that blocks, a method for each tool, resource, template and prompt, and a
type for each object of their schemas. The classes are a `TypedClient` and a `BlockingTypedClient`; they are all that a
module needs at run time, so importing it loads nothing of the generator.

All that is read is a stranger's. None of its names becomes an identifier before it was made one, and no text stands
anywhere but inside a string.

Specification: server/tools, server/resources, server/prompts.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.codegen.module": ("generate",),
        "dovetail.codegen.surface": ("ServerSurface", "surface_of"),
        "dovetail.codegen.typed_client": ("BlockingTypedClient", "SurfaceChanged", "TypedClient"),
        "msgspec": ("UNSET", "UnsetType"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
