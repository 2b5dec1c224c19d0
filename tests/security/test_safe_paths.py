"""Paths from outside stay inside."""

from __future__ import annotations

import os
import threading
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.security.safe_paths import PathRefused, open_within, safe_join


@pytest.fixture
def root(tmp_path):
    inside = tmp_path / "allowed"
    (inside / "sub").mkdir(parents=True)
    (inside / "file.txt").write_bytes(b"inside")
    (inside / "sub" / "deep.txt").write_bytes(b"deep")
    evil = tmp_path / "allowed_evil"
    evil.mkdir()
    (evil / "secret").write_bytes(b"secret")
    (tmp_path / "secret").write_bytes(b"secret")
    return inside


HOSTILE = [
    "",
    "/",
    "//",
    ".",
    "..",
    "../secret",
    "../allowed_evil/secret",
    "sub/../../secret",
    "sub/../file.txt",
    unquote("..%2fsecret"),
    unquote("..%5csecret"),
    "..\\secret",
    "sub\\..\\..\\secret",
    "/etc/passwd",
    "//host/share/x",
    "\\\\host\\share\\x",
    "\\\\?\\C:\\x",
    "C:\\x",
    "C:x",
    "C:/x",
    "file.txt:stream",
    "file.txt::$DATA",
    "file.txt\0.png",
    "\0",
    "sub/\x01",
    "a\nb",
    "\x7f",
    "CON",
    "con",
    "nul.txt",
    "NUL .txt",
    "sub/aux",
    "COM1",
    "com9.log",
    "LPT\u00b9",
    "CONIN$",
    "clock$",
    "file.txt.",
    "file.txt ",
    "...",
    ". .",
    "sub//deep.txt",
    "sub/",
    "./file.txt",
    "a" * 256,
    "\u00e9" * 128,
    "a/" * 3000 + "a",
    "\ud800",
    "a*",
    "a?b",
    "a|b",
    'a"b',
    "<a>",
]


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: ascii(path[:24]))
def test_v58_hostile_paths_are_refused_on_every_system(root, path):
    for refuse in (safe_join, open_within):
        with pytest.raises(PathRefused) as caught:
            refuse(root, path)
        assert str(root) not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_good_paths_are_found(root):
    assert safe_join(root, "file.txt") == root / "file.txt"
    assert safe_join(root, "sub", "deep.txt") == safe_join(root, "sub/deep.txt") == root / "sub" / "deep.txt"
    assert safe_join(root) == root
    assert safe_join(root, "not there yet", "..hidden") == root / "not there yet" / "..hidden"
    for name in ("file.txt", "sub/deep.txt"):
        with open_within(root, name) as file:
            assert file.read() in (b"inside", b"deep")
    with pytest.raises(FileNotFoundError) as caught:
        open_within(root, "sub/missing")
    assert str(root) not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["console", "nullable.txt", "com10", "..%2fsecret", "a~1", "ünïcode", "-rf", "~"]
)
def test_names_that_only_look_bad_are_names(root, name):
    (root / name).write_bytes(b"fine")
    with open_within(root, name) as file:
        assert file.read() == b"fine"


@given(st.text(st.sampled_from("ab./\\:~%2f \0"), max_size=24))
def test_v58_no_text_leads_out(path):
    try:
        joined = safe_join("/srv/allowed", path)
    except PathRefused:
        return
    assert joined.parts[:3] == ("/", "srv", "allowed")
    assert len(joined.parts) > 3


def test_v58_links(root, tmp_path):
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "outdir").symlink_to(tmp_path / "allowed_evil")
    (root / "inlink").symlink_to(root / "file.txt")
    (root / "indir").symlink_to(root / "sub")
    (root / "loop").symlink_to(root / "loop")
    for path in ("out", "outdir/secret"):
        with pytest.raises(PathRefused, match="link"):
            safe_join(root, path)
    assert safe_join(root, "inlink") == root / "file.txt"
    for path in ("out", "outdir/secret", "inlink", "indir/deep.txt", "loop"):
        with pytest.raises(PathRefused, match="link"):
            open_within(root, path)


def test_the_root_itself_may_be_a_link(root, tmp_path):
    (tmp_path / "alias").symlink_to(root)
    with open_within(tmp_path / "alias", "sub/deep.txt") as file:
        assert file.read() == b"deep"
    assert safe_join(tmp_path / "alias", "file.txt") == root / "file.txt"


def test_v58_only_regular_files_open(root):
    os.mkfifo(root / "pipe")
    for path in ("pipe", "sub"):
        with pytest.raises(PathRefused, match="regular"):
            open_within(root, path)


def test_v58_a_directory_swapped_for_a_link_meanwhile_never_leads_out(root, tmp_path):
    """The time between check and use: one thread swaps, the other opens; the secret never comes out."""
    (tmp_path / "allowed_evil" / "deep.txt").write_bytes(b"secret")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (root / "sub").rename(root / "kept")
            (root / "sub").symlink_to(tmp_path / "allowed_evil")
            (root / "sub").unlink()
            (root / "kept").rename(root / "sub")

    thread = threading.Thread(target=swap)
    thread.start()
    outcomes: set[object] = set()
    try:
        for _ in range(3000):
            try:
                with open_within(root, "sub/deep.txt") as file:
                    outcomes.add(file.read())
            except (PathRefused, FileNotFoundError) as error:
                outcomes.add(type(error))
    finally:
        stop.set()
        thread.join()
    assert b"secret" not in outcomes
    with open_within(root, "sub/deep.txt") as file:  # the swapping thread ends with everything in its place
        assert file.read() == b"deep"


def test_no_descriptor_is_left(root):
    before = len(os.listdir("/dev/fd"))
    for path in ("file.txt", "sub/deep.txt", "sub", "sub/missing", "missing/x", "file.txt/x", "../x"):
        try:
            open_within(root, path).close()
        except (PathRefused, OSError):
            continue
    assert len(os.listdir("/dev/fd")) == before
