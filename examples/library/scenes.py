"""The scenes of the demo: each does one thing with the library as a client would, and checks what came of it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from library import Found, Indexed, uri_of
from stage import Stage

from dovetail import Client, RPCError
from dovetail.client import ElicitRequest
from dovetail.types import ProgressNotice

DOCUMENT = "SECURITY.md"
NEWS = "\n## Marmalade\n\nA sentence about marmalade that was not here before.\n"


class Unexpected(Exception):
    """Something was not as it should be."""


def expect(condition: bool, what: str) -> None:
    """Raise `Unexpected` unless the condition holds."""
    if not condition:
        raise Unexpected(what)


class Play:
    """One client, its library, and the person who answers: ``agrees`` or not, ``asked`` what."""

    def __init__(self, folder: Path, stage: Stage) -> None:
        self.folder = folder
        self.stage = stage
        self.client: Client
        self.agrees = False
        self.asked: list[str] = []
        self.heard: list[ProgressNotice] = []

    def answer(self, request: ElicitRequest) -> bool:
        """The person at the client."""
        self.asked.append(request.message)
        said = "yes" if self.agrees else "no"
        self.stage.aside(f"{request.message}  (the person says {said})", "yellow")
        return self.agrees

    def progress(self, notice: ProgressNotice) -> None:
        """Progress, shown and kept."""
        self.heard.append(notice)
        self.stage.progress(notice)


async def meet(play: Play) -> str:
    """Who is there?"""
    info = play.client.server_info
    expect(info is not None and info.name == "library", f"the server calls itself {info}")
    return f"the server speaks {play.client.revision}, which is {play.client.era}"


async def look_around(play: Play) -> str:
    """Tools, resources, templates, prompts."""
    tools = sorted([tool.name async for tool in play.client.tools()])
    resources = [resource.uri async for resource in play.client.resources()]
    templates = [template.uri_template async for template in play.client.resource_templates()]
    prompts = [prompt.name async for prompt in play.client.prompts()]
    expect(tools == ["discard", "index", "read", "search"], f"the tools are {tools}")
    expect(
        (resources, templates) == (["library://catalogue"], ["doc://{+path}"]), f"{resources}, {templates}"
    )
    expect(prompts == ["study"], f"the prompts are {prompts}")
    return f"tools {', '.join(tools)}; template {templates[0]}; prompt {prompts[0]}"


async def index(play: Play) -> str:
    """Index the documents, with progress."""
    count = len(list(play.folder.rglob("*.md")))
    found = await play.client.call_tool("index", {}, into=Indexed, progress=play.progress)
    expect((found.added, found.documents) == (count, count), f"of {count} documents {found} were indexed")
    steps = [notice.progress for notice in play.heard]
    expect(steps == sorted(steps) and steps[-1:] == [count], f"the progress was {steps}")
    return f"{found.documents} documents, {len(steps)} progress messages"


async def search(play: Play) -> str:
    """Search, and get data rather than text."""
    found = await play.client.call_tool("search", {"query": "report vulnerability"}, into=Found)
    expect(found.total > 0 and DOCUMENT in [hit.path for hit in found.hits], f"the search found {found}")
    for hit in found.hits[:2]:
        play.stage.aside(f"{hit.path}:{hit.line} {hit.heading}: {' '.join(hit.snippet.split())}")
    return f"{found.total} sections fit, the best is in {found.hits[0].path}"


async def read(play: Play) -> str:
    """Read a document as a resource."""
    result = await play.client.read(uri_of(DOCUMENT))
    text = result.contents[0].text or ""
    expect(text == (play.folder / DOCUMENT).read_text("utf-8"), "the text is not that of the file")
    expect(result.contents[0].mime_type == "text/markdown", f"the type is {result.contents[0].mime_type}")
    return f"{uri_of(DOCUMENT)}: {len(text)} characters, the same as in the file"


async def complete(play: Play) -> str:
    """Type the beginning of a path."""
    found = await play.client.complete("doc://{+path}", "path", "secu")
    expect(DOCUMENT in found.values, f"the suggestions are {found.values}")
    return f"secu... becomes {DOCUMENT}"


async def prompt(play: Play) -> str:
    """Get a prompt with a document in it."""
    result = await play.client.get_prompt("study", {"path": DOCUMENT, "question": "Whom do I tell?"})
    expect(len(result.messages) == 2, f"the prompt has {len(result.messages)} messages")
    expect("Whom do I tell?" in str(result.messages[0].content), "the question is missing")
    return f"study: {len(result.messages)} messages, the question and the document"


async def notice_a_change(play: Play) -> str:
    """Subscribe to a document, then change the file behind the server's back."""
    uri = uri_of(DOCUMENT)
    async with play.client.listen(resources=[uri]) as changes:
        began = time.perf_counter()
        with (play.folder / DOCUMENT).open("a", encoding="utf-8") as file:
            file.write(NEWS)
        change = await anext(changes)
        waited = time.perf_counter() - began
    expect(change.uri == uri, f"told of {change}")
    expect(NEWS in ((await play.client.read(uri)).contents[0].text or ""), "the new text is missing")
    found = await play.client.call_tool("search", {"query": "marmalade"}, into=Found)
    expect([hit.heading for hit in found.hits] == ["Marmalade"], f"the search found {found.hits}")
    return f"told {waited * 1000:.0f} ms after the file changed; the index knows the new section"


async def make_mistakes(play: Play) -> str:
    """Errors: of a tool, for the model; of the protocol, for the program."""
    result = await play.client.call_tool("read", {"path": "../../etc/passwd.txt"})
    expect(result.is_error, "a path out of the folder was read")
    play.stage.aside(f"tool error: {result.text}")
    wrong = await play.client.call_tool("search", {"query": "x", "limit": 1000})
    expect(wrong.is_error and "limit" in wrong.text, f"a limit of 1000 gave {wrong.text}")
    play.stage.aside(f"tool error: {wrong.text}")
    try:
        await play.client.read("doc://no/such.md")
    except RPCError as problem:
        play.stage.aside(f"protocol error: {problem}")
        return "two tool errors and a protocol error, each with a reason"
    raise Unexpected("a document that does not exist was read")


async def say_no(play: Play) -> str:
    """Refuse to discard a document."""
    play.agrees = False
    result = await play.client.call_tool("discard", {"path": DOCUMENT})
    expect(not result.is_error, result.text)
    expect((play.folder / DOCUMENT).is_file(), "the document is gone")
    expect(len(play.asked) == 1, f"asked {play.asked}")
    return result.text


async def say_yes(play: Play) -> str:
    """Agree to discard it."""
    play.agrees = True
    result = await play.client.call_tool("discard", {"path": DOCUMENT})
    expect(not result.is_error, result.text)
    expect(not (play.folder / DOCUMENT).exists(), "the document is still there")
    expect((play.folder / ".trash" / DOCUMENT).is_file(), "the document is not in the trash")
    expect(len(play.asked) == 2, f"asked {play.asked}")
    found = await play.client.call_tool("search", {"query": "marmalade"}, into=Found)
    expect(found.total == 0, "the search still finds it")
    return result.text


async def talk_at_once(play: Play) -> str:
    """Many calls in flight on one connection."""
    calls = [play.client.call_tool("search", {"query": word}, into=Found) for word in WORDS]
    answers = await asyncio.gather(*calls)
    expect(len(answers) == len(WORDS), "some calls had no answer")
    return f"{len(answers)} searches in flight together, every answer at its caller"


WORDS = [
    f"{first} {second}"
    for first in ("a", "the", "of", "to", "is")
    for second in ("test", "server", "file", "make")
]

Scene = Callable[[Play], Awaitable[str]]
SCENES: dict[str, Scene] = {
    "meet the server": meet,
    "look around": look_around,
    "index with progress": index,
    "search": search,
    "many at once": talk_at_once,
    "read a resource": read,
    "complete a path": complete,
    "get a prompt": prompt,
    "notice a change": notice_a_change,
    "make mistakes": make_mistakes,
    "say no": say_no,
    "say yes": say_yes,
}
