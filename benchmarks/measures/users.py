"""What the user of a client sees of a proxy or a gateway: the same client calls a server directly, through a proxy, and
through a gateway before twelve, in one run; one call at a time, and 16 at once.

The server behind all is ours; client, proxy and server of a contestant are on the same transport, HTTP or stdio.
Nothing is bound to a core, as nothing is at a user's. A call that passes a proxy is two calls and the passing on: a
client's and a server's part twice. CPU is that of all processes together, however many cores there are.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ..contestants import FASTMCP, OURS, Contestant
from ..processes import Broken, Process
from .proxies import KIT, SERVERS
from .turn import Group, Turn

TOGETHER = 16
#: How often each way is measured in a turn, one after the other, for a machine changes its pace.
SLICES = 4
_LIMIT = 60.0
_GATEWAY_NAME = f"server{SERVERS - 1}__add"


@dataclass(frozen=True)
class Way:
    """A way to the server: what a client is given, and the tool's name there."""

    measure: str
    target: str | Sequence[str]
    tool: str = "add"


def over_http(turn: Turn) -> None:
    """All of them over HTTP."""
    server, port = turn.everyone[OURS].serve_http(KIT, spread=True)
    with ExitStack() as stack:
        stack.enter_context(server)
        behind = _url(port)
        ways, processes = [Way("user http direct", behind)], [server]

        def serve(who: Contestant, kit: str) -> str:
            process, at = who.serve_http(kit, spread=True)
            stack.enter_context(process)
            processes.append(process)
            return _url(at)

        ways.append(Way("user http proxy", serve(turn.who.before(behind), "proxy")))
        if turn.who.name == OURS:
            many = turn.who.before({f"server{number}": behind for number in range(SERVERS)})
            ways.append(Way("user http gateway", serve(many, "gateway"), _GATEWAY_NAME))
        _measured(turn, ways, processes)


def over_stdio(turn: Turn) -> None:
    """All of them on stdio: the client starts what it calls, which starts what is behind it."""
    behind = turn.everyone[OURS].stdio_command(KIT)
    ways = [
        Way("user stdio direct", behind),
        Way("user stdio proxy", turn.who.before(behind).stdio_command("proxy")),
    ]
    if turn.who.name == OURS:
        many = turn.who.before({f"server{number}": behind for number in range(SERVERS)})
        ways.append(Way("user stdio gateway", many.stdio_command("gateway"), _GATEWAY_NAME))
    _measured(turn, ways, [])


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/mcp"


def _measured(turn: Turn, ways: Sequence[Way], processes: Sequence[Process]) -> None:
    """Each way in turn, again and again. ``processes``: those that the client did not start."""
    with _client(turn, ways) as client:

        def cpu() -> float:
            return sum(each.cpu() for each in (client, *processes))

        for number in range(len(ways)):
            for many in (1, TOGETHER):
                _run(client, number, many, turn.pace.warm)
        found: dict[tuple[int, int], list[dict[str, float]]] = {}
        for _ in range(SLICES):
            for number in range(len(ways)):
                for many in (1, TOGETHER):
                    before = cpu()
                    came = _run(client, number, many, turn.pace.run / SLICES)
                    came["cpu"] = (cpu() - before) / came["count"] * 1e6
                    found.setdefault((number, many), []).append(came)
    samples = [_sample(found[number, 1], found[number, TOGETHER]) for number in range(len(ways))]
    for way, sample in zip(ways, samples, strict=True):
        direct = samples[0]
        sample["alone"] = sample["us"] / direct["us"]
        sample["together"] = direct["rate"] / sample["rate"]
        sample["calls"] = sample["cpu"] / direct["cpu"]
        turn.record(way.measure, sample)


def _sample(alone: Sequence[dict[str, float]], together: Sequence[dict[str, float]]) -> dict[str, float]:
    """``us``: the median of the calls made one at a time. ``rate`` and ``cpu``: of those made together."""
    middle = sorted(each["p50"] for each in alone)[len(alone) // 2]
    calls, seconds = sum(each["count"] for each in together), sum(each["seconds"] for each in together)
    cpu = sum(each["cpu"] * each["count"] for each in together) / calls
    return {"us": middle, "rate": calls / seconds, "cpu": cpu}


@contextmanager
def _client(turn: Turn, ways: Sequence[Way]) -> Generator[Process]:
    """A client that has opened all ways."""
    words = json.dumps([[each.target, each.tool] for each in ways])
    with turn.who.call("ways", words, "0", "0", spread=True) as client:
        if client.read_line(_LIMIT) != b"ready\n":
            raise Broken(f"the client failed: {client.said()}")
        yield client


def _run(client: Process, number: int, many: int, seconds: float) -> dict[str, float]:
    """Let it call one way for a while: ``count`` calls in ``seconds``, their median (``p50``) in microseconds."""
    client.stdin.write(f"{number} {many} {seconds}\n".encode())
    line = client.read_line(_LIMIT + seconds)
    if not line.startswith(b"{"):
        raise Broken(f"the client failed: {line.decode('utf-8', 'replace')}{client.said()}")
    return json.loads(line)


GROUPS = (
    Group(("user http direct", "user http proxy", "user http gateway"), over_http, (OURS, FASTMCP)),
    Group(("user stdio direct", "user stdio proxy", "user stdio gateway"), over_stdio, (OURS, FASTMCP)),
)
