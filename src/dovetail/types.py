"""Messages and values of the protocol as they go over the wire: one set of types for all revisions, frozen Structs.

``to_wire()`` of each gives plain values. `reader` makes values of bytes, `encode` bytes of values, `decode` plain
values of bytes. What a revision lacks is data in its table (`dovetail.revisions`), not a second set of types.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames
from .protocol.types import __all__ as _all

_lazy = LazyNames(
    __name__,
    {
        "dovetail.protocol.bindings.single_request": ("SingleRequest", "single_reply", "single_request"),
        "dovetail.protocol.codec": ("DECODE_ERRORS", "Reader", "decode", "encode", "reader"),
        "dovetail.protocol.schema.validator": ("Validator", "Violation", "compile_schema", "explain"),
        "dovetail.protocol.types": tuple(_all),
        "dovetail.protocol.types.content": ("ContentType", "content_type"),
        "dovetail.protocol.uri_template.template": ("URITemplate",),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
