"""The names of `dovetail.server` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.protocol.bindings.origins import OriginPolicy
from dovetail.protocol.call import Peer
from dovetail.server.access import Allow
from dovetail.server.app import Lifespan
from dovetail.server.options import (
    ASGIReceive,
    ASGIScope,
    ASGISend,
    Endpoint,
    EndpointOptions,
    HTTPOptions,
    Mountable,
    Policy,
    PromptOptions,
    ResourceOptions,
    StdioOptions,
    ToolOptions,
    TransportName,
    UnixOptions,
)
from dovetail.server.questions import Question, SampleOptions
from dovetail.server.session import Session

__all__ = [
    "ASGIReceive",
    "ASGIScope",
    "ASGISend",
    "Allow",
    "Endpoint",
    "EndpointOptions",
    "HTTPOptions",
    "Lifespan",
    "Mountable",
    "OriginPolicy",
    "Peer",
    "Policy",
    "PromptOptions",
    "Question",
    "ResourceOptions",
    "SampleOptions",
    "Session",
    "StdioOptions",
    "ToolOptions",
    "TransportName",
    "UnixOptions",
]
