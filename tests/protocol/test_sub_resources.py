"""What is below a resource, by its name, and who is told of it."""

import pytest

from dovetail.protocol.listening import is_below, is_heard, parents_of


@pytest.mark.parametrize(
    "uri",
    [
        "a://b/c/d",
        "a://b//c/",
        "a://b?x=1#y",
        "urn:isbn:1",
        "http://h:80/p",
        "a",
        "",
        "a:",
        "/x",
        "a://b/c:d",
        "##",
    ],
)
def test_parents_are_what_a_resource_is_below_of(uri: str) -> None:
    begun = [uri[:end] for end in range(1, len(uri))]
    assert sorted(parents_of(uri)) == sorted(each for each in begun if is_below(uri, each))
    assert list(parents_of(uri)) == sorted(parents_of(uri), key=len, reverse=True)
    for each in parents_of(uri):
        assert is_heard(uri, [each])
    assert not is_heard(uri, ["zzz"])
    assert is_heard(uri, {uri})
