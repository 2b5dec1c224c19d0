"""A directory of files as resources: what is listed, read in parts, refused, completed and told of."""

import asyncio
import base64
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dovetail import App
from dovetail.providers import Files, hide
from dovetail.server.providers.file_tree import FileTree
from wire_of_server import Wire
from wires import Connect

ERAS = ("2025-11-25", "2026-07-28")
ROOT = "files://docs"


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "guides" / "deep").mkdir(parents=True)
    (root / "start.md").write_text("# Start\n")
    (root / "guides" / "a b.md").write_text("spaced")
    (root / "guides" / "deep" / "z.txt").write_text("deep")
    (root / "logo.png").write_bytes(b"\x89PNG\r\n\0\xff")
    (root / ".secret.md").write_text("hidden")
    (root / "guides" / ".git").mkdir()
    (root / "guides" / ".git" / "config.md").write_text("hidden")
    (tmp_path / "outside.md").write_text("outside")
    (root / "link.md").symlink_to(tmp_path / "outside.md")
    (root / "linked").symlink_to(tmp_path)
    return root


def serving(docs: Path, *transforms: Any, page_size: int = 1000, **options: Any) -> App:
    app = App("library", page_size=page_size, rate_limit=None)
    app.mount(None, Files(docs, ROOT, **{"watch": None, **options}), *transforms)
    return app


async def listed(wire: Wire) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {}
    while True:
        result = await wire.result("resources/list", params)
        found += result["resources"]
        if "nextCursor" not in result:
            return found
        params = {"cursor": result["nextCursor"]}


async def read(wire: Wire, path: str) -> dict[str, Any]:
    return (await wire.result("resources/read", {"uri": f"{ROOT}/{path}"}))["contents"][0]


@pytest.mark.parametrize("revision", ERAS)
async def test_files_are_listed_in_the_order_of_their_names(
    connect: Connect, docs: Path, revision: str
) -> None:
    found = await listed(await connect(serving(docs), revision))
    uris = [each["uri"] for each in found]
    assert uris == [
        ROOT,
        f"{ROOT}/guides/a%20b.md",
        f"{ROOT}/guides/deep/z.txt",
        f"{ROOT}/logo.png",
        f"{ROOT}/start.md",
    ]
    start = found[-1]
    assert (start["name"], start["mimeType"], start["size"]) == ("start.md", "text/markdown", 8)
    assert start["annotations"]["lastModified"].endswith("Z")


async def test_a_pattern_chooses_and_what_it_does_not_choose_is_not_read(
    connect: Connect, docs: Path
) -> None:
    wire = await connect(serving(docs, pattern="**/*.md"), ERAS[-1])
    assert [each["name"] for each in await listed(wire)] == ["docs", "a b.md", "start.md"]
    await wire.error("resources/read", {"uri": f"{ROOT}/logo.png"})


@pytest.mark.parametrize("revision", ERAS)
async def test_text_is_text_and_all_else_is_bytes(connect: Connect, docs: Path, revision: str) -> None:
    wire = await connect(serving(docs), revision)
    assert (await read(wire, "start.md"))["text"] == "# Start\n"
    assert (await read(wire, "guides/a%20b.md"))["text"] == "spaced"
    logo = await read(wire, "logo.png")
    assert (base64.b64decode(logo["blob"]), logo["mimeType"]) == (b"\x89PNG\r\n\0\xff", "image/png")
    (docs / "odd").write_bytes(b"caf\xe9")
    assert base64.b64decode((await read(wire, "odd"))["blob"]) == b"caf\xe9"
    directory = await read(wire, "guides")
    assert (directory["text"], directory["mimeType"]) == ("a b.md\ndeep/\n", "inode/directory")


@pytest.mark.parametrize(
    "path",
    [
        "../outside.md",
        "%2e%2e/outside.md",
        "guides/%2e%2e/%2e%2e/outside.md",
        "..%2foutside.md",
        "link.md",
        "linked/outside.md",
        "linked",
        ".secret.md",
        "guides/.git/config.md",
        "guides/.git",
        "start.md%00",
        "start.md%00.txt",
        "/start.md",
        "//start.md",
        "guides%5ca b.md",
        "C:/start.md",
        "start.md::$DATA",
        "con",
        "aux.md",
        "start.md.",
        "start.md%20",
        "guides//a%20b.md",
        "%252e%252e/outside.md",
    ],
)
@pytest.mark.parametrize("revision", ERAS)
async def test_nothing_outside_hidden_or_odd_is_read(
    connect: Connect, docs: Path, revision: str, path: str
) -> None:
    wire = await connect(serving(docs), revision)
    for query in ("", "?offset=0&limit=100"):
        told = await wire.error("resources/read", {"uri": f"{ROOT}/{path}{query}".replace(" ", "%20")})
        assert str(docs.parent) not in told["message"]


async def test_what_is_no_file_is_neither_listed_nor_opened(connect: Connect, docs: Path) -> None:
    os.mkfifo(docs / "pipe.md")
    wire = await connect(serving(docs), ERAS[-1])
    assert "pipe.md" not in [each["name"] for each in await listed(wire)]
    await wire.error("resources/read", {"uri": f"{ROOT}/pipe.md"})


@pytest.mark.parametrize("revision", ERAS)
async def test_the_parts_of_a_text_join_to_the_whole(connect: Connect, docs: Path, revision: str) -> None:
    text = "häßlich ✓ 🙂 " * 20
    (docs / "long.txt").write_text(text)
    size = len(text.encode())
    wire = await connect(serving(docs), revision)
    parts = [await read(wire, f"long.txt?offset={offset}&limit=16") for offset in range(0, size, 16)]
    assert "".join(each["text"] for each in parts) == text
    assert all(each["_meta"] == {"io.dovetail/size": size} for each in parts)
    assert (await read(wire, "long.txt?offset=100000"))["text"] == ""
    whole = base64.b64decode((await read(wire, "logo.png?offset=2&limit=16"))["blob"])
    assert whole == b"NG\r\n\0\xff"


@pytest.mark.parametrize("query", ["?offset=x", "?limit=0", "?limit=-1", "?offset=1e3", "?limit=9"])
async def test_a_part_that_is_none_is_refused(connect: Connect, docs: Path, query: str) -> None:
    wire = await connect(serving(docs), ERAS[-1])
    told = await wire.error("resources/read", {"uri": f"{ROOT}/start.md{query}"})
    assert told["code"] == -32602
    assert "is a number of bytes" in told["message"]


@pytest.mark.parametrize("revision", ERAS)
async def test_a_file_that_is_too_large_says_how_it_is_read(
    connect: Connect, docs: Path, revision: str
) -> None:
    (docs / "large.txt").write_text("x" * 100)
    wire = await connect(serving(docs, max_bytes=64), revision)
    told = await wire.error("resources/read", {"uri": f"{ROOT}/large.txt"})
    assert "has 100 bytes, and 64 can be read at once: add ?offset=0&limit=64" in told["message"]
    assert len((await read(wire, "large.txt?offset=0&limit=999"))["text"]) == 64
    assert len((await read(wire, "large.txt?offset=64"))["text"]) == 36


@pytest.mark.parametrize("page_size", [1, 7, 1000])
async def test_pages_have_each_file_once(connect: Connect, tmp_path: Path, page_size: int) -> None:
    root = tmp_path / "many"
    for number in range(1203):
        path = root / f"d{number % 7}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    wire = await connect(serving(root, page_size=page_size), ERAS[-1])
    found = [each["uri"] for each in await listed(wire)]
    assert len(found) == len(set(found)) == 1204
    assert found == sorted(found)


async def test_a_file_that_vanishes_between_list_and_read_is_not_there(connect: Connect, docs: Path) -> None:
    wire = await connect(serving(docs), ERAS[-1])
    assert f"{ROOT}/start.md" in [each["uri"] for each in await listed(wire)]
    (docs / "start.md").unlink()
    told = await wire.error("resources/read", {"uri": f"{ROOT}/start.md"})
    assert told["data"]["uri"] == f"{ROOT}/start.md"


async def test_a_file_that_is_hidden_is_not_read_in_parts_either(connect: Connect, docs: Path) -> None:
    wire = await connect(serving(docs, hide(f"{ROOT}/start.md")), ERAS[-1])
    for path in ("start.md", "start.md?offset=0", "%73tart.md", "%73tart.md?limit=16"):
        await wire.error("resources/read", {"uri": f"{ROOT}/{path}"})
    assert (await read(wire, "guides/%61%20b.md"))["text"] == "spaced"


@pytest.mark.parametrize("revision", ERAS)
async def test_paths_are_completed(connect: Connect, docs: Path, revision: str) -> None:
    wire = await connect(serving(docs), revision)
    template = (await wire.result("resources/templates/list"))["resourceTemplates"][0]["uriTemplate"]

    async def suggested(typed: str) -> list[str]:
        ref = {"type": "ref/resource", "uri": template}
        argument = {"name": "path", "value": typed}
        return (await wire.result("completion/complete", {"ref": ref, "argument": argument}))["completion"][
            "values"
        ]

    assert await suggested("") == ["guides/", "logo.png", "start.md"]
    assert await suggested("guides/d") == ["guides/deep/"]
    assert await suggested("../") == await suggested("linked/") == await suggested(".") == []


async def test_the_file_system_is_asked_in_threads(
    connect: Connect, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[int] = set()
    scandir = os.scandir

    def recorded(path: Any = ".") -> Any:
        asked.add(threading.get_ident())
        return scandir(path)

    wire = await connect(serving(docs), ERAS[-1])
    monkeypatch.setattr(os, "scandir", recorded)
    await listed(wire)
    assert asked
    assert threading.get_ident() not in asked


@pytest.mark.parametrize("revision", ERAS)
async def test_who_listens_hears_of_files_and_directories(
    connect: Connect, docs: Path, revision: str
) -> None:
    wire = await connect(serving(docs, watch=0.01), revision)
    heard_of = [f"{ROOT}/start.md", f"{ROOT}/guides"]
    if wire.stateless:
        wanted = {"resourcesListChanged": True, "resourceSubscriptions": heard_of}
        await wire.start("listening", "subscriptions/listen", {"notifications": wanted})
        await wire.next()
    else:
        for uri in heard_of:
            await wire.result("resources/subscribe", {"uri": uri})

    async def hears(*wanted: str) -> None:
        """In any order: a list that changed a moment ago is told of a little later."""
        missing = set(wanted)
        while missing:
            told = await wire.next()
            missing.discard(told["method"].rpartition("/")[2])
            missing.discard(told.get("params", {}).get("uri", ""))

    (docs / "start.md").write_text("changed, and longer")
    await hears(f"{ROOT}/start.md")
    (docs / "guides" / "new.md").write_text("new")
    await hears("list_changed", f"{ROOT}/guides")
    (docs / "guides" / "new.md").unlink()
    await hears("list_changed", f"{ROOT}/guides")


@pytest.mark.parametrize(
    "path, options, told",
    [
        ("missing", {}, "is no directory"),
        (".", {"uri": "docs"}, "is no URI for a directory"),
        (".", {"uri": "files://docs?x=1"}, "is no URI for a directory"),
        (".", {"pattern": "../*"}, "is none: write"),
        (".", {"pattern": "a**"}, "is none: write"),
        (".", {"watch": 0}, "watch above 0 seconds"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, path: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Files(tmp_path / path, **{"uri": ROOT, **options})


async def test_nothing_is_left_when_it_was_served(docs: Path) -> None:
    wire = Wire(serving(docs, watch=0.01), ERAS[-1])
    await wire.open()
    assert any(task.get_name() == "dovetail-watched-files" for task in asyncio.all_tasks())
    await wire.close()
    await wire.app.service.stop()
    assert not any(task.get_name() == "dovetail-watched-files" for task in asyncio.all_tasks())


@pytest.mark.parametrize("function", ["open", "scandir", "stat", "lstat"])
def test_a_link_that_is_put_there_meanwhile_leads_nowhere(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str
) -> None:
    """A directory becomes a link to the outside just before the file system is asked, for the first time, the second
    one and so on, in each thing that is done with it.
    """
    inside, aside, outside = docs / "guides", tmp_path / "aside", tmp_path / "outside"
    outside.mkdir()
    (outside / "a b.md").write_text("longer than what is inside")
    (outside / "only-outside.md").write_text("secret")
    (outside / "deep").mkdir()
    tree, asked = FileTree(docs, "**"), getattr(os, function)
    calls, swap_at = 0, 0

    def swapping(*values: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == swap_at:
            inside.rename(aside)
            inside.symlink_to(outside)
        return asked(*values, **options)

    uses: dict[str, Any] = {
        "names": lambda: tree.names("guides", 100),
        "listing": lambda: [(tree.listing("guides") or b"").decode()],
        "page": lambda: [f"{each.path} {each.size}" for each in tree.page(None, 100)[0]],
        "snapshot": lambda: list(tree.snapshot() or ()),
        "read": lambda: [str(tree.read("guides/a b.md", 0, 100))],
        "find": lambda: [str(each.size) for each in [tree.find("guides/a b.md")] if each],
    }
    for use, done in uses.items():
        for swap_at in range(1, 30):
            calls = 0
            with monkeypatch.context() as patch:
                patch.setattr(os, function, swapping)
                seen = done()
            if aside.exists():
                inside.unlink()
                aside.rename(inside)
            found = [each for each in seen if "only-outside" in each or "26" in each or "longer" in each]
            assert not found, (use, swap_at, seen)


async def test_a_large_directory_is_listed_once_in_pages_and_read_in_parts(
    connect: Connect, tmp_path: Path
) -> None:
    for number in range(5000):
        (tmp_path / f"{number:04}.txt").touch()
    wire = await connect(serving(tmp_path, max_bytes=1000), ERAS[-1])
    found = await listed(wire)
    assert [each["name"] for each in found[1:]] == [f"{number:04}.txt" for number in range(5000)]
    whole = await wire.request("resources/read", {"uri": ROOT})
    assert "has 45000 bytes" in whole["error"]["message"]
    text = ""
    while len(text) < 45000:
        part = (await wire.result("resources/read", {"uri": f"{ROOT}?offset={len(text)}&limit=990"}))[
            "contents"
        ][0]
        assert (part["mimeType"], part["_meta"]) == ("inode/directory", {"io.dovetail/size": 45000})
        text += part["text"]
    assert text == "".join(f"{number:04}.txt\n" for number in range(5000))


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """A directory in which directories are deeper in one another than Python's own functions can go."""
    here = os.open(tmp_path, os.O_RDONLY)
    for depth in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        if depth in (61, 62, 63, 1499):
            os.close(os.open("f.txt", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(here)
        here = below
    os.close(here)
    yield tmp_path
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)  # which pytest could not


async def test_a_deep_tree_ends_somewhere(connect: Connect, deep: Path) -> None:
    wire = await connect(serving(deep), ERAS[-1])
    uris = [f"{ROOT}/{'d/' * depth}f.txt" for depth in (62, 63, 64)]
    assert [each["uri"] for each in (await listed(wire))[1:]] == uris[1::-1]
    assert list(FileTree(deep, "**").snapshot() or ()) == [each.removeprefix(f"{ROOT}/") for each in uris[:2]]
    assert "error" in await wire.request("resources/read", {"uri": uris[2]})


@pytest.mark.skipif(sys.platform == "darwin", reason="every name is Unicode there")
async def test_names_that_are_no_text_are_not_shown(connect: Connect, docs: Path) -> None:
    os.close(os.open(os.fsencode(docs) + b"/\xff.md", os.O_CREAT | os.O_WRONLY))
    (docs / "e\u0301 \u202e \U0001f4d6.md").write_text("odd")
    (docs / "\u00e9.md").write_text("composed")
    wire = await connect(serving(docs), ERAS[-1])
    uris = {each["name"]: each["uri"] for each in await listed(wire)}
    assert all(uri.isascii() for uri in uris.values())
    assert (await wire.result("resources/read", {"uri": uris["e\u0301 \u202e \U0001f4d6.md"]}))["contents"][
        0
    ]["text"] == "odd"
    assert (await read(wire, "%C3%A9.md"))["text"] == "composed"
    for path in ("%FF.md", "e%CC%81.md", "%C3%89.md", "START.md"):
        assert "error" in await wire.request("resources/read", {"uri": f"{ROOT}/{path}"})


def test_a_file_that_grows_while_it_is_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"x" * 100)
    tree, fstat = FileTree(tmp_path, "**"), os.fstat

    def growing(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        with path.open("ab") as file:
            file.write(b"y" * 100)
        return status

    monkeypatch.setattr(os, "fstat", growing)
    data, size = tree.read("log.txt", 0, 1000) or (b"", 0)
    assert len(data) <= size


async def test_many_changes_leave_the_loop_to_others(connect: Connect, tmp_path: Path) -> None:
    """Thousands of files that change at once, told to many who listen."""
    for number in range(300):
        (tmp_path / f"{number:04}.txt").touch()
    app = serving(tmp_path, watch=0.01)
    heard: list[int] = []
    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        ready = asyncio.Barrier(11)

        async def listen() -> None:
            wire = Wire(app, ERAS[-1])
            await wire.open()
            wanted = {"resourceSubscriptions": [ROOT]}
            await wire.start("listening", "subscriptions/listen", {"notifications": wanted})
            await wire.next()
            await ready.wait()
            uris: set[str] = set()
            while len(uris) < 300:
                uris.add((await wire.next())["params"]["uri"])
            heard.append(len(uris))
            await wire.close()

        for _ in range(10):
            group.create_task(listen())
        await ready.wait()
        for number in range(300):
            (tmp_path / f"{number:04}.txt").write_bytes(b"changed")
    assert heard == [300] * 10
    await app.service.stop()
