"""What a process of ours says on standard error: lines, and the log records that nobody else takes, safe to show.

Theory of operation. The loggers of this package make their records safe themselves (`dovetail.logs`). Those of
others do not: the event loop logs exceptions that hold a server's words, and an author's file logs arguments as they
came. A command line shows what is logged where nobody set logging up, so its handler makes every record safe, whoever
logged it. It stands where Python has its own (`logging.lastResort`), so that a file which calls
``logging.basicConfig()`` gets what it asks for.

Specification: server/utilities/logging, "Security Considerations".
"""

import logging
import sys
from contextlib import suppress

from .logs import traceback_text
from .protocol.safe_text import one_line

__all__ = ["SafeHandler", "install", "say"]


class SafeHandler(logging.Handler):
    """Writes each record to standard error as one line, and a traceback as lines below it."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            line = one_line(self.formatter.format(_bare(record)) if self.formatter else record.getMessage())
            problem = record.exc_info[1] if record.exc_info else None
        except Exception:  # noqa: BLE001 - as every handler does: `logging` tells of a call that fits no template
            self.handleError(record)
            return
        say(line)
        if problem is not None:
            say(traceback_text(problem).rstrip("\n"))


def install(level: str | None = None) -> None:
    """Show what nobody else takes, from warnings on; with a ``level`` everything from that on, with its origin."""
    logging.lastResort = SafeHandler(logging.WARNING)
    if level is not None and sys.stderr is not None:
        handler = SafeHandler()
        handler.setFormatter(logging.Formatter(logging.BASIC_FORMAT))
        logging.basicConfig(level=level.upper(), handlers=[handler])


def say(line: str, *, before: str = "") -> None:
    """A line on standard error, safe text already. A closed one is no failure: nobody wants to hear."""
    with suppress(OSError, ValueError):
        print(f"{before}{line}", file=sys.stderr, flush=True)


def _bare(record: logging.LogRecord) -> logging.LogRecord:
    """The record without its traceback, which a formatter would put into the line."""
    bare = logging.makeLogRecord(record.__dict__)
    bare.exc_info = bare.exc_text = bare.stack_info = None
    return bare
