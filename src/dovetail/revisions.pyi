"""The names of `dovetail.revisions` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.protocol.revisions import (
    ASSUMED_WITHOUT_HEADER,
    PROFILES,
    REVISIONS,
    STATEFUL,
    STATELESS,
    Era,
    Feature,
    Method,
    NoticeType,
    Profile,
)

__all__ = [
    "ASSUMED_WITHOUT_HEADER",
    "Era",
    "Feature",
    "Method",
    "NoticeType",
    "PROFILES",
    "Profile",
    "REVISIONS",
    "STATEFUL",
    "STATELESS",
]
