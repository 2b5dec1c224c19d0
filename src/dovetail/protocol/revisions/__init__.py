"""The revisions, oldest first, and how to find one."""

from .features import Feature
from .profile import Era, Method, NoticeType, Profile
from .profiles import Profiles
from .v2024_11_05 import V2024_11_05
from .v2025_03_26 import V2025_03_26
from .v2025_06_18 import V2025_06_18
from .v2025_11_25 import V2025_11_25
from .v2026_07_28 import V2026_07_28

PROFILES = Profiles((V2024_11_05, V2025_03_26, V2025_06_18, V2025_11_25, V2026_07_28))
REVISIONS: tuple[str, ...] = tuple(PROFILES)
STATEFUL = PROFILES.stateful
STATELESS = PROFILES.stateless

#: What a request without the version header is taken for (2025-11-25, basic/transports "Protocol Version Header").
ASSUMED_WITHOUT_HEADER = V2025_03_26

__all__ = [
    "ASSUMED_WITHOUT_HEADER",
    "PROFILES",
    "REVISIONS",
    "STATEFUL",
    "STATELESS",
    "Era",
    "Feature",
    "Method",
    "NoticeType",
    "Profile",
]
