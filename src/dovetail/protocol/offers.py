"""Whether a request may be sent: the revision has its method, and the peer offers it. In both eras alike.

Specification: basic/lifecycle "Capability Negotiation"; basic/versioning.
"""

from .errors import FeatureUnavailable
from .revisions import PROFILES, Method, Profile
from .revisions.profiles import Profiles
from .types.capabilities import ClientCapabilities, ServerCapabilities

__all__ = ["check_method", "check_question"]


def check_method(
    method: str, profile: Profile, capabilities: ServerCapabilities | None, profiles: Profiles = PROFILES
) -> Method | None:
    """Whether a client may send the request. Raises `FeatureUnavailable` when revision or server do not have
    it.
    """
    spec = profile.client_requests.get(method)
    if spec is None and method in profiles.methods:
        raise FeatureUnavailable(f"{method} does not exist in revision {profile.revision}")
    if spec is not None and capabilities is not None and (lacking := _lacking(spec.capability, capabilities)):
        raise FeatureUnavailable(f"the server does not offer {lacking}, so {method} can't be sent")
    if spec is not None and capabilities is not None and not _declares(capabilities, spec.extension, profile):
        raise FeatureUnavailable(f"the server did not declare {spec.extension}, so {method} can't be sent")
    return spec


def check_question(method: str, profile: Profile, capabilities: ClientCapabilities) -> None:
    """Whether a server may ask the client this. Raises `FeatureUnavailable` when revision or client do not
    have it.
    """
    spec = profile.server_requests.get(method)
    if spec is None:
        raise FeatureUnavailable(f"{method} does not exist in revision {profile.revision}")
    if lacking := _lacking(spec.capability, capabilities):
        raise FeatureUnavailable(
            f"the client did not declare the capability {lacking!r}, so {method} can't be sent"
        )


def _declares(capabilities: ServerCapabilities, extension: str, profile: Profile) -> bool:
    """Whether a server has what brings a method, as far as it could say so."""
    return not extension or not profile.declares_extensions or extension in (capabilities.extensions or {})


def _lacking(capability: str, offered: object) -> str:
    """What is missing of a capability, by its name; empty if nothing is."""
    name, _, member = capability.partition(".")
    if not name:
        return ""
    found = getattr(offered, name)
    if found is None:
        return name
    return capability if member and not getattr(found, member) else ""
