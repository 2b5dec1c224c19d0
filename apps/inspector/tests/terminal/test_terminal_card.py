"""The card of a server, beside what the server says, in the terminal."""

from __future__ import annotations

from carded import card_of, carded
from inspected import kitchen
from terminals import read, terminal

from dovetail_inspector.views import ServerTarget


async def test_the_terminal_holds_a_card_against_the_server(inspection, tmp_path):
    async with carded() as weather:
        weather.write(card_of(weather.url, version="1.3.0", title="Rain\u202e"))
        inspection.add("weather", ServerTarget(url=weather.url)).connect()
        await kitchen(inspection, tmp_path)
        async with terminal(inspection) as (app, pilot):
            await pilot.press("2")
            await read(app, "info-text", "revision")
            assert weather.asked == []
            await pilot.press("c")
            text = await read(app, "info-text", "Server card", "1.3.0", "the server  1.2.0", "card-hidden")
            assert "\u202e" not in text
            app.chosen.server = "s2"
            app.current.draw()
            await pilot.press("c")
            await read(app, "info-text", "A server that is started here has no card")
