"""What a host offers to a model and a person: tools, prompts and resources, each with the server that it is of.

Specification: server/tools, server/prompts, server/resources.
"""

from typing import Any

from msgspec import Struct

from ..types import Prompt, Resource, Tool
from .tool_definitions import ToolChange, visible, visible_schema

__all__ = ["HostPrompt", "HostResource", "HostTool"]


class HostTool(Struct, frozen=True, kw_only=True):
    """A tool of a host. ``name``: for models, unique over all servers; ``tool``: as ``server`` lists it, untrusted.

    ``shadows``: other servers that have a tool of the same name. ``hidden``: characters in its definition that nobody
    sees, by where they are. ``changed``: how it differs from what was agreed to last.
    """

    name: str
    server: str
    tool: Tool
    shadows: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()
    changed: tuple[ToolChange, ...] = ()

    def definition(self) -> dict[str, Any]:
        """What a model is told: ``name``, ``description``, ``input_schema``. What nobody sees is written out, in the
        description and in the titles and descriptions of the schema.
        """
        return {
            "name": self.name,
            "description": visible(self.tool.description or self.tool.title or ""),
            "input_schema": visible_schema(self.tool.input_schema),
        }


class HostPrompt(Struct, frozen=True, kw_only=True):
    """A prompt of a host. ``name``: as a person types it, ``/server:prompt``."""

    name: str
    server: str
    prompt: Prompt


class HostResource(Struct, frozen=True, kw_only=True):
    """A resource of a ``server`` of a host. It is read by both: servers may use the same URI."""

    server: str
    resource: Resource
