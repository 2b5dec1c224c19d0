"""Attack: token files that somebody exchanges, plants, widens or sweeps away while they are read and written; and two
processes that write at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dovetail.auth.login import FileTokens, StorageUnsafe, file_tokens
from dovetail.auth.login.file_tokens import default_folder
from dovetail.auth.login.records import key_of

KEY = key_of("tokens", "https://issuer.example", "me", "https://server.example/mcp")
SECRET = b'{"access_token":"secret"}'
WRITER = """
import asyncio, json, sys
from dovetail.auth.login import FileTokens

folder, key, name, times = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])

async def main():
    store = FileTokens(folder)
    for _ in range(times):
        async with store.lock(key):
            found = await store.read(key)
            number = 0 if found is None else json.loads(found)["number"]
            await store.write(key, json.dumps({"number": number + 1, "by": name, "padding": name * 20000}).encode())

asyncio.run(main())
"""


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


async def during(work: Callable[[], Any], attack: Callable[[], None]) -> set[str]:
    """Work again and again while somebody attacks; how it ended."""
    stop = threading.Event()

    def attacking() -> None:
        while not stop.is_set():
            attack()

    thread = threading.Thread(target=attacking)
    thread.start()
    ended: set[str] = set()
    try:
        for _ in range(400):
            try:
                ended.add(repr(await work()))
            except StorageUnsafe as problem:
                ended.add(type(problem).__name__)
    finally:
        stop.set()
        thread.join()
    return ended


@pytest.mark.hostile
async def test_a_folder_exchanged_for_a_link_leads_nowhere(tmp_path: Path) -> None:
    """Somebody who may rename the folder swaps it with a link to a place of theirs, all the time."""
    store = FileTokens(tmp_path / "logins")
    theirs, kept = tmp_path / "theirs", tmp_path / "kept"
    theirs.mkdir(mode=0o700)
    (theirs / f"{KEY}.json").write_bytes(b"planted")
    (theirs / f"{KEY}.json").chmod(0o600)
    await store.write(KEY, SECRET)

    def swap() -> None:
        shutil.rmtree(kept, ignore_errors=True)  # the store may have made a new folder meanwhile
        steps = (store.folder.rename, kept), (store.folder.symlink_to, theirs), (kept.rename, store.folder)
        for step, place in steps:
            with suppress(OSError):
                step(place)
            if store.folder.is_symlink():
                store.folder.unlink()

    async def work() -> bytes | None:
        await store.write(KEY, SECRET)
        return await store.read(KEY)

    ended = await during(work, swap)
    assert ended <= {repr(SECRET), "None", "StorageUnsafe"}
    assert os.listdir(theirs) == [f"{KEY}.json"]
    assert (theirs / f"{KEY}.json").read_bytes() == b"planted"


@pytest.mark.hostile
async def test_a_record_exchanged_for_a_link_is_never_read_or_written_through(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    await store.write(KEY, SECRET)
    record, link = store.folder / f"{KEY}.json", tmp_path / "link"

    def swap() -> None:
        link.symlink_to(victim)
        os.replace(link, record)

    async def work() -> bytes | None:
        await store.write(KEY, SECRET)
        return await store.read(KEY)

    assert await during(work, swap) <= {repr(SECRET), "StorageUnsafe"}
    assert victim.read_bytes() == b"precious"


@pytest.mark.hostile
async def test_permissions_that_are_widened_meanwhile_are_seen(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, SECRET)
    record = store.folder / f"{KEY}.json"

    def widen() -> None:
        record.chmod(0o644)
        record.chmod(0o600)

    assert await during(lambda: store.read(KEY), widen) <= {repr(SECRET), "StorageUnsafe"}


@pytest.mark.hostile
@pytest.mark.usefixtures("no_umask")
async def test_what_is_made_on_the_way_belongs_to_the_user_alone(tmp_path: Path) -> None:
    """Whoever may write to the folder above could put another one in the place of ours."""
    store = FileTokens(tmp_path / "state" / "logins")
    await store.write(KEY, SECRET)
    for path in (store.folder, store.folder.parent):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700


@pytest.mark.hostile
async def test_a_writer_that_stood_still_for_a_while_does_not_lose_its_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that slept: another process takes the half-written file for what a dead one left. A refresh token that
    is lost then is lost for good.
    """
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, b"old")
    sync, slept = os.fsync, list[bool]()

    def sleep(descriptor: int) -> None:
        sync(descriptor)
        if not slept:
            slept.append(True)
            (half,) = store.folder.glob(f".{KEY}.json.*")
            os.utime(half, (time.time() - 3600, time.time() - 3600))
            file_tokens._write(store.folder, f"{KEY}.json", b"of the other process")

    monkeypatch.setattr(os, "fsync", sleep)
    await store.write(KEY, b"new")
    assert await store.read(KEY) == b"new"
    assert os.listdir(store.folder) == [f"{KEY}.json"]


async def test_two_processes_take_turns_and_no_record_is_half_of_each(tmp_path: Path) -> None:
    folder, times = tmp_path / "logins", 40
    processes = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", WRITER, str(folder), KEY, name, str(times))
        for name in ("a", "b", "c")
    ]
    store = FileTokens(folder)
    ends = [asyncio.create_task(process.wait()) for process in processes]
    while not all(end.done() for end in ends):
        found = await store.read(KEY)  # without the lock: whole all the same
        if found is not None:
            record = json.loads(found)
            assert record["padding"] == record["by"] * 20000
        await asyncio.sleep(0)
    assert [end.result() for end in ends] == [0, 0, 0]
    found = await store.read(KEY)
    assert found is not None
    assert json.loads(found)["number"] == 3 * times
    assert sorted(os.listdir(folder)) == [f"{KEY}.json", f"{KEY}.lock"]


async def test_a_process_that_dies_lets_go_of_the_lock(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys\nfrom dovetail.auth.login import FileTokens\n"
        "async def main():\n"
        "    async with FileTokens(sys.argv[1]).lock(sys.argv[2]):\n"
        "        print('held', flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())",
        str(tmp_path / "logins"),
        KEY,
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    store = FileTokens(tmp_path / "logins")

    async def take() -> None:
        async with store.lock(KEY):
            pass

    waiting = asyncio.create_task(take())
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    holder.kill()
    await holder.wait()
    await asyncio.wait_for(waiting, 10)


# Windows


@pytest.mark.hostile
async def test_a_junction_in_place_of_the_folder_is_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows has links that look like folders to who does not ask. As it is there: no folder can be held open."""
    store = FileTokens(tmp_path / "logins")
    store.folder.mkdir(mode=0o700)
    monkeypatch.setattr(file_tokens, "_POSIX", False)
    await store.write(KEY, SECRET)
    assert await store.read(KEY) == SECRET
    look = Path.lstat

    def junction(path: Path) -> Any:
        found = look(path)
        if path != store.folder:
            return found
        return SimpleNamespace(st_mode=found.st_mode, st_uid=found.st_uid, st_file_attributes=0x10 | 0x400)

    monkeypatch.setattr(Path, "lstat", junction)
    for work in (store.read(KEY), store.write(KEY, b"x")):
        with pytest.raises(StorageUnsafe, match="link"):
            await work


@pytest.mark.hostile
@pytest.mark.parametrize("key", ["con", "NUL", "aux", "com1", "LPT9", "prn"])
async def test_names_of_devices_are_no_keys(tmp_path: Path, key: str) -> None:
    """On Windows con.json is the console, in every folder."""
    store = FileTokens(tmp_path / "logins")
    for work in (store.read(key), store.write(key, b"x"), store.remove(key)):
        with pytest.raises(ValueError, match="device"):
            await work
    with pytest.raises(ValueError, match="device"):
        async with store.lock(key):
            pass
    assert not store.folder.exists()


@pytest.mark.hostile
@pytest.mark.parametrize("platform,variable", [("linux", "XDG_STATE_HOME"), ("win32", "LOCALAPPDATA")])
@pytest.mark.parametrize("given", ["state", "./state", "../state", ""])
def test_a_folder_that_depends_on_where_one_stands_is_not_taken(
    platform: str, variable: str, given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or tokens would lie in whatever project a program is started in."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, given)
    assert default_folder().is_absolute()
    assert default_folder().is_relative_to(tmp_path)
    monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    assert default_folder() == tmp_path / "elsewhere" / "dovetail" / "logins"
