"""URI templates: expansion to level 4, matching, the guard against traversal, and linear time."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovetail.protocol.uri_template.template import (
    MAX_TEMPLATE,
    MAX_URI,
    TemplateError,
    TemplateTooLong,
    URITemplate,
    URITooLong,
)

VALUES: dict[str, object] = {
    "plain": "grün",
    "word": "oak",
    "text": "Good Day!",
    "way": "/usr/lib",
    "list": ["one", "two", "3/4"],
    "map": {"dash": "-", "semi": ";", "none": ""},
    "empty": "",
    "no_items": [],
    "no_members": {},
    "nothing": None,
    "x": 640,
    "y": 4.5,
    "yes": True,
    "half": "50%",
    "done": "a%2Fb",
    "dot.ted": "d",
}


@pytest.mark.requirement("R2607-RESOURCES-023")
@pytest.mark.parametrize(
    "template, uri",
    [
        ("{word}", "oak"),
        ("{plain}", "gr%C3%BCn"),
        ("{text}", "Good%20Day%21"),
        ("{half}", "50%25"),
        ("{done}", "a%252Fb"),
        ("A{empty}B{nothing}C{missing}D", "ABCD"),
        ("{x,text,y}", "640,Good%20Day%21,4.5"),
        ("{yes}", "true"),
        ("{word:2}{word:99}", "oaoak"),
        ("{plain:3}", "gr%C3%BC"),
        ("{list}", "one,two,3%2F4"),
        ("{list*}", "one,two,3%2F4"),
        ("{map}", "dash,-,semi,%3B,none,"),
        ("{map*}", "dash=-,semi=%3B,none="),
        ("{dot.ted}", "d"),
        ("{+text}", "Good%20Day!"),
        ("{+way}/here", "/usr/lib/here"),
        ("{+half}", "50%25"),
        ("{+done}", "a%2Fb"),
        ("{+way:4}", "/usr"),
        ("{+x,text,y}", "640,Good%20Day!,4.5"),
        ("{+list*}", "one,two,3/4"),
        ("{+map}", "dash,-,semi,;,none,"),
        ("{#way}", "#/usr/lib"),
        ("{#x,way}", "#640,/usr/lib"),
        ("{#nothing}", ""),
        ("{#empty}", "#"),
        ("{#map*}", "#dash=-,semi=;,none="),
        ("X{.word}", "X.oak"),
        ("X{.x,y}", "X.640.4.5"),
        ("X{.list}", "X.one,two,3%2F4"),
        ("X{.list*}", "X.one.two.3%2F4"),
        ("X{.map*}", "X.dash=-.semi=%3B.none="),
        ("X{.no_items*}", "X"),
        ("{/word,x}/z", "/oak/640/z"),
        ("{/word,empty}", "/oak/"),
        ("{/word,nothing}", "/oak"),
        ("{/list*}", "/one/two/3%2F4"),
        ("{/map*}", "/dash=-/semi=%3B/none="),
        ("{/word:1,word}", "/o/oak"),
        ("{;x,y,empty,nothing}", ";x=640;y=4.5;empty"),
        ("{;list}", ";list=one,two,3%2F4"),
        ("{;list*}", ";list=one;list=two;list=3%2F4"),
        ("{;map*}", ";dash=-;semi=%3B;none"),
        ("{?x,empty,nothing}", "?x=640&empty="),
        ("{?nothing,no_items,no_members}", ""),
        ("{?list}", "?list=one,two,3%2F4"),
        ("{?list*}", "?list=one&list=two&list=3%2F4"),
        ("{?map}", "?map=dash,-,semi,%3B,none,"),
        ("{?map*}", "?dash=-&semi=%3B&none="),
        ("{?word:1}", "?word=o"),
        ("?f=1{&x,empty}", "?f=1&x=640&empty="),
        ("{&map*}", "&dash=-&semi=%3B&none="),
        ("/ü/%c3%bc/{word}", "/%C3%BC/%C3%BC/oak"),
        ("", ""),
    ],
)
def test_expansion(template: str, uri: str) -> None:
    assert URITemplate(template, expand_only=True).expand(VALUES) == uri


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{}",
        "{a",
        "{a}}",
        "{{a}",
        "{/}",
        "{?}",
        "{=a}",
        "{,a}",
        "{!a}",
        "{@a}",
        "{|a}",
        "{a:}",
        "{a:0}",
        "{a:10000}",
        "{a:x}",
        "{a*:3}",
        "{a:3*}",
        "{a**}",
        "{*a}",
        "{a b}",
        "{a-b}",
        "{.}",
        "{a.}",
        "{..a}",
        "{a,,b}",
        "{a,}",
        "{%zz}",
        "{é}",
        "%zz",
        "a%2",
        "<a>",
        "a\\b",
        "a^b",
        "`a",
        "a|b",
        "a b",
        "a\x00b",
        "a\ud800",
    ],
)
def test_malformed_templates_are_refused_with_their_place(template: str) -> None:
    with pytest.raises(TemplateError, match=r"offset [0-9]+: "):
        URITemplate(template, expand_only=True)


@pytest.mark.parametrize("value", [b"x", object(), {"a": []}, [["a"]], "\ud800"])
def test_values_that_have_no_expansion(value: object) -> None:
    with pytest.raises(TemplateError):
        URITemplate("{v}").expand({"v": value})


def test_a_prefix_takes_no_list() -> None:
    with pytest.raises(TemplateError, match="prefix"):
        URITemplate("{v:3}").expand({"v": ["a"]})


@pytest.mark.parametrize(
    "template, offset, word",
    [
        ("x://{a}{b}", 7, "separates a from b"),
        ("x://{a}{+b}", 7, "separates"),
        ("x://{+a}/{+b}", 9, "second variable"),
        ("x://{+a}{/b*}", 8, "second variable"),
        ("x://{+a,b}", 4, "second variable"),
        ("x://{?a}/b", 8, "only a fragment"),
        ("x://{?a}{b}", 8, "only a fragment"),
        ("x://{&a}", 4, "continues a query"),
        ("x://{a}/{a}", 5, "twice"),
        ("x://{a}{?a}", 5, "twice"),
    ],
)
def test_templates_that_would_need_guessing_are_refused(template: str, offset: int, word: str) -> None:
    with pytest.raises(TemplateError, match=rf"offset {offset}: .*{word}"):
        URITemplate(template)
    free = URITemplate(template, expand_only=True)
    with pytest.raises(TemplateError, match="expansion only"):
        free.match("x://a")


@pytest.mark.parametrize(
    "template, uri, values",
    [
        ("x://a", "x://a", {}),
        ("x://a", "x://b", None),
        ("x://{a}", "x://b%20c", {"a": "b c"}),
        ("x://{a}", "x://", None),
        ("x://{a}", "x://b/c", None),
        ("x://{a}", "x://b?c", None),
        ("x://{a}", "x://b#c", None),
        ("x://{a}", "x://%ff", None),
        ("x://{a}", "x://%zz", None),
        ("x://{a}", "x://a%", None),
        ("x://{a}", "x://%252e", {"a": "%2e"}),
        ("x://{a}", "x://a b", None),
        ("x://{a}", "X://b", None),
        ("x://{a}", "x://a%2Fb", {"a": "a/b"}),
        ("x://{a}", "x://ü", {"a": "ü"}),
        ("x://ü/{a}", "x://%c3%bc/b", {"a": "b"}),
        ("x://{a}/{b}", "x://1/2", {"a": "1", "b": "2"}),
        ("x://{a}.txt", "x://n.txt.txt", {"a": "n.txt"}),
        ("x://{a}-{b}", "x://1-2-3", {"a": "1", "b": "2-3"}),
        ("x://{a}{.b}", "x://f.tar.gz", {"a": "f", "b": "tar.gz"}),
        ("x://{a,b}", "x://1,2", {"a": "1", "b": "2"}),
        ("x://{a*}", "x://1,2%2C3", {"a": ["1", "2,3"]}),
        ("x:/{/a,b}", "x://1/2", {"a": "1", "b": "2"}),
        ("x:/{/a*}/end", "x://1/2/end", {"a": ["1", "2"]}),
        ("x:/{/a*}/end", "x://end", None),
        ("x://h{;a,b}", "x://h;a=1;b=2", {"a": "1", "b": "2"}),
        ("x://h{;a*}", "x://h;a=1;a=2", {"a": ["1", "2"]}),
        ("x://h{.a*}", "x://h.1.2", {"a": ["1", "2"]}),
        ("x:///{+p}", "x:///a/b?c#d", {"p": "a/b?c#d"}),
        ("x:///{+p}/{n}.md", "x:///a/b/c.d.md", {"p": "a/b", "n": "c.d"}),
        ("x://{h}/{+p}", "x://a/b/c", {"h": "a", "p": "b/c"}),
        ("x://{h}/{+p}/raw/{n}", "x://a/raw/raw/raw/z", {"h": "a", "p": "raw/raw", "n": "z"}),
        ("x://h{#f}", "x://h#a/b", {"f": "a/b"}),
        ("x://h{?a,b}", "x://h", {}),
        ("x://h{?a,b}", "x://h?", {}),
        ("x://h{?a,b}", "x://h?b=2&a=1", {"a": "1", "b": "2"}),
        ("x://h{?a,b}", "x://h?a=", {"a": ""}),
        ("x://h{?a,b}", "x://h?a=1&a=2", None),
        ("x://h{?a,b}", "x://h?c=1", None),
        ("x://h{?a,b}", "x://h?A=1", None),
        ("x://h{?a,b}", "x://h?a=x/y?z", {"a": "x/y?z"}),
        ("x://h{?a*,b}", "x://h?a=1&b=2&a=3", {"a": ["1", "3"], "b": "2"}),
        ("x://h{?a}", "x://h?a=1#f", None),
        ("x://h{?a}{#f}", "x://h?a=1#f", {"a": "1", "f": "f"}),
        ("x://h{?a}{&b}", "x://h?b=1", {"b": "1"}),
        ("x://h?k=1{&a,b}", "x://h?k=1&b=2&a=1", {"a": "1", "b": "2"}),
        ("x://h?k=1{&a,b}", "x://h?k=1", {}),
        ("x://h?k=1{&a,b}", "x://h?k=2&a=1", None),
        ("x://h?k={k}&z=1{&a}", "x://h?k=v&z=1&a=2", {"k": "v", "a": "2"}),
        ("x://h?k={k}", "x://h?k=v&evil=1", None),
        ("x://{p}{?a}", "x://p?a=..%2F", None),
        ("x://{a:3}", "x://abc", {"a": "abc"}),
        ("x://{a:3}", "x://abcd", None),
    ],
)
def test_matching(template: str, uri: str, values: dict[str, object] | None) -> None:
    assert URITemplate(template).match(uri) == values


@pytest.mark.parametrize(
    "value",
    [
        "..",
        "../a",
        "a/../b",
        "a/..",
        "%2e%2e",
        "%2E./a",
        "a%2F..%2Fb",
        "..%2fa",
        "a%00b",
        "a%5Cb",
        "%5c%5chost",
        "%2Fetc",
        "/etc/passwd",
        "C:/x",
        "c:x",
        "c%3A%5Cx",
        "%2e%2e%2f%2e%2e%2fetc",
    ],
)
def test_the_guard_refuses_values_that_leave_a_directory(value: str) -> None:
    template = URITemplate("file:///{+path}")
    assert template.match("file:///" + value) is None
    assert template.match("file:///" + value, allow_traversal=True) is not None
    if "/" not in value:
        assert URITemplate("file:///{name}").match("file:///" + value) is None
    assert URITemplate("x:/{/p*}").match("x://" + value) is None


@pytest.mark.parametrize("value", ["a..b", "...", "..a", "a/b", "1:b", "ab:c", ".hidden", "%252e%252e"])
def test_the_guard_leaves_ordinary_values_alone(value: str) -> None:
    assert URITemplate("file:///{+path}").match("file:///" + value) is not None


def test_query_values_may_start_with_a_slash_but_not_climb() -> None:
    template = URITemplate("x://h{?q}")
    assert template.match("x://h?q=/a") == {"q": "/a"}
    assert template.match("x://h?q=../a") is None


def test_an_exploded_path_cannot_start_absolute() -> None:
    assert URITemplate("x:/{/p*}").match("x:///etc") is None
    assert URITemplate("x:/{/p*}").match("x:///etc", allow_traversal=True) == {"p": ["", "etc"]}


def test_properties() -> None:
    template = URITemplate("a/ü/{x}/{y,z}{?q,r*}")
    assert template.variables == ("x", "y", "z", "q", "r")
    assert template.literal_prefix == "a/%C3%BC/"
    assert not template.is_static
    assert URITemplate("a://b").is_static
    assert URITemplate("{x}").literal_prefix == ""
    assert len({URITemplate("{x}"), URITemplate("{x}"), URITemplate("{y}")}) == 2


def test_bounds() -> None:
    with pytest.raises(TemplateTooLong):
        URITemplate("x" * (MAX_TEMPLATE + 1))
    with pytest.raises(URITooLong):
        URITemplate("{x}").match("x" * (MAX_URI + 1))
    with pytest.raises(URITooLong):
        URITemplate("{x}").expand({"x": "é" * MAX_URI})
    assert URITemplate("{x}").match("x" * MAX_URI) is not None


SEGMENT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
ALNUM = st.text("abcXYZ019", min_size=1, max_size=8)


@given(
    a=SEGMENT,
    b=SEGMENT,
    q=st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    many=st.lists(SEGMENT, min_size=1, max_size=4),
)
def test_a_match_undoes_an_expansion(a: str, b: str, q: str, many: list[str]) -> None:
    for text in (
        "x://{a}/{b}{?q,many*}",
        "x://{a},{b}{?many*,q}",
        "x://h{/a,b}{?q}{&many*}",
        "x://h{;a,b}?k=1{&q,many*}",
    ):
        template = URITemplate(text)
        values: dict[str, object] = {"a": a, "b": b, "q": q, "many": many}
        assert template.match(template.expand(values), allow_traversal=True) == values
    for text in ("x:/{/many*}/-/{a}", "x://{many*}/{a}"):
        template = URITemplate(text)
        assert template.match(template.expand({"many": many, "a": a}), allow_traversal=True) == {
            "many": many,
            "a": a,
        }


@given(a=ALNUM, b=ALNUM, path=st.lists(ALNUM, min_size=1, max_size=5))
def test_a_match_undoes_an_expansion_with_paths(a: str, b: str, path: list[str]) -> None:
    template = URITemplate("x://{a}/{+path}/{b}.end{?q}")
    values: dict[str, object] = {"a": a, "b": b, "path": "/".join(path), "q": "?&=/"}
    assert template.match(template.expand(values)) == values


@given(template=st.text("ab{}+#./;?&,*:1=", max_size=24), uri=st.text("ab/?#&=;,.%2F", max_size=24))
def test_no_template_and_no_uri_breaks_anything(template: str, uri: str) -> None:
    try:
        made = URITemplate(template)
    except TemplateError:
        return
    values = made.match(uri, allow_traversal=True)
    if values is not None:
        assert set(values) <= set(made.variables)


def steps(work: Callable[[], object]) -> int:
    """Lines and calls executed: a measure of work that does not depend on the clock."""
    count = 0

    def tracer(_frame: object, _event: str, _argument: object) -> Callable[..., object]:
        nonlocal count
        count += 1
        return tracer

    before = sys.gettrace()
    sys.settrace(tracer)  # pyright: ignore[reportArgumentType] - returns itself, which cannot be spelled
    try:
        work()
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize(
    "template, unit",
    [
        ("x://{a}-{b}-{c}-{d}!", "-"),
        ("x:/{/p*}/end", "/a"),
        ("x:///{+p}/a/{b}/c", "/a/b"),
        ("x://{a*},end", "a,"),
        ("x://h{?q*}", "&q=1"),
        ("x://h{;p*}!", ";p=1"),
        ("x://{a}%20{b}", "%20%20"),
    ],
)
def test_v14_f13_work_is_linear_in_hostile_uris(template: str, unit: str) -> None:
    made = URITemplate(template)
    small, large = (
        steps(lambda n=n: made.match("x://" + unit * n, allow_traversal=True)) for n in (1000, 2000)
    )
    assert large <= 2.2 * small + 50


@pytest.mark.parametrize("unit", ["{a%d}/", "{?a%d}", "a", "{+a}{", "{a%d,b%d}-"])
def test_work_is_linear_in_hostile_templates(unit: str) -> None:
    def make(count: int) -> int:
        text = "".join(unit.replace("%d", str(1000 + n)) for n in range(count))

        def build() -> None:
            with contextlib.suppress(TemplateError):
                URITemplate(text)

        return steps(build)

    assert make(400) <= 2.2 * make(200) + 100
