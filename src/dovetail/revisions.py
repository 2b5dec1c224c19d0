"""The revisions of the specification as data, oldest first: which methods, notifications, fields and features each has.

`PROFILES` has the rules of each by its date; a `Method` has what is true of a request. An extension brings rows of its
own. Specification: basic/versioning.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from .lazy_names import LazyNames
from .protocol.revisions import __all__ as _all

_lazy = LazyNames(__name__, {"dovetail.protocol.revisions": tuple(_all)})
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
