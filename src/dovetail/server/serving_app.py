"""What an app offers to the extensions that it serves with; a `Serving`."""

from collections.abc import Awaitable, Sequence

from ..protocol.call import Call
from ..protocol.listening import Change
from ..protocol.revisions.profiles import Profiles
from ..protocol.types import Result
from ..runtime.channel import Channel
from ..runtime.dispatch import Encoded
from ..runtime.extension import ServedTool
from ..runtime.service import Service
from ..stores.contracts import Store
from .entries import ToolEntry
from .registry import Registry


class ServingApp:
    """The app called ``name`` while it runs; see `Serving`."""

    def __init__(self, name: str, service: Service, store: Store | None, tools: Registry[ToolEntry]) -> None:
        self.name = name
        self.store = store
        self._service = service
        self._tools = tools

    @property
    def profiles(self) -> Profiles:
        """The revisions, each with its methods, those of extensions among them."""
        return self._service.profiles

    @property
    def tools(self) -> Sequence[ServedTool]:
        """What the app offers now, to whomever."""
        return [entry.served for entry in self._tools.all()]

    def publish(self, change: Change) -> None:
        """Tell all who listen of a change. Never waits; may be called from any task or thread."""
        self._service.hub.publish(change)

    def call(self, call: Call, channel: Channel) -> Awaitable[Result | Encoded]:
        """Answer a call as if it had come from a client, through all middleware. Raises what the handler raises."""
        return self._service.dispatcher.handle(call, channel)
