"""What a caller may use of an app that is mounted on another: all that holds for an app by itself."""

from __future__ import annotations

import pytest
import test_protected_scopes as scopes
from test_protected_scopes import *  # noqa: F403 - the same tests, of a mounted app

from dovetail import App
from dovetail.server.providers.composition import Composition

del test_those_who_see_the_same_share_the_bytes  # noqa: F821 - it looks into the registry of the app itself
del test_a_stream_ends_with_the_token_that_opened_it  # noqa: F821 - it removes a tool of the app itself


def mounted(page_size: int = 1000) -> App:
    """The library, mounted as it is on an app that has nothing of its own."""
    app = App("town", rate_limit=None, page_size=page_size)
    app.mount(None, _library(page_size))
    return app


_library = scopes.library


@pytest.fixture(autouse=True)
def _mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scopes, "library", mounted)


async def test_those_who_see_the_same_share_the_bytes_of_what_is_mounted():
    app = mounted()
    async with scopes.calling("stateless", app) as caller:
        for n in range(50):
            who = await caller(sub=f"user-{n}", scope=scopes.EVERYTHING if n % 2 else "notes:read")
            await who.ask("tools/list", {})
        composition = app._catalog.mounted
        assert isinstance(composition, Composition)
        assert len(composition._pages) == 1
        await (await caller(sub="root")).ask("tools/list", {})
        assert len(composition._pages) == 2
