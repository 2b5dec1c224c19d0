"""The names of `dovetail.security` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.security.authenticator import (
    AuthenticationFailed,
    Authenticator,
    Credentials,
    Gatekeeper,
    InsufficientScope,
    Protection,
)
from dovetail.security.client_auth import AuthSetting, ClientAuth, Refusal
from dovetail.security.fetching import Fetched, Fetcher, FetchFailed, FetchRefused, Resolve
from dovetail.security.key_ring import KeyRing
from dovetail.security.principal import ANONYMOUS
from dovetail.security.safe_paths import PathRefused, open_within, safe_join
from dovetail.security.sealing import AESGCMSealer, SealBroken, Sealer, SealTooLarge

__all__ = [
    "AESGCMSealer",
    "ANONYMOUS",
    "AuthSetting",
    "AuthenticationFailed",
    "Authenticator",
    "ClientAuth",
    "Credentials",
    "FetchFailed",
    "FetchRefused",
    "Fetched",
    "Fetcher",
    "Gatekeeper",
    "InsufficientScope",
    "KeyRing",
    "PathRefused",
    "Protection",
    "Refusal",
    "Resolve",
    "SealBroken",
    "SealTooLarge",
    "Sealer",
    "open_within",
    "safe_join",
]
