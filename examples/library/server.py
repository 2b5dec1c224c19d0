"""A library of documents as a server: index, search, read, watch and discard Markdown and text files.

    python examples/library/server.py FOLDER                  on standard input and output
    python examples/library/server.py FOLDER --http 8000      over HTTP

Also ``dovetail run examples/library/server.py`` with the folder in LIBRARY_FOLDER.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Annotated

from documents import Folder, NoDocument
from library import Found, Indexed, Library, uri_of
from searching import SearchIndex

from dovetail import (
    App,
    Context,
    Depends,
    Doc,
    InvalidParams,
    Length,
    PromptMessage,
    Range,
    ResourceContents,
    ResourceNotFound,
    ToolAnnotations,
    user,
)

POLL_SECONDS = 0.25


@asynccontextmanager
async def open_library(app: App) -> AsyncGenerator[Library]:
    """What is there while the server runs: the folder, its index, and a watch that tells subscribers of
    changes.
    """
    folder = Folder(Path(os.environ.get("LIBRARY_FOLDER", ".")))
    with closing(SearchIndex()) as index:
        library = Library(folder, index, changed=lambda path: app.resource_updated(uri_of(path)))
        watching = asyncio.create_task(library.watch(POLL_SECONDS))
        try:
            yield library
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching


app = App(
    "library",
    version="1.0.0",
    title="Document library",
    instructions="Search first, then read what you found: as a doc:// resource, or with read.",
    lifespan=open_library,
)


def library_of(ctx: Context) -> Library:
    """The library that the lifespan opened."""
    return ctx.state


# Parameters of this type are filled by the server; clients do not see them.
TheLibrary = Annotated[Library, Depends(library_of)]
DocumentPath = Annotated[str, Doc("path of the document, as search and completion give it")]


@app.tool(
    title="Index the documents", annotations=ToolAnnotations(read_only_hint=False, idempotent_hint=True)
)
async def index(library: TheLibrary, ctx: Context, everything: bool = False) -> Indexed:
    """Read new and changed documents into the search index.

    Args:
        everything: read all documents again, not only those that changed
    """
    return await library.update(everything=everything, report=ctx.progress)


@app.tool(title="Search", annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
async def search(
    query: Annotated[str, Doc("words that all have to occur"), Length(1, 200)],
    library: TheLibrary,
    limit: Annotated[int, Doc("how many hits at most"), Range(1, 50)] = 5,
) -> Found:
    """Search the sections of all documents; the best hits come first."""
    return await library.search(query, limit)


@app.tool(title="Read a document", annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
async def read(
    path: DocumentPath,
    library: TheLibrary,
    first: Annotated[int, Doc("first line to give"), Range(1)] = 1,
    lines: Annotated[int, Doc("how many lines"), Range(1, 2000)] = 200,
) -> str:
    """Read some lines of a document."""
    text = await library.text(path)
    return "\n".join(text.splitlines()[first - 1 : first - 1 + lines])


@app.tool(title="Discard a document", annotations=ToolAnnotations(destructive_hint=True))
async def discard(path: DocumentPath, library: TheLibrary, ctx: Context) -> str:
    """Move a document to the trash, once the person agreed."""
    count = len((await library.text(path)).splitlines())
    if not await ctx.elicit(f"Move {path} ({count} lines) to the trash?", bool):
        return f"{path} stays where it is."
    return f"{path} is now {await library.discard(path)}."


@app.resource("doc://{+path}", title="Document")
async def document(path: str, library: TheLibrary) -> ResourceContents:
    """A document of the library."""
    uri = uri_of(path)
    try:
        text = await library.text(path)
    except NoDocument as problem:
        raise ResourceNotFound(str(problem), uri=uri) from None
    return ResourceContents(uri=uri, mime_type=library.folder.mime_type(path), text=text)


@app.resource("library://catalogue", title="Catalogue", mime_type="application/json")
async def catalogue(library: TheLibrary) -> dict[str, int]:
    """All documents and their sizes in bytes."""
    stamps = await asyncio.to_thread(library.folder.stamps)
    return {path: stamp.size for path, stamp in stamps.items()}


@app.prompt(title="Study a document")
async def study(
    path: DocumentPath, library: TheLibrary, question: str = "What are the main points?"
) -> list[PromptMessage]:
    """Answer a question from one document."""
    try:
        text = await library.text(path)
    except NoDocument as problem:
        raise InvalidParams(str(problem)) from None
    task = "Answer from the document below and cite its headings. If it does not say, say so."
    return [user(f"{task}\n\n{question}"), user(text)]


@app.completion("doc://{+path}", "path")
@app.completion("study", "path")
async def suggest_path(typed: str, library: TheLibrary) -> list[str]:
    """Documents whose path, or a part of it, begins with what was typed."""
    wanted = typed.lower()

    def fits(path: str) -> bool:
        return path.startswith(wanted) or any(part.startswith(wanted) for part in path.split("/"))

    return [path for path in await library.paths() if fits(path.lower())]


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and not arguments[0].startswith("-"):
        os.environ["LIBRARY_FOLDER"] = arguments.pop(0)
    if arguments[:1] == ["--http"]:
        app.run("http", port=int(arguments[1]) if arguments[1:] else 8000)
    else:
        app.run()
