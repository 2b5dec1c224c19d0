"""Opening: initialize (stateful era) and server/discover (stateless era), and the requests that steer a
session.

Specification: basic/lifecycle, server/discover, basic/utilities/ping, server/utilities/logging.
"""

from .capabilities import ClientCapabilities, ServerCapabilities
from .metadata import Implementation
from .requests import CacheableResult, LogLevel, Params, Result


class InitializeParams(Params, frozen=True, kw_only=True):
    """Parameters of ``initialize``."""

    protocol_version: str
    capabilities: ClientCapabilities
    client_info: Implementation


class InitializeResult(Result, frozen=True, kw_only=True):
    """The revision that the server chose, and what it offers."""

    protocol_version: str
    capabilities: ServerCapabilities
    server_info: Implementation
    instructions: str | None = None


class DiscoverParams(Params, frozen=True, kw_only=True):
    """Parameters of ``server/discover``."""


class DiscoverResult(CacheableResult, frozen=True, kw_only=True):
    """The revisions that the server speaks in the stateless era, and what it offers."""

    supported_versions: list[str]
    capabilities: ServerCapabilities
    instructions: str | None = None


class PingParams(Params, frozen=True, kw_only=True):
    """Parameters of ``ping``."""


class SetLevelParams(Params, frozen=True, kw_only=True):
    """Parameters of ``logging/setLevel``."""

    level: LogLevel
