"""Which answer belongs to which request: ids that are never used twice, and a table of what is open.

An id is unique for the life of a connection, which satisfies every revision (the stateless era asks only
for uniqueness among open requests). What is stored per id is the caller's business: a future, a record, a
test's list. Specification: basic/index "Requests", basic/utilities/progress.
"""

from collections.abc import Iterator
from typing import Final, Generic, TypeVar

from .errors import LocalProtocolError
from .types.requests import RequestId

T = TypeVar("T")
#: Digits that the number in an id has, at most, and the quotation mark behind it.
_DIGITS: Final = 20


class OpenRequests(Generic[T]):
    """Open requests by id. ``prefix`` tells two makers of ids on one session apart; without one, ids are
    integers.
    """

    def __init__(self, prefix: str = "", *, limit: int = 100_000) -> None:
        self._prefix = prefix
        self._last = 0
        self._open: dict[RequestId, T] = {}
        self._limit = limit

    def next_id(self) -> RequestId:
        """An id that was never given out before."""
        self._last += 1
        return f"{self._prefix}{self._last}" if self._prefix else self._last

    def skip_to(self, number: int) -> None:
        """Give out no id up to this number: somebody before us may have used them."""
        self._last = max(self._last, number)

    def add(self, id: RequestId, entry: T) -> None:
        """Note an open request. Raises `LocalProtocolError` beyond the limit or for an id in use."""
        if id in self._open:
            raise LocalProtocolError(f"the request id {id!r} is in use")
        if len(self._open) >= self._limit:
            raise LocalProtocolError(f"more than {self._limit} requests are waiting for answers")
        self._open[id] = entry

    def get(self, id: RequestId | None) -> T | None:
        """The entry of an open request."""
        return None if id is None else self._open.get(id)

    def take(self, id: RequestId | None) -> T | None:
        """The entry of an open request, which is open no longer; None for an answer that nobody waits for."""
        return None if id is None else self._open.pop(id, None)

    def named_in(self, data: bytes) -> RequestId | None:
        """The open request whose id an unreadable message has in it, found by the prefix. None without one."""
        mark = b'"' + self._prefix.encode()
        at = data.find(mark) if self._prefix else -1
        if at < 0:
            return None
        begin = at + len(mark)
        digits = data[begin : data.find(b'"', begin, begin + _DIGITS)]
        id = self._prefix + digits.decode("ascii", "replace")
        return id if id in self._open else None

    def drain(self) -> Iterator[tuple[RequestId, T]]:
        """All open requests, closing them."""
        while self._open:
            yield self._open.popitem()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, id: object) -> bool:
        return id in self._open

    def __iter__(self) -> Iterator[RequestId]:
        return iter(tuple(self._open))
