"""Adding to the protocol: what an extension is made of. Give one to ``App(extensions=[...])`` and ``Client(...)``.

Specification: basic/versioning, "Extension Negotiation".
"""

from ..protocol.call import Call
from ..protocol.listening import Change, ChangeType
from ..protocol.types import InputRequest, Result
from ..runtime.channel import BodyReached, Channel, DurableCall
from ..runtime.client_extension import (
    Announce,
    Asked,
    CallStarter,
    ExtensionQuestion,
    Prepare,
    PreparedCall,
    Resolving,
    ResultType,
)
from ..runtime.dispatch import Encoded, Handler, Middleware
from ..runtime.extension import (
    Extension,
    ExtensionMethod,
    ExtensionNotice,
    InvalidExtension,
    ServedTool,
    Serving,
    TaskOptions,
    TaskSupport,
)
from ..security.principal import Principal

__all__ = [
    "Announce",
    "Asked",
    "BodyReached",
    "Call",
    "CallStarter",
    "Change",
    "ChangeType",
    "Channel",
    "DurableCall",
    "Encoded",
    "Extension",
    "ExtensionMethod",
    "ExtensionNotice",
    "ExtensionQuestion",
    "Handler",
    "InputRequest",
    "InvalidExtension",
    "Middleware",
    "Prepare",
    "PreparedCall",
    "Principal",
    "Resolving",
    "Result",
    "ResultType",
    "ServedTool",
    "Serving",
    "TaskOptions",
    "TaskSupport",
]
