"""What is wrong with the entry of a skill, before any file of it is read.

Theory of operation. An entry is a promise: which files there are, how long each is and what it hashes to. It is judged
by itself, so that a host's refusal is known before anything is fetched. What a host has to refuse is an error; what it
may, or what a model or a person may be misled by, a warning or a hint.

Specification: Skills, "Resource Mapping", "Skill Entries", "Limits", "Security Considerations"; Agent Skills,
"Frontmatter".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final, Literal, cast
from urllib.parse import unquote

from dovetail.host import hidden_in

from ..views import FindingView, SkillFileView, SkillView

__all__ = ["MOST_BYTES", "MOST_FILES", "judge_collisions", "root_of", "skill_note", "skill_view", "within"]

MOST_FILES: Final = 512
MOST_BYTES: Final = 16 * 1024 * 1024
"""What every host has to take: files of one skill, and bytes of them all."""
_FILE: Final = "/SKILL.md"
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_LONGEST: Final = {"name": 64, "description": 1024, "compatibility": 500}
_MOST: Final = 100
"""Things wrong that are told of one skill."""


def skill_note(
    rule: str, severity: Literal["error", "warning", "hint"], what: str, *, where: str = "", of: str
) -> FindingView:
    """Something wrong with a skill. ``of``: the section that says so."""
    return FindingView(
        rule=rule, severity=severity, what=what, where=where, requirement=f"Skills, {of}", sender="server"
    )


def root_of(uri: str) -> str:
    """The directory of a skill, by the address of its ``SKILL.md``; "" for an address that is none of one."""
    return uri.removesuffix(_FILE) if uri.endswith(_FILE) else ""


def within(uri: str, root: str) -> bool:
    """Whether an address is one of a file inside a directory, whichever way its parts are written."""
    if not root or not uri.startswith(f"{root}/"):
        return False
    parts = re.split(r"[/\\]", unquote(uri[len(root) + 1 :]))
    return not any(each in ("", ".", "..") for each in parts)


def skill_view(entry: Any) -> SkillView:
    """An entry as it came, with what is wrong with it."""
    if not isinstance(entry, dict):
        wrong = skill_note("skill-entry", "error", "it is no object", of="Skill Entries")
        return SkillView(uri="", name="", description="", entry=entry, notes=[wrong])
    members = cast("dict[str, Any]", entry)
    uri, frontmatter = _text(members.get("uri")), members.get("frontmatter")
    said = cast("dict[str, Any]", frontmatter) if isinstance(frontmatter, dict) else {}
    listed = members.get("resources")
    root = root_of(uri)
    files = [
        _file(cast("dict[str, Any]", each) if isinstance(each, dict) else {}, root)
        for each in (cast("list[Any]", listed) if isinstance(listed, list) else [])
    ]
    notes = [*_address(members.get("uri"), said), *_frontmatter(frontmatter), *_resources(listed, files, uri)]
    return SkillView(
        uri=uri,
        name=_text(said.get("name")),
        description=_text(said.get("description")),
        dynamic=listed == "dynamic",
        size=sum(each.size or 0 for each in files),
        files=files,
        entry=members,
        notes=notes[:_MOST],
    )


def judge_collisions(skills: list[SkillView]) -> list[FindingView]:
    """What is wrong with a list of skills: names and addresses that more than one of them has."""
    names = Counter(each.name for each in skills if each.name)
    places = Counter(each.uri for each in skills if each.uri)
    twice = [
        skill_note(
            "skill-listed-twice", "error", f"{uri} is listed {count} times", where=uri, of="Listing Skills"
        )
        for uri, count in places.items()
        if count > 1
    ]
    shared = [
        skill_note(
            "skill-shared-name",
            "warning",
            f"{count} skills are called {name}: a host has to tell them apart by their addresses",
            where=name,
            of="Names",
        )
        for name, count in names.items()
        if count > 1
    ]
    return [*twice, *shared][:_MOST]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _file(said: dict[str, Any], root: str) -> SkillFileView:
    uri, size = _text(said.get("uri")), said.get("size")
    whole = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return SkillFileView(
        uri=uri,
        path=uri[len(root) + 1 :] if within(uri, root) else "",
        digest=_text(said.get("digest")),
        size=size if whole else None,
    )


def _address(uri: Any, frontmatter: dict[str, Any]) -> Iterator[FindingView]:
    of = "Resource Mapping"
    if not isinstance(uri, str) or not root_of(uri):
        yield skill_note("skill-uri", "error", "its uri is not that of a SKILL.md", where="uri", of=of)
        return
    last, name = unquote(root_of(uri).rpartition("/")[2]), frontmatter.get("name")
    if isinstance(name, str) and last != name:
        what = f"it is called {name}, and its directory {last or 'nothing'}: both have to be the same"
        yield skill_note("skill-name", "error", what, where="uri", of=of)
    if hidden_in({"uri": unquote(uri)}):
        what = hidden_in({"uri": unquote(uri)})[0]
        yield skill_note("skill-hidden", "warning", what, where="uri", of="Security Considerations")


def _frontmatter(said: Any) -> Iterator[FindingView]:
    of = "Frontmatter"
    if not isinstance(said, dict):
        yield skill_note("skill-frontmatter", "error", "it has no frontmatter", where="frontmatter", of=of)
        return
    members = cast("dict[str, Any]", said)
    for member in ("name", "description"):
        if not isinstance(members.get(member), str) or not members[member].strip():
            what = f"its frontmatter has no {member}"
            yield skill_note("skill-frontmatter", "error", what, where=f"frontmatter.{member}", of=of)
    name = members.get("name")
    if isinstance(name, str) and name and not _NAME.fullmatch(name):
        what = "its name has other characters than a to z, 0 to 9, and single hyphens between them"
        yield skill_note("skill-name", "error", what, where="frontmatter.name", of="Skill Format")
    for member, most in _LONGEST.items():
        value = members.get(member)
        if isinstance(value, str) and len(value) > most:
            what = f"its {member} has {len(value):,} characters, and {most:,} at most are allowed"
            yield skill_note("skill-long", "error", what, where=f"frontmatter.{member}", of="Skill Format")
    if "allowed-tools" in members:
        what = f"it asks for tools ({members['allowed-tools']}): a host ignores that until a person agrees"
        yield skill_note(
            "skill-tools", "hint", what, where="frontmatter.allowed-tools", of="Security Considerations"
        )
    for each in hidden_in(members):
        yield skill_note("skill-hidden", "warning", each, where="frontmatter", of="Security Considerations")


def _resources(listed: Any, files: list[SkillFileView], uri: str) -> Iterator[FindingView]:
    of, where = "Resources", "resources"
    if listed == "dynamic":
        what = "its content is made when it is asked for: nobody can say what it will be, and a host may refuse it"
        yield skill_note("skill-dynamic", "hint", what, where=where, of=of)
        return
    if not isinstance(listed, list):
        what = 'its resources are neither a list nor "dynamic": a host must not load it'
        yield skill_note("skill-resources", "error", what, where=where, of=of)
        return
    for at, each in enumerate(files):
        place = f"resources[{at}]"
        if not each.path:
            what = f"{each.uri or 'a file without an address'} is not inside the directory of the skill"
            yield skill_note("skill-outside", "error", what, where=place, of=of)
        if not _DIGEST.fullmatch(each.digest):
            what = f"the digest of {each.path or each.uri} is not sha256: and 64 small hexadecimal digits"
            yield skill_note("skill-digest", "error", what, where=place, of=of)
        if each.size is None:
            what = f"{each.path or each.uri} has no size in bytes"
            yield skill_note("skill-size", "error", what, where=place, of=of)
    for each, count in Counter(each.uri for each in files).items():
        if count > 1:
            what = f"{each} is listed {count} times"
            yield skill_note("skill-file-twice", "error", what, where=where, of=of)
    if uri and uri not in {each.uri for each in files}:
        what = "its own SKILL.md is not among its files"
        yield skill_note("skill-incomplete", "error", what, where=where, of=of)
    yield from _limits(files)


def _limits(files: list[SkillFileView]) -> Iterator[FindingView]:
    total = sum(each.size or 0 for each in files)
    if len(files) > MOST_FILES:
        what = f"it has {len(files):,} files: no host has to take more than {MOST_FILES}"
        yield skill_note("skill-limits", "warning", what, where="resources", of="Limits")
    if total > MOST_BYTES:
        what = f"its files have {total:,} bytes: no host has to take more than {MOST_BYTES:,}"
        yield skill_note("skill-limits", "warning", what, where="resources", of="Limits")
