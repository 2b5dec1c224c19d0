"""Notes: resources that change, subscribers who are told, a question before anything is lost, completion, and
a prompt.

python examples/notes.py            serve on standard input and output
python examples/notes.py --check    try it, in this process
"""

import asyncio
import sys
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated

from dovetail import App, Ask, Client, Context, Depends, Pattern, ResourceNotFound, RPCError, ToolError
from dovetail.client import ElicitRequest


@dataclass
class Notebook:
    """The notes by name."""

    notes: dict[str, str] = field(default_factory=dict[str, str])


@asynccontextmanager
async def open_notebook(_: App) -> AsyncGenerator[Notebook]:
    """The notebook is there as long as the server runs; a real one would be opened and closed here."""
    yield Notebook({"welcome": "Write something down."})


app = App("notes", version="1.0.0", lifespan=open_notebook)


def notebook_of(ctx: Context) -> Notebook:
    """The notebook that the lifespan opened."""
    return ctx.state


TheNotebook = Annotated[Notebook, Depends(notebook_of)]
Name = Annotated[str, Pattern("^[a-z0-9-]{1,40}$")]


@app.tool
async def write(name: Name, text: str, notebook: TheNotebook) -> str:
    """Write a note, or write it anew."""
    notebook.notes[name] = text
    app.resource_updated(f"notes://{name}")
    return f"notes://{name}"


@app.tool
async def forget(
    name: Name, notebook: TheNotebook, sure: Annotated[bool, Ask("Really forget the note {name}?")]
) -> str:
    """Forget a note, once the person agreed."""
    if name not in notebook.notes:
        raise ToolError(f"there is no note {name!r}; there are {', '.join(notebook.notes) or 'none'}")
    if not sure:
        return f"{name} is kept"
    del notebook.notes[name]
    app.resource_updated(f"notes://{name}")
    return f"{name} is forgotten"


@app.resource("notes://{name}", mime_type="text/plain")
async def note(name: str, notebook: TheNotebook) -> str:
    """One note."""
    if name not in notebook.notes:
        raise ResourceNotFound(f"there is no note {name!r}", uri=f"notes://{name}")
    return notebook.notes[name]


@app.completion("notes://{name}", "name")
@app.completion("tidy", "name")
async def suggest_name(typed: str, notebook: TheNotebook) -> list[str]:
    """Notes that begin so."""
    return [name for name in notebook.notes if name.startswith(typed)]


@app.prompt
async def tidy(name: str, notebook: TheNotebook) -> str:
    """Ask for a tidier version of a note."""
    return f"Rewrite this note so that it is short and clear:\n\n{notebook.notes.get(name, '')}"


async def check() -> None:
    """Try everything through a client in this process."""
    questions: list[str] = []

    def agree(request: ElicitRequest) -> bool:
        questions.append(request.message)
        return True

    async with Client(app, elicitation=agree) as client:
        async with client.listen(resources=["notes://plan"]) as changes:
            written = await client.call_tool("write", {"name": "plan", "text": "Build a boat."})
            assert written.text == "notes://plan"
            assert (await anext(changes)).uri == "notes://plan"
        assert (await client.read("notes://plan")).contents[0].text == "Build a boat."
        assert (await client.complete("notes://{name}", "name", "pl")).values == ["plan"]
        assert "boat" in str((await client.get_prompt("tidy", {"name": "plan"})).messages[0].content)

        forgotten = await client.call_tool("forget", {"name": "plan"})
        assert forgotten.text == "plan is forgotten"
        assert questions == ["Really forget the note plan?"]
        assert await refusal(client.read("notes://plan")) == "there is no note 'plan'"
        assert (await client.call_tool("write", {"name": "No spaces", "text": ""})).is_error
    print("notes: all checks passed")


async def refusal(reading: Awaitable[object]) -> str:
    """The server's words for why something can't be read."""
    try:
        await reading
    except RPCError as error:
        return error.message
    return "it was read"


if __name__ == "__main__":
    asyncio.run(check()) if "--check" in sys.argv[1:] else app.run()
