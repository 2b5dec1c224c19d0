"""The protected server: tokens checked, the resource described, and challenges for those who may not come in.

Theory of operation. `protected` is the setting that an author writes and `gatekeeper` what it becomes at an endpoint;
`credentials` reads the header, `jwt_check` and `introspection_check` judge tokens by the rules in `claims`,
`key_sets` has the issuers' keys, `verdicts` what they have in common.

Specification: basic/authorization.
"""

from .gatekeeper import DPoPUse
from .introspection_check import ClientAuthentication, introspection
from .jwt_check import jwt
from .protected import Protected
from .verdicts import TokenCheck

__all__ = ["Protected", "introspection", "jwt", "ClientAuthentication", "DPoPUse", "TokenCheck"]
