"""The library of documents: what its server does where a caller is clumsy, curious or malicious."""

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import quote

import pytest

from dovetail import Client, RPCError
from dovetail.loading import load_app
from dovetail.protocol.revisions import STATEFUL, STATELESS

LIBRARY = Path(__file__).resolve().parents[2] / "examples" / "library"
ERAS = (STATEFUL[-1], STATELESS[-1])
MODULES = ("documents", "library", "searching")


@pytest.fixture
def app(tmp_path, monkeypatch):
    """The server on a folder with a few documents; the module names that it takes are given back."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setenv("LIBRARY_FOLDER", str(tmp_path / "docs"))
    put(tmp_path, "docs/guide.md", "# Guide\n\nHow to tie a knot.\n\n## Bowline\n\nA loop that holds.\n")
    put(tmp_path, "docs/deep/notes.txt", "Rope and knot.\n")
    put(tmp_path, "docs/.hidden.md", "secret knot")
    put(tmp_path, "docs/.git/config.md", "secret knot")
    put(tmp_path, "docs/picture.png", "not a document")
    put(tmp_path, "outside.md", "secret knot")
    os.symlink(tmp_path / "outside.md", tmp_path / "docs" / "link.md")
    os.symlink(tmp_path, tmp_path / "docs" / "up")
    yield load_app(str(LIBRARY / "server.py"))
    for name in MODULES:
        sys.modules.pop(name, None)


def put(root, name, text):
    """A file with this text."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


async def found(client, query):
    """The paths and headings that a search finds."""
    result = await client.call_tool("search", {"query": query})
    assert not result.is_error, result.text
    return [(hit["path"], hit["heading"]) for hit in result.value["hits"]]


@pytest.mark.parametrize("revision", ERAS)
async def test_index_and_search(app, revision):
    """Only documents count; headings weigh more; progress ends at the total."""
    heard = []
    async with Client(app, revision=revision) as client:
        result = await client.call_tool("index", {}, progress=heard.append)
        assert result.value == {"added": 2, "changed": 0, "removed": 0, "documents": 2}
        assert [(notice.progress, notice.total) for notice in heard] == [(1, 2), (2, 2)]
        assert await found(client, "bowline") == [("guide.md", "Bowline")]
        assert sorted(await found(client, "KNOTS")) == [("deep/notes.txt", ""), ("guide.md", "Guide")]
        again = await client.call_tool("index", {"everything": True})
        assert again.value == {"added": 0, "changed": 2, "removed": 0, "documents": 2}


@pytest.mark.parametrize(
    "query", ['"', "knot OR secret*", "NEAR(", "heading: knot", "-", "knot'); DROP TABLE sections; --"]
)
async def test_queries_are_words(app, query):
    """Nothing in a query is an operator."""
    async with Client(app) as client:
        await found(client, query)
        assert len(await found(client, "knot")) == 2


PATHS = [
    "../outside.md",
    "/etc/passwd.md",
    "link.md",
    "up/outside.md",
    ".hidden.md",
    ".git/config.md",
    "picture.png",
    "nowhere.md",
    "deep/../guide.md",
    "deep",
    "",
    "a\0.md",
    "C:\\guide.md",
    "x" * 5000 + ".md",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
async def test_no_path_leaves_the_folder(app, tmp_path, path):
    """By tool or by resource, for reading or discarding; the error says nothing of the machine."""
    async with Client(
        app, elicitation=lambda _: pytest.fail("asked about a document that is none")
    ) as client:
        for tool in ("read", "discard"):
            result = await client.call_tool(tool, {"path": path})
            assert result.is_error
            assert "there is no document" in result.text
            assert str(tmp_path) not in result.text
        with pytest.raises(RPCError) as refusal:
            await client.read(f"doc://{quote(path)}")
        assert str(tmp_path) not in str(refusal.value)
        with pytest.raises(RPCError, match="there is no document"):
            await client.get_prompt("study", {"path": path})


@pytest.mark.parametrize("revision", ERAS)
async def test_discard(app, tmp_path, revision):
    """Only after a yes, into the trash, never over what is there already."""
    answers = iter([False, True, True])
    async with Client(app, revision=revision, elicitation=lambda _: next(answers)) as client:
        kept = await client.call_tool("discard", {"path": "guide.md"})
        assert kept.text == "guide.md stays where it is."
        assert (
            await client.call_tool("discard", {"path": "guide.md"})
        ).text == "guide.md is now .trash/guide.md."
        assert await found(client, "bowline") == []
        put(tmp_path, "docs/guide.md", "another")
        again = await client.call_tool("discard", {"path": "guide.md"})
        assert again.text == "guide.md is now .trash/2-guide.md."
    assert (tmp_path / "docs/.trash/guide.md").read_text().startswith("# Guide")
    assert (tmp_path / "docs/.trash/2-guide.md").read_text() == "another"


async def test_a_client_that_can_not_be_asked(app, tmp_path):
    """Nothing is discarded."""
    async with Client(app) as client:
        with pytest.raises(RPCError):
            (await client.call_tool("discard", {"path": "guide.md"})).raise_on_error()
    assert (tmp_path / "docs/guide.md").is_file()


@pytest.mark.parametrize("revision", ERAS)
async def test_subscribers_hear_of_changes(app, tmp_path, revision):
    """Of a change, an end and a beginning, each of the document they asked for; the index follows."""
    async with Client(app, revision=revision) as client:
        await client.call_tool("index")
        async with (
            client.listen(resources=["doc://guide.md", "doc://new.md"]) as changes,
            asyncio.timeout(20),
        ):
            put(tmp_path, "docs/deep/notes.txt", "nobody listens to this")
            put(tmp_path, "docs/guide.md", "# Splice\n\nanother way\n")
            assert (await anext(changes)).uri == "doc://guide.md"
            assert await found(client, "splice") == [("guide.md", "Splice")]
            put(tmp_path, "docs/new.md", "# New")
            assert (await anext(changes)).uri == "doc://new.md"
            os.unlink(tmp_path / "docs/guide.md")
            assert (await anext(changes)).uri == "doc://guide.md"
            assert await found(client, "splice") == []


async def test_reading(app, tmp_path):
    """Some lines, a whole document with its type, names that have to be encoded, and a catalogue."""
    put(tmp_path, "docs/deep/größe 1.md", "# Größe\n\nzwei\n")
    async with Client(app) as client:
        lines = await client.call_tool("read", {"path": "guide.md", "first": 3, "lines": 1})
        assert lines.text == "How to tie a knot."
        contents = (await client.read("doc://deep/notes.txt")).contents[0]
        assert (contents.mime_type, contents.text) == ("text/plain", "Rope and knot.\n")
        result = await client.call_tool("search", {"query": "größe"})
        uri = result.value["hits"][0]["uri"]
        assert uri == "doc://deep/gr%C3%B6%C3%9Fe%201.md"
        assert (await client.read(uri)).contents[0].text == "# Größe\n\nzwei\n"
        catalogue = (await client.read("library://catalogue")).contents[0].text
        assert '"guide.md":' in (catalogue or "")
        assert "hidden" not in (catalogue or "")


async def test_completion_and_prompt(app):
    """Suggestions begin with what was typed, in any part of the path."""
    async with Client(app) as client:
        assert (await client.complete("doc://{+path}", "path", "NO")).values == ["deep/notes.txt"]
        assert (await client.complete("study", "path", "")).values == ["deep/notes.txt", "guide.md"]
        prompt = await client.get_prompt("study", {"path": "guide.md"})
        assert "main points" in str(prompt.messages[0].content)
        assert "Bowline" in str(prompt.messages[1].content)
