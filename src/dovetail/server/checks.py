"""What an app checks when something is registered on it, so that nothing is found out at call time."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from ..protocol.meta_keys import check_meta_key, is_extension_identifier
from ..protocol.revisions import PROFILES, STATEFUL, STATELESS
from ..protocol.types.wire import Meta
from ..protocol.uri_template import UriTemplate
from .signature import Plan, RegistrationError

F = TypeVar("F", bound=Callable[..., Any])

# RFC 3986, section 3.1 and appendix A.
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_URI: Final = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


def eras(revisions: Sequence[str] | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The revisions to serve in the stateful and in the stateless era; all when None. Raises `RegistrationError`."""
    wanted = list(PROFILES) if revisions is None else list(revisions)
    unknown = [revision for revision in wanted if revision not in PROFILES]
    if unknown or not wanted:
        raise RegistrationError(
            f"unknown revision {', '.join(map(repr, unknown)) or '(none given)'}; there are {', '.join(PROFILES)}"
        )
    return (
        tuple(revision for revision in STATEFUL if revision in wanted),
        tuple(revision for revision in STATELESS if revision in wanted),
    )


def decorator(add: Callable[..., None], *values: Any, **options: Any) -> Callable[[F], F]:
    """A decorator that registers a function by ``add`` and gives it back unchanged."""

    def register(fn: F) -> F:
        add(fn, *values, **options)
        return fn

    return register


def check_name(plan: Plan, name: str) -> None:
    """Tool names: 1 to 128 letters, digits, ``_``, ``-`` and ``.`` (server/tools "Tool Names")."""
    if not 1 <= len(name) <= 128 or not all(c.isascii() and (c.isalnum() or c in "_-.") for c in name):
        raise plan.refuse(
            f"the tool name {name[:140]!r} is not allowed: 1 to 128 of A-Z, a-z, 0-9, '_', '-' and '.'"
        )


def check_meta(plan: Plan, meta: Meta | None) -> None:
    """Keys of ``_meta`` follow the grammar of basic/index, "_meta". Raises `RegistrationError`."""
    for key in meta or {}:
        problem = check_meta_key(key, reserved_rule="second-label")
        if problem is not None:
            raise plan.refuse(f"the _meta key {key!r} is not allowed: {problem}")


def check_uri(plan: Plan, template: UriTemplate) -> None:
    """A resource's URI begins with a scheme and holds what RFC 3986 allows. Raises `RegistrationError`."""
    scheme, colon, _ = template.literal_prefix.partition(":")
    if not colon or not _SCHEME.fullmatch(scheme):
        raise plan.refuse(
            f"the URI {template.template[:100]!r} has no scheme; write one as in 'notes://today'"
        )
    if template.is_static and not _URI.fullmatch(template.template):
        raise plan.refuse(f"the URI {template.template[:100]!r} holds what must be percent-encoded")


def check_variables(plan: Plan, template: UriTemplate) -> None:
    """The parameters of a function are the variables of its template. Raises `RegistrationError`."""
    inputs = {parameter.name: parameter for parameter in plan.inputs}
    for variable in template.variables:
        if variable not in inputs:
            raise plan.refuse(
                f"the URI {template.template!r} has a variable {variable!r} that is no parameter"
            )
    for name, parameter in inputs.items():
        if name not in template.variables and parameter.required:
            raise plan.refuse(
                f"is no variable of the URI {template.template!r}, so nothing can fill it", name
            )


def checked_extensions(extensions: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Extension identifiers need a prefix (basic/versioning "Extension Negotiation"). Raises `RegistrationError`."""
    for identifier in extensions:
        if not is_extension_identifier(identifier):
            raise RegistrationError(
                f"the extension identifier {identifier!r} is not allowed: it needs a prefix, as in 'com.example/name'"
            )
    return dict(extensions)
