"""Recording conversations, and having recordings answer or ask in the place of a server or a client.

`Client(..., record="talk.jsonl")` writes a capture, `Capture.read` reads one; `replay_app` serves it, `replay` sends
its requests to a server and says what differs.

Specification: none; docs/recording.md.
"""

from ..capture.contents import redacted_lines
from ..capture.following import CaptureTail, TailedLine
from ..capture.lines import CaptureHeader, CaptureInvalid, CaptureLine, HTTPPart, Mark, Sender, capture_schema
from ..capture.reading import Capture
from ..capture.redaction import Redaction
from ..capture.writing import CapturedExchange, CaptureLink, CaptureWriter
from .matching import Difference
from .replaying import VARYING, CallReplay, ReplayReport, replay
from .serving import NotRecorded, replay_app

__all__ = [
    "VARYING",
    "CallReplay",
    "Capture",
    "CaptureHeader",
    "CaptureInvalid",
    "CaptureLine",
    "CaptureLink",
    "CaptureTail",
    "CaptureWriter",
    "CapturedExchange",
    "Difference",
    "HTTPPart",
    "Mark",
    "NotRecorded",
    "Redaction",
    "ReplayReport",
    "Sender",
    "TailedLine",
    "capture_schema",
    "redacted_lines",
    "replay",
    "replay_app",
]
