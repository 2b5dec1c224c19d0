"""Skills of a server: listed, got, read, and held against what their entries promise."""

from __future__ import annotations

from typing import Any

import pytest
from inspected import kitchen
from skilled import GIT, PDF, Skilled, entry_of
from test_web_access import logged_in, served

from dovetail import InvalidParams
from dovetail.testing import served as serving
from dovetail_inspector.skills.frontmatter import FrontmatterInvalid, read_frontmatter, same_json
from dovetail_inspector.skills.judging import MOST_BYTES, MOST_FILES, skill_view, within
from dovetail_inspector.skills.server_skills import SkillsUndeclared
from dovetail_inspector.views import ServerTarget, SkillReadView, SkillView

pytestmark = pytest.mark.vendor_methods("skills/list", "skills/get", "resources/directory/read")
FORMS = "skill://acme/pdf-processing/references/FORMS.md"


@pytest.fixture
def skilled() -> Skilled:
    return Skilled()


@pytest.fixture
async def shelf(inspection, skilled):
    async with serving(skilled.app.asgi()) as url:
        yield (await connected(inspection, url))


async def connected(inspection, url):
    server = inspection.add("skilled", ServerTarget(url=url))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    assert server.view.extensions == ["io.modelcontextprotocol/skills"]
    return inspection.skills(server.id)


def failed(view: SkillReadView) -> dict[str, str]:
    assert (view.state == "failed") == any(each.state == "failed" for each in view.checks)
    return {each.check: each.note for each in view.checks if each.state == "failed"}


def rules(view: SkillView) -> dict[str, str]:
    return {each.rule: each.severity for each in view.notes}


async def test_skills_are_listed_over_all_pages_and_nothing_of_them_is_read(skilled, shelf):
    view = await shelf.listed()
    assert (view.declared, view.directories, view.more, view.notes) == (True, True, False, [])
    assert [(each.name, each.uri, each.notes) for each in view.skills] == [
        ("git-workflow", GIT, []),
        ("pdf-processing", PDF, []),
    ]
    pdf = view.skills[1]
    assert [each.path for each in pdf.files] == ["SKILL.md", "references/FORMS.md", "scripts/extract.py"]
    assert pdf.size == sum(each.size or 0 for each in pdf.files) > 0
    assert pdf.entry == skilled.skills[1]
    assert skilled.read == []


async def test_a_right_skill_passes_every_check(skilled, shelf):
    await shelf.listed()
    read = await shelf.read(PDF, PDF)
    assert [(each.check, each.state) for each in read.checks] == [
        ("listed", "passed"),
        ("size", "passed"),
        ("digest", "passed"),
        ("frontmatter", "passed"),
    ]
    assert (read.state, read.text, read.mime_type) == ("passed", skilled.files[PDF], "text/markdown")
    assert skilled.read == [PDF]
    verdict = await shelf.verified(PDF)
    assert (verdict.state, verdict.unlisted, verdict.gone, verdict.notes) == ("passed", [], [], [])
    assert [each.state for each in verdict.files] == ["passed"] * 3
    assert [each.text for each in verdict.files] == [None] * 3


@pytest.mark.parametrize("at, uri", [(0, GIT), (1, FORMS)])
async def test_a_file_that_changed_fails_by_size_and_digest_until_its_entry_is_got_anew(
    skilled, shelf, at, uri
):
    skill = skilled.skills[at]["uri"]
    await shelf.listed()
    skilled.files[uri] += "And more.\n"
    assert set(failed(await shelf.read(skill, uri))) == {"size", "digest"}
    skilled.files[uri] = skilled.files[uri][:-10].replace("o", "0")
    assert set(failed(await shelf.read(skill, uri))) >= {"digest"}
    assert "size" not in failed(await shelf.read(skill, uri))
    skilled.skills[at] = entry_of(skilled.files, skill, skilled.skills[at]["frontmatter"])
    await shelf.got(skill)
    assert {"size", "digest"}.isdisjoint(failed(await shelf.read(skill, uri)))


@pytest.mark.parametrize(
    "frontmatter, words",
    [
        ({"name": "git-workflow", "description": "How this team commits"}, "differ in: license"),
        ({"name": "git-workflow", "description": "Else", "license": "MIT"}, "differ in: description"),
        (
            {"name": "git-workflow", "description": "How this team commits", "license": "MIT", "x": 1},
            "differ in: x",
        ),
    ],
)
async def test_the_frontmatter_has_to_be_what_the_entry_says(skilled, shelf, frontmatter, words):
    skilled.skills[0]["frontmatter"] = frontmatter
    await shelf.listed()
    assert list(failed(await shelf.read(GIT, GIT))) == ["frontmatter"]
    assert words in failed(await shelf.read(GIT, GIT))["frontmatter"]


async def test_a_file_that_is_not_listed_fails_and_a_directory_shows_it(skilled, shelf):
    await shelf.listed()
    added = "skill://acme/pdf-processing/scripts/new.py"
    skilled.files[added] = "new"
    assert list(failed(await shelf.read(PDF, added))) == ["listed"]
    del skilled.files[FORMS]
    skilled.files["skill://acme/pdf-processing/other.md"] = "more"
    verdict = await shelf.verified(PDF)
    assert verdict.state == "failed"
    assert verdict.unlisted == ["skill://acme/pdf-processing/other.md", added]
    assert verdict.gone == [FORMS]
    assert [each.uri for each in verdict.files if each.state == "failed"] == [FORMS]


async def test_without_directories_none_is_asked_for(inspection):
    skilled = Skilled(directories=False)
    async with serving(skilled.app.asgi()) as url:
        shelf = await connected(inspection, url)
        assert not (await shelf.listed()).directories
        verdict = await shelf.verified(GIT)
        assert (verdict.state, verdict.unlisted) == ("passed", [])
        said = [each.method for each in inspection.transcripts["t1"]]
        assert "resources/directory/read" not in said


async def test_a_skill_in_no_list_is_got_by_its_address_and_held(skilled, shelf):
    hidden = "skill://hidden/SKILL.md"
    skilled.files[hidden] = "---\nname: hidden\ndescription: In no list\n---\n"
    skilled.unlisted = [entry_of(skilled.files, hidden, {"name": "hidden", "description": "In no list"})]
    assert hidden not in {each.uri for each in (await shelf.listed()).skills}
    assert (await shelf.read(hidden, hidden)).state == "passed"
    with pytest.raises(InvalidParams, match="no skill is served"):
        await shelf.got("skill://nothing/SKILL.md")
    skilled.unlisted[0]["uri"] = "skill://other/SKILL.md"
    with pytest.raises(InvalidParams):
        await shelf.got(hidden)


async def test_a_dynamic_skill_can_only_be_read(skilled, shelf):
    skilled.skills[0]["resources"] = "dynamic"
    (git, _) = (await shelf.listed()).skills
    assert git.dynamic
    assert rules(git) == {"skill-dynamic": "hint"}
    read = await shelf.read(GIT, GIT)
    assert (read.state, failed(read)) == ("unknown", {})
    assert (await shelf.verified(GIT)).state == "unknown"
    skilled.files[GIT] = skilled.files[GIT].replace("often", "seldom").replace("MIT", "BSD")
    assert list(failed(await shelf.read(GIT, GIT))) == ["frontmatter"]


async def test_v57_characters_that_nobody_sees_are_named(skilled, shelf):
    skilled.files[GIT] += "a\u202eb\u200b\U000e0041\u3164"
    read = await shelf.read(GIT, GIT)
    assert read.hidden == ["4 hidden characters (U+200B, U+202E, U+3164, U+E0041)"]
    skilled.skills[0]["frontmatter"]["description"] = "a\u202eb"
    assert rules((await shelf.listed()).skills[0]) == {"skill-hidden": "warning"}


@pytest.mark.parametrize(
    "change, found",
    [
        ({"uri": "skill://git-workflow"}, {"skill-uri", "skill-incomplete", "skill-outside"}),
        ({"uri": None}, {"skill-uri", "skill-outside"}),
        ({"uri": "skill://other/SKILL.md"}, {"skill-name", "skill-incomplete", "skill-outside"}),
        ({"frontmatter": None}, {"skill-frontmatter"}),
        ({"frontmatter": {"name": "git-workflow"}}, {"skill-frontmatter"}),
        ({"frontmatter": {"name": "git-workflow", "description": "x" * 1025}}, {"skill-long"}),
        (
            {"frontmatter": {"name": "git-workflow", "description": "x", "allowed-tools": "Bash"}},
            {"skill-tools"},
        ),
        ({"resources": None}, {"skill-resources"}),
        ({"resources": []}, {"skill-incomplete"}),
        ({"resources": [7]}, {"skill-outside", "skill-digest", "skill-size", "skill-incomplete"}),
    ],
)
def test_what_an_entry_gets_wrong_is_found(skilled, change, found):
    entry = {name: each for name, each in {**skilled.skills[0], **change}.items() if each is not None}
    assert set(rules(skill_view(entry))) == found


@pytest.mark.parametrize(
    "change, found",
    [
        ({"digest": "sha256:ABC"}, "skill-digest"),
        ({"digest": "md5:00"}, "skill-digest"),
        ({"size": None}, "skill-size"),
        ({"size": -1}, "skill-size"),
        ({"size": True}, "skill-size"),
        ({"size": MOST_BYTES + 1}, "skill-limits"),
    ],
)
def test_what_an_entry_gets_wrong_of_a_file_is_found(skilled, change, found):
    entry = skilled.skills[0]
    entry["resources"][0] |= change
    assert set(rules(skill_view(entry))) == {found}


@pytest.mark.parametrize("name", ["Git", "git--x", "-git", "git-", "gi t", "x" * 65])
def test_names_are_held_to_the_rules_of_skills(name):
    uri = f"skill://{name.replace(' ', '%20')}/SKILL.md"
    view = skill_view(entry_of({uri: ""}, uri, {"name": name, "description": "x"}))
    assert rules(view) == {"skill-long" if len(name) > 64 else "skill-name": "error"}


def test_limits_are_told_at_the_first_file_beyond_them(skilled):
    entry = skilled.skills[0]
    files = {f"skill://git-workflow/{at}": "" for at in range(MOST_FILES - 1)}
    entry["resources"] += entry_of({**files}, GIT, {})["resources"]
    assert rules(skill_view(entry)) == {}
    entry["resources"].append({**entry["resources"][-1], "uri": "skill://git-workflow/one-more"})
    assert rules(skill_view(entry)) == {"skill-limits": "warning"}
    entry["resources"][-1] = entry["resources"][0]
    assert rules(skill_view(entry)) == {"skill-limits": "warning", "skill-file-twice": "error"}


@pytest.mark.parametrize("entry", [None, 7, "x", [], {}])
def test_what_is_no_entry_is_one_mistake(entry):
    assert "error" in {each.severity for each in skill_view(entry).notes}


async def test_a_list_says_what_is_wrong_with_it(skilled, shelf):
    skilled.skills.append(skilled.skills[0])
    other = "skill://other/git-workflow/SKILL.md"
    skilled.skills.append(entry_of({other: ""}, other, {"name": "git-workflow", "description": "x"}))
    skilled.beside = {"cacheScope": "all"}
    notes = (await shelf.listed()).notes
    assert [each.rule for each in notes] == [
        "skills-result",
        "skills-result",
        "skill-listed-twice",
        "skill-shared-name",
    ]


async def test_a_list_without_an_end_is_ended(skilled, shelf):
    skilled.endless = True
    view = await shelf.listed()
    assert view.more
    assert [each.rule for each in view.notes] == [
        "skills-endless",
        "skill-listed-twice",
        "skill-shared-name",
    ]
    assert len(view.skills) == 2


async def test_a_file_that_can_not_be_read_says_why(skilled, shelf):
    await shelf.listed()
    del skilled.files[FORMS]
    read = await shelf.read(PDF, FORMS)
    assert list(failed(read)) == ["read"]
    read = await shelf.read(PDF, "skill://acme/pdf-processing/../../git-workflow/SKILL.md")
    assert "listed" in failed(read)


async def test_a_server_without_skills_is_not_asked(inspection, tmp_path):
    server = await kitchen(inspection, tmp_path)
    assert "io.modelcontextprotocol/skills" not in server.view.extensions
    shelf = inspection.skills(server.id)
    assert not (await shelf.listed()).declared
    with pytest.raises(SkillsUndeclared):
        await shelf.got(GIT)
    assert not [each for each in inspection.transcripts["t1"] if each.method.startswith("skills/")]


async def test_the_page_asks_for_skills(inspection, skilled):
    async with (
        serving(skilled.app.asgi()) as url,
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        await connected(inspection, url)
        path = "/api/servers/s1/skills"
        async with session.get(path) as answer:
            assert [each["name"] for each in (await answer.json())["skills"]] == [
                "git-workflow",
                "pdf-processing",
            ]
        found: dict[str, Any] = {}
        for part in ("entry", "file", "verdict"):
            async with session.get(f"{path}/{part}", params={"skill": PDF, "uri": FORMS}) as answer:
                found[part] = await answer.json()
        assert found["entry"]["name"] == "pdf-processing"
        assert (found["file"]["state"], found["file"]["text"]) == ("passed", "# Forms\n")
        assert found["verdict"]["state"] == "passed"
        async with session.get(f"{path}/file", params={"skill": PDF}) as answer:
            assert answer.status == 400
        async with session.get(f"{path}/entry", params={"skill": "skill://no/SKILL.md"}) as answer:
            assert answer.status == 502
            assert (await answer.json())["error"]["code"] == -32602


@pytest.mark.parametrize(
    "text, words",
    [
        ("", "does not begin"),
        ("# Git\n---\n", "does not begin"),
        ("---\nname: x\n", "does not end"),
        ("---\n- x\n---\n", "no mapping"),
        ("---\n---\n", "can't be read"),
        ("---\na: [\n---\n", "can't be read"),
        ("---\na: !!python/object:os.system x\n---\n", "can't be read"),
        (
            "---\n"
            + "\n".join(f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 9) if at else 1}]" for at in range(9))
            + "\n---\n",
            "can't be read",
        ),
    ],
)
def test_what_is_no_frontmatter_says_why(text, words):
    with pytest.raises(FrontmatterInvalid, match=words):
        read_frontmatter(text)


def test_frontmatter_is_read_as_json_has_it():
    text = "\ufeff---\r\nname: x\r\non: no\r\nwhen: 2024-01-01\r\nversion: 1.10\r\n---\r\nbody"
    assert read_frontmatter(text) == {"name": "x", "on": "no", "when": "2024-01-01", "version": 1.1}


@pytest.mark.parametrize(
    "a, b, same",
    [
        ({"a": [1, {"b": None}]}, {"a": [1.0, {"b": None}]}, True),
        ({"a": 1}, {"a": True}, False),
        ([0], [False], False),
        ({"a": 1}, {"b": 1}, False),
        ([1], [1, 2], False),
        ("1", 1, False),
    ],
)
def test_values_are_the_same_as_json_has_them(a, b, same):
    assert same_json(a, b) is same


@pytest.mark.parametrize(
    "path, inside",
    [
        ("a", True),
        ("a/b.md", True),
        ("..", False),
        ("a/../b", False),
        ("a/%2e%2e/b", False),
        ("a%2f..%2fb", False),
        ("a\\..\\b", False),
        ("", False),
        ("a//b", False),
    ],
)
def test_a_file_is_inside_its_skill_whichever_way_it_is_written(path, inside):
    assert within(f"skill://x/{path}", "skill://x") is inside
    assert not within(f"skill://xy/{path}", "skill://x")
