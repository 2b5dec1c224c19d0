"""What becomes of each operation: a tool, a resource, or nothing; the first rule that fits says it.

Specification: server/tools, server/resources.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import msgspec

from .operations import APIOperation

__all__ = ["Becomes", "RouteRule", "decided"]

Becomes: TypeAlias = Literal["tool", "resource", "hidden"]
"""What an operation may become. A resource whose operation has parameters is a resource template."""


class RouteRule(msgspec.Struct, frozen=True):
    """What becomes of the operations that fit all that is given here; a rule with nothing fits every one.

    ``methods``: such as ``{"GET", "HEAD"}``. ``path``: a pattern for the whole path as the document has it, in which
    ``*`` is any text (``/admin/*``). ``tags``: the operation has one of them. ``ids``: its operationId is one of them.
    ``where``: a function of the `APIOperation` that says whether it fits.
    """

    becomes: Becomes
    methods: Collection[str] = ()
    path: str | None = None
    tags: Collection[str] = ()
    ids: Collection[str] = ()
    where: Callable[[APIOperation], bool] | None = None

    def __post_init__(self) -> None:
        if self.becomes not in ("tool", "resource", "hidden"):
            raise ValueError(f"an operation becomes a tool, a resource, or hidden, not {self.becomes!r}")
        for name in ("methods", "tags", "ids"):
            if isinstance(getattr(self, name), str):
                raise TypeError(
                    f"{name}= of a rule is a collection of texts, such as [{getattr(self, name)!r}]"
                )

    def fits(self, operation: APIOperation) -> bool:
        """Whether this rule is about an operation."""
        return (
            (not self.methods or operation.method in {each.upper() for each in self.methods})
            and (self.path is None or fnmatchcase(operation.path, self.path.replace("[", "[[]")))
            and (not self.tags or any(each in operation.tags for each in self.tags))
            and (not self.ids or operation.id in self.ids)
            and (self.where is None or self.where(operation))
        )


def decided(operation: APIOperation, rules: Iterable[RouteRule]) -> Becomes:
    """What becomes of an operation: a tool, unless a rule says something else."""
    for each in rules:
        if each.fits(operation):
            return each.becomes
    return "tool"
