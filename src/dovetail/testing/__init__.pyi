"""The names of `dovetail.testing` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.testing.answers import Answers
from dovetail.testing.clock import StoodStill, VirtualLoop, run_virtual
from dovetail.testing.recordings import replayed
from dovetail.testing.serving import Transport, connected, served
from dovetail.testing.wire import Frame, watch_wire

__all__ = [
    "Answers",
    "Frame",
    "StoodStill",
    "Transport",
    "VirtualLoop",
    "connected",
    "replayed",
    "run_virtual",
    "served",
    "watch_wire",
]
