"""`Gateway`: many servers as one.

Theory of operation. A gateway is an `App` with one thing mounted on it: the servers, each a proxy under its name
(`server`), asked side by side (`servers`). So what an app has, a gateway has: both eras on stdio and HTTP,
authorization, rate limits, stores that workers share, telemetry. What a host has is used as it is: names, states,
policies, records.

Specification: architecture; basic/authorization, "Token Passthrough" ("Security Best Practices").
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from ..client.options import to_stderr
from ..errors import LocalProtocolError
from ..extensions.tasks import tasks as running_tasks
from ..host import HostPolicy, RecordSink
from ..host.icons import url_of
from ..host.records import HostRecorder
from ..host.server_targets import check_servers, target_of
from ..proxy import Credentials, ProxyProvider, Share
from ..server.app import App
from .door import GatewayDoor
from .limits import ServerRateLimits
from .names import ServerNames
from .server import GatewayServer
from .servers import GatewayServers

__all__ = ["Gateway"]

_NOT_THEIRS: Final = frozenset(
    {"elicitation", "approve", "sampling", "roots", "logging", "progress", "rounds"}
)


class Gateway:
    """Many servers as one: ``Gateway({"files": "files.py", "web": "https://example.com/mcp"}).app.run("http")``.

    ``servers``: by the names that they are to have, what a `Client` takes; or a `Client` that was not opened, whose
    target and options are taken. A tool or prompt is ``server__name``, a resource ``scheme://server/...``; with
    ``bare_names`` all are called what their servers call them, and of two of one name the first server's counts.

    ``policy``: a `HostPolicy`, by which calls are let in; "ask" asks the caller's person, and is a no where the
    caller's client can't. Without it all calls are let in. ``audit``: where a `HostRecord` of each decision and call
    goes: a function that must not block, or the path of a file to append to; with ``audit_arguments`` also what calls
    were made with, with ``audit_identities`` the names of callers in place of digests.

    ``rate_limits``: by server, how many calls of it a second a caller may make in the long run, and how many at once,
    beside ``rate_limit`` and ``burst`` of the app, which hold for all calls of a caller together; all without a name on
    this machine are one.

    ``credentials``: by server, what gives the client's options (``auth``, ``headers``) for a principal; no two
    principals share a connection to such a server. The caller's own token and headers are never sent on. ``share``,
    ``tasks``: as of `dovetail.proxy.proxy_app`, for all servers. ``max_connections``, ``caller_share``: as of
    `dovetail.proxy.ProxyProvider`, for each server. ``park``: seconds that a call at a stateful server waits for the
    answers of a caller of the stateless era (300). ``patience``: seconds that a list waits for one server (10).
    ``list_ttl``: seconds for which clients may keep lists of servers that don't say it (60).

    ``options`` are those of `App`: ``auth``, ``rate_limit``, ``store``, ``telemetry`` and the others. Raises
    `LocalProtocolError` for a name that no server can have, for the content of a configuration, credentials for a
    server that there is not, a rate limit that can't be, a policy with flows; what `ProxyProvider` and `App` raise.
    """

    def __init__(
        self,
        servers: Mapping[str, Any],
        *,
        name: str = "gateway",
        bare_names: bool = False,
        policy: HostPolicy | None = None,
        audit: RecordSink | str | os.PathLike[str] | None = None,
        audit_arguments: bool = False,
        audit_identities: bool = False,
        rate_limits: Mapping[str, tuple[float, int]] | None = None,
        credentials: Mapping[str, Credentials] | None = None,
        share: Share = "caller",
        tasks: bool = False,
        max_connections: int = 64,
        caller_share: int = 25,
        park: float = 300.0,
        patience: float = 10.0,
        list_ttl: float = 60.0,
        **options: Any,
    ) -> None:
        check_servers(servers, "a gateway")
        own = dict(credentials or {})
        _check_names("credentials", own, servers)
        limits = ServerRateLimits(rate_limits or {})
        _check_names("rate limits", rate_limits or {}, servers)
        recorder = (
            None if audit is None else HostRecorder(audit, arguments=audit_arguments, tell=lambda _: None)
        )
        door = GatewayDoor(policy, recorder, identities=audit_identities)
        self._servers: dict[str, GatewayServer] = {}
        for each, given in servers.items():
            proxy = _proxy(
                each,
                given,
                own.get(each),
                share=share,
                max_connections=max_connections,
                caller_share=caller_share,
                list_timeout=patience,
                park=park,
            )
            names = ServerNames(each, bare=bare_names)
            url = url_of(target_of(given)[0])
            self._servers[each] = GatewayServer(
                each, proxy, names, door, limits, kept_up=each not in own, url=url
            )
        if tasks:
            options["extensions"] = [*(options.get("extensions") or ()), running_tasks()]
        if rate_limits:
            options["middleware"] = [*(options.get("middleware") or ()), limits]
        self.app: Final = App(name, list_ttl=list_ttl, **options)
        every = list(self._servers.values())
        self.app.mount(
            None, GatewayServers(name, every, door, bare=bare_names, patience=patience, ttl=list_ttl)
        )

    @property
    def servers(self) -> Mapping[str, GatewayServer]:
        """The servers by their names."""
        return dict(self._servers)


def _check_names(what: str, given: Mapping[str, Any], servers: Mapping[str, Any]) -> None:
    """Raise `LocalProtocolError` for what is given for a server that there is not."""
    if unknown := sorted(given.keys() - servers.keys()):
        known = ", ".join(servers) or "none"
        raise LocalProtocolError(
            f"there are {what} for {unknown[0]!r}, and no such server; there are: {known}"
        )


def _proxy(name: str, given: Any, credentials: Credentials | None, **options: Any) -> ProxyProvider:
    """The proxy of one server. Raises `LocalProtocolError` for options that can't be."""
    target, client = target_of(given)
    if refused := sorted(client.keys() & _NOT_THEIRS):
        raise LocalProtocolError(
            f"the server {name!r} has the option {refused[0]!r}: what servers ask and tell goes to the callers of a"
            " gateway"
        )

    def written(line: str) -> None:
        to_stderr(f"{name}: {line}")

    client.setdefault("on_stderr", written)
    return ProxyProvider(
        target,
        name=name,
        credentials=credentials,
        first_wait=None,
        **options,
        **client,
    )
