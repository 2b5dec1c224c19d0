"""Where tokens are kept: the contract, memory, and the system's keyring; files and stores have a module each.

Theory of operation. A token store keeps bytes under keys and has one lock per key. The lock holds between all who
share the store, processes included, because a refresh token may be good for one use only: whoever gets the lock
second finds the new tokens. What stands in the bytes is the business of `records`.

Specification: OAuth 2.1 sections 4.3 and 7.1; 2026-07-28 basic/authorization/security-considerations "Token Theft".
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

from .file_tokens import FileTokens, default_folder, locked_file
from .problems import StorageUnsafe
from .stored_tokens import StoredTokens

__all__ = ["FileTokens", "KeyringTokens", "MemoryTokens", "StoredTokens", "TokenStore"]

_SERVICE: Final = "dovetail"


@runtime_checkable
class TokenStore(Protocol):
    """Keeps records under keys. ``lock`` excludes everybody else who shares the store, for one key."""

    async def read(self, key: str) -> bytes | None:
        """The record, or None."""
        ...

    async def write(self, key: str, data: bytes) -> None:
        """Keep a record, in one step."""
        ...

    async def remove(self, key: str) -> None:
        """Forget a record; nothing happens without one."""
        ...

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a key. Raises `StorageUnsafe` or TimeoutError."""
        ...


class MemoryTokens:
    """Tokens for as long as this object lives; may be shared by clients of one event loop."""

    def __init__(self) -> None:
        self._records: dict[str, bytes] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def read(self, key: str) -> bytes | None:
        """The record, or None."""
        return self._records.get(key)

    async def write(self, key: str, data: bytes) -> None:
        """Keep a record."""
        self._records[key] = data

    async def remove(self, key: str) -> None:
        """Forget a record."""
        self._records.pop(key, None)

    def lock(self, key: str) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a key."""
        return self._locks.setdefault(key, asyncio.Lock())

    def __repr__(self) -> str:
        return f"<MemoryTokens, {len(self._records)} records>"


class KeyringTokens:
    """Tokens in the keyring of the system: Keychain, Credential Locker, Secret Service.

    ``service`` is the name they stand under. A keyring has no locks, so the locks are files in ``folder`` (default:
    that of `FileTokens`); no secret stands in them. Raises ImportError, which names the extra, without the package
    keyring.
    """

    def __init__(self, service: str = _SERVICE, folder: Path | str | None = None) -> None:
        self._keyring = _keyring()
        self._service = service
        self._folder = Path(folder) if folder is not None else default_folder()

    async def read(self, key: str) -> bytes | None:
        """The record, or None."""
        found = await self._call("get_password", self._service, key)
        try:
            return base64.b64decode(found, validate=True) if isinstance(found, str) else None
        except ValueError:
            return None

    async def write(self, key: str, data: bytes) -> None:
        """Keep a record."""
        await self._call("set_password", self._service, key, base64.b64encode(data).decode("ascii"))

    async def remove(self, key: str) -> None:
        """Forget a record."""
        if await self._call("get_password", self._service, key) is not None:
            await self._call("delete_password", self._service, key)

    @asynccontextmanager
    async def lock(self, key: str) -> AsyncGenerator[None]:
        """Hold the lock of a key."""
        async with locked_file(self._folder, key):
            yield

    async def _call(self, name: str, *arguments: str) -> Any:
        """A keyring may ask the person to unlock it, so it is asked in a thread."""
        try:
            return await asyncio.to_thread(getattr(self._keyring, name), *arguments)
        except self._keyring.errors.KeyringError as problem:
            raise StorageUnsafe(
                f"the keyring can't be used ({type(problem).__name__}); unlock it, or keep tokens with FileTokens"
            ) from None

    def __repr__(self) -> str:
        return f"<KeyringTokens {self._service!r}>"


def _keyring() -> Any:
    try:
        import keyring
    except ImportError:
        raise ImportError(
            "keeping tokens in the keyring needs keyring: pip install 'dovetail[keyring]'"
        ) from None
    return keyring
