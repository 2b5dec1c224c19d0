"""One file of a skill, held against the entry that promised it.

Theory of operation. What came is turned into the bytes that its digest is of; then each rule by which a host decides is
looked at, also behind the first that fails, so that the person sees all of them.

Specification: Skills, "Integrity and Verification".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterator
from typing import Any, Final, Literal, cast

from dovetail.host import hidden_in

from ..views import SkillCheckView, SkillReadView, SkillView
from .frontmatter import FrontmatterInvalid, read_frontmatter, same_json

__all__ = ["LONGEST_TEXT", "objects_in", "unread", "verified"]

LONGEST_TEXT: Final = 1024 * 1024
"""Characters of a file that are shown."""
_TOLD: Final = 10


def objects_in(value: Any) -> list[dict[str, Any]]:
    """The objects of a list that a server gave; none where it is no list."""
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", each) for each in items if isinstance(each, dict)]


def verified(skill: SkillView, uri: str, contents: list[dict[str, Any]]) -> SkillReadView:
    """What a read gave of a file, and whether it is what the entry of the skill promised. ``contents``: as on the
    wire.
    """
    if not contents:
        return unread(skill, uri, "the read brought no contents")
    said = next((each for each in contents if each.get("uri") == uri), contents[0])
    data, problem = _bytes(said)
    if problem:
        return unread(skill, uri, problem)
    text = _text(data)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    checks = [*_addressed(said, uri), *_listed(skill, uri), *_content(skill, uri, digest, len(data))]
    if uri == skill.uri:
        checks.append(_frontmatter(skill, text))
    return SkillReadView(
        uri=uri,
        state=_state(checks),
        checks=checks,
        mime_type=str(said.get("mimeType") or ""),
        digest=digest,
        size=len(data),
        text=None if text is None else text[:LONGEST_TEXT],
        omitted=max(0, len(text or "") - LONGEST_TEXT),
        hidden=[each.partition(": ")[2] for each in hidden_in({"text": text or ""})],
    )


def unread(skill: SkillView, uri: str, problem: str) -> SkillReadView:
    """A file that could not be read, and why."""
    checks = [SkillCheckView(check="read", state="failed", note=problem), *_listed(skill, uri)]
    return SkillReadView(uri=uri, state="failed", checks=checks)


def _state(checks: list[SkillCheckView]) -> Literal["passed", "failed", "unknown"]:
    states = {each.state for each in checks}
    return "failed" if "failed" in states else "unknown" if "unknown" in states else "passed"


def _bytes(content: dict[str, Any]) -> tuple[bytes, str]:
    """The bytes of contents, and why there are none."""
    text, blob = content.get("text"), content.get("blob")
    if isinstance(text, str):
        return text.encode("utf-8", "surrogatepass"), ""
    if not isinstance(blob, str):
        return b"", "the contents have neither text nor blob"
    try:
        return base64.b64decode(blob, validate=True), ""
    except (binascii.Error, ValueError) as problem:
        return b"", f"the blob is no Base64: {problem}"


def _text(data: bytes) -> str | None:
    """The text that bytes are, None where they are none."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _addressed(content: dict[str, Any], uri: str) -> Iterator[SkillCheckView]:
    if content.get("uri") != uri:
        note = f"what came says that it is {content.get('uri')}"
        yield SkillCheckView(check="uri", state="failed", note=note)


def _listed(skill: SkillView, uri: str) -> Iterator[SkillCheckView]:
    if skill.dynamic:
        note = "the files of this skill are not listed"
        yield SkillCheckView(check="listed", state="unknown", note=note)
    elif uri in {each.uri for each in skill.files}:
        yield SkillCheckView(check="listed", state="passed")
    else:
        note = "the entry does not list it: a host takes that for a changed skill"
        yield SkillCheckView(check="listed", state="failed", note=note)


def _content(skill: SkillView, uri: str, digest: str, size: int) -> Iterator[SkillCheckView]:
    entry = next((each for each in skill.files if each.uri == uri), None)
    if entry is None:
        return
    note = f"{size:,} bytes came, and {'no size' if entry.size is None else f'{entry.size:,}'} was promised"
    right = size == entry.size
    yield SkillCheckView(check="size", state="passed" if right else "failed", note="" if right else note)
    right = digest == entry.digest
    note = f"it is {digest}, and {entry.digest or 'none'} was promised"
    yield SkillCheckView(check="digest", state="passed" if right else "failed", note="" if right else note)


def _frontmatter(skill: SkillView, text: str | None) -> SkillCheckView:
    check = "frontmatter"
    if text is None:
        return SkillCheckView(check=check, state="failed", note="SKILL.md is no text")
    try:
        written = read_frontmatter(text)
    except FrontmatterInvalid as problem:
        return SkillCheckView(check=check, state="failed", note=str(problem))
    entry = cast("dict[str, Any]", skill.entry) if isinstance(skill.entry, dict) else {}
    said = entry.get("frontmatter")
    promised = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    others = [
        name
        for name in sorted({*written, *promised})
        if name not in written or name not in promised or not same_json(written[name], promised[name])
    ]
    if not others:
        return SkillCheckView(check=check, state="passed")
    named = ", ".join(others[:_TOLD])
    note = f"what SKILL.md says and what the entry says differ in: {named}"
    return SkillCheckView(check=check, state="failed", note=note)
