"""What an endpoint that several processes serve does not promise, it refuses at once."""

from pathlib import Path

import pytest
from http_serving import serving

from dovetail import App, Client, Context
from dovetail.stores import MemoryStore, SQLiteStore
from dovetail.transports.http_server.asgi import HTTPApp


def make_app() -> App:
    app = App("several", keys=["k" * 32])

    @app.tool
    async def ask(ctx: Context) -> str:
        """Ask the person."""
        return await ctx.elicit("Your name?", str)

    return app


@pytest.mark.parametrize("shared", [True, False])
async def test_a_question_whose_answer_may_go_astray_is_not_asked(shared: bool, tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "sessions.db") if shared else MemoryStore()
    async with serving(HTTPApp(make_app().service, workers=2, store=store)) as port:
        url = f"http://127.0.0.1:{port}/mcp"
        async with Client(
            url, revision="2025-11-25", elicitation=lambda question: {"value": "Ada"}
        ) as client:
            if shared:
                assert (await client.call_tool("ask")).text == "Ada"
            else:
                refused = await client.call_tool("ask")
                assert refused.is_error
                assert "the answer may reach another worker" in refused.text
        async with Client(url, elicitation=lambda question: {"value": "Ada"}) as client:
            assert client.era == "stateless", (
                "a client with a pinned revision teaches nothing about the server"
            )
            assert (await client.call_tool("ask")).text == "Ada"


def test_several_workers_serve_the_transport_of_2024_over_a_store_that_they_share(tmp_path: Path) -> None:
    make_app().asgi(workers=2, http_sse=True, store=SQLiteStore(tmp_path / "shared.db"))
    with pytest.raises(ValueError, match="http_sse"):
        make_app().asgi(workers=2, http_sse=True, sessions=False)


def test_several_workers_need_a_store_that_they_share() -> None:
    with pytest.raises(ValueError, match="store"):
        make_app().run("http", workers=2)
