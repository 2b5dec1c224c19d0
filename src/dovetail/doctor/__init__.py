"""What a connection to a server needs, looked into step by step: names, addresses, encryption, HTTP, login, protocol.

Theory of operation. `examine` gives the steps as they become known, `diagnose` all of them; each says what was seen and
what to do. ``dovetail doctor`` shows them.

Specification: basic/transports, basic/authorization, basic/versioning.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.doctor.examining": ("diagnose", "examine"),
        "dovetail.doctor.findings": ("Diagnosis", "Step"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
