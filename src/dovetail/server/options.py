"""What `App.run`, `App.serve` and `App.asgi` can be told, and what the latter gives; and what can be said of a tool, a
resource or a prompt beside its function, once for decorators and for `App.add_tool` and the others.

Nothing of a transport is imported for it: a server on stdio pays for no HTTP.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from os import PathLike
from typing import Any, Final, Literal, Protocol, Required, TypedDict

from ..protocol.types import Annotations, Icon, JSONSchema, Meta, ToolAnnotations
from ..runtime.extension import TaskOptions, TaskSupport
from ..security.authenticator import Authenticator, Protection
from ..stores.contracts import Store
from .access import Allow

ASGIScope = MutableMapping[str, Any]
ASGIReceive = Callable[[], Awaitable[MutableMapping[str, Any]]]
ASGISend = Callable[[Any], Awaitable[None]]


class Policy(Protocol):
    """Judges where a request comes from; `dovetail.protocol.bindings.origins.OriginPolicy` is one."""

    def judge(
        self, host: bytes | None, origin: bytes | None, sec_fetch_site: bytes | None, /
    ) -> object | None:
        """None lets the request pass; else why not, with a ``status`` and a ``reason``."""
        ...


class Mountable(Protocol):
    """What `App.mount` takes: another `App`, or a `dovetail.providers.Provider`."""

    def provide(self) -> Any:
        """The provider that it is."""
        ...


class Endpoint(Protocol):
    """An app over HTTP: an ASGI 3 application. What `App.asgi` gives."""

    async def __call__(self, scope: ASGIScope, receive: ASGIReceive, send: ASGISend) -> None:
        """Serve one request, or the lifespan of the server."""
        ...

    def lifespan(self, app: object = None, /) -> AbstractAsyncContextManager[None]:
        """The app's life, for a framework with a lifespan of its own: ``Starlette(lifespan=endpoint.lifespan)``.
        Without it a mounted app starts with its first request.
        """
        ...

    async def drain(self, limit: float | None = None) -> None:
        """Take no more requests, end the streams, and wait for the calls in progress, at most ``limit`` seconds
        (default: the option ``drain``); those that still run then are cancelled.
        """
        ...


class PromptOptions(TypedDict, total=False):
    """Keyword options of `App.prompt` and `App.add_prompt`, which tools and resources have as well. All are optional.

    * ``name``, ``title``, ``description``, ``icons``, ``meta``: what clients are told. Name and description default to
      the function's own and its docstring.
    * ``timeout``: seconds, else the app's. ``single_use``: the state that a client brings back counts once, for one
      request; the same request gets the same reply, any other is refused (it needs a store that all workers share).
    * ``scopes``: what a caller's token needs, all of them; ``allow``: a predicate on the `Principal`: who is not
      allowed does not see the entry, who lacks scopes does, so that it can ask for them.
    * ``tags``: words by which transforms choose what they show of an app that is mounted (`dovetail.providers.only`,
      `dovetail.providers.hide`); clients are not told.
    * ``replace``: put this one in the place of another of that name or URI; without it, what is taken is refused.
    """

    name: str | None
    title: str | None
    description: str | None
    icons: list[Icon] | None
    meta: Meta | None
    timeout: float | None
    single_use: bool
    scopes: Sequence[str] | None
    allow: Allow | None
    tags: Collection[str] | None
    replace: bool


class ToolOptions(PromptOptions, total=False):
    """Keyword options of `App.tool` and `App.add_tool`: those of `PromptOptions`, and

    * ``annotations``: hints for clients. ``input_schema``: given by hand, the function takes one dict;
      ``output_schema``: of what it gives. Both default to what the function's annotations say.
    * ``strict``: as for the app, whose setting it replaces.
    * ``version``: of several tools of one name, each with its version, the highest is listed, and called unless the
      call says which. A text such as "2" or "1.10-beta": parts are compared one by one, numbers as numbers, and words
      come before the end. Clients are told in ``_meta`` (``io.dovetail/version``, ``io.dovetail/versions``).
    * ``once``: from the first question on, each step runs once however often the client sends the call again, and it
      gets the same final answer; all that ``single_use`` means, it means too.
    * ``task``: whether it may be run as a task, "optional", "required" or "forbidden" (default), or `TaskOptions`; it
      needs ``App(extensions=[tasks()])`` of `dovetail.extensions.tasks`.
    """

    annotations: ToolAnnotations | None
    once: bool
    strict: bool | None
    version: str | None
    task: TaskSupport | TaskOptions
    input_schema: JSONSchema | None
    output_schema: JSONSchema | None


class ResourceOptions(PromptOptions, total=False):
    """Keyword options of `App.resource` and `App.add_resource`: those of `PromptOptions`, and

    * ``mime_type``, ``annotations``, ``size`` (bytes): what clients are told.
    * ``ttl`` (seconds, 0) and ``scope`` ("private"): how long and for whom clients may keep what they read.
    """

    mime_type: str | None
    annotations: Annotations | None
    size: int | None
    ttl: float
    scope: Literal["public", "private"]


class EndpointOptions(TypedDict, total=False):
    """Keyword options of `App.asgi`, which those for HTTP of `App.run` and `App.serve` are as well. All are optional;
    times are in seconds.

    * ``path``: where the endpoint is ("/mcp"). ``trailing_slash``: serve it with a slash at its end too.
    * ``allowed_hosts``: names that the server is reached by (default: loopback names alone). ``allowed_origins``: pages
      that may call it. ``policy`` decides both instead. ``auth``: what protects it, instead of the app's own;
      ``authenticate`` names callers by rules of your own.
    * ``store``: where sessions and what can be resumed are kept (default: the app's, else this process's memory); an
      app that has none of its own takes it for its rounds, keys and changes, too. ``sessions``: False serves the
      stateful era without sessions. ``workers``: how many processes serve together, where the server does not say so
      itself.
    * ``responses``: "auto" (JSON unless a call is slow or says something), "json" or "sse". ``http_sse``: serve the
      deprecated transport of 2024-11-05 as well. ``health``: a path such as "/health" that says whether the server is
      ready. ``probes``: say so at "/readyz" as well, and at "/healthz" whether it lives, where no route is (`App.asgi`:
      False; `App.run` and `App.serve`: True). ``metrics``: a path such as "/metrics" where Prometheus finds what is
      counted; for readers on this machine, and those of ``metrics_allow_ips``: addresses and networks, and "unix" for a
      unix socket.
    * ``drain``: what a shutdown waits for calls (10). ``keep_alive``: silence before a comment is sent (15).
      ``body_timeout`` (30), ``send_timeout`` (60), ``slow_after`` (0.005), ``retry`` (1), ``linger`` (120),
      ``answer_timeout`` (900).
    * ``max_requests`` (10,000) and ``max_streams`` (5,000) at once; ``max_held``: bytes of messages above 4 KiB that
      are being received, worked on or listened with (256 MiB). ``caller_share``: the percentage of each that one caller
      may have (25), ``anonymous_share``: those without a name together, where others have one (50).
    """

    path: str
    trailing_slash: bool
    store: Store | None
    allowed_hosts: tuple[str, ...] | None
    allowed_origins: tuple[str, ...] | None
    policy: Policy | None
    auth: Protection | None
    authenticate: Authenticator | None
    sessions: bool
    responses: Literal["auto", "json", "sse"]
    http_sse: bool
    health: str | None
    probes: bool
    metrics: str | None
    metrics_allow_ips: Sequence[str]
    keep_alive: float
    body_timeout: float
    send_timeout: float
    slow_after: float
    max_requests: int
    max_streams: int
    max_held: int
    caller_share: int
    anonymous_share: int
    retry: float
    linger: float
    answer_timeout: float
    drain: float
    workers: int


class HTTPOptions(EndpointOptions, total=False):
    """Keyword options of `App.run` and `App.serve` for HTTP, besides those of `EndpointOptions`.

    * ``host`` ("127.0.0.1") and ``port`` (8000; 0: any free one), or ``uds``, the path of a unix socket.
    * ``allow_remote``: an address that other machines can reach is meant.
    * ``workers``: processes that share the socket (1; `App.run` alone).
    * ``announce`` gets the line that says where the server is (default: standard error has it).
    * ``header_timeout``: seconds that a client may take for the head of a request (10).
    * ``forwarded_allow_ips``: addresses and networks of the proxies ("10.0.0.7", "10.1.0.0/16") whose
      ``X-Forwarded-For`` and ``X-Forwarded-Proto`` are believed; by default nobody's, and never everybody's. Callers
      are then told apart by where they come from, not by the proxy that all of them come through.
    * ``connections``: "own", or "uvicorn" for those that uvicorn brings, which have no ``header_timeout`` (default: our
      own, where they were tried with the uvicorn that is installed).
    """

    host: str
    port: int
    uds: str | None
    allow_remote: bool
    announce: Callable[[str], None] | None
    header_timeout: float
    forwarded_allow_ips: Sequence[str]
    connections: Literal["own", "uvicorn"] | None


class StdioOptions(TypedDict, total=False):
    """Keyword options of `App.run` and `App.serve` on stdio: ``grace``, the seconds that calls in progress have once
    the input has ended (5); ``drain``, those that the end may take (10); ``answer_timeout``, those that the client has
    to answer a question (900).
    """

    grace: float
    drain: float
    answer_timeout: float


class UnixOptions(TypedDict, total=False):
    """Keyword options of `App.run` and `App.serve` on a unix socket: ``path`` of the socket file, which has to be
    given; ``max_clients`` at a time (1000); ``drain``, the seconds that the end may take (10); ``answer_timeout``,
    those that a client has to answer a question (900).
    """

    path: Required[str | PathLike[str]]
    max_clients: int
    drain: float
    answer_timeout: float


TransportName = Literal["stdio", "http", "unix"]
_OPTIONS: Final[Mapping[str, type]] = {"stdio": StdioOptions, "http": HTTPOptions, "unix": UnixOptions}


def check_options(transport: str, options: Mapping[str, Any]) -> None:
    """Raise ValueError for a transport that does not exist, TypeError for an option that it does not have."""
    if transport not in _OPTIONS:
        from .other_names import MEANT_OF_TRANSPORTS  # for mistakes alone

        told = MEANT_OF_TRANSPORTS.get(transport, 'there are "stdio", "http" and "unix"')
        raise ValueError(f"there is no transport {transport!r}; {told}")
    known = _OPTIONS[transport].__annotations__
    for name in options:
        if name not in known:
            raise TypeError(
                f"there is no option {name!r} for the transport {transport!r}{_hint(name, known)}"
            )


def check_endpoint_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option that an endpoint does not have."""
    known = EndpointOptions.__annotations__
    for name in options:
        if name not in known:
            hint = _hint(name, known)
            if name in HTTPOptions.__annotations__:
                hint = "; it is an option of App.run, for here the ASGI server decides that"
            raise TypeError(f"App.asgi has no option {name!r}{hint}")


def _hint(name: str, known: Mapping[str, Any]) -> str:
    from difflib import get_close_matches  # only ever needed for what is wrong

    from .other_names import MEANT_OF_SERVING

    if name in MEANT_OF_SERVING and "sessions" in known:  # of HTTP
        return f"; {MEANT_OF_SERVING[name]}"
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
