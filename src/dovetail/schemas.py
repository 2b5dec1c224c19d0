"""JSON Schema as Dovetail reads it: schemas from anyone, compiled and checked within bounds; what they say of headers.

Nothing is fetched, and no schema or value takes more than a bounded amount of work.

Specification: basic/index, "JSON Schema Usage"; basic/transports/streamable-http, "Schema Extension".
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.protocol.header_parameters": (
            "HeaderParameter",
            "InvalidHeaderAnnotation",
            "header_parameters",
        ),
        "dovetail.protocol.schema.screening": ("SchemaError",),
        "dovetail.protocol.schema.validator": ("Validator", "compile_schema"),
        "dovetail.protocol.schema.violations": ("Violation",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
