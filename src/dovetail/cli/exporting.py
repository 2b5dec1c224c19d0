"""``dovetail export``: what a server offers, in the words of others.

Specification: server/tools, server/resources, server/prompts; OpenAPI 3.1.1.
"""

from typing import Annotated, Any

try:
    from cyclopts import App as Commands
    from cyclopts import Parameter
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol.types import Implementation
from .connecting import CommandSession, CommonOptions
from .exits import OK
from .saving import OutputFile

__all__ = ["export"]

export = Commands("export", help="Describe a server in the words of others.")


@export.command(name="openapi")
async def openapi(
    target: str,
    /,
    *,
    server: Annotated[
        str,
        Parameter(help="The URL where `dovetail.openapi.rest` serves it (default: where the document is)."),
    ] = ".",
    bearer: Annotated[bool, Parameter(negative="", help="Callers show a bearer token.")] = False,
    output: Annotated[
        str | None,
        Parameter(
            ("--output", "-o"),
            allow_leading_hyphen=True,
            help="Write it to this file, or into this FOLDER/; - is standard output.",
        ),
    ] = None,
    common: CommonOptions = CommonOptions(),
    words: Annotated[list[str] | None, Parameter(parse=False)] = None,
) -> int:
    """Print an OpenAPI document of what a server offers, for plain HTTP clients of `dovetail.openapi.rest`."""
    from ..openapi import describe

    session = CommandSession(target, words, common)
    place = OutputFile(session.screen, None if output == "-" else output, "openapi")
    found: dict[str, list[Any]] = {}
    async with session.connected() as client:
        offered = client.server_capabilities
        for kind, source, capability in (
            ("tools", client.tools, "tools"),
            ("resources", client.resources, "resources"),
            ("templates", client.resource_templates, "resources"),
            ("prompts", client.prompts, "prompts"),
        ):
            if offered is None or getattr(offered, capability) is not None:
                found[kind] = [each async for each in source()]
        info = client.server_info or Implementation(name=target, version="")
        instructions = client.instructions
    place.json(describe(info, **found, server=server, instructions=instructions, protected=bearer))
    return OK
