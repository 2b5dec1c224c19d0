"""Turns engine events into running handlers and back: dispatch, ways back to the caller, cancellation, change
streams.
"""

__all__: list[str] = []
