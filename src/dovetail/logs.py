"""The loggers of this package: what a peer said reaches no log as it is.

Theory of operation. Every module gets its logger here. A filter on the logger itself looks at each record before any
handler does: the message becomes one line, safe to show (`dovetail.protocol.safe_text`) and bounded, and so does each
text in a traceback. A record that is safe already keeps its template and arguments, for handlers that group by these.
Whatever handlers the program has set up (none at all: Python then writes to standard error) get no control
characters, no text that reads backwards, and no line that the peer forged. It costs nothing where nothing is logged.

Specification: basic, "Security Best Practices"; server/utilities/logging, "Security Considerations".
"""

from __future__ import annotations

import logging
import traceback
from typing import Final

__all__ = ["get_logger", "traceback_text"]

_LONGEST: Final = 10_000
_CUT: Final = "..."


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, which makes every record safe to show."""
    logger = logging.getLogger(name)
    if _make_safe not in logger.filters:
        logger.addFilter(_make_safe)
    return logger


def traceback_text(problem: BaseException) -> str:
    """The traceback of an exception, safe to show, with a line break at its end.

    Its texts may be a peer's: their further lines are indented, so that none passes for a line of its own, and each is
    cut after 10,000 characters.
    """
    return "".join(map(_indented, traceback.format_exception(problem)))


def _make_safe(record: logging.LogRecord) -> bool:
    from .protocol.safe_text import one_line  # only once something is logged

    try:
        said = record.getMessage()
    except Exception:  # noqa: BLE001 - a call that does not fit its template; `logging` itself tells of it
        return True
    line = one_line(said)
    if line != said:
        record.msg, record.args = line, ()
    if record.exc_info and record.exc_info[1] is not None and record.exc_text is None:
        record.exc_text = traceback_text(record.exc_info[1]).rstrip("\n")
    return True


def _indented(part: str) -> str:
    """A part of a traceback: a frame, or the type and text of an exception."""
    from .protocol.safe_text import safe  # as above

    text = safe(part.rstrip("\n"))
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + _CUT
    return text.replace("\n", "\n" if text.startswith(" ") else "\n    ") + "\n"
