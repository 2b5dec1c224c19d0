"""What the specification publishes of itself: the JSON schema of each revision, and the addresses of its pages.

`definition_schema` gives the schema of one definition of a revision, `MethodShapes` which definitions a method has, and
`page_address` where a page is read. Nothing here is imported by a server or a client: messages are read by the types of
`dovetail.types`. Linting, and whoever wants to hold a message against the very words of its revision, asks here.

Specification: schema of each revision; the extension io.modelcontextprotocol/tasks.
"""

from .pages import SITE, page_address
from .shapes import MethodShapes, definition_names, definition_schema, method_shapes, published_schema

__all__ = [
    "SITE",
    "MethodShapes",
    "definition_names",
    "definition_schema",
    "method_shapes",
    "page_address",
    "published_schema",
]
