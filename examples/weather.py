"""Weather: data out, progress on the way, a choice asked for, one dependency that tests replace, pictures and
a template.

The weather is made up from the name of the place and the day, so that this runs anywhere; put a real source
into `sky`.

    python examples/weather.py            serve on standard input and output
    python examples/weather.py --check    try it, in this process
"""

import asyncio
import datetime
import enum
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from dovetail import App, Client, Context, Declined, Depends, Doc, Range, ToolError
from dovetail.client import Decline, ElicitRequest
from dovetail.types import ProgressNotice

app = App("weather", version="1.0.0", instructions="Ask for a forecast by the name of a city.")

KINDS = ("sun", "clouds", "rain", "wind")
Sky = Callable[[str, datetime.date], int]


def sky() -> Sky:
    """Where the weather comes from: a number for a place and a day."""
    return lambda city, day: zlib.crc32(f"{city} {day}".encode())


TheSky = Annotated[Sky, Depends(sky)]


class Unit(enum.Enum):
    """How to write a temperature."""

    CELSIUS = "celsius"
    FAHRENHEIT = "fahrenheit"


@dataclass
class Day:
    """The weather of one day."""

    date: datetime.date
    kind: str
    degrees: float


@dataclass
class Forecast:
    """The weather of the days ahead."""

    city: str
    unit: Unit
    days: list[Day]


@app.tool(title="Forecast")
async def forecast(
    city: Annotated[str, Doc("name of the city")],
    ctx: Context,
    source: TheSky,
    days: Annotated[int, Range(1, 14)] = 3,
    unit: Unit | None = None,
) -> Forecast:
    """Forecast the weather.

    Args:
        days: how many days ahead
        unit: the person is asked where it is left out
    """
    if unit is None:
        try:
            unit = await ctx.elicit(f"How shall the temperatures in {city} be written?", Unit)
        except Declined:
            unit = Unit.CELSIUS
    found: list[Day] = []
    today = datetime.date(2026, 7, 28)
    for ahead in range(days):
        found.append(weather_of(city, today + datetime.timedelta(days=ahead), unit, source))
        await ctx.progress(ahead + 1, days, f"day {ahead + 1}")
    return Forecast(city, unit, found)


@app.tool
def warmest(cities: list[str], source: TheSky) -> str:
    """Say which of some cities is the warmest."""
    if not cities:
        raise ToolError("name at least one city")
    today = datetime.date(2026, 7, 28)
    return max(cities, key=lambda city: weather_of(city, today, Unit.CELSIUS, source).degrees)


@app.resource("weather://{city}/{date}", mime_type="application/json")
def day(city: str, date: datetime.date, source: TheSky) -> Day:
    """The weather of one place on one day."""
    return weather_of(city, date, Unit.CELSIUS, source)


def weather_of(city: str, date: datetime.date, unit: Unit, source: Sky) -> Day:
    """What the source says, as a `Day`."""
    number = source(city, date)
    degrees = number % 300 / 10
    return Day(
        date,
        KINDS[number % len(KINDS)],
        round(degrees * 9 / 5 + 32, 1) if unit is Unit.FAHRENHEIT else degrees,
    )


async def check() -> None:
    """Try everything through a client in this process, in each era of the protocol."""
    app.overrides[sky] = lambda: lambda city, _: len(city) * 10
    for revision in ("2025-11-25", "2026-07-28"):
        heard: list[ProgressNotice] = []
        async with Client(app, revision=revision, elicitation=lambda _: "fahrenheit") as client:
            found = await client.call_tool("forecast", {"city": "Oslo"}, into=Forecast, progress=heard.append)
            assert found.unit is Unit.FAHRENHEIT
            assert [day.degrees for day in found.days] == [39.2] * 3
            assert [notice.progress for notice in heard] == [1, 2, 3]
            assert (await client.call_tool("warmest", {"cities": ["Oslo", "Reykjavik"]})).text == "Reykjavik"
            assert "warmest" in [tool.name async for tool in client.tools()]
            read = await client.read("weather://Oslo/2026-07-28")
            assert '"degrees":4.0' in (read.contents[0].text or "")
            assert (await client.call_tool("forecast", {"city": "Oslo", "days": 15})).is_error
        async with Client(app, revision=revision, elicitation=decline) as client:
            assert (await client.call_tool("forecast", {"city": "Oslo"}, into=Forecast)).unit is Unit.CELSIUS
    print("weather: all checks passed")


def decline(_: ElicitRequest) -> Decline:
    """The answer of somebody who does not care."""
    return Decline()


if __name__ == "__main__":
    asyncio.run(check()) if "--check" in sys.argv[1:] else app.run()
