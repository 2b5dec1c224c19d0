"""Somebody else on the machine can read or write the file of a store, or put something into its place.

The file holds whose a session is, and keys: whoever can write it can be anybody.
"""
# ruff: noqa: ASYNC240 - these tests look at files, and nothing else runs in their loops

from __future__ import annotations

import os
import pwd
import sqlite3
import stat
from contextlib import aclosing, closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from dovetail.stores import SQLiteStore, StoreUnavailable

BESIDE = ("", "-wal", "-shm", "-journal")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def make_foreign(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a file or link belong to somebody else: root gives it away; anybody else becomes somebody else."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534, follow_symlinks=False)
    else:
        other = os.geteuid() + 1
        monkeypatch.setattr(os, "geteuid", lambda: other)


async def refused(path: Path, reason: str) -> None:
    """The store is not used, and says why."""
    async with aclosing(SQLiteStore(path, busy_timeout=0.2)) as store:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match=reason) as caught:
                await store.kv.get("a")
            assert str(path) in str(caught.value)
        with pytest.raises(StoreUnavailable, match=reason):
            await store.kv.set("a", b"1")


async def filled(path: Path) -> None:
    async with aclosing(SQLiteStore(path)) as store:
        await store.kv.set("a", b"1")


@pytest.mark.parametrize("end", BESIDE)
@pytest.mark.parametrize("mode", [0o666, 0o660, 0o620, 0o602])
async def test_a_file_that_others_can_write_is_refused(tmp_path: Path, mode: int, end: str) -> None:
    path = tmp_path / "store.db"
    await filled(path)
    bad = Path(f"{path}{end}")
    bad.touch()
    bad.chmod(mode)
    before = bad.read_bytes()
    await refused(path, "others can write to")
    assert (bad.read_bytes(), mode_of(bad)) == (before, mode)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o755])
async def test_a_file_that_others_can_read_is_narrowed_and_told_of(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "store.db"
    await filled(path)
    path.chmod(mode)
    async with aclosing(SQLiteStore(path)) as store:
        assert await store.kv.get("a") == b"1"
        assert {mode_of(each) & 0o077 for each in tmp_path.iterdir()} == {0}
    told = [each.getMessage() for each in caplog.records]
    assert len(told) == 1
    assert "store.db" in told[0]
    assert "may know the keys" in told[0]


async def test_what_is_beside_it_is_narrowed_too(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path)) as other:  # holds the file open, so that what is beside it stays
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("CREATE TABLE theirs (a)")
        for each in tmp_path.iterdir():
            each.chmod(0o644)
        async with aclosing(SQLiteStore(path)) as store:
            await store.kv.set("a", b"1")
            assert {each.name: mode_of(each) for each in tmp_path.iterdir()} == {
                "store.db": 0o600,
                "store.db-wal": 0o600,
                "store.db-shm": 0o600,
            }


async def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    await refused(tmp_path / "store.db", "others can write to its folder")
    assert not list(tmp_path.iterdir())
    tmp_path.chmod(0o1777)  # sticky: nobody else can move our files away
    await filled(tmp_path / "store.db")


async def test_a_folder_of_a_group_will_do_only_where_nobody_else_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o770)
    group = tmp_path.stat().st_gid
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_gid=group, pw_uid=os.geteuid())])
    await filled(tmp_path / "store.db")
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_gid=group, pw_uid=4_242_424)])
    await refused(tmp_path / "store.db", "others can write to its folder")


async def test_a_link_leads_nowhere_that_others_can_write(tmp_path: Path) -> None:
    open_to_all, ours = tmp_path / "open", tmp_path / "ours"
    for folder, mode in ((open_to_all, 0o777), (ours, 0o700)):
        folder.mkdir()
        folder.chmod(mode)
    (ours / "link.db").symlink_to(open_to_all / "store.db")
    await refused(ours / "link.db", "others can write to its folder")
    (open_to_all / "back.db").symlink_to(ours / "store.db")
    await refused(open_to_all / "back.db", "others can write to its folder")
    assert not (open_to_all / "store.db").exists()
    (ours / "good.db").symlink_to(ours / "store.db")
    await filled(ours / "good.db")
    assert mode_of(ours / "store.db") == 0o600


@pytest.mark.parametrize("end", BESIDE)
async def test_what_is_no_plain_file_is_refused(tmp_path: Path, end: str) -> None:
    path = tmp_path / "store.db"
    await filled(path)
    bad = Path(f"{path}{end}")
    bad.unlink(missing_ok=True)
    victim = tmp_path / "victim"
    if end:
        victim.write_bytes(b"precious")
        bad.symlink_to(victim)
    else:
        os.mkfifo(bad, 0o600)
    await refused(path, "no plain file")
    assert not end or victim.read_bytes() == b"precious"


@pytest.mark.parametrize("end", BESIDE)
async def test_what_belongs_to_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    path = tmp_path / "store.db"
    await filled(path)
    bad = Path(f"{path}{end}")
    bad.touch(0o600)
    make_foreign(bad, monkeypatch)
    await refused(path, "belongs to another user")


async def test_nor_a_link_that_somebody_else_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    ours = tmp_path / "ours"
    ours.mkdir(0o700)
    link = tmp_path / "link.db"
    link.symlink_to(ours / "store.db")
    make_foreign(link, monkeypatch)
    await refused(link, "belongs to another user")
    assert not (ours / "store.db").exists()
