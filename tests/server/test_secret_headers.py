"""A secret is in no header, where routers and their logs would see it."""

from typing import Annotated, Any

import pytest

from dovetail import App, Header, RegistrationError, Secret
from dovetail.revisions import STATELESS
from wires import Connect


@pytest.mark.requirement("R2607-TOOLS-033")
@pytest.mark.parametrize(
    "kind",
    [
        Annotated[str, Secret, Header("Password")],
        Annotated[str, Header("Password"), Secret],
        Annotated[int, Secret, Header("Pin")],
    ],
)
def test_a_secret_is_repeated_in_no_header(kind: Any) -> None:
    async def enter(what: Any) -> str:
        return "in"

    enter.__annotations__["what"] = kind
    with pytest.raises(RegistrationError, match="'what' is a Secret, and its Header would show it") as caught:
        App("mill").tool(enter)
    assert (caught.value.function, caught.value.parameter) == ("enter", "what")


async def test_a_secret_and_a_header_of_their_own_are_taken(connect: Connect) -> None:
    app = App("mill")

    @app.tool
    async def enter(password: Annotated[str, Secret], region: Annotated[str, Header("Region")]) -> str:
        return region

    wire = await connect(app, STATELESS[-1])
    (tool,) = (await wire.result("tools/list"))["tools"]
    assert tool["inputSchema"]["properties"]["password"]["writeOnly"] is True
