"""The names of `dovetail.recording` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.capture.contents import redacted_lines
from dovetail.capture.following import CaptureTail, TailedLine
from dovetail.capture.lines import (
    CaptureHeader,
    CaptureInvalid,
    CaptureLine,
    HTTPPart,
    Mark,
    Sender,
    capture_schema,
)
from dovetail.capture.reading import Capture
from dovetail.capture.redaction import Redaction
from dovetail.capture.writing import CapturedExchange, CaptureLink, CaptureWriter
from dovetail.recording.intercepting import (
    Forward,
    HTTPInterceptor,
    PipeInterceptor,
    RelayedPipe,
    RelayedRequest,
    RelayedResponse,
)
from dovetail.recording.matching import Difference, differences
from dovetail.recording.pipes import PipeRelay
from dovetail.recording.relay import HTTPRelay
from dovetail.recording.replaying import VARYING, CallReplay, ReplayReport, replay
from dovetail.recording.serving import NotRecorded, replay_app

__all__ = [
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
    "Forward",
    "HTTPInterceptor",
    "HTTPPart",
    "HTTPRelay",
    "Mark",
    "NotRecorded",
    "PipeInterceptor",
    "PipeRelay",
    "Redaction",
    "RelayedPipe",
    "RelayedRequest",
    "RelayedResponse",
    "ReplayReport",
    "Sender",
    "TailedLine",
    "VARYING",
    "capture_schema",
    "differences",
    "redacted_lines",
    "replay",
    "replay_app",
]
