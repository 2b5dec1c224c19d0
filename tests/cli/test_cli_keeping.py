"""What client commands keep in a store for the next command, and which store that is."""

import subprocess
import sys
from pathlib import Path

import pytest

BASKET = """
from dovetail import App, Context

app = App("shop")


@app.tool
async def put(thing: str, ctx: Context) -> list[str]:
    basket = [*(await ctx.session.get("basket", [])), thing]
    await ctx.session.set("basket", basket)
    return basket
"""


@pytest.fixture
def url(tmp_path: Path):
    """A server over HTTP in a process of its own."""
    file = tmp_path / "basket.py"
    file.write_text(BASKET)
    command = [sys.executable, "-m", "dovetail", "run", str(file), "--http", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("dovetail: serving on "):
                yield line.split()[3].rstrip(",")
                break
        else:
            raise AssertionError("the server did not start")
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture
def kept(tmp_path: Path):
    """The path of a store in a folder that is nobody else's."""
    folder = tmp_path / "kept"
    folder.mkdir(mode=0o700)
    return str(folder / "client.db")


def put(run, url, thing, *words):
    code, out, err = run("call", url, "put", f"thing={thing}", "-r", "2025-11-25", *words)
    assert code == 0, err
    return out.split('"')[1::2]


def test_the_next_command_goes_on_in_the_session(run, url, kept, monkeypatch):
    assert put(run, url, "tea") == ["tea"]
    assert put(run, url, "tea", "--store", kept) == ["tea"]
    assert put(run, url, "cups", "--store", kept) == ["tea", "cups"]
    monkeypatch.setenv("DOVETAIL_CLIENT_STORE", kept)
    assert put(run, url, "milk") == ["tea", "cups", "milk"]
    assert put(run, url, "tea", "--store", f"sqlite:{kept}.other") == ["tea"], "the option goes first"
    monkeypatch.delenv("DOVETAIL_CLIENT_STORE")
    assert put(run, url, "bread") == ["bread"]


def test_the_store_of_servers_is_not_that_of_commands(run, url, kept, monkeypatch):
    monkeypatch.setenv("DOVETAIL_STORE", kept)
    assert put(run, url, "tea") == ["tea"]
    assert not Path(kept).exists()


def test_what_is_kept_is_sealed_where_there_are_keys(run, url, kept, monkeypatch):
    monkeypatch.setenv("DOVETAIL_KEYS", "k" * 40)
    assert put(run, url, "tea", "--store", kept) == ["tea"]
    assert put(run, url, "cups", "--store", kept) == ["tea", "cups"]
    monkeypatch.setenv("DOVETAIL_KEYS", "x" * 40)
    assert put(run, url, "tea", "--store", kept) == ["tea"]
    monkeypatch.delenv("DOVETAIL_KEYS")
    assert put(run, url, "tea", "--store", kept) == ["tea"]


@pytest.mark.parametrize(
    "store,keys,said",
    [
        ("", "", ""),
        ("ftp://somewhere", "", "--store: "),
        ("redis://127.0.0.1:1/0", "", "give keys="),
        ("client.db", "short", "DOVETAIL_KEYS: "),
    ],
)
def test_a_store_that_cannot_be_is_refused(run, monkeypatch, tmp_path, store, keys, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOVETAIL_KEYS", keys)
    code, out, err = run("list", "http://127.0.0.1:1/mcp", "--store", store)
    assert out == ""
    assert said in err
    assert code == (2 if said else 3), err


def test_the_variable_is_named_where_it_names_no_store(run, monkeypatch):
    monkeypatch.setenv("DOVETAIL_CLIENT_STORE", "ftp://somewhere")
    code, _, err = run("list", "http://127.0.0.1:1/mcp")
    assert code == 2
    assert "DOVETAIL_CLIENT_STORE: " in err
