"""Who is calling, what is sealed, which credentials are sent, which addresses and files may be reached.

Theory of operation. Each module stands alone; nothing here talks to the network by itself or knows of a transport: what
does, builds on these contracts from the floors above. Names are loaded when they are first asked for.

Specification: basic/authorization, basic/patterns/mrtr, "Security Best Practices".
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.logs": ("get_logger",),
        "dovetail.protocol.bindings.origins": ("Authority", "Origin", "parse_host", "parse_origin"),
        "dovetail.protocol.safe_text": ("in_place", "one_line", "passage"),
        "dovetail.security.authenticator": (
            "AuthenticationFailed",
            "Authenticator",
            "Credentials",
            "Gatekeeper",
            "InsufficientScope",
            "Protection",
        ),
        "dovetail.security.callers": ("caller_of", "network_of"),
        "dovetail.security.client_auth": ("AuthSetting", "ClientAuth", "Refusal"),
        "dovetail.security.fetching": (
            "FetchFailed",
            "FetchRefused",
            "Fetched",
            "Fetcher",
            "Location",
            "Resolve",
            "parse_url",
        ),
        "dovetail.security.file_lock": ("locked",),
        "dovetail.security.key_ring": ("KeyRing",),
        "dovetail.security.limits": ("RateLimiter",),
        "dovetail.security.shared_limits": ("SharedRateLimiter",),
        "dovetail.security.principal": ("ANONYMOUS",),
        "dovetail.security.safe_paths": ("PathRefused", "open_within", "safe_join"),
        "dovetail.security.sealing": ("AESGCMSealer", "SealBroken", "SealTooLarge", "Sealer"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
