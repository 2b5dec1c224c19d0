"""The names of `dovetail.security` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.logs import get_logger
from dovetail.protocol.bindings.origins import Authority, Origin, parse_host, parse_origin
from dovetail.protocol.safe_text import in_place, one_line, passage
from dovetail.security.authenticator import (
    AuthenticationFailed,
    Authenticator,
    Credentials,
    Gatekeeper,
    InsufficientScope,
    Protection,
)
from dovetail.security.callers import caller_of, network_of
from dovetail.security.client_auth import AuthSetting, ClientAuth, Refusal
from dovetail.security.fetching import (
    Fetched,
    Fetcher,
    FetchFailed,
    FetchRefused,
    Location,
    Resolve,
    parse_url,
)
from dovetail.security.file_lock import locked
from dovetail.security.key_ring import KeyRing
from dovetail.security.limits import RateLimiter
from dovetail.security.principal import ANONYMOUS
from dovetail.security.safe_paths import PathRefused, open_within, safe_join
from dovetail.security.sealing import AESGCMSealer, SealBroken, Sealer, SealTooLarge
from dovetail.security.shared_limits import SharedRateLimiter

__all__ = [
    "AESGCMSealer",
    "ANONYMOUS",
    "AuthSetting",
    "AuthenticationFailed",
    "Authenticator",
    "Authority",
    "ClientAuth",
    "Credentials",
    "FetchFailed",
    "FetchRefused",
    "Fetched",
    "Fetcher",
    "Gatekeeper",
    "InsufficientScope",
    "KeyRing",
    "Location",
    "Origin",
    "PathRefused",
    "Protection",
    "RateLimiter",
    "Refusal",
    "Resolve",
    "SealBroken",
    "SealTooLarge",
    "Sealer",
    "SharedRateLimiter",
    "caller_of",
    "get_logger",
    "in_place",
    "locked",
    "network_of",
    "one_line",
    "open_within",
    "parse_host",
    "parse_origin",
    "parse_url",
    "passage",
    "safe_join",
]
