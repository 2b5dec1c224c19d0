"""Secrets in all places that a conversation has: none is in the file, however it is written.

Follows: docs/recording.md, "What is left out".
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dovetail.capture.redaction import Redaction, Redactor
from dovetail.recording import Capture, CaptureInvalid, CaptureLink, CaptureWriter

SECRET = "Zq7-Xv9pLm3kTr8wYb2n"
WORDY = "correcthorsebattery"


def call(**arguments: Any) -> bytes:
    params = {"name": "x", "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


def said(text: str) -> bytes:
    result = {"content": [{"type": "text", "text": text}]}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode()


def nested(value: Any, levels: int) -> str:
    for _ in range(levels):
        value = {"inside": json.dumps(value)}
    return json.dumps(value)


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


MESSAGES = {
    "user info": call(url=f"https://{SECRET}@example.com/"),
    "password of a URL": call(url=f"postgres://me:{SECRET}@db/x"),
    "device code": json.dumps({"device_code": SECRET, "user_code": "ABCD"}).encode(),
    "tokens": json.dumps({"access_token": SECRET, "refresh_token": SECRET, "id_token": SECRET}).encode(),
    "form": f"grant_type=authorization_code&code={SECRET}&state={SECRET}".encode(),
    "JSON in JSON": call(body=nested({"api_key": SECRET}, 1)),
    "JSON in JSON in JSON": call(body=nested({"api_key": SECRET}, 3)),
    "a list in JSON": call(body=json.dumps({"tokens": [SECRET]})),
    "an object in JSON": call(body=json.dumps({"secrets": {"db": SECRET}}, indent=2)),
    "YAML": call(body=f"db:\n  password: {SECRET}\n"),
    "a word in YAML": call(body=f"db:\n  password: '{WORDY}'\n"),
    "prose": said(f"your token: {SECRET}, keep it"),
    "shell": said(f'export AWS_SECRET_ACCESS_KEY="{SECRET}"'),
    "single quotes": said(f"SECRET_KEY='{SECRET}'"),
    "a key of a service": said(f"STRIPE_KEY={SECRET}"),
    "resource": said(f"API_KEY={SECRET}"),
    "a resource in base64": call(contents=[{"uri": "file:///.env", "blob": encoded(f"API_KEY={SECRET}\n")}]),
    "environment": call(env={"GITHUB_TOKEN": SECRET, "DATABASE_URL": f"postgres://u:{SECRET}@h/d"}),
    "words of a command": call(args=["--token", SECRET, "--verbose"]),
    "a command line": call(command=f"tool --api-key {SECRET} run"),
    "curl": call(command=f"curl -u me:{SECRET} https://example.com"),
    "pairs": call(headers=[{"name": "Authorization", "value": SECRET}]),
    "head of a request": call(raw=f"GET / HTTP/1.1\r\nX-Api-Key: {SECRET}\r\n\r\n"),
    "cookies of one": call(raw=f"GET / HTTP/1.1\r\nCookie: a={SECRET}\r\n\r\n"),
    "error": b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"401: Bearer %b"}}' % SECRET.encode(),
    "progress": json.dumps(
        {"method": "notifications/progress", "params": {"progress": 1, "message": f"token={SECRET}"}}
    ).encode(),
    "log": json.dumps({"method": "notifications/message", "params": {"data": {"password": SECRET}}}).encode(),
    "escaped name": b'{"method":"x","params":{"pass\\u0077ord":"%b"}}' % SECRET.encode(),
    "capabilities": json.dumps(
        {"method": "initialize", "params": {"capabilities": {"experimental": {"token": SECRET}}}}
    ).encode(),
    "PGP": said(
        f"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\n{SECRET.replace('-', '')}\n-----END PGP PRIVATE KEY BLOCK-----"
    ),
    "names in one word": call(accesstoken=SECRET, clientsecret=SECRET, sessionid=SECRET, csrf=SECRET),
    "pass": call(db_pass=SECRET),
    "UTF-16": json.dumps({"password": SECRET}).encode("utf-16"),
    "UTF-16 that is UTF-8, too": json.dumps({"password": SECRET}).encode("utf-16-le"),
    "no UTF-8": b'\xff{"password": "%b"}' % SECRET.encode(),
}


def read_all(path: Path) -> str:
    """All that can be read in a file: also what stands there in base64, and between zeros."""
    text = path.read_text("utf-8")
    found = [text]
    words = re.findall(r"[A-Za-z0-9+/]{8,}", text)
    found += [base64.b64decode(each[: len(each) // 4 * 4]).decode("latin-1") for each in words]
    return "\n".join((*found, *(each.replace("\0", "") for each in found)))


def recorded(path: Path, talk: Callable[[CaptureLink], None]) -> str:
    """What can be read in the recording of a conversation."""
    writer = CaptureWriter(path)
    talk(writer.link("http", "https://example.com/mcp"))
    writer.close()
    assert len(Capture.read(path)) >= 2
    return read_all(path)


@pytest.mark.parametrize("message", list(MESSAGES.values()), ids=list(MESSAGES))
def test_no_message_has_a_secret(message: bytes, tmp_path: Path) -> None:
    text = recorded(tmp_path / "talk.jsonl", lambda link: link.message("client", message))
    assert not any(each in text for each in (SECRET, SECRET.replace("-", ""), WORDY))


HEADERS = [
    ("Authorization", SECRET),
    ("Authorization", f'Digest username="u", response="{SECRET}"'),
    ("Proxy-Authorization", f"Basic {SECRET}"),
    ("Authentication-Info", f'nextnonce="{SECRET}"'),
    ("X-Api-Key", SECRET),
    ("X-Amz-Security-Token", SECRET),
    ("X-CSRF-Token", SECRET),
    ("DPoP", SECRET),
    ("Cookie", f"a={SECRET}; b=2"),
    ("Set-Cookie", f"sid={SECRET}; Path=/; HttpOnly"),
    ("Mcp-Session-Id", SECRET),
    ("Location", f"https://example.com/cb?code={SECRET}"),
    ("Referer", f"https://example.com/?token={SECRET}"),
    ("WWW-Authenticate", f'Bearer error_description="token={SECRET}"'),
]


@pytest.mark.parametrize("header", HEADERS, ids=[f"{at}-{name}" for at, (name, _) in enumerate(HEADERS)])
def test_no_header_has_one(header: tuple[str, str], tmp_path: Path) -> None:
    def talk(link: CaptureLink) -> None:
        exchange = link.request("POST", "/mcp", [header], b"{}")
        exchange.begin(200, [header])
        exchange.end()

    assert SECRET not in recorded(tmp_path / "talk.jsonl", talk)


@pytest.mark.parametrize(
    "target",
    [
        f"/cb?code={SECRET}&x=1",
        f"/messages?session={SECRET}",
        f"/messages/?sessionId={SECRET}",
        f"/f?X-Amz-Signature={SECRET}",
        f"/f?sig={SECRET}",
        f"/f#access_token={SECRET}",
    ],
)
def test_no_address_has_one(target: str, tmp_path: Path) -> None:
    def talk(link: CaptureLink) -> None:
        exchange = link.request("GET", target, [], None)
        exchange.begin(200, [("Content-Type", "text/event-stream")])
        exchange.feed(f"event: endpoint\ndata: {target}\n\n".encode())
        exchange.end()

    assert SECRET not in recorded(tmp_path / "talk.jsonl", talk)


@pytest.mark.parametrize(
    "write", [json.dumps, encoded, lambda text: text.replace("+", "%2B").replace("/", "%2F")]
)
def test_a_known_secret_is_found_however_it_is_written(write: Callable[[str], str], tmp_path: Path) -> None:
    secret = f"{SECRET}/+"

    def talk(link: CaptureLink) -> None:
        link.message("client", call(password=secret))
        link.message("server", said(f"I got <{write(secret)}>"))

    assert SECRET not in recorded(tmp_path / "talk.jsonl", talk)


def test_what_is_no_secret_stays(tmp_path: Path) -> None:
    plain = [
        call(url="https://git@github.com/a/b", text="the key: a small thing; password: choose a good one"),
        call(body=json.dumps({"a": [1, 2]}, indent=2), args=["--verbose", "yes"], data="SGVsbG8gd29ybGQ="),
        said("token: none. See https://example.com/?code=404&page=2"),
        call(items=[{"name": "colour", "value": "blue"}]),
    ]
    writer = CaptureWriter(tmp_path / "talk.jsonl")
    link = writer.link("stdio")
    for each in plain:
        link.message("client", each)
    writer.close()
    found = [json.loads(line.data) for line in Capture.read(tmp_path / "talk.jsonl") if line.sender]
    assert found == [json.loads(each) for each in plain]


def test_json_in_a_text_keeps_its_form(tmp_path: Path) -> None:
    written = json.dumps({"password": SECRET, "a": [1, 2]}, indent=3)
    found = Redactor(Redaction()).body({"params": {"arguments": {"body": written}}})
    assert found["params"]["arguments"]["body"] == written.replace(SECRET, "[redacted-1]")


@pytest.mark.parametrize(
    "piece", ["token:", "-u a:", "a://", '"token":', "--token ", "-----BEGIN PRIVATE KEY-----"]
)
def test_hostile_texts_take_time_by_their_length_alone(piece: str) -> None:
    def spent(length: int) -> float:
        began = time.process_time()
        Redactor(Redaction()).body({"params": {"arguments": {"text": piece * (length // len(piece))}}})
        return time.process_time() - began

    assert spent(400_000) < 16 * max(spent(100_000), 0.05)


KILLED = """
import sys
from dovetail.recording import CaptureWriter
link = CaptureWriter(sys.argv[1]).link("stdio")
while True:
    link.message("client", b'{"jsonrpc":"2.0","method":"x"}')
    print(flush=True)
"""

FULL = """
import resource, sys
from dovetail.recording import CaptureWriter
writer = CaptureWriter(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
link = writer.link("stdio")
for _ in range(2000):
    link.message("client", b'{"jsonrpc":"2.0","method":"x"}')
print(writer.recording)
"""


def test_a_recorder_that_is_killed_leaves_a_file_that_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    with subprocess.Popen([sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(500):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert len(Capture.read(path)) >= 500
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_a_file_that_may_grow_no_more_ends_the_recording_alone(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
    assert "is not gone on with" in done.stderr
    assert path.stat().st_size == 20_000
    found = Capture.read(path)
    assert len(found) > 50
    assert found.warnings or path.read_bytes().endswith(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b'{"n":1',
        b"\xff",
        b"[1]",
        b"null",
        b'{"n":1,"seconds":0,"time":"","sender":"mallory"}',
        b'{"n":1,"seconds":0,"time":"","http":7}',
        b'{"n":1e400,"seconds":0,"time":""}',
        b'{"n":1,"seconds":0,"time":"","body":' + b"[" * 100_000 + b"}",
    ],
)
def test_a_hostile_line_is_named(line: bytes) -> None:
    header, good = b'{"capture":1,"began":""}', b'{"n":1,"seconds":0,"time":"","mark":"open"}'
    with pytest.raises(CaptureInvalid, match="line 4"):
        Capture.parse(b"\n".join([header, good, good, line, good, b""]), name="talk.jsonl")
