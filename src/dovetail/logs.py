"""The loggers of this package: what a peer said reaches no log as it is.

Theory of operation. Every module gets its logger here. A filter on the logger itself looks at each record before any
handler does: the message becomes one line, safe to show (`dovetail.protocol.safe_text`) and bounded, and so does each
text in a traceback. A record that is safe already keeps its template and arguments, for handlers that group by these.
Whatever handlers the program has set up (none at all: Python then writes to standard error) get no control
characters, no text that reads backwards, and no line that the peer forged. It costs nothing where nothing is logged.

`JSONFormatter` writes a record as one line of JSON, its fields (``extra``) included: all of it ASCII, so whoever
logged it, no reader and no terminal takes a part of it for something else.

Specification: basic, "Security Best Practices"; server/utilities/logging, "Security Considerations".
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Final, TextIO, cast

__all__ = ["JSONFormatter", "get_logger", "log_json", "traceback_text"]

_LONGEST: Final = 10_000
#: How deep, how many members and how many characters of a field's value are written.
_DEPTH: Final = 8
_ITEMS: Final = 64
MAX_TEXT: Final = 2_000
_CUT: Final = "..."


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, which makes every record safe to show."""
    logger = logging.getLogger(name)
    if _make_safe not in logger.filters:
        logger.addFilter(_make_safe)
    return logger


class JSONFormatter(logging.Formatter):
    """Writes each record as one line of JSON, for programs that read logs.

    Members: ``time`` (UTC, ISO 8601), ``level``, ``logger``, ``message``; ``exception`` with the traceback;
    ``trace_id`` and ``span_id`` of OpenTelemetry's current span, where there is one; and whatever ``extra`` had. Long
    values are cut: texts after 2,000 characters, the rest of lists and objects after 64 items.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        import json
        from datetime import UTC, datetime

        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _shortened(record.getMessage(), _DEPTH),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = (record.exc_text or traceback_text(record.exc_info[1]))[-2 * _LONGEST :]
        line |= _span()
        for name, value in record.__dict__.items():
            if name not in _OWN and name not in line:
                line[name] = _shortened(value, _DEPTH)
        return json.dumps(line, ensure_ascii=True, separators=(",", ":")).replace("\x7f", "\\u007f")


def log_json(level: int | str = logging.INFO, stream: TextIO | None = None) -> logging.Handler:
    """Write what is logged from ``level`` on as lines of JSON, to ``stream`` (default: standard error, as it is then).

    Gives the handler that does it, which is the root logger's; `logging.Logger.removeHandler` takes it away again.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JSONFormatter())
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper() if isinstance(level, str) else level)
    return handler


def traceback_text(problem: BaseException) -> str:
    """The traceback of an exception, safe to show, with a line break at its end.

    Its texts may be a peer's: their further lines are indented, so that none passes for a line of its own, and each is
    cut after 10,000 characters.
    """
    return "".join(map(_indented, traceback.format_exception(problem)))


_OWN: Final = frozenset({*logging.makeLogRecord({}).__dict__, "message", "asctime", "taskName"})


def _shortened(value: Any, depth: int) -> Any:
    """A value as JSON can have it, of bounded size."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else repr(value)  # JSON has no infinities
    if isinstance(value, str):
        return value if len(value) <= MAX_TEXT else value[:MAX_TEXT] + _CUT
    if depth and isinstance(value, dict):
        members = list(cast("dict[Any, Any]", value).items())[:_ITEMS]
        return {str(name)[:MAX_TEXT]: _shortened(each, depth - 1) for name, each in members}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        items = list(cast("list[Any]", value))[:_ITEMS]
        return [_shortened(each, depth - 1) for each in items]
    try:
        return _shortened(repr(value), 0)
    except Exception:  # noqa: BLE001 - a value that can't even be shown spoils no line
        return type(value).__name__


def _span() -> dict[str, str]:
    """The current span of a program that traces."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    return (
        {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        if context.is_valid
        else {}
    )


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
