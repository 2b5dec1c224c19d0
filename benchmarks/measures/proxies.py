"""tools/call over HTTP through a proxy or a gateway, in 2026-07-28, with the same server behind all: ours, on stdio and
over HTTP; behind our gateway it is there twelve times, and called under a name with a prefix.

The tool gives text alone: a number as structured content, as the revision has it, not every proxy passes on.
Each turn also calls that server directly, so that what the way through the proxy costs is known by calls of the same
minute. CPU is that of the proxy and of the server behind it together.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from ..contestants import FASTMCP, OURS
from ..load import http, wire
from ..processes import Process
from .calls import THREE, load
from .turn import Group, Turn

CONNECTIONS = 16
KIT = "text"
SERVERS = 12


def proxied(turn: Turn) -> None:
    """The call directly, and through proxies before a server on stdio and one over HTTP."""
    server, port = turn.everyone[OURS].serve_http(KIT)
    with server:
        direct = _load(turn, server, port).sample()
        with turn.measure("proxy http"), _proxy(turn, f"http://127.0.0.1:{port}/mcp") as (proxy, front):
            _record(turn, "proxy http", _load(turn, _Both(proxy, server), front), direct)
    with turn.measure("proxy stdio"), _proxy(turn, turn.everyone[OURS].stdio_command(KIT)) as (proxy, front):
        _record(turn, "proxy stdio", _load(turn, proxy, front), direct)


def through_a_gateway(turn: Turn) -> None:
    """The call directly, and through a gateway before twelve servers over HTTP, by the name that the last one has; of
    others through what they have for it, a proxy before one.
    """
    server, port = turn.everyone[OURS].serve_http(KIT)
    with server:
        direct = _load(turn, server, port).sample()
        upstream: str | dict[str, str]
        upstream, kit, name = f"http://127.0.0.1:{port}/mcp", "proxy", "add"
        if turn.who.name == OURS:
            named = {f"server{number}": upstream for number in range(SERVERS)}
            upstream, kit, name = named, "gateway", f"server{SERVERS - 1}__add"
        with turn.measure("gateway"), _proxy(turn, upstream, kit) as (gateway, front):
            _record(turn, "gateway", _load(turn, _Both(gateway, server), front, name), direct)


class _Both:
    """Two processes as one: what the load asks of a server."""

    def __init__(self, first: Process, second: Process) -> None:
        self._both = (first, second)
        self.apart = first.apart

    def cpu(self) -> float:
        """Seconds of CPU of both."""
        return sum(each.cpu() for each in self._both)

    def check(self) -> None:
        """Raises `Broken` if one has ended."""
        for each in self._both:
            each.check()


@contextmanager
def _proxy(
    turn: Turn, upstream: str | list[str] | dict[str, str], kit: str = "proxy"
) -> Generator[tuple[Process, int]]:
    """A fresh proxy or gateway, and its port."""
    process, port = turn.who.before(upstream).serve_http(kit)
    with process:
        yield process, port


def _load(turn: Turn, server: http.Watched, port: int, name: str = "add") -> http.Load:
    request = wire.stateless(port, "tools/call", wire.call(name, a=1, b=2))
    scripts = [http.Script(request, THREE) for _ in range(CONNECTIONS)]
    return load(turn, server, [http.Connection(port, script) for script in scripts])


def _record(turn: Turn, measure: str, came: http.Load, direct: dict[str, float]) -> None:
    sample = came.sample()
    turn.record(measure, sample | {"calls": sample["cpu"] / direct["cpu"]})


GROUPS = (
    Group(("proxy http", "proxy stdio"), proxied, (OURS, FASTMCP)),
    Group(("gateway",), through_a_gateway, (OURS, FASTMCP)),
)
