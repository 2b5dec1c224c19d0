"""The extensions that a client of the Inspector declares, by the settings of its server.

Specification: basic/lifecycle, "Capability Negotiation"; MCP Apps 2026-01-26, "Client<>Server Capability Negotiation".
"""

from __future__ import annotations

from typing import Final

from dovetail.extensions import Extension

from ..views import ConnectionSettings

__all__ = ["APP_MIME_TYPE", "SKILLS_EXTENSION", "UI_EXTENSION", "declared_extensions"]

UI_EXTENSION: Final = "io.modelcontextprotocol/ui"
SKILLS_EXTENSION: Final = "io.modelcontextprotocol/skills"
APP_MIME_TYPE: Final = "text/html;profile=mcp-app"


def declared_extensions(settings: ConnectionSettings) -> list[Extension]:
    """Tasks, skills, views of apps unless the settings have none, and what the person wrote, which goes before."""
    from dovetail.extensions.tasks import tasks  # a tenth of a start, and nobody needs it before a connection

    given = dict(settings.extensions)
    if settings.apps:
        given.setdefault(UI_EXTENSION, {"mimeTypes": [APP_MIME_TYPE]})
    given.setdefault(SKILLS_EXTENSION, {})
    return [
        tasks(),
        *(Extension(identifier=each, settings=given[each], handshake=each == UI_EXTENSION) for each in given),
    ]
