"""Where tokens are kept: who can read them, what is refused, what a crash leaves behind."""

import asyncio
import base64
import os
import stat
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from login_stage import World

from dovetail.auth.login import FileTokens, KeyringTokens, MemoryTokens, StorageUnsafe, TokenStore
from dovetail.auth.login.records import Registration, Tokens, decode, encode, key_of

posix = pytest.mark.skipif(os.name != "posix", reason="permissions of this kind exist on POSIX systems")
KEY = key_of("tokens", "https://issuer.example", "me", "https://server.example/mcp")


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@posix
@pytest.mark.requirement("R2511-AUTH-076", "R2607-AUTH-107", "R2503-AUTH-017", "R2607-AUTH-085")
@pytest.mark.usefixtures("open_umask")
async def test_V53_R86_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "a" / "logins")
    await store.write(KEY, b"{}")
    async with store.lock(KEY):
        assert await store.read(KEY) == b"{}"
    assert mode(store.folder) == 0o700
    assert {mode(path) for path in store.folder.iterdir()} == {0o600}
    assert len(list(store.folder.iterdir())) == 2


@posix
@pytest.mark.hostile
@pytest.mark.parametrize("wide", [0o640, 0o604, 0o660, 0o644])
async def test_V53_a_file_or_folder_that_others_can_reach_is_refused(tmp_path: Path, wide: int) -> None:
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, b"{}")
    (record,) = store.folder.glob("*.json")
    record.chmod(wide)
    with pytest.raises(StorageUnsafe, match="chmod 600"):
        await store.read(KEY)
    record.chmod(0o600)
    store.folder.chmod(0o700 | wide & 0o077)
    for work in (store.read(KEY), store.write(KEY, b"x")):
        with pytest.raises(StorageUnsafe, match="chmod 700"):
            await work
    store.folder.chmod(0o700)
    assert await store.read(KEY) == b"{}"


@posix
@pytest.mark.hostile
async def test_V53_links_planted_beforehand_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    store = FileTokens(tmp_path / "logins")
    store.folder.mkdir(mode=0o700)
    record = store.folder / f"{KEY}.json"
    record.symlink_to(victim)
    with pytest.raises(StorageUnsafe, match="plain file"):
        await store.read(KEY)
    await store.write(KEY, b"mine")
    assert victim.read_bytes() == b"precious"
    assert not record.is_symlink()
    lock = store.folder / f"{KEY}.lock"
    lock.symlink_to(victim)
    with pytest.raises(StorageUnsafe):
        async with store.lock(KEY):
            pass
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (tmp_path / "linked").symlink_to(elsewhere)
    with pytest.raises(StorageUnsafe, match="link"):
        await FileTokens(tmp_path / "linked").write(KEY, b"x")
    assert list(elsewhere.iterdir()) == []


@posix
@pytest.mark.hostile
async def test_other_things_in_place_of_a_record_are_refused(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    assert await store.read(KEY) is None
    assert not store.folder.exists()
    await store.remove(KEY)
    store.folder.mkdir(mode=0o700)
    (store.folder / f"{KEY}.json").mkdir()
    with pytest.raises(StorageUnsafe):
        await store.read(KEY)
    with pytest.raises(StorageUnsafe):
        await store.write(KEY, b"x")
    assert [path.name for path in store.folder.iterdir()] == [f"{KEY}.json"]
    (store.folder / "big.json").write_bytes(b"x" * 300_000)
    (store.folder / "big.json").chmod(0o600)
    with pytest.raises(StorageUnsafe, match="no record"):
        await store.read("big")
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    with pytest.raises(StorageUnsafe):
        await FileTokens(blocked / "logins").write(KEY, b"x")
    for key in ("", "../x", "a/b", "a.b", "é", "x" * 200):
        with pytest.raises(ValueError, match="key"):
            await store.read(key)


async def test_a_write_that_fails_leaves_the_old_record_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, b"old")

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(StorageUnsafe, match="No space"):
                await store.write(KEY, b"new")
        assert await store.read(KEY) == b"old"
        assert [path.name for path in store.folder.iterdir()] == [f"{KEY}.json"]


@posix
@pytest.mark.hostile
async def test_v53_a_folder_that_is_exchanged_after_the_check_gets_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may rename the folder puts a link in its place just when it has been looked at."""
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, b"old")
    elsewhere, moved = tmp_path / "elsewhere", tmp_path / "moved"
    elsewhere.mkdir()
    look = os.fstat

    def exchange(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        if stat.S_ISDIR(found.st_mode) and not moved.exists():
            store.folder.rename(moved)
            store.folder.symlink_to(elsewhere)
        return found

    monkeypatch.setattr(os, "fstat", exchange)
    await store.write(KEY, b"secret")
    assert list(elsewhere.iterdir()) == []
    assert (moved / f"{KEY}.json").read_bytes() == b"secret"
    with pytest.raises(StorageUnsafe, match="link"):
        await store.read(KEY)


async def test_v53_what_a_dead_process_left_half_written_is_swept_away(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    await store.write(KEY, b"old")

    def plant(name: str, age: float) -> Path:
        left = store.folder / name
        left.write_bytes(b"half a secr")
        left.chmod(0o600)
        then = left.stat().st_mtime - age
        os.utime(left, (then, then))
        return left

    for work in (lambda: store.write(KEY, b"new"), lambda: store.remove(KEY)):
        dead = plant(f".{KEY}.json.0011223344556677", 60)
        busy = plant(f".{KEY}.json.8899aabbccddeeff", 0)  # somebody may be writing this just now
        other = plant(f".{KEY[:-1]}.json.00112233", 60)
        await work()
        assert not dead.exists()
        assert busy.exists()
        assert other.exists()
        busy.unlink()
    assert await store.read(KEY) is None


@posix
@pytest.mark.hostile
async def test_a_pipe_in_place_of_a_record_holds_nobody_up(tmp_path: Path) -> None:
    store = FileTokens(tmp_path / "logins")
    store.folder.mkdir(mode=0o700)
    os.mkfifo(store.folder / f"{KEY}.json", 0o600)
    with pytest.raises(StorageUnsafe, match="no record"):
        await asyncio.wait_for(store.read(KEY), 5)


async def test_the_lock_excludes_and_is_given_on(tmp_path: Path) -> None:
    for store in (FileTokens(tmp_path / "logins"), MemoryTokens()):
        inside = 0
        most = 0

        async def work(store: TokenStore = store) -> None:
            nonlocal inside, most
            async with store.lock(KEY):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(5)))
        assert most == 1


@pytest.fixture
def keyring(monkeypatch: pytest.MonkeyPatch) -> dict[tuple[str, str], str]:
    """A keyring in a dictionary, in place of the package."""
    kept: dict[tuple[str, str], str] = {}

    class KeyringError(Exception):
        pass

    module = types.ModuleType("keyring")
    module.errors = types.SimpleNamespace(KeyringError=KeyringError)  # type: ignore[attr-defined] # a module made up here
    module.get_password = lambda *name: kept.get(name)  # type: ignore[attr-defined] # a module made up here
    module.set_password = lambda a, b, value: kept.__setitem__((a, b), value)  # type: ignore[attr-defined] # a module made up

    def delete(*name: Any) -> None:
        if name not in kept:
            raise KeyringError
        del kept[name]

    module.delete_password = delete  # type: ignore[attr-defined] # a module made up here
    monkeypatch.setitem(sys.modules, "keyring", module)
    return kept


async def test_the_keyring(keyring: dict[tuple[str, str], str], tmp_path: Path) -> None:
    store = KeyringTokens(folder=tmp_path / "locks")
    assert isinstance(store, TokenStore)
    assert await store.read(KEY) is None
    await store.write(KEY, b"\x00secret")
    assert list(keyring) == [("dovetail", KEY)]
    assert await store.read(KEY) == b"\x00secret"
    keyring["dovetail", KEY] = "no base64!"
    assert await store.read(KEY) is None
    await store.remove(KEY)
    await store.remove(KEY)
    async with store.lock(KEY):
        assert [path.suffix for path in (tmp_path / "locks").iterdir()] == [".lock"]
    async with World() as world:
        assert await world.use(world.oauth(tokens=store)) == "done"
        assert base64.b64encode(b"x")
        assert len(keyring) == 3


async def test_a_locked_keyring_is_told(keyring: dict[tuple[str, str], str], tmp_path: Path) -> None:
    def locked(*_: str) -> None:
        raise sys.modules["keyring"].errors.KeyringError("s3cret")

    sys.modules["keyring"].get_password = locked  # type: ignore[attr-defined] # a module made up here
    with pytest.raises(StorageUnsafe, match="unlock it") as caught:
        await KeyringTokens(folder=tmp_path).read(KEY)
    assert "s3cret" not in str(caught.value)


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ImportError, match=r"dovetail\[keyring\]"):
        KeyringTokens()


RECORD = Tokens(
    issuer="https://i.example", client_id="c", resource="https://r.example", access_token="s3cret", login_id="l",
    refresh_token="s3cret", dpop_key={"d": "s3cret"},
)  # fmt: skip


@pytest.mark.requirement("R2511-AUTH-076", "R2607-AUTH-107")
def test_R113_no_repr_shows_a_secret() -> None:
    registration = Registration(
        issuer="https://i.example", client_id="c", method="none", client_secret="s3cret"
    )
    for each in (RECORD, registration, MemoryTokens(), FileTokens("x")):
        assert "s3cret" not in repr(each)
    assert decode(encode(RECORD), Tokens) == RECORD


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"null", b"\xff", b"[" * 10000, encode(RECORD).replace(b'"access_token"', b'"x"'),
     encode(RECORD)[:-1] + b',"expires_at":"soon"}', encode(RECORD)[:-1] + b',"expires_at":1e999}'],
)  # fmt: skip
async def test_a_damaged_record_is_as_good_as_none(data: bytes) -> None:
    assert decode(data, Tokens) is None
    async with World() as world:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        for key in list(tokens._records):
            await tokens.write(key, data)
        world.valid = {}
        assert await world.use(world.oauth(tokens=tokens)) == "done"
        assert len(world.visits) == 2


@pytest.mark.hostile
async def test_V22_tokens_that_lie_at_the_wrong_place_are_not_used() -> None:
    """A record is used only for the issuer, the client and the resource that stand in it."""
    async with World() as world, World() as other:
        tokens = MemoryTokens()
        await world.use(world.oauth(tokens=tokens))
        await other.use(other.oauth(tokens=tokens))
        mine = [
            key for key, data in tokens._records.items() if key.startswith("tokens") and b"token-1" in data
        ]
        first, second = mine
        tokens._records[first], tokens._records[second] = tokens._records[second], tokens._records[first]
        for each in (world, other):
            credentials = each.credentials(each.oauth(tokens=tokens))
            assert await credentials.headers("POST", each.resource) == {}


def test_the_default_folder_belongs_to_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert FileTokens().folder.is_relative_to(tmp_path)
