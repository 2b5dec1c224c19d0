"""The refusal of a request that needs the store, when that does not serve. Who refuses tells the log, but not each time
(`StoreOutages`).

Specification: none; RFC 9110, section 15.6.4.
"""

from __future__ import annotations

from ...protocol.errors import InternalError
from ...stores.errors import StoreError
from .answering import HTTPRefusal
from .limits import RETRY_SOON


class StoreFailed(HTTPRefusal):
    """The store failed with ``fault``; whoever asks again may be served."""

    def __init__(self, fault: StoreError) -> None:
        problem = InternalError("the server's store does not answer; retry")
        super().__init__(503, problem, headers=RETRY_SOON, reason="store")
        self.fault = fault
