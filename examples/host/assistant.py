"""A host in thirty lines: many servers, one list of tools, and a person who is asked. `demo.py` plays with it."""

from collections.abc import Mapping
from typing import Any

from dovetail.client import ElicitRequest
from dovetail.host import Approve, ConsentRequest, Host, HostEvent, Refuse


async def consent(request: ConsentRequest) -> Approve | Refuse:
    """Ask the person. This one agrees to all but fires, and wants to be asked once for each tool."""
    print(request.text())
    if request.tool is not None and request.tool.name == "burn":
        return Refuse(reason="no fires in this house")
    return Approve(remember="session")


async def fill_in(form: ElicitRequest) -> dict[str, Any]:
    """Show a form. This person has an answer to everything."""
    print(f"{form.server.split()[0]} asks: {form.message}")
    return dict.fromkeys(form.fields, "green")


def show(event: HostEvent) -> None:
    """Show what happens, as far as a person wants to know it."""
    if event.kind == "progress":
        print(f"{event.server}: {event.value.progress:g} of {event.value.total:g}")


def host_of(servers: Mapping[str, Any]) -> Host:
    """The host."""
    return Host(servers, consent=consent, elicitation=fill_in, on_event=show, patience=2)
