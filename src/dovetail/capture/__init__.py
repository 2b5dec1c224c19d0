"""Recorded conversations: what a line of one says, how it is written without secrets, and how it is read again.

A recording is called a capture. `lines` has its format, `redaction` what is left out, `tracking` what each message
belongs to, `writing` and `reading` the file. What is done with captures is above, in `recording/`; a client writes its
own (``Client(..., record="talk.jsonl")``).

A client names the type of its own writer, and loads it only where something is recorded: the rules of `redaction` take
longer to load than the rest of a client.

Specification: none; docs/recording.md has the format.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(__name__, {"dovetail.capture.writing": ("CaptureWriter",)})
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
