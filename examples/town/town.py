"""The town: one server that is made of five.

    python examples/town/town.py --weather URL [--http PORT] COMMAND...

``--weather``: where the weather service answers (`weather.py`). The command starts the server of npm. With ``--http``
it is served there, else on standard input and output.
"""

import argparse
from pathlib import Path

from library import app as library

from dovetail import App
from dovetail.openapi import OpenAPIProvider, RouteRule
from dovetail.providers import Argument, Files, arguments, describe, only
from dovetail.proxy import ProxyProvider

HERE = Path(__file__).resolve().parent


def town(weather: str, everything: list[str]) -> App:
    """The server. ``weather``: the URL of the service; ``everything``: the command of the server of npm."""
    app = App("town", instructions="Ask for opening hours, books, notes and the weather.")

    @app.tool
    async def hours(weekday: str) -> str:
        """When the town hall is open."""
        return "closed" if weekday.lower() in ("saturday", "sunday") else "8 to 16"

    app.mount("library", library)
    app.mount(None, Files(HERE / "notes", uri="notes://town"))
    app.mount(
        "weather",
        OpenAPIProvider(
            f"{weather}/openapi.json",
            rules=[RouteRule("resource", ids=["stations"])],
            uri="weather://service",
            allow_loopback=True,
        ),
        arguments("forecast", days=Argument(default=3)),
        describe({"forecast": "How warm it will be, in the town or on the hill."}),
    )
    app.mount(
        "npm",
        ProxyProvider(everything, name="everything", on_stderr=quiet),
        only("get-sum", "echo", kind="tools"),
    )
    return app


def quiet(line: str) -> None:
    """Leave out what the server of npm says when it starts."""


def main() -> None:
    """Serve it."""
    parser = argparse.ArgumentParser(description="Serve the town.")
    parser.add_argument("--weather", required=True, help="the URL of the weather service")
    parser.add_argument("--http", type=int, help="the port to serve on")
    parser.add_argument("everything", nargs="+", help="the command of the server of npm")
    given = parser.parse_args()
    app = town(given.weather, given.everything)
    app.run() if given.http is None else app.run("http", port=given.http)


if __name__ == "__main__":
    main()
