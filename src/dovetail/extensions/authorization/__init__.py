"""The extensions of authorization as values: ways for clients to be let in beside a login in a browser.

Theory of operation. What happens on the wire is OAuth, and none of it is a method: a client gets its tokens in another
way, and a server checks them as it checks any (`dovetail.auth.Protected`). So each value here is an identifier that
both sides declare. ``Client(auth=ClientCredentials(...))`` and the other settings declare theirs by themselves; a
client whose credentials come from elsewhere is given the value. A server announces what it is given, and with
``required`` answers those who did not declare it with -32021 (requests of revisions in which nobody can declare
anything pass). That a client says so proves nothing: what lets it in is its token.

Specification: the extensions oauth-client-credentials, enterprise-managed-authorization, auth/dpop and auth/wif.
"""

from dovetail.auth import extension_names
from dovetail.extensions import Extension

__all__ = ["client_credentials", "dpop", "enterprise_managed", "workload_identity"]


def client_credentials(*, required: bool = False) -> Extension:
    """Programs get tokens for themselves, as with `dovetail.auth.ClientCredentials`.

    ``required``: a server answers requests of clients that did not declare it with -32021.
    """
    return Extension(identifier=extension_names.CLIENT_CREDENTIALS, required=required)


def enterprise_managed(*, required: bool = False) -> Extension:
    """People are let in by their company's identity provider, as with `dovetail.auth.EnterpriseManaged`.
    ``required``: as for `client_credentials`.
    """
    return Extension(identifier=extension_names.ENTERPRISE_MANAGED, required=required)


def workload_identity(*, required: bool = False) -> Extension:
    """Workloads are let in by the token of their platform, as with `dovetail.auth.WorkloadIdentity`.
    ``required``: as for `client_credentials`.
    """
    return Extension(identifier=extension_names.WORKLOAD_IDENTITY, required=required)


def dpop(*, required: bool = False) -> Extension:
    """Tokens are bound to a key of the client's, as with ``dpop=True`` of all these, and ``Protected(dpop=...)``.
    ``required``: as for `client_credentials`.
    """
    return Extension(identifier=extension_names.DPOP, required=required)
