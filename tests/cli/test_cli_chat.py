"""`dovetail chat`: a conversation at a real terminal with a model that is scripted and servers that are real."""

import io
import json
import sys

import keyring
import keyring.backend
import pytest
from model_server import Answer, model_server, says, wants

from dovetail.host import server_name
from dovetail.host.configuration import HOSTS

GARDEN = '''
from dovetail import App, Context, ToolError

app = App("garden", instructions="Water in the evening.")


@app.tool
async def water(bed: str, litres: int = 1) -> str:
    """Water a bed."""
    if bed == "moon":
        raise ToolError("there is no bed on the moon")
    return f"{bed} is wet"


@app.tool
async def name(ctx: Context) -> str:
    """Ask the model for a name."""
    return (await ctx.sample("A name for a rose?", max_tokens=9)).text


@app.resource("bed://north")
async def north() -> str:
    """The bed in the north."""
    return "beans"


@app.prompt
async def plan(month: str, style: str = "short") -> str:
    """Plan a month."""
    return f"A {style} plan for {month}, please."
'''
ALLOW = '[[rules]]\ndecision = "allow"\nserver = "garden"\n'


@pytest.fixture
def garden(tmp_path, monkeypatch):
    """A home of one's own, and in it the file of a server; what names it on the command line."""
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "APPDATA", "DOVETAIL_MODEL_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "garden.py").write_text(GARDEN)
    (tmp_path / "policy.toml").write_text(ALLOW)
    monkeypatch.chdir(tmp_path)
    return f"garden={tmp_path / 'garden.py'}"


def chat(server, *words):
    """The words of a command."""
    return ("chat", server.url, "--model", "scripted", *words)


def contents(asked):
    """Role and content of each message that the model was asked with."""
    return [(each["role"], each["content"]) for each in asked["messages"]]


def test_a_question_and_its_answer(run, garden):
    """One message, no server; what the model says is standard output, and nothing a terminal would act on."""
    with model_server(says("Good \x1b[2Jmorning.")) as server:
        code, out, err = run(*chat(server, "-p", "Hello?", "-q", "--system", "Be brief."))
    assert (code, out, err) == (0, "Good \\x1b[2Jmorning.\n", "")
    assert contents(server.asked[0]) == [("system", "Be brief."), ("user", "Hello?")]
    assert server.asked[0]["stream"] is True
    assert "tools" not in server.asked[0]


def test_a_call_that_the_policy_allows(run, garden):
    script = (wants(("garden__water", {"bed": "north"}), text="I do."), says("It is wet."))
    with model_server(*script) as server:
        code, out, err = run(*chat(server, "-s", garden, "--policy", "policy.toml", "-p", "Water it."))
    assert (code, out) == (0, "I do.\nIt is wet.\n")
    assert 'calls garden__water {"bed": "north"}' in err
    first, second = server.asked
    assert [each["function"]["name"] for each in first["tools"]] == ["garden__water", "garden__name"]
    assert first["tools"] == second["tools"]
    assert "Water in the evening." in first["messages"][0]["content"]
    assert contents(second)[-1] == ("tool", "north is wet")


def test_nobody_is_there_to_allow_a_call(run, garden):
    with model_server(wants(("garden__water", {"bed": "north"})), says("A pity.")) as server:
        code, out, err = run(*chat(server, "-s", garden, "-p", "Water it."))
    assert (code, out) == (0, "A pity.\n")
    assert "nobody is at the terminal to allow tool garden__water" in err
    assert "nobody is here to ask" in contents(server.asked[1])[-1][1]


def test_a_person_is_asked_and_a_refusal_is_told(terminal, garden):
    """No to one call, yes for the conversation to the next; then nobody is asked again."""
    script = (
        wants(("garden__water", {"bed": "north"})),
        wants(("garden__water", {"bed": "south"})),
        wants(("garden__water", {"bed": "moon"})),
        says("Done."),
    )
    with model_server(*script) as server:
        shown = terminal(*chat(server, "-s", garden))
        shown.wait_for("> ")
        shown.type("Water the beds.")
        asked = shown.wait_for("[n] no: ")
        assert "The model wants to call garden__water of the server garden." in asked
        assert '"bed": "north"' in asked
        assert "always" not in asked
        shown.type("perhaps")
        shown.wait_for("[n] no: ")
        shown.type("n")
        assert '"bed": "south"' in shown.wait_for("[n] no: ")
        shown.type("s")
        shown.wait_for("there is no bed on the moon")
        shown.wait_for("> ")
        shown.type("/quit")
        assert shown.result() == (0, "Done.\n")
    answers = [each["content"] for each in server.asked[3]["messages"] if each["role"] == "tool"]
    assert "the person said no" in answers[0]
    assert answers[1:] == ["south is wet", "The call failed: there is no bed on the moon"]


def test_what_was_pasted_before_a_question_is_no_answer_to_it(terminal, garden):
    """A text of several lines, one of which would allow what the model makes of the first."""
    with model_server(wants(("garden__water", {"bed": "north"})), says("A pity.")) as server:
        shown = terminal(*chat(server, "-s", garden))
        shown.wait_for("> ")
        shown.type("Water it.\ny\ns")
        shown.wait_for("[n] no: ")
        shown.type("n")
        shown.wait_for("> ")
        shown.type("/quit")
        assert shown.result() == (0, "A pity.\n")
    assert "the person said no" in contents(server.asked[1])[-1][1]


def test_what_is_always_allowed_is_kept(terminal, garden):
    words = ("-s", garden, "--decisions", "decisions.json")
    for number in range(2):
        with model_server(wants(("garden__water", {"bed": "north"})), says("Wet.")) as server:
            shown = terminal(*chat(server, *words))
            shown.wait_for("> ")
            shown.type("Water it.")
            if number == 0:
                shown.wait_for("[a] always, [n] no: ")
                shown.type("a")
            shown.wait_for("> ")
            shown.type("\x04")
            assert shown.result() == (0, "Wet.\n")


def test_prompts_with_a_slash_and_resources_with_an_at(terminal, garden):
    """An argument that is missing is asked for; what a resource holds comes before the message."""
    with model_server(says("Sow."), says("Beans."), says("Anew.")) as server:
        shown = terminal(*chat(server, "-s", garden))
        shown.wait_for("> ")
        shown.type("/prompts")
        shown.wait_for("/garden:plan month=... [style=...]")
        shown.type("/garden:plan style=long")
        shown.wait_for("month: ")
        shown.type("May")
        shown.wait_for("> ")
        shown.type("What grows in @garden:bed://north, and where is @nobody:x?")
        shown.wait_for("> ")
        shown.type("/new")
        shown.wait_for("> ")
        shown.type("Again.")
        shown.wait_for("> ")
        shown.type("\x04")
        assert shown.result() == (0, "Sow.\nBeans.\nAnew.\n")
    prompted, asked, anew = map(contents, server.asked)
    assert prompted[1:] == [("user", "A long plan for May, please.")]
    assert asked[2:] == [
        ("assistant", "Sow."),
        ("user", "The resource bed://north of the server garden:"),
        ("user", "beans"),
        ("user", "What grows in @garden:bed://north, and where is @nobody:x?"),
    ]
    assert [role for role, _ in anew] == ["system", "user"]


def test_commands_and_what_they_do_not_know(terminal, garden):
    with model_server() as server:
        shown = terminal(*chat(server, "-s", garden, "-s", "gone=no-such-program"))
        shown.wait_for("gone: failed")
        shown.wait_for("> ")
        for typed, said in {
            "/help": "@server:uri in a message",
            "/tools": "garden__water: Water a bed.",
            "/servers": "garden: ready",
            "/garden:none": "there is no /garden:none; prompts: /garden:plan",
            "/what": "/help shows the commands",
            "/garden:plan a b c": "takes no more than: month, style",
            '/garden:plan "': "can't be read",
            "@garden:bed://south": "taken back",
        }.items():
            shown.type(typed)
            shown.wait_for(said)
            shown.wait_for("> ")
        shown.type("")
        shown.wait_for("> ")
        shown.type("/exit")
        assert shown.result() == (0, "")
    assert server.asked == []


def test_a_model_that_fails_takes_back_what_was_said(terminal, garden):
    """The conversation goes on as if nothing had been said."""
    broken = Answer(b'{"error": {"message": "out of memory"}}', 500)
    with model_server(says("One."), broken, says("Three.")) as server:
        shown = terminal(*chat(server))
        for typed in ("first", "second", "third"):
            shown.wait_for("> ")
            shown.type(typed)
            if typed == "second":
                shown.wait_for("status 500: out of memory; what was said last is taken back")
        shown.wait_for("> ")
        shown.type("\x04")
        assert shown.result() == (0, "One.\nThree.\n")
    assert contents(server.asked[2]) == [("user", "first"), ("assistant", "One."), ("user", "third")]


def test_a_server_that_asks_the_model(terminal, garden):
    with model_server(wants(("garden__name", {})), says("Rosa"), says("It is Rosa.")) as server:
        shown = terminal(*chat(server, "-s", garden))
        shown.wait_for("> ")
        shown.type("Name it.")
        shown.wait_for("[n] no: ")
        shown.type("y")
        assert "A name for a rose?" in shown.wait_for("[n] no: ")
        shown.type("y")
        shown.wait_for("> ")
        shown.type("\x04")
        assert shown.result() == (0, "It is Rosa.\n")
    assert server.asked[1]["max_tokens"] == 9
    assert contents(server.asked[2])[-1] == ("tool", "Rosa")


def test_rounds_are_bounded(run, garden):
    again = wants(("garden__water", {"bed": "north"}))
    with model_server(again, again, again) as server:
        words = ("-s", garden, "--policy", "policy.toml", "--rounds", "2", "-p", "Water it.")
        code, out, err = run(*chat(server, *words))
    assert (code, out) == (0, "")
    assert "stopped after 2 rounds" in err
    assert len(server.asked) == 2


def test_many_tools_are_looked_for(run, garden):
    """A small window: the model is told of how to find tools, and calls one that it found."""
    script = (
        wants(("search_tools", {"query": "water"})),
        wants(("call_tool", {"name": "garden__water", "arguments": {"bed": "north"}})),
        says("Wet."),
    )
    with model_server(*script) as server:
        words = ("-s", garden, "--policy", "policy.toml", "--context", "1000", "-p", "Water it.")
        code, out, _ = run(*chat(server, *words))
    assert (code, out) == (0, "Wet.\n")
    names = [each["function"]["name"] for each in server.asked[0]["tools"]]
    assert names == ["search_tools", "get_tool_details", "call_tool"]
    results = [each["content"] for each in server.asked[2]["messages"] if each["role"] == "tool"]
    assert "garden__water" in json.loads(results[0])["servers"]["garden"][0]["name"]
    assert results[1] == "north is wet"


def test_servers_of_the_configuration_as_they_were_approved(run, garden, tmp_path):
    command = [sys.executable, "-m", "dovetail", "run", str(tmp_path / "garden.py")]
    assert run("servers", "add", "my.garden", "--write", "--", *command)[0] == 0
    file = HOSTS["dovetail"].file()
    with model_server(says("Hello."), says("Hello.")) as server:
        code, _, err = run(*chat(server, "-p", "Hello?"))
        assert code == 0, err
        name = server_name("my.garden")
        assert server.asked[0]["tools"][0]["function"]["name"] == f"{name}__water"
        assert f"the server 'my.garden' is called {name} here" in err
        file.write_text(file.read_text().replace('"run"', '"run", "--"'))
        code, _, err = run(*chat(server, "-p", "Hello?"))
    assert code == 0
    assert "without my.garden: the server 'my.garden' was changed since it was approved" in err
    assert "tools" not in server.asked[1]


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A keyring for the length of a test."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password


def test_a_key_that_is_given_to_the_keyring_is_used_for_that_server_alone(run, garden, monkeypatch):
    """It is read from standard input, and stands neither in what is said nor in a message."""
    before = keyring.get_keyring()
    keyring.set_keyring(MemoryKeyring())
    try:
        with model_server(says("One.")) as server:
            monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
            code, _, err = run("chat", server.url, "--set-key")
            assert (code, "there is no key" in err) == (2, True)
            monkeypatch.setattr(sys, "stdin", io.StringIO("k3y-of-stdin\n"))
            code, out, err = run("chat", server.url, "--set-key")
            assert (code, "is in the keyring" in err) == (0, True)
            assert "k3y" not in out + err
            assert run(*chat(server, "-p", "Hello?", "--keyring"))[0] == 0
            assert server.headers[0]["authorization"] == "Bearer k3y-of-stdin"
            assert "k3y" not in json.dumps(server.asked)
            code, _, err = run("chat", "localhost:1/v1", "-m", "x", "-p", "x", "--keyring")
            assert (code != 0, "keyring has no" in err) == (True, True)
    finally:
        keyring.set_keyring(before)


def test_the_key_comes_from_the_environment_or_the_keyring(run, garden, monkeypatch):
    """And stands in no message, whatever the model's server says."""
    before, ours = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(ours)
    try:
        refused = Answer(b'{"error": "the key k3y-in-ring is unknown"}', 401)
        with model_server(says("One."), refused) as server:
            monkeypatch.setenv("DOVETAIL_MODEL_KEY", "k3y-in-variable")
            assert run(*chat(server, "-p", "Hello?"))[0] == 0
            code, _, err = run(*chat(server, "-p", "Hello?", "--keyring"))
            assert code != 0
            assert "keyring has no" in err
            keyring.set_keyring(ours)
            ours.set_password("dovetail models", f"{server.url.removesuffix('/v1')}/key", "k3y-in-ring")
            code, _, err = run(*chat(server, "-p", "Hello?", "--keyring", "-v"))
        assert code == 4
        assert "the key ... is unknown" in err
        assert "k3y" not in err
        sent = [each["authorization"] for each in server.headers]
        assert sent == ["Bearer k3y-in-variable", "Bearer k3y-in-ring"]
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize(
    "words, said",
    [
        (("no-such-file",), "no URL of a model's API"),
        (("localhost:1/v1",), "--model NAME"),
        (("localhost:1/v1", "-m", "x", "--rounds", "0"), "above zero"),
        (("localhost:1/v1", "-m", "x", "-s", "http://a/b?c=d", "-p", "x"), "give NAME=TARGET"),
        (("localhost:1/v1", "-m", "x", "-s", "unknown", "-p", "x"), "no name of `dovetail servers`"),
        (
            ("localhost:1/v1", "-m", "x", "-s", "a=x", "-s", "a=y", "-p", "x"),
            "two servers would be called",
        ),
    ],
)
def test_what_makes_no_sense_is_said(run, garden, words, said):
    code, out, err = run("chat", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_model_that_is_not_there(run, garden):
    with model_server() as server:
        pass
    code, _, err = run(*chat(server, "-p", "Hello?"))
    assert code == 3
    assert "connect" in err
