"""URI templates: their syntax, what they expand to and what matches them (see `template`).

Specification: RFC 6570; server/resources, "Resource Templates".
"""

__all__: list[str] = []
