"""A session that is open, and whose client has not said `notifications/initialized`."""

import pytest

from dovetail import App, Context
from dovetail.revisions import STATEFUL
from wire_of_server import Wire


async def opened(app: App, revision: str) -> Wire:
    """A session as `initialize` leaves it."""
    wire = Wire(app, revision, {"sampling": {}})
    await app.service.start()
    await wire.result(
        "initialize",
        {
            "protocolVersion": revision,
            "capabilities": wire.capabilities,
            "clientInfo": {"name": "wire", "version": "1"},
        },
    )
    return wire


@pytest.mark.requirement("R2511-LIFECYCLE-020")
@pytest.mark.parametrize("revision", STATEFUL)
async def test_nothing_is_sent_of_the_server_s_own_accord(revision: str) -> None:
    app = App("mill")

    @app.tool
    async def grind() -> str:
        return "ground"

    wire = await opened(app, revision)
    app.remove_tool("grind")
    await wire.result("ping")
    assert wire.inbox.empty()
    await wire.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    app.add_tool(grind)
    assert (await wire.next())["method"] == "notifications/tools/list_changed"
    await wire.close()
    await app.service.stop()


@pytest.mark.parametrize("revision", STATEFUL)
async def test_who_calls_has_the_answer_to_initialize_and_may_be_asked(revision: str) -> None:
    app = App("mill")

    @app.tool
    async def think(ctx: Context) -> str:
        return (await ctx.sample("hm?")).text

    wire = await opened(app, revision)
    answer = await wire.start("think", "tools/call", {"name": "think"})
    asked = await wire.next()
    assert asked["method"] == "sampling/createMessage"
    result = {"role": "assistant", "content": {"type": "text", "text": "hm"}, "model": "m-1"}
    await wire.send({"jsonrpc": "2.0", "id": asked["id"], "result": result})
    assert (await answer)["result"]["content"][0]["text"] == "hm"
    await wire.close()
    await app.service.stop()
