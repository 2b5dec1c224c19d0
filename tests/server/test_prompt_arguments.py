"""Arguments of prompts that a prompt does not have are refused, with the nearest that it has, as those of tools are."""

from __future__ import annotations

import pytest

from dovetail import App, Client
from dovetail.errors import InvalidParams
from dovetail.revisions import REVISIONS

EVERY = pytest.mark.parametrize("revision", REVISIONS)


def post() -> App:
    app = App("post")

    @app.prompt
    async def complain(about: str, tone: str = "polite") -> str:
        return f"Write a {tone} letter about {about}."

    @app.prompt
    async def thank() -> str:
        return "Thank them."

    return app


@pytest.mark.requirement("R2511-PROMPTS-007", "R2607-PROMPTS-013")
@EVERY
@pytest.mark.parametrize(
    "name, arguments, told",
    [
        ("complain", {"about": "x", "tome": "rude"}, 'tome: no such argument; did you mean "tone"?'),
        ("complain", {"zzzzzz": "x"}, "zzzzzz: no such argument; known are about, tone"),
        ("thank", {"whom": "x"}, "whom: no such argument; the prompt takes no arguments"),
        ("complain", {"z" * 5000: "x"}, f"{'z' * 100}: no such argument; known are about, tone"),
    ],
)
async def test_an_argument_that_there_is_not(
    revision: str, name: str, arguments: dict[str, str], told: str
) -> None:
    outer = App("outer")
    outer.mount("post", post())
    for app, prefix in ((post(), ""), (outer, "post_")):
        async with Client(app, revision=revision) as client:
            with pytest.raises(InvalidParams) as caught:
                await client.get_prompt(prefix + name, arguments)
            assert (caught.value.code, caught.value.message) == (-32602, told)


@EVERY
async def test_those_that_there_are_may_be_left_out_or_given(revision: str) -> None:
    async with Client(post(), revision=revision) as client:
        for name, arguments in (
            ("complain", {"about": "x", "tone": "y"}),
            ("complain", {"about": "x"}),
            ("thank", {}),
        ):
            assert (await client.get_prompt(name, arguments)).messages
