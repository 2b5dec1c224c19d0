"""Names of tools that prefixes and transforms make: what can't be one is refused where it is written, or told."""

import logging

import pytest

from dovetail import App, Client
from dovetail.providers import rename
from dovetail.revisions import STATEFUL, STATELESS


@pytest.mark.requirement(
    "R2511-TOOLS-007",
    "R2511-TOOLS-009",
    "R2511-TOOLS-010",
    "R2607-TOOLS-015",
    "R2607-TOOLS-017",
    "R2607-TOOLS-018",
)
@pytest.mark.parametrize("new", ["", "x" * 129, "find books", "find,books", "b\u00fccher", "a/b", "find\n"])
def test_no_tool_is_renamed_to_what_no_tool_can_have(new: str) -> None:
    with pytest.raises(ValueError, match=r"no tool can have the name .*1 to 128"):
        rename({"find": new})


def test_other_things_have_names_of_other_kinds() -> None:
    assert rename({"find": "x" * 128})
    assert rename({"review": "a review"}, kind="prompts")
    assert rename({"shop://books": "shop://all/books"}, kind="resources")


@pytest.mark.requirement("R2511-TOOLS-007", "R2607-TOOLS-015")
@pytest.mark.parametrize("revision", [STATEFUL[-1], STATELESS[-1]])
async def test_a_mounted_name_that_is_too_long_is_told_once(
    revision: str, caplog: pytest.LogCaptureFixture
) -> None:
    inner = App("inner")

    @inner.tool
    async def find() -> str:
        return "found"

    inner.add_tool(find, name="f" * 128)
    app = App("outer")
    app.mount("shop", inner)
    async with Client(app, revision=revision) as client:
        for _ in range(2):
            assert {tool.name async for tool in client.tools(fresh=True)} == {
                "shop_find",
                "shop_" + "f" * 128,
            }
        inner.add_tool(find, name="other")
        assert len([tool async for tool in client.tools(fresh=True)]) == 3
    told = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(told) == 1
    assert "(133 characters), and names have 1 to 128" in told[0]
