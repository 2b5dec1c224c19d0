"""Names of tools over all servers: models take them, no two tools share one, and they stay."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail import LocalProtocolError
from dovetail.host import Host, server_name
from dovetail.host.naming import MAX_TOOL_NAME, check_server_name, prompt_name, server_of, tool_name

TAKEN = re.compile(r"[A-Za-z0-9_-]{1,64}")


def is_server_name(name: str) -> bool:
    """Whether a host takes it."""
    try:
        return check_server_name(name) == name
    except LocalProtocolError:
        return False


SERVERS = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=32).filter(is_server_name)
TOOLS = st.text(string.ascii_letters + string.digits + "_-./é ", min_size=1, max_size=128)


@pytest.mark.requirement("R2607-TOOLS-020")
@given(SERVERS, TOOLS, SERVERS, TOOLS)
def test_v56_models_take_each_name_and_no_two_tools_share_one(one: str, a: str, other: str, b: str) -> None:
    first, second = tool_name(one, a), tool_name(other, b)
    assert TAKEN.fullmatch(first)
    assert server_of(first) == one
    assert (first == second) == ((one, a) == (other, b))
    assert server_of(prompt_name(one, a)) == one


@given(st.lists(SERVERS | st.text(max_size=80), unique=True, max_size=5))
def test_a_server_that_somebody_called_otherwise_has_a_name_of_its_own(configured: list[str]) -> None:
    names = [server_name(each) for each in configured]
    assert all(map(is_server_name, names))
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    "configured, name",
    [
        ("git", "git"),
        ("my server.v2", "my-server-v2-733096bb"),
        ("my-server-v2-733096bb", "my-server-v2-733096bb-153927f2"),
        ("github.com/example/a-very-long-name-of-a-server", "github-com-example-a-ve-00f1fffe"),
        ("\u00e9", "server-4a99557e"),
    ],
)
def test_what_is_left_of_a_name_can_be_read(configured: str, name: str) -> None:
    assert server_name(configured) == name
    assert list(Host({server_name(configured): "x"}).servers) == [server_name(configured)]


def test_a_name_that_no_host_takes_is_refused_with_what_to_do() -> None:
    with pytest.raises(LocalProtocolError, match=r"'my server' is not: dovetail\.host\.server_name"):
        Host({"my server": "x"})


@pytest.mark.parametrize(
    "server, tool, name",
    [
        ("files", "read", "files__read"),
        ("files", "read.all", "files__read_all_6e11c2c4"),
        ("files", "read_6e11c2c4", None),
        ("a", "_x", "a___x"),
    ],
)
def test_a_name_is_plain_where_it_can_be(server: str, tool: str, name: str | None) -> None:
    """A tool that is called like the short form of another is not taken for it."""
    found = tool_name(server, tool)
    if name is None:
        assert found != f"{server}__{tool}"
        assert re.fullmatch(r"files__read_6e11c2c4_[0-9a-f]{8}", found)
    else:
        assert found == name


def test_long_names_end_in_a_digest() -> None:
    long = [tool_name("s", "x" * 100 + end) for end in "ab"]
    assert [len(each) for each in long] == [MAX_TOOL_NAME] * 2
    assert len(set(long)) == 2


@pytest.mark.parametrize("name", ["", "_a", "a_", "a__b", "a b", "ä", "x" * 33, "a.b", "a\n"])
def test_a_server_s_name_that_no_tool_could_begin_with_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="a server's name is"):
        check_server_name(name)
