"""What an app offers to the extensions that it serves with; a `Serving`."""

from collections.abc import Awaitable, Sequence

from msgspec import Raw

from ..protocol.call import Call, MessageRefused, Peer, read_params
from ..protocol.envelope import Kind, Message
from ..protocol.listening import Change
from ..protocol.types import LogLevel, RequestId, Result
from ..runtime.channel import Channel
from ..runtime.dispatch import Encoded
from ..runtime.extension import ServedTool
from ..runtime.service import Service
from ..stores.contracts import Store
from .catalog import Catalog


class ServingApp:
    """The app called ``name`` while it runs; see `Serving`. It equals that of another life of the same app."""

    def __init__(self, name: str, service: Service, store: Store | None, catalog: Catalog) -> None:
        self.name = name
        self.store = store
        self._service = service
        self._catalog = catalog

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ServingApp) and self._catalog is other._catalog

    def __hash__(self) -> int:
        return id(self._catalog)

    @property
    def tools(self) -> Sequence[ServedTool]:
        """What the app offers now, to whomever."""
        own = [entry.served for entry in self._catalog.tools.all()]
        return own if self._catalog.mounted is None else [*own, *self._catalog.mounted.served_tools()]

    def find_tool(self, name: str, channel: Channel | None = None) -> ServedTool | None:
        """The tool of that name, if the caller may call it. Raises `InsufficientScope`."""
        tools, mounted = self._catalog.tools, self._catalog.mounted
        entry = tools.get(name)
        if entry is None:
            return None if mounted is None else mounted.served_tool(name, channel)
        return entry.served if channel is None or not tools.guarded or tools.admits(name, channel) else None

    def publish(self, change: Change) -> None:
        """Tell all who listen of a change. Never waits; may be called from any task or thread."""
        self._service.hub.publish(change)

    def request(
        self,
        method: str,
        params: bytes,
        *,
        id: RequestId,
        revision: str,
        peer: Peer,
        log_level: LogLevel | None = None,
    ) -> Call:
        """A call of one's own, of what was kept of one that a client made. Raises `InvalidParams`, and KeyError for a
        revision or a method that is not there.
        """
        profile = self._service.profiles[revision]
        message = Message(Kind.REQUEST, id, method, Raw(params))
        try:
            read = read_params(message, profile.client_requests[method].params)
        except MessageRefused as refused:
            raise refused.error from None
        return Call(id, method, read, message, profile, peer, log_level)

    def call(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """Answer a call as if it had come from a client, through all middleware. Raises what the handler raises."""
        return self._service.dispatcher.handle(call, channel)
