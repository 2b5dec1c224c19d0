"""Registering versions of one tool side by side: where each goes, and what can't be.

Specification: server/tools, "Tool Names".
"""

import re
from collections.abc import Callable
from typing import Any, Final

from ..runtime.extension import Extensions
from .catalog import Catalog
from .mounting import composition_of
from .providers.own_versions import OwnVersions
from .registry import Registry
from .signature import Plan

_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


def place_of(
    plan: Plan,
    name: str,
    version: object,
    catalog: Catalog,
    own_entries: Callable[[], Any],
    extensions: Extensions,
) -> tuple[Registry[Any], str]:
    """The registry that a tool goes into and its key there. Raises `RegistrationError` for a version that is none, and
    for a name that has a tool without versions, or the other way round.
    """
    versions = catalog.versions
    if version is None:
        if isinstance(versions, OwnVersions) and versions.knows("tools", name):
            raise plan.refuse(
                f"there are versions of the tool {name!r} already: give this one a version=, or another name"
            )
        return catalog.tools, name
    if not isinstance(version, str) or not _VERSION.fullmatch(version):
        raise plan.refuse(
            f"version= is a text such as '2' or '1.10', and was given {f'{version!r}'[:100]}: up to 64 of A-Z, a-z,"
            " 0-9, '.', '_', '-' and '+', beginning with a letter or a digit"
        )
    if catalog.tools.get(name) is not None:
        raise plan.refuse(
            f"there is a tool {name!r} without a version already: give that one a version=, or this one another name"
        )
    if not isinstance(versions, OwnVersions):
        own = own_entries()
        catalog.versions = versions = OwnVersions(own.label, catalog.publish)
        composition = composition_of(catalog, own, extensions)
        composition.mount_first(versions)
        catalog.mounted = composition
    return versions.registry, versions.admit(name, version)


__all__ = ["place_of"]
