"""What errors say reads like a sentence. Follows: no page of the specification."""

import pytest

from dovetail.protocol.errors import in_seconds


@pytest.mark.parametrize(
    "amount,text",
    [
        (1, "1 second"),
        (1.0, "1 second"),
        (1.00001, "1 second"),
        (0.25, "0.25 seconds"),
        (2, "2 seconds"),
        (0, "0 seconds"),
        (59.98765, "59.99 seconds"),
        (1800, "1800 seconds"),
        (123456.7, "123457 seconds"),
    ],
)
def test_times_are_told_for_people(amount: float, text: str) -> None:
    assert in_seconds(amount) == text
