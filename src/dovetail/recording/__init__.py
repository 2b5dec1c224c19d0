"""Recording conversations, and having recordings answer or ask in the place of a server or a client.

`Client(..., record="talk.jsonl")` writes a capture, `Capture.read` reads one; `replay_app` serves it, `replay` sends
its requests to a server and says what differs. A `PipeRelay` or an `HTTPRelay` stands between a client and a server,
and records what passes; an interceptor in it decides about that.

Specification: none; docs/recording.md.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.capture.contents": ("redacted_lines",),
        "dovetail.capture.following": ("CaptureTail", "TailedLine"),
        "dovetail.capture.lines": (
            "CaptureHeader",
            "CaptureInvalid",
            "CaptureLine",
            "HTTPPart",
            "Mark",
            "Sender",
            "capture_schema",
        ),
        "dovetail.capture.reading": ("Capture",),
        "dovetail.capture.redaction": ("Redaction",),
        "dovetail.capture.writing": ("CaptureLink", "CaptureWriter", "CapturedExchange"),
        "dovetail.recording.intercepting": (
            "Forward",
            "HTTPInterceptor",
            "PipeInterceptor",
            "RelayedPipe",
            "RelayedRequest",
            "RelayedResponse",
        ),
        "dovetail.recording.matching": ("Difference", "differences"),
        "dovetail.recording.pipes": ("PipeRelay",),
        "dovetail.recording.relay": ("HTTPRelay",),
        "dovetail.recording.replaying": ("VARYING", "CallReplay", "ReplayReport", "replay"),
        "dovetail.recording.serving": ("NotRecorded", "replay_app"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
