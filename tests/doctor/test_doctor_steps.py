"""Each step of the doctor, at servers that lack exactly what it looks for."""

from __future__ import annotations

import socket
import sys

import pytest
from broken_servers import Authority, answering, http

from dovetail import App
from dovetail.doctor import diagnose
from dovetail.testing import served

app = App("sound", version="1.0")


@app.tool
async def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


def failed(found, name):
    """The step that failed, as the only one, with nothing after it."""
    (step,) = [each for each in found.steps if each.status == "failed"]
    assert step.name == name, found.to_wire()
    assert step.advice
    assert not found.healthy
    after = found.steps[found.steps.index(step) + 1 :]
    assert all(each.status == "not reached" for each in after if each.name != "output")
    return step


async def test_a_sound_server_over_http():
    """Every step is reached, and nothing has to be done."""
    async with served(app.asgi()) as url:
        found = await diagnose(url)
    assert found.healthy
    assert [each.name for each in found.steps if each.status != "ok"] == []
    assert found.step("opening").facts["revision"] == found.step("revisions").facts["spoken"][-1]
    assert found.step("origins").facts["foreignOrigin"] == 403
    assert found.step("sessions").facts["unknownSession"] == 404


async def test_in_memory():
    """An app itself has no network and no process."""
    found = await diagnose(app)
    assert [(each.name, each.status) for each in found.steps] == [
        (name, "ok") for name in ("opening", "listing", "surface", "latency")
    ]


# Below HTTP


async def test_a_name_that_does_not_exist():
    step = failed(await diagnose("http://no-such-host.invalid/mcp"), "name")
    assert "has no address" in step.what
    assert step.cause == "unreachable"


async def test_nobody_listens():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        step = failed(await diagnose(f"http://127.0.0.1:{unused.getsockname()[1]}/mcp"), "connection")
    assert "connection refused" in step.what


@pytest.fixture
def authority(tmp_path, monkeypatch):
    """An authority that this process trusts."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.path))
    return made


CERTIFICATES = {
    "for another host": (("other.example",), {}, "not for localhost, but for other.example"),
    "expired": (("localhost",), {"days": -2}, "has expired, on 20"),
    "signed by itself": (("localhost",), {"itself": True}, "signed by itself"),
}


@pytest.mark.parametrize("names, options, said", CERTIFICATES.values(), ids=CERTIFICATES)
async def test_a_certificate_that_is_refused(authority, names, options, said):
    async with answering(lambda *_: http("200 OK"), authority.context(*names, **options)) as port:
        step = failed(await diagnose(f"https://localhost:{port}/mcp"), "encryption")
    assert said in step.what
    assert step.facts["names"] == list(names)


async def test_a_certificate_of_somebody_unknown(authority, tmp_path):
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other", "A stranger")
    async with answering(lambda *_: http("200 OK"), stranger.context("localhost")) as port:
        step = failed(await diagnose(f"https://localhost:{port}/mcp"), "encryption")
    assert "A stranger, whom this machine does not trust" in step.what
    assert "chain" in step.advice[0]


async def test_a_certificate_that_is_good_for_a_few_days(authority):
    async with answering(lambda *_: http("404 Not Found"), authority.context("localhost", days=5)) as port:
        found = await diagnose(f"https://localhost:{port}/mcp")
    step = found.step("encryption")
    assert (step.status, step.facts["days"], step.facts["names"]) == ("warning", 5, ["localhost"])
    assert step.facts["version"].startswith("TLSv1.")


async def test_https_where_there_is_none():
    async with served(app.asgi()) as url:
        step = failed(await diagnose(url.replace("http:", "https:")), "encryption")
    assert "speaks plain http" in step.advice[0]


async def test_encryption_that_is_never_agreed_on():
    async with answering(lambda *_: None) as port:
        step = failed(await diagnose(f"https://localhost:{port}/mcp", patience=1.0), "encryption")
    assert step.cause == "timeout"


# HTTP


@pytest.mark.parametrize(
    "answer, said",
    [
        (http("301 Moved Permanently", "", "Location: /elsewhere"), "redirects to http://127.0.0.1"),
        (http("200 OK", "<html></html>", media="text/html"), "a web page"),
        (http("502 Bad Gateway", "oops", media="text/plain"), "a proxy, failed"),
        (http("404 Not Found", "", media="text/plain"), "nothing is there"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "no answer that is HTTP"),
        (None, "no answer to POST within 1 s"),
    ],
    ids=["moved", "page", "gateway", "path", "ssh", "silence"],
)
async def test_what_is_no_endpoint(answer, said):
    async with answering(lambda *_: answer) as port:
        step = failed(await diagnose(f"http://127.0.0.1:{port}/mcp", patience=1.0), "http")
    assert said in step.what


def unprotected(line, headers, body):
    """It answers anybody, and any page."""
    return http("400 Bad Request", "{}", "Access-Control-Allow-Origin: *")


async def test_pages_of_other_origins_are_let_in():
    async with answering(unprotected) as port:
        step = (await diagnose(f"http://127.0.0.1:{port}/mcp")).step("origins")
    assert step.status == "warning"
    assert "MUST" in step.advice[0]
    assert step.facts["allowOrigin"] == "*"


async def test_a_page_with_the_visitors_credentials():
    def reflect(line, headers, body):
        allowed = f"Access-Control-Allow-Origin: {headers.get('origin', '*')}"
        return http("400 Bad Request", "{}", allowed, "Access-Control-Allow-Credentials: true")

    async with answering(reflect) as port:
        step = (await diagnose(f"http://127.0.0.1:{port}/mcp")).step("origins")
    assert "with the visitor's credentials" in step.what


REFUSALS = {
    "no header": ((), "no WWW-Authenticate header"),
    "another scheme": (("WWW-Authenticate: Basic realm=x",), "asks for no bearer token"),
    "no metadata": (("WWW-Authenticate: Bearer",), "does not name its metadata"),
    "another origin": (
        ('WWW-Authenticate: Bearer resource_metadata="https://evil.example/x"',),
        "leads to another origin",
    ),
}


@pytest.mark.parametrize("headers, said", REFUSALS.values(), ids=REFUSALS)
async def test_a_refusal_that_leads_nowhere(headers, said):
    seen = []

    def refuse(line, given, body):
        seen.append(given)
        return http("404 Not Found") if "well-known" in line else http("401 Unauthorized", "", *headers)

    async with answering(refuse) as port:
        found = await diagnose(f"http://127.0.0.1:{port}/mcp", headers={"Authorization": "Bearer hush"})
    assert said in found.step("authorization").what
    step = failed(found, "opening")
    assert step.cause == "login"
    secret = [each for each in seen if "authorization" in each]
    assert secret, "the client itself shows who it is"
    assert all(each.get("user-agent") != "dovetail-doctor" for each in secret)


async def test_metadata_of_another_resource():
    def told(line, headers, body):
        if "well-known" in line:
            return http("200 OK", '{"resource": "https://other.example/mcp", "authorization_servers": []}')
        return http("401 Unauthorized", "", 'WWW-Authenticate: Bearer scope="read"')

    async with answering(told) as port:
        step = (await diagnose(f"http://127.0.0.1:{port}/mcp")).step("authorization")
    assert "which is not this server" in step.what
    assert step.facts["scopes"] == ["read"]


# Processes


def process(folder, before="", after=""):
    """A command that serves the app, with something before and after it."""
    text = f"import sys\nsys.path[:0] = {[folder]!r}\nfrom test_doctor_steps import app\n{before}\napp.run()\n{after}\n"
    return [sys.executable, "-c", text]


@pytest.fixture
def folder(request):
    """Where this file is."""
    return str(request.path.parent)


async def test_a_sound_process(folder):
    found = await diagnose(process(folder))
    assert [(each.name, each.status) for each in found.steps] == [
        (name, "ok") for name in ("program", "opening", "listing", "surface", "latency", "output", "end")
    ]
    assert found.step("end").facts["status"] == 0


async def test_a_process_that_prints(folder):
    before = "import os; os.write(1, b'ready to serve\\n'); os.write(2, b'a word of its own\\n')"
    step = (await diagnose(process(folder, before))).step("output")
    assert step.status == "warning"
    assert step.facts["noise"] == ["ready to serve"]
    assert step.facts["stderr"] == ["a word of its own"]


async def test_a_process_that_goes_on_after_its_input(folder):
    step = (await diagnose(process(folder, after="import time; time.sleep(60)"))).step("end")
    assert (step.status, step.facts["status"]) == ("warning", -15)


async def test_a_process_that_nothing_ends(folder):
    after = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(60)"
    found = await diagnose(process(folder, after=after))
    step = found.step("end")
    assert (step.status, step.facts["status"]) == ("failed", -9)
    assert not found.healthy


async def test_a_process_that_ends_at_once():
    step = failed(await diagnose([sys.executable, "-c", "raise SystemExit('no configuration')"]), "opening")
    assert "no configuration" in step.what
    assert step.cause == "unreachable"


async def test_a_program_that_is_not_there():
    step = failed(await diagnose(["no-such-program-anywhere", "--serve"]), "program")
    assert "no-such-program-anywhere" in step.what


async def test_a_surface_in_error():
    """What clients leave out, and what nobody sees."""
    from dovetail.surface import Surface, lint
    from dovetail.types import Resource, Tool

    surface = Surface(
        server={"name": "x"},
        tools=(
            Tool(name="a", input_schema={"type": "anything"}, description="d"),
            Tool(name="a", input_schema={"type": "object"}, output_schema={"$ref": "https://example.com/s"}),
            Tool(
                name="white space", input_schema={"type": "object"}, description="quiet\u202eword\U000e0041"
            ),
        ),
        resources=(Resource(uri="nowhere", name="n"),),
    )
    found = {(each.severity, each.name, each.what.partition(":")[0]) for each in lint(surface)}
    assert {
        ("error", "a", "it is listed more than once"),
        ("error", "a", "its input schema can't be used"),
        ("error", "a", "its output schema can't be used"),
        ("error", "nowhere", "its URI has no scheme"),
        ("warning", "a", "it has no description"),
        ("warning", "white space", "its name has other characters than clients expect"),
        ("warning", "white space", "it has characters that nobody sees, or that act on a terminal"),
        ("warning", "", "it does not say its name and version"),
    } <= found
