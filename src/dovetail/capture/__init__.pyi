"""The names of `dovetail.capture` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.capture.writing import CaptureWriter

__all__ = ["CaptureWriter"]
