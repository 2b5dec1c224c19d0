"""Many texts in little space: which are there, and nothing else.

A set of Python's takes some hundred bytes for each text besides the text itself, in pieces all over the memory. Here
all of them are one block of bytes, in the order of their hashes, and two arrays say which hash begins where.
Specification: none; subscriptions (basic/patterns/subscriptions) may name thousands of resources and last for days.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterator


class TextSet(Collection[str]):
    """Texts, each once. What is looked for is found by its hash and compared."""

    __slots__ = ("_data", "_hashes", "_starts")

    def __init__(self, texts: Collection[str]) -> None:
        ordered = sorted(set(texts), key=hash)
        encoded = [_encoded(text) for text in ordered]
        self._hashes = array("q", map(hash, ordered))
        self._data = b"".join(encoded)
        self._starts = array("Q", [0])
        end = 0
        for each in encoded:
            end += len(each)
            self._starts.append(end)

    def __contains__(self, text: object) -> bool:
        if not isinstance(text, str):
            return False
        hashes, wanted, data = self._hashes, hash(text), _encoded(text)
        at = bisect_left(hashes, wanted)
        while at < len(hashes) and hashes[at] == wanted:
            if self._data[self._starts[at] : self._starts[at + 1]] == data:
                return True
            at += 1
        return False

    def __iter__(self) -> Iterator[str]:
        for at in range(len(self)):
            yield self._data[self._starts[at] : self._starts[at + 1]].decode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self._hashes)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
