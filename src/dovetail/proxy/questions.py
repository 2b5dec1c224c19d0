"""What an upstream asks, as it is put to a caller of another revision.

Specification: client/elicitation, client/sampling, client/roots.
"""

import os
from typing import Any, Final

import msgspec
from msgspec import Raw
from msgspec.structs import replace

from ..errors import MissingCapability
from ..revisions import Feature, Profile
from ..server import Question
from ..server.form_grammar import cut
from ..types import ClientCapabilities, ElicitParams, Params, decode, encode, reader

_OWN: Final = frozenset({"_meta", "task"})


def plain_params(raw: Raw) -> Raw:
    """Parameters of a question without what belongs to its own request: ``_meta``, and that it be a task."""
    if not raw:
        return Raw(b"{}")
    members = msgspec.json.decode(raw, type=dict[str, Raw])
    if members.keys().isdisjoint(_OWN):
        return raw.copy()
    return Raw(msgspec.json.encode({name: each for name, each in members.items() if name not in _OWN}))


def carried(method: str, params: bytes | Raw, profile: Profile) -> Params:
    """The parameters of a question as a revision has it. Raises `MissingCapability` for one that it can't carry."""
    row = profile.server_requests.get(method)
    if row is None:
        raise MissingCapability(
            f"revision {profile.revision} has no {method[:100]}",
            data={"requiredCapabilities": {method.partition("/")[0]: {}}},
        )
    found = reader(row.params).keep(params or b"{}")
    if not isinstance(found, ElicitParams):
        return found
    if found.mode == "url":
        if found.elicitation_id is None and profile.has(Feature.ELICITATION_IDS):
            return replace(found, elicitation_id=os.urandom(16).hex())
        return found
    schema = found.requested_schema
    if schema is not None and isinstance(schema.get("properties"), dict):
        defaults, forms = (
            profile.has(Feature.ELICITATION_DEFAULTS),
            profile.has(Feature.ELICITATION_ENUM_FORMS),
        )
        if not (defaults and forms):
            return replace(found, requested_schema=cut(schema, defaults=defaults, enum_forms=forms))
    return found


class PassedQuestion(Question[Any]):
    """A question of the upstream's, as it came."""

    def __init__(self, method: str, params: Any) -> None:
        self.method = method
        self._params = params

    def needs(self) -> dict[str, Any]:
        """The capability that the caller has to declare."""
        return {self.method.partition("/")[0]: {}}

    def check(self, profile: Profile, capabilities: ClientCapabilities) -> None:
        """Raise `MissingCapability` unless revision and caller can be asked this."""
        super().check(profile, capabilities)
        needed = self.needs()
        if any(getattr(capabilities, name, None) is None for name in needed):
            raise MissingCapability(
                f"this request needs the client capability {next(iter(needed))!r}",
                data={"requiredCapabilities": needed},
            )

    def params(self, profile: Profile) -> Params | Raw:
        """The parameters, as the caller's revision carries them."""
        return carried(self.method, encode(self._params), profile)

    def read(self, answer: Raw) -> Any:
        """The answer, as it came."""
        return decode(answer)


__all__ = ["PassedQuestion", "carried", "plain_params"]
