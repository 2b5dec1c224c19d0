"""What can be wrong with a document, and with what its author says about it."""

from __future__ import annotations

from dovetail.errors import DovetailError

__all__ = ["DocumentInvalid"]


class DocumentInvalid(DovetailError):
    """A document that is no OpenAPI document of 3.0 or 3.1, that is larger than allowed, whose file can't be read, or
    that does not have what was said of it: its text says where, and what to do.
    """

    retry_safe = True
