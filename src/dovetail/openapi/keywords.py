"""The keywords of a JSON Schema that have schemas below them: one, a list of them, or some by name.

Specification: JSON Schema 2020-12, Core, sections 10 and 11.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MANY", "NAMED", "ONE"]

ONE: Final = frozenset(
    (
        *("additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames"),
        *("then", "unevaluatedItems", "unevaluatedProperties"),
    )
)
"""With one schema."""
MANY: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
"""With a list of schemas."""
NAMED: Final = frozenset(("dependentSchemas", "patternProperties", "properties"))
"""With schemas by name."""
