"""Roots, the client's part: the folders that the host lets the server know of. Deprecated since 2026-07-28 (SEP-2577).

Specification: client/roots.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ..protocol.errors import LocalProtocolError, MethodNotFound
from ..protocol.types import ListRootsResult, Root
from .answers import CallInfo, RootLike
from .calling import call_handler
from .options import Options

_SCHEME: Final = "file://"


async def answer_roots(options: Options, call: CallInfo | None = None) -> ListRootsResult:
    """The roots as they are now. ``call``: who asks, if that is known.

    Raises `LocalProtocolError` for one that is no file.
    """
    source: Any = options.roots
    if source is None:
        raise MethodNotFound("this client does not offer roots")
    given: Sequence[RootLike] = await call_handler(source, call=call) if callable(source) else source
    return ListRootsResult(roots=[as_root(root) for root in given])


def as_root(given: RootLike) -> Root:
    """A root from a path, a URI or a `Root`.

    Raises `LocalProtocolError` unless it is a ``file://`` URI without ``..``.
    """
    if isinstance(given, Path) or (isinstance(given, str) and "://" not in given):
        path = Path(given).expanduser().absolute()
        root = Root(uri=path.as_uri(), name=path.name or None)
    else:
        root = given if isinstance(given, Root) else Root(uri=given)
    if not root.uri.lower().startswith(_SCHEME):
        raise LocalProtocolError(f"a root is a file:// URI, not {root.uri[:100]!r}")
    if any(part.lower() in ("..", "%2e%2e", ".%2e", "%2e.") for part in root.uri.split("/")):
        raise LocalProtocolError(f"a root must not climb with '..': {root.uri[:100]!r}")
    return root
