"""OpenAPI, both ways: an API that a document describes as tools and resources, and an app's tools for plain HTTP
clients.

Specification: OpenAPI 3.0.4 and 3.1.1; server/tools, server/resources.
"""

from .credentials import CredentialSource
from .description import describe
from .documents import DocumentSource
from .errors import DocumentInvalid
from .operations import APIOperation, LeftOut, MediaType, OperationParameter, RequestBody
from .provider import OpenAPIProvider
from .rest import rest
from .rules import Becomes, RouteRule
from .yaml_text import read_yaml

__all__ = [
    "APIOperation",
    "Becomes",
    "CredentialSource",
    "DocumentInvalid",
    "DocumentSource",
    "LeftOut",
    "MediaType",
    "OpenAPIProvider",
    "OperationParameter",
    "RequestBody",
    "RouteRule",
    "describe",
    "read_yaml",
    "rest",
]
