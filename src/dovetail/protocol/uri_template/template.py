"""URI templates: RFC 6570 expansion, and matching in linear time.

Theory of operation. A template is parsed once into literals and expressions. Expansion follows
the RFC to level 4. Matching is the inverse the RFC leaves open, and is ours:

* The template becomes a row of fixed texts and captures, in turn, plus at most one query tail.
  A simple capture is one path segment or a part of one: at least one character, never ``/``,
  ``?`` or ``#``. One capture at most may span segments: ``{+x}``, ``{#x}`` or ``{/x*}``.
* Two captures with no fixed text between them could be cut anywhere, so such templates are refused
  when made, as are two spanning captures. ``expand_only=True`` allows them, without matching.
* The texts before the spanning capture are looked for from the left, each at its first place,
  those after it from the right; without one, the last text is pinned to the end first. Nothing is
  tried twice, so the time is linear in the URI, whatever it holds.
* ``{?a,b}`` and ``{&a,b}`` match in any order, each may be missing, and a name not listed makes
  the URI a different one. Only a fragment may follow them.

Captures are percent-decoded once; what does not decode to UTF-8 does not match. ``{x*}`` gives a
list, everything else a text. By default a value that climbs (``..``), holds NUL or a backslash, or
starts like an absolute path, does not match either: handlers join such values to directories.

Specification: RFC 6570; server/resources, "Resource Templates".
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from typing import Final

from .matching import Matcher, build_matcher, traverses
from .syntax import (
    MAX_TEMPLATE,
    MAX_URI,
    RULES,
    Expression,
    TemplateError,
    TemplateTooLong,
    URITooLong,
    normalise,
    parse,
)

__all__ = ["MAX_TEMPLATE", "MAX_URI", "TemplateError", "TemplateTooLong", "URITemplate", "URITooLong"]

_FOREIGN: Final = re.compile(r"[\x00-\x20\x7f]")


class URITemplate:
    """One parsed template. Immutable; equal templates are equal values.

    ``template``: as written. ``variables``: names in order of first appearance. ``is_static``:
    it has no variables. ``literal_prefix``: the text every expansion starts with.

    Raises TemplateError, which says what is wrong and where, for a template that is not RFC 6570
    or (unless ``expand_only``) cannot be matched without guessing; TemplateTooLong beyond 8 KiB.
    """

    __slots__ = ("_matcher", "_parts", "is_static", "literal_prefix", "template", "variables")

    def __init__(self, template: str, *, expand_only: bool = False) -> None:
        self.template = template
        self._parts = parse(template)
        expressions = [part for part in self._parts if isinstance(part, Expression)]
        self.variables: tuple[str, ...] = tuple(
            dict.fromkeys(spec.name for expression in expressions for spec in expression.specs)
        )
        self.is_static = not expressions
        first = self._parts[0] if self._parts else ""
        self.literal_prefix = first if isinstance(first, str) else ""
        self._matcher: Matcher | None = None if expand_only else build_matcher(template, self._parts)

    @property
    def shape(self) -> Hashable:
        """Equal for templates that match the same URIs, and only call their variables otherwise. Names that stand in
        the URI itself (``{?limit}``) count.
        """
        numbers = {name: number for number, name in enumerate(self.variables)}
        return tuple(
            part if isinstance(part, str) else (part.operator, _shape_of(part, numbers))
            for part in self._parts
        )

    @property
    def exploded(self) -> frozenset[str]:
        """The variables whose values are lists (``{name*}``), also where a URI has one value for them."""
        expressions = (part for part in self._parts if isinstance(part, Expression))
        return frozenset(spec.name for each in expressions for spec in each.specs if spec.explode)

    def __repr__(self) -> str:
        return f"URITemplate({self.template!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, URITemplate) and other.template == self.template

    def __hash__(self) -> int:
        return hash(self.template)

    def expand(self, values: Mapping[str, object]) -> str:
        """Fill in the template.

        Values are texts, numbers, booleans, sequences or mappings of those; None, an empty
        sequence and a missing name leave the variable out.
        Raises TemplateError for a value of another type, a lone surrogate, or a prefix
        (``{x:3}``) of anything but a text or number; URITooLong beyond 64 KiB.
        """
        from .expansion import expand_expression  # servers only match

        pieces = [part if isinstance(part, str) else expand_expression(part, values) for part in self._parts]
        uri = "".join(pieces)
        if len(uri) > MAX_URI:
            raise URITooLong(len(uri))
        return uri

    def match(self, uri: str, *, allow_traversal: bool = False) -> dict[str, str | list[str]] | None:
        """Values with which the template gives ``uri``, or None if it does not match.

        Query variables that are missing from the URI are missing from the result. With
        ``allow_traversal`` the guard against climbing and absolute values is off.
        Raises URITooLong beyond 64 KiB, and TemplateError if the template is only for expansion.
        """
        if self._matcher is None:
            raise TemplateError(f"the template {self.template!r} was made for expansion only")
        if len(uri) > MAX_URI:
            raise URITooLong(len(uri))
        if _FOREIGN.search(uri):
            return None
        text = normalise(uri)
        values = None if text is None else self._matcher.match(text)
        if values is None or (not allow_traversal and traverses(values, self._matcher.query_names)):
            return None
        return values


def _shape_of(expression: Expression, numbers: Mapping[str, int]) -> Hashable:
    if expression.operator in ("?", "&"):
        return frozenset(expression.specs)  # found by name, in any order
    if RULES[expression.operator].named:
        return expression.specs
    return tuple((numbers[spec.name], spec.prefix, spec.explode) for spec in expression.specs)
