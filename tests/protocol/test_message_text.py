"""The text of a message, whatever blocks it is made of."""

import pytest

from dovetail import CreateMessageResult, ImageContent, SamplingMessage, TextContent
from dovetail.protocol.types import SamplingContent

PIXEL = ImageContent.of(b"png", "image/png")


@pytest.mark.parametrize(
    "content,text",
    [
        (TextContent(text="a"), "a"),
        (PIXEL, ""),
        ([TextContent(text="a"), PIXEL, TextContent(text="b")], "a\nb"),
        ([], ""),
    ],
)
def test_all_text_of_a_message(content: SamplingContent | list[SamplingContent], text: str) -> None:
    assert SamplingMessage(role="user", content=content).text == text
    assert CreateMessageResult(role="assistant", content=content, model="m").text == text
