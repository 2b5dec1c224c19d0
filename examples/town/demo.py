"""One server made of five, used over both eras: part of what `make demo` runs. Ends with 0 if all was as expected.

The weather service and the server of npm are real processes. What each part offers is listed under the town's names,
and one thing of each is used: by clients of both eras, in memory and over HTTP.

    python examples/town/demo.py NODE FOLDER      # Node, and where package.json was installed
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from rich import box  # noqa: E402 - after the folder of the example was put on the path
from rich.console import Console  # noqa: E402 - as above
from rich.table import Table  # noqa: E402 - as above
from town import town  # noqa: E402 - as above

from dovetail import Client  # noqa: E402 - as above
from dovetail.testing import served  # noqa: E402 - as above

PATIENCE = 60.0
ERAS = {"2026-07-28": "stateless", "2025-11-25": "stateful"}
PARTS = {
    "hours": "its own",
    "library_": "an app that is mounted",
    "notes://": "a directory",
    "weather": "an OpenAPI document",
    "npm_": "a server of npm, proxied",
}


async def main(node: str, folder: str) -> int:
    """Play it, and give the exit code."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 110)
    console.print("\n[bold]The town:[/bold] one server made of five, in both eras.")
    began, wrong = time.perf_counter(), list[str]()
    package = Path(folder) / "node_modules" / "@modelcontextprotocol" / "server-everything"
    everything = [node, str(package / "dist" / "index.js"), "stdio"]
    async with asyncio.timeout(PATIENCE), weather() as url:
        app = town(url, everything)
        async with served(app) as address:
            for revision, era in ERAS.items():
                for way, target in (("in memory", app), ("over HTTP", address)):
                    async with Client(target, revision=revision, elicitation=lambda _: "Jane") as client:
                        names = await names_of(client)
                        if (revision, way) == ("2026-07-28", "in memory"):
                            console.print(shown(names))
                        wrong += [f"{era}, {way}: nothing of {part}" for part in missing(names)]
                        wrong += [f"{era}, {way}: {problem}" async for problem in used(client)]
                    console.print(f"  {era} era, {way}: {len(names)} things listed, one of each part used")
    for problem in wrong:
        console.print(f"  [bold red]{problem}[/bold red]")
    verdict = "That was not as expected" if wrong else "All went well"
    console.print(f"  {verdict}, in {time.perf_counter() - began:.1f} s.")
    return 1 if wrong else 0


async def names_of(client: Client) -> list[str]:
    """All that a client sees, by name."""
    return [
        *[each.name async for each in client.tools()],
        *[each.name async for each in client.prompts()],
        *[each.uri async for each in client.resources()],
        *[each.uri_template async for each in client.resource_templates()],
    ]


def shown(names: list[str]) -> Table:
    """What there is, and which part has it."""
    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("part", style="bold")
    table.add_column("what it offers in the town")
    for beginning, part in PARTS.items():
        table.add_row(part, ", ".join(name for name in names if name.startswith(beginning)))
    return table


def missing(names: list[str]) -> list[str]:
    """The parts of which nothing is listed."""
    return [
        part for beginning, part in PARTS.items() if not any(name.startswith(beginning) for name in names)
    ]


async def used(client: Client) -> AsyncGenerator[str]:
    """Use one thing of each part, and tell what was not as expected."""
    expected: list[tuple[str, Callable[[], Awaitable[Any]]]] = [
        ("8 to 16", lambda: text_of(client, "hours", weekday="Monday")),
        ("1815", lambda: text_of(client, "library_find", word="emma")),
        ("Emma waits for Jane.", lambda: text_of(client, "library_reserve", title="Emma")),
        ("[18.5,19.5,20.5]", lambda: text_of(client, "weather_forecast", place="town")),
        ("no forecast for moon", lambda: text_of(client, "weather_forecast", place="moon")),
        ("5", lambda: text_of(client, "npm_get-sum", a=2, b=3)),
        ("Walk along the river", lambda: read(client, "notes://town/bridge.md")),
        ("hill", lambda: read(client, "weather://weather/service/stations")),
    ]
    for text, use in expected:
        found = await use()
        if text not in found.replace(" ", "") and text not in found:
            yield f"expected {text!r}, and got {found!r}"


async def text_of(client: Client, tool: str, **arguments: Any) -> str:
    """What a tool says."""
    return (await client.call_tool(tool, arguments)).text


async def read(client: Client, uri: str) -> str:
    """What a resource holds."""
    return "".join(each.text or "" for each in (await client.read(uri)).contents)


@asynccontextmanager
async def weather() -> AsyncGenerator[str]:
    """The weather service, in a process of its own."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    process = await asyncio.create_subprocess_exec(sys.executable, str(HERE / "weather.py"), str(port))
    try:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                if process.returncode is not None:
                    raise OSError(f"the weather service ended with {process.returncode}") from None
                await asyncio.sleep(0.05)
            else:
                writer.close()
                break
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
