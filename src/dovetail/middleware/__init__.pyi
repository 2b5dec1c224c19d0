"""The names of `dovetail.middleware` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.extensions import Call, Channel, Encoded, Handler, Middleware, Result, Serving
from dovetail.middleware.caching import ResultCache
from dovetail.middleware.call_logging import CallLogging
from dovetail.middleware.error_table import ErrorTable
from dovetail.middleware.failures import Failures
from dovetail.middleware.rate_limit import ToolRateLimit
from dovetail.middleware.results import for_method, result_of
from dovetail.middleware.retrying import Retries
from dovetail.middleware.size_limit import SizeLimit
from dovetail.middleware.timing import CallOutcome, CallTimer, CallTiming

__all__ = [
    "Call",
    "CallLogging",
    "CallOutcome",
    "CallTimer",
    "CallTiming",
    "Channel",
    "Encoded",
    "ErrorTable",
    "Failures",
    "Handler",
    "Middleware",
    "Result",
    "ResultCache",
    "Retries",
    "Serving",
    "SizeLimit",
    "ToolRateLimit",
    "for_method",
    "result_of",
]
