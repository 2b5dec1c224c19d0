"""What a server says that is not quite what the protocol has, and was taken nevertheless.

A client takes what can be taken: one broken tool costs the others nothing. Whoever wants to know reads
``Client.warnings``, or gives ``on_warning``, and may be as strict as it likes. Each warning is logged, and told to
``on_warning``, once; the list is bounded, the oldest go first.
Specification: basic/index, "Messages"; server/tools, "Error Handling".
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..logs import get_logger
from ..protocol.safe_text import one_line

log = get_logger("dovetail.client")

LIMIT: Final = 256
"""Warnings that a client keeps."""
MAX_MESSAGE: Final = 2_000
"""Characters of each of their texts."""

WarningKind = Literal[
    "item",
    "member",
    "envelope",
    "cursor",
    "structured_content",
    "schema",
    "headers",
    "notification",
    "subscription",
]


class ServerWarning(Struct, frozen=True, kw_only=True):
    """Something that a server got wrong and the client put up with.

    ``kind``: "item" (a tool, resource, template or prompt is missing from its list), "member" (a part of something is
    left out), "envelope" (an oddity of the JSON-RPC message), "cursor" (the end of a list was found by other means),
    "structured_content" (null or text alone where structured content belongs), "schema" (the output of a tool can't be
    checked), "headers" (a tool whose arguments can't be sent as its schema says), "notification" (one was dropped),
    "subscription" (what is listened to is not told of).
    ``method``: of the request or notification; ``subject``: the name or URI of what it is about, as the server wrote
    it, or empty. ``message`` says all of it in one line that is safe to show.
    """

    kind: WarningKind
    message: str
    method: str = ""
    subject: str = ""


class ServerWarnings:
    """The warnings of one client. ``tell`` hears of each new one."""

    def __init__(self, tell: Callable[[ServerWarning], None] | None = None) -> None:
        self._kept: OrderedDict[ServerWarning, None] = OrderedDict()
        self._tell = tell

    @property
    def all(self) -> tuple[ServerWarning, ...]:
        """What was noted, the oldest first."""
        return tuple(self._kept)

    def add(self, warning: ServerWarning) -> None:
        """Note a warning, unless the same is noted already. Its message is made safe to show, and long words of the
        server are cut.
        """
        warning = replace(warning, message=one_line(warning.message))
        if len(warning.message) > MAX_MESSAGE or len(warning.subject) + len(warning.method) > MAX_MESSAGE:
            warning = replace(
                warning,
                message=_cut(warning.message),
                method=_cut(warning.method),
                subject=_cut(warning.subject),
            )
        if warning in self._kept:
            self._kept.move_to_end(warning)
            return
        self._kept[warning] = None
        while len(self._kept) > LIMIT:
            self._kept.popitem(last=False)
        log.warning("%s", warning.message)
        if self._tell is not None:
            self._tell(warning)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 3] + "..."
