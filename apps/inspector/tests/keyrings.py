"""A keyring that is gone with its test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keyring
import keyring.backend

__all__ = ["keyring_in_memory"]


class MemoryKeyring(keyring.backend.KeyringBackend):
    """What it keeps, by service and user."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@contextmanager
def keyring_in_memory() -> Iterator[dict[tuple[str, str], str]]:
    """Have one in the place of the system's; gives what it keeps."""
    before, ours = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(ours)
    try:
        yield ours.kept
    finally:
        keyring.set_keyring(before)
