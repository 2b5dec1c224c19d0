"""Where the pages of the specification are read.

Specification: none; this is where it stands.
"""

from __future__ import annotations

from typing import Final

from ..protocol.revisions import REVISIONS

__all__ = ["SITE", "page_address"]

SITE: Final = "https://modelcontextprotocol.io"
"""Where the specification is published."""

_EXTENSIONS: Final = "extensions/"


def page_address(page: str, revision: str = "") -> str:
    """The address of a page, such as ``server/tools``, in a revision: the newest one where none, or none that is known,
    is named. The pages of extensions (``extensions/tasks``) have no revision.
    """
    name = page.removesuffix("/index")
    if name.startswith(_EXTENSIONS):
        return f"{SITE}/{name}/overview"
    spoken = revision if revision in REVISIONS else REVISIONS[-1]
    return f"{SITE}/specification/{spoken}/{'' if name == 'index' else name}".rstrip("/")
