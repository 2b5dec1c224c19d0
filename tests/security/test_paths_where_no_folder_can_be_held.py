"""Attack: a directory is exchanged for a link while a file below it is opened, on a system such as Windows, where no
directory can be held open meanwhile.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dovetail.security import safe_paths
from dovetail.security.safe_paths import PathRefused, open_within


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one below it, which is walked as Windows is."""
    monkeypatch.setattr(safe_paths, "_CAN_WALK", False)
    inside = tmp_path / "allowed"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "deep.txt").write_bytes(b"inside")
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "deep.txt").write_bytes(b"secret")
    return inside


def test_plain_files_open(root: Path) -> None:
    with open_within(root, "sub/deep.txt") as file:
        assert file.read() == b"inside"


@pytest.mark.hostile
@pytest.mark.parametrize("back", [True, False])
def test_a_directory_that_becomes_a_link_just_when_it_was_looked_at(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, back: bool
) -> None:
    """It may be put back before anybody looks again, or stay what it became."""
    opened = os.open

    def swapped(path: Any, *rest: Any, **more: Any) -> int:
        (root / "sub").rename(tmp_path / "kept")
        (root / "sub").symlink_to(tmp_path / "evil")
        try:
            return opened(path, *rest, **more)
        finally:
            if back:
                (root / "sub").unlink()
                (tmp_path / "kept").rename(root / "sub")

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(PathRefused, match="link"):
        open_within(root, "sub/deep.txt")


@pytest.mark.hostile
def test_links_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path / "evil")
    (root / "file").symlink_to(tmp_path / "evil" / "deep.txt")
    for path in ("out/deep.txt", "file"):
        with pytest.raises(PathRefused, match="link"):
            open_within(root, path)
