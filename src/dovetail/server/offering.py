"""What a server may offer where it is served: nothing that could not be kept there.

An endpoint without sessions forgets a log level and a subscription as soon as it was told, and has no stream to tell
changes on; one that answers with nothing but one JSON document can tell no logs. What is not offered is refused, not
accepted in silence. Specification: basic/lifecycle "Capability Negotiation"; server/utilities/logging.
"""

from msgspec.structs import replace

from ..protocol.errors import MethodNotFound
from ..protocol.types import ServerCapabilities
from ..runtime.channel import Channel


def kept(offered: ServerCapabilities, channel: Channel) -> ServerCapabilities:
    """What of it can be kept where this channel is."""
    if not (channel.speaking and channel.lasting):
        offered = replace(offered, logging=None)
    if channel.lasting:
        return offered
    resources = offered.resources
    return replace(
        offered,
        tools=offered.tools and replace(offered.tools, list_changed=None),
        prompts=offered.prompts and replace(offered.prompts, list_changed=None),
        resources=resources and replace(resources, subscribe=None, list_changed=None),
    )


def check_logs(channel: Channel) -> None:
    """Raise `MethodNotFound` where logs are not offered."""
    if not (channel.speaking and channel.lasting):
        raise MethodNotFound(
            "this server does not offer logs here: a level would not be kept, or nothing come of it"
        )


def check_subscriptions(channel: Channel) -> None:
    """Raise `MethodNotFound` where subscriptions are not offered."""
    if not channel.lasting:
        raise MethodNotFound(
            "this server does not offer subscriptions here: without a session none would be kept"
        )
