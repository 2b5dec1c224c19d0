"""One lock for all files that processes share: held by threads and tasks alike, let go of by whoever dies."""

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from dovetail.auth.login import FileTokens, StorageUnsafe, file_tokens
from dovetail.security import file_lock
from dovetail.security.file_lock import locked, open_lock, take_lock

HOLDER = """
import sys
from pathlib import Path
from dovetail.security.file_lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "logins"
    found.mkdir(mode=0o700)
    return found


@pytest.fixture
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, in a thread of which the lock of "key" is held."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder / "key")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


async def test_a_task_that_waits_too_long_is_told_what_is_held(
    folder: Path, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_tokens, "_LOCK_TIME", 0.1)
    with pytest.raises(TimeoutError, match=r"another process holds .*key\.lock.* in 0\.1 seconds"):
        async with FileTokens(folder).lock("key"):
            pytest.fail("two hold it")


async def test_a_task_has_it_once_the_process_that_held_it_is_dead(
    folder: Path, holder: subprocess.Popen[str]
) -> None:
    descriptor = open_lock(folder / "key.lock")
    waiting = asyncio.create_task(take_lock(descriptor, folder / "key.lock", 60))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    holder.kill()
    await waiting
    os.close(descriptor)


async def test_threads_and_tasks_of_one_process_exclude_each_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "LOCK_SECONDS", 0.05)
    outcome: list[BaseException | None] = []

    def one() -> None:
        try:
            with locked(folder / "key"):
                outcome.append(None)
        except TimeoutError as problem:
            outcome.append(problem)

    async with FileTokens(folder).lock("key"):
        thread = threading.Thread(target=one)
        thread.start()
        await asyncio.to_thread(thread.join)
    await asyncio.to_thread(one)
    assert [type(each) for each in outcome] == [TimeoutError, type(None)]


async def test_a_file_system_without_locks_is_said_to_have_none(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, and not as a lock that somebody holds."""

    def none(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(file_lock, "_try_lock", none)
    with pytest.raises(StorageUnsafe, match=r"can't be locked: No locks available"):
        async with FileTokens(folder).lock("key"):
            pytest.fail("nobody holds it")
