"""JSON Schema: what is taken of schemas that come from anyone, and what does not fit them, in words (see `validator`).

Specification: 2026-07-28 basic/index, "JSON Schema Usage".
"""

__all__: list[str] = []
