"""The parts of OAuth that both ends share, for who writes an authorization server, a resource server or a client.

Theory of operation. `dovetail.auth` has what most programs need: a server that checks tokens, a client that gets them.
An authorization server of your own, such as `dovetail_authserver`, is made of these parts instead: names of resources
(RFC 8707), what a client says of itself (RFC 7591), the proof key of a code exchange (RFC 7636), signed tokens read
strictly (RFC 7515), proofs of possession (RFC 9449). All of it is text and bytes in, verdicts out: what reaches over a
network is `dovetail.security.Fetcher`.

Specification: basic/authorization; OAuth 2.1.
"""

from ..challenges import Challenge, parse_challenges, render_challenge
from ..dpop import DPOP_ALGORITHMS, DPoPKey, NonceRequired, ProofChecker, ProofInvalid
from ..metadata import ClientMetadata, MetadataInvalid, parse_client
from ..pkce import challenge_of, is_challenge, new_verifier, verifies
from ..resources import canonical_resource
from ..signed import Compact, KeyUnusable, SignatureInvalid, VerifyingKey, read_compact

__all__ = [
    "Challenge",
    "parse_challenges",
    "render_challenge",
    "canonical_resource",
    "ClientMetadata",
    "MetadataInvalid",
    "parse_client",
    "challenge_of",
    "is_challenge",
    "new_verifier",
    "verifies",
    "Compact",
    "KeyUnusable",
    "SignatureInvalid",
    "VerifyingKey",
    "read_compact",
    "DPOP_ALGORITHMS",
    "DPoPKey",
    "NonceRequired",
    "ProofChecker",
    "ProofInvalid",
]
