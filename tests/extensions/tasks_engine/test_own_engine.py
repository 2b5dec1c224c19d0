"""Engines of this process: our own, and the least that one can be."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from engine_contract import PlainEngine, TaskEngineContract

from dovetail.extensions.tasks import TaskEngine
from dovetail.stores import MemoryStore, SQLiteStore, Store


class TestOwnEngine(TaskEngineContract):
    @pytest.fixture
    def engine(self) -> TaskEngine | None:
        return None

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        async with aclosing(SQLiteStore(tmp_path / "tasks.db")) as store:
            yield store


class TestPlainEngine(TaskEngineContract):
    @pytest.fixture
    def engine(self) -> TaskEngine | None:
        return PlainEngine()

    @pytest.fixture
    async def store(self) -> AsyncIterator[Store]:
        async with aclosing(MemoryStore()) as store:
            yield store
