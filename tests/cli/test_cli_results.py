"""What a result looks like: each thing once, bytes to files and never to a terminal, safe in any locale and size."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plain_server import PNG, WAV
from pseudo_terminal import shown_at

from dovetail.cli.saving import OutputFile
from dovetail.cli.screen import Screen

PLAIN = f"{sys.executable} {Path(__file__).with_name('plain_server.py')}"
TARGET = str(Path(__file__).with_name("target_server.py"))
BYTES = base64.b64decode(PNG)


@pytest.mark.parametrize(
    "tool,out",
    [
        ("compact", '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}\n'),
        ("wrapped", "hello\n"),
        ("number", "2\n"),
        ("python", '{\n  "a": null,\n  "b": true\n}\n'),
        ("member", "one\ntwo\n"),
        ("items", '[\n  "a",\n  2\n]\n'),
        ("blocks", "x\n"),
        ("prose", '{\n  "temperature": 21\n}\nIt is 21 degrees\n'),
        ("named", '{\n  "temperature": 21\n}\n'),
    ],
)
def test_a_result_is_shown_once(run, tool, out):
    """Structured content and its twin are one thing, however the server writes the twin; what differs is shown."""
    assert run("call", PLAIN, tool)[:2] == (0, out)


def test_a_picture_in_a_pipe(capfdbinary):
    """Bytes and nothing else come out as they are."""
    from dovetail.cli import main

    assert main(("call", PLAIN, "picture")) == 0
    assert capfdbinary.readouterr().out == BYTES
    assert main(("call", PLAIN, "captioned", "-o", "-")) == 0
    shown = capfdbinary.readouterr()
    assert shown.out == BYTES
    assert b"a picture" in shown.err


def test_a_picture_among_texts(run):
    """Its type and size, and how to get it."""
    code, out, err = run("call", PLAIN, "captioned")
    assert (code, out) == (0, "a picture\n[image, image/png, 10 bytes]\n")
    assert "-o FILE" in err


def test_no_bytes_for_a_terminal():
    """Type and size, and what to do; asked for all the same, it is refused."""
    code, shown = shown_at(100, "call", PLAIN, "picture", NO_COLOR="1")
    assert code == 0
    assert "[image, image/png, 10 bytes]" in shown
    assert "-o FILE" in shown
    code, shown = shown_at(100, "call", PLAIN, "picture", "-o", "-")
    assert code == 2
    assert "\x89" not in shown
    assert "bytes are not written to a terminal; use -o FILE (image/png, 10 bytes)" in shown
    code, shown = shown_at(100, "read", TARGET, "data://bytes", "-o", "-")
    assert code == 2
    assert "-o FILE" in shown


def test_one_picture_to_a_file(run, tmp_path):
    """The bytes; the rest of the result is shown as ever."""
    file = tmp_path / "shot.data"
    code, out, err = run("call", PLAIN, "captioned", "-o", str(file))
    assert (code, out) == (0, "a picture\n")
    assert file.read_bytes() == BYTES
    assert f"wrote {file} (image/png, 10 bytes)" in err.replace("\n", "")


def test_several_pictures_to_files(run, tmp_path):
    """They get numbers, and the endings of what they are."""
    assert run("call", PLAIN, "several", "-o", str(tmp_path / "all.png"))[:2] == (0, "three\n")
    found = {each.name: each.read_bytes() for each in tmp_path.iterdir()}
    wav = base64.b64decode(WAV)
    assert found == {"all-1.png": BYTES, "all-2.wav": wav, "all-3.png": wav}


def test_pictures_to_a_folder(run, tmp_path):
    """Named after the tool, whatever it is called."""
    assert run("call", PLAIN, "several", "-o", f"{tmp_path}{os.sep}")[0] == 0
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "several-1.png", "several-2.wav", "several-3.bin",
    ]  # fmt: skip
    output = OutputFile(Screen(), f"{tmp_path}/", "../../evil\x1b name")
    assert str(output._path(".png")) == str(tmp_path / "evil-name.png")


def test_several_pictures_do_not_run_together(run):
    """Not even where that was asked for; they are mentioned, for the call is made."""
    code, out, err = run("call", PLAIN, "several", "-o", "-")
    assert code == 2
    assert "[audio, audio/wav, 6 bytes]" in out
    assert "-o FOLDER/" in err


def test_text_to_a_file(run, tmp_path):
    """As it is, nothing escaped; JSON with --json."""
    file = tmp_path / "out.txt"
    assert run("call", PLAIN, "escaping", "-o", str(file))[:2] == (0, "")
    assert file.read_bytes() == "a\x1b[31mb\u202ec\n".encode()
    assert run("call", PLAIN, "compact", "-o", str(file))[:2] == (0, "")
    assert json.loads(file.read_bytes()) == {"a": 1, "b": [2]}
    assert run("call", PLAIN, "compact", "--json", "-o", str(file))[:2] == (0, "")
    assert json.loads(file.read_bytes())["structuredContent"] == {"a": 1, "b": [2]}
    assert run("prompt", TARGET, "review", "-a", "code=1", "-o", str(file))[:2] == (0, "")
    assert file.read_text() == "user:\nReview 1, be kind\n"


def test_a_place_where_nothing_can_be_written(run, tmp_path):
    """Said before a server is started where that can be known; else the result is shown, for the call is made."""
    code, out, err = run("call", "no_such_file.py", "x", "-o", str(tmp_path / "none" / "x"))
    assert (code, out) == (2, "")
    assert "there is no folder" in err
    code, out, err = run("call", "no_such_file.py", "x", "-o", str(tmp_path / ("x" * 300)))
    assert (code, out) == (2, "")
    assert "File name too long" in err
    code, out, err = run("call", PLAIN, "compact", "-o", "/dev/full")
    assert code == 2
    assert json.loads(out) == {"a": 1, "b": [2]}
    assert "can't be written" in err
    code, out, err = run("call", PLAIN, "captioned", "-o", "/dev/full")
    assert (code, out) == (2, "a picture\n[image, image/png, 10 bytes]\n")


def test_bytes_that_are_none(run):
    """Base64 that is none is the server's fault, and the rest of the result is not lost."""
    code, out, err = run("call", PLAIN, "broken")
    assert code == 4
    assert out.startswith("half\n")
    assert "not Base64" in err


def test_a_failing_tool_keeps_its_line_breaks(run):
    """Indented, so that none of them can pass for a line of ours."""
    code, out, err = run("call", PLAIN, "failing")
    assert (code, out) == (1, "")
    assert err.endswith("dovetail: the tool failed:\n  first\n    second \\x1b[2J\n  third\n")


def test_instructions_keep_their_line_breaks(run):
    """Indented, and without what a terminal would act on."""
    _, _, err = run("list", PLAIN)
    assert "  First:\n\n    * look \\x1b[2J\n    * leap\n" in err
    assert "\x1b" not in err


def test_quiet(run):
    """Results, and nothing else."""
    code, out, err = run("list", PLAIN, "--tools", "-q")
    assert (code, err) == (0, "")
    assert "compact" in out
    assert run("call", PLAIN, "picture", "-q", "-o", os.devnull) == (0, "", "")
    assert run("list", PLAIN, "-q", "-v")[0] == 2


def test_a_large_result(run):
    """Three megabytes with a character to escape in each line take seconds at most, most of them not ours."""
    code, out, _ = run("call", PLAIN, "large")
    assert code == 0
    assert out.startswith("é\\x9b line\n")
    assert out.count("\n") == 300_001


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_other_encodings(encoding):
    """What a stream can't show is escaped; JSON stays JSON."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    def said(*words):
        done = subprocess.run(
            [sys.executable, "-m", "dovetail", *words], env=environment, capture_output=True, check=True
        )
        return done.stdout.decode(encoding)

    assert "\\u017elu\\u0165 \\U0001f40e" in said("call", PLAIN, "unicode")
    assert json.loads(said("call", PLAIN, "unicode", "--json"))["content"][0]["text"] == "žluť \U0001f40e"
    assert "compact" in said("list", PLAIN)


@pytest.mark.parametrize("words", [["call", PLAIN, "large"], ["list", PLAIN], ["completion", "bash"]])
def test_a_reader_that_has_enough(words):
    """`| head -1` ends quietly, whatever is shown."""
    command = " ".join(f"'{word}'" for word in [sys.executable, "-m", "dovetail", *words])
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} | head -c 1"], capture_output=True, check=False
    )
    assert done.returncode == 0
    assert b"dovetail:" not in done.stderr
    assert b"Traceback" not in done.stderr


def test_interrupted_writing():
    """One Ctrl-C is enough while nobody reads a long result."""
    words = [sys.executable, "-m", "dovetail", "call", PLAIN, "large"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)  # it writes now, and the pipe holds less than there is
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize("words", [["call", PLAIN, "compact"], ["list", PLAIN, "-q"]])
def test_streams_that_take_nothing(words):
    """A full disk is said, and is no lost server; a stream that was closed from the beginning is let be."""
    command = [sys.executable, "-m", "dovetail", *words]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "dovetail: standard output can't be written: No space left on device\n"
    assert subprocess.run(["sh", "-c", 'exec "$@" >&- 2>&- <&-', "sh", *command], check=False).returncode == 0


def test_a_narrow_terminal():
    """Entries instead of a table, and names in one piece, to be copied."""
    code, shown = shown_at(30, "list", TARGET, NO_COLOR="1")
    assert code == 0
    lines = [line.rstrip() for line in shown.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines()]
    assert "text://{name}" in lines
    assert lines[lines.index("add") + 1].startswith("  a")
    wide = shown_at(100, "list", TARGET, "--prompts")[1]
    assert "─" in wide


def test_no_color():
    """NO_COLOR is kept, by what is shown to people as well."""
    _, shown = shown_at(100, "list", PLAIN, NO_COLOR="1")
    assert not any(f"\x1b[{color}" in shown for color in ("31", "32", "33", "36"))
    assert "\x1b[36m" in shown_at(100, "list", PLAIN)[1]
