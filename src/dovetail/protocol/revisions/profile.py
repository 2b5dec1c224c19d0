"""A revision as data.

A `Profile` says which methods, notifications, features, content types, fields and error codes one revision
has. The first revision is written out; each later one is a delta on the one before it (`Profile.next`).
Code above ``protocol/`` asks a profile for a `Feature` or for an encoding and never compares revisions.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, TypeVar, cast, get_args

from msgspec import Struct
from msgspec.structs import fields, replace

from .. import codec
from ..errors import (
    HEADER_MISMATCH,
    INTERNAL_ERROR,
    MISSING_CAPABILITY,
    UNSUPPORTED_VERSION,
    FeatureUnavailable,
    RPCError,
)
from ..types.capabilities import ServerCapabilities
from ..types.requests import Notice, Params, Result
from .features import Feature
from .projection import Projection

Era = Literal["stateful", "stateless"]
_MARKS: Final = frozenset({"resultType", "ttlMs", "cacheScope"})
"""Members of results that only the stateless era has."""
DEFINED_CODES: Final = frozenset({HEADER_MISMATCH, MISSING_CAPABILITY, UNSUPPORTED_VERSION})


class Method(Struct, frozen=True):
    """A request of a revision, and all that is true of it: nobody else keeps a table of methods.

    ``name`` on the wire; the types of what it carries and answers. ``capability``: the member of the receiver's
    capabilities that offers it, empty where all do; with a dot, a member of that (``resources.subscribe``).
    ``subject``: the member of ``params`` that says what it is about, which the name header repeats over HTTP.
    ``rounds``: the answer may ask back. ``cacheable``: the result may be kept; ``stale_by``: the kind of change
    (`Change.kind`) that ends it. ``ordered``: on a shared channel it is answered before the next message is read, for
    what follows depends on what it changes. ``early``: it may come before a session is open. ``repeatable``: it
    changes nothing, or the same thing however often it arrives. ``extension``: the identifier of the
    one that brings it, which the receiver has to have declared.
    """

    name: str
    params: type[Params]
    result: type[Result]
    capability: str = ""
    subject: str = ""
    rounds: bool = False
    cacheable: bool = False
    stale_by: str = ""
    ordered: bool = False
    early: bool = False
    repeatable: bool = False
    extension: str = ""

    def subject_in(self, params: Any) -> str | None:
        """What a request with these parameters (typed, or plain values) is about; None where that has no name."""
        if not self.subject:
            return None
        if isinstance(params, dict):
            found = cast("dict[str, Any]", params).get(self.subject)
        else:
            found = getattr(params, _attribute(type(cast("object", params)), self.subject), None)
        return found if isinstance(found, str) else None


@lru_cache(maxsize=256)
def _attribute(kind: type, member: str) -> str:
    """The attribute that holds a member of the wire."""
    return next((each.name for each in fields(kind) if each.encode_name == member), member)


class NoticeType(Struct, frozen=True):
    """A notification of a revision. ``repeatable``: as for a `Method`."""

    name: str
    params: type[Notice]
    repeatable: bool = False


class Profile(Struct, frozen=True, eq=False):
    """The rules of one revision. ``absent`` names, per type, the wire fields that the revision does not have."""

    revision: str
    era: Era
    client_requests: Mapping[str, Method]
    server_requests: Mapping[str, Method]
    client_notices: Mapping[str, NoticeType]
    server_notices: Mapping[str, NoticeType]
    features: frozenset[Feature]
    content: frozenset[str]
    absent: Mapping[type, frozenset[str]]
    codes: Mapping[type[RPCError], int]
    projection: Projection

    def encode(self, value: Any) -> bytes:
        """A value as JSON, without what the revision lacks. Raises `LocalProtocolError` for what it can't
        express.
        """
        return codec.encode(self.projection.apply(value))

    def carries(self, other: "Profile", kind: type) -> bool:
        """Whether values of a type, as another revision has them, are right in this one as they are: all but the marks
        of the stateless era.
        """
        return self is other or _carries(self, other, kind)

    def has(self, feature: Feature) -> bool:
        """Whether the revision has the feature."""
        return feature in self.features

    @property
    def stateless(self) -> bool:
        """Whether requests stand alone (since 2026-07-28)."""
        return self.era == "stateless"

    @property
    def declares_extensions(self) -> bool:
        """Whether there is a place where both sides declare extensions (since 2026-07-28)."""
        return "extensions" not in self.absent.get(ServerCapabilities, ())

    def code(self, error: RPCError) -> int:
        """The code that the revision gives an error. Since 2026-07-28 those of the reserved range that the page
        does not define are never sent (basic/index "Error Codes"): an internal error stands for them.
        """
        code = self.codes.get(type(error), error.code) if error.code == error.default_code else error.code
        if self.stateless and -32099 <= code <= -32000 and code not in DEFINED_CODES:
            return INTERNAL_ERROR
        return code

    def require(self, feature: Feature, what: str) -> None:
        """See that the revision has the feature. Raises `FeatureUnavailable`; ``what`` names it for the reader."""
        if feature not in self.features:
            raise FeatureUnavailable(f"{what} does not exist in revision {self.revision}")

    def next(
        self,
        revision: str,
        *,
        era: Era | None = None,
        client_requests: Iterable[Method] = (),
        server_requests: Iterable[Method] = (),
        client_notices: Iterable[NoticeType] = (),
        server_notices: Iterable[NoticeType] = (),
        removed: Iterable[str] = (),
        removed_client_notices: Iterable[str] = (),
        rounds: Iterable[str] = (),
        cacheable: Iterable[str] = (),
        features: Iterable[Feature] = (),
        without: Iterable[Feature] = (),
        content: Iterable[str] = (),
        present: Mapping[type, Iterable[str]] | None = None,
        gone: Mapping[type, Iterable[str]] | None = None,
        codes: Mapping[type[RPCError], int] | None = None,
    ) -> "Profile":
        """The next revision: this one, and what changed. ``present`` and ``gone`` name fields that came and
        went, ``rounds`` and ``cacheable`` the methods of before of which that is now true. Raises ValueError for a
        field that comes, and that this revision has already.
        """
        dropped = frozenset(removed)
        silent = dropped | frozenset(removed_client_notices)
        absent = {kind: set(names) for kind, names in self.absent.items()}
        for kind, names in (present or {}).items():
            if there := set(names) - absent.get(kind, set()):
                raise ValueError(
                    f"{revision} brings {', '.join(sorted(there))} of {kind.__name__}, which {self.revision} has"
                    " already: name it in `absent` of the first revision, or leave it out for a type that is new"
                )
            absent[kind] -= set(names)
        for kind, names in (gone or {}).items():
            absent.setdefault(kind, set()).update(names)
        return profile(
            revision=revision,
            era=era or self.era,
            client_requests=_marked(
                _merge(self.client_requests, client_requests, dropped), rounds=rounds, cacheable=cacheable
            ),
            server_requests=_merge(self.server_requests, server_requests, dropped),
            client_notices=_merge(self.client_notices, client_notices, silent),
            server_notices=_merge(self.server_notices, server_notices, dropped),
            features=(self.features | frozenset(features)) - frozenset(without),
            content=self.content | frozenset(content),
            absent={kind: frozenset(names) for kind, names in absent.items() if names},
            codes={**self.codes, **(codes or {})},
        )


def profile(
    *,
    revision: str,
    era: Era,
    client_requests: Mapping[str, Method],
    server_requests: Mapping[str, Method],
    client_notices: Mapping[str, NoticeType],
    server_notices: Mapping[str, NoticeType],
    features: frozenset[Feature],
    content: frozenset[str],
    absent: Mapping[type, frozenset[str]],
    codes: Mapping[type[RPCError], int],
) -> Profile:
    """A profile from its parts."""
    return Profile(
        revision=revision,
        era=era,
        client_requests=client_requests,
        server_requests=server_requests,
        client_notices=client_notices,
        server_notices=server_notices,
        features=features,
        content=content,
        absent=absent,
        codes=codes,
        projection=Projection(revision, absent, content, features),
    )


N = TypeVar("N", Method, NoticeType)


def _merge(old: Mapping[str, N], new: Iterable[N], dropped: frozenset[str]) -> dict[str, N]:
    merged = {name: spec for name, spec in old.items() if name not in dropped}
    merged.update((spec.name, spec) for spec in new)
    return merged


def _marked(methods: dict[str, Method], **facts: Iterable[str]) -> dict[str, Method]:
    """The methods, each fact true of those that are named with it."""
    for fact, names in facts.items():
        for name in names:
            methods[name] = replace(methods[name], **{fact: True})
    return methods


@lru_cache(maxsize=1024)
def _carries(here: Profile, there: Profile, kind: type) -> bool:
    needed = frozenset({Feature.ANY_STRUCTURED_CONTENT, Feature.CONTENT_LISTS}) & there.features
    if not (here.content >= there.content and here.features >= needed):
        return False
    nothing = frozenset[str]()
    return all(
        here.absent.get(each, nothing) <= there.absent.get(each, nothing) | _MARKS
        for each in _within(kind, set())
    )


def _within(kind: Any, found: set[Any]) -> set[Any]:
    """The Structs that values of a type may be made of."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        if kind not in found:
            found.add(kind)
            for each in codec.fields(kind):
                _within(each.type, found)
    else:
        for part in get_args(kind):
            _within(part, found)
    return found
