"""The skills of one server: asked for, read, and held against the entries that were got.

Theory of operation. An entry that was listed or got is held until another one of the same address comes, or the server
is connected anew; files are held against the entry that is held, as a host does it. Nothing is fetched before somebody
wants it. Whatever a server says is bounded: pages, entries, files, bytes.

Specification: Skills, "Listing Skills", "Getting a Skill", "Reading Directories", "Integrity and Verification".
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, cast

from msgspec.structs import replace

from dovetail import Client, DovetailError

from ..session.declaring import SKILLS_EXTENSION
from ..session.server import InspectedServer
from ..views import FindingView, SkillListView, SkillReadView, SkillVerdictView, SkillView
from .judging import MOST_BYTES, MOST_FILES, judge_collisions, root_of, skill_note, skill_view, within
from .verifying import objects_in, unread, verified

__all__ = ["ServerSkills", "SkillsUndeclared"]

_DIRECTORY: Final = "inode/directory"
_MOST_PAGES: Final = 200
_MOST_SKILLS: Final = 5000
_MOST_DIRECTORIES: Final = 200
_MOST_FOUND: Final = 2 * MOST_FILES


class SkillsUndeclared(LookupError):
    """Skills were asked of a server that does not say that it has any."""


class ServerSkills:
    """The skills of a server."""

    def __init__(self, server: InspectedServer) -> None:
        self._server: Final = server
        self._held: dict[str, SkillView] = {}
        self._of: str | None = None

    async def listed(self) -> SkillListView:
        """All that the server lists. Raises `NotConnected`, and what calls raise."""
        client, settings = self._asked()
        if settings is None:
            return SkillListView(declared=False)
        skills: list[SkillView] = []
        notes = list(_declaration(client))
        more = False
        pages = 0
        async for page in _pages(client, "skills/list", {}):
            pages += 1
            notes += [] if pages > 1 else _result(client, page, "skills")
            entries = page.get("skills")
            skills += [
                skill_view(each) for each in (cast("list[Any]", entries) if isinstance(entries, list) else [])
            ]
            more = isinstance(page.get("nextCursor"), str)
            if len(skills) >= _MOST_SKILLS:
                break
        if more:
            what = f"it did not come to an end: {len(skills):,} skills on {pages} pages are shown"
            notes.append(skill_note("skills-endless", "warning", what, of="Listing Skills"))
        skills = skills[:_MOST_SKILLS]
        self._held |= {each.uri: each for each in skills if each.uri}
        directories = settings.get("directoryRead") is True
        return SkillListView(
            declared=True,
            directories=directories,
            skills=skills,
            notes=[*notes, *judge_collisions(skills)],
            more=more,
        )

    async def got(self, uri: str) -> SkillView:
        """The entry of one skill, as it is now. Raises `SkillsUndeclared`, `NotConnected`, and what calls raise."""
        client, settings = self._asked()
        if settings is None:
            raise SkillsUndeclared(f"the server does not declare {SKILLS_EXTENSION}")
        result = await client.request("skills/get", {"uri": uri})
        view = skill_view(result.get("skill"))
        notes = [*_result(client, result, "skill"), *view.notes]
        if view.uri != uri:
            what = f"asked for {uri}, it gives the entry of {view.uri or 'nothing'}"
            notes.append(skill_note("skill-other", "error", what, where="uri", of="Getting a Skill"))
        view = replace(view, notes=notes)
        self._held[uri] = view
        return view

    async def read(self, skill: str, uri: str) -> SkillReadView:
        """A file of a skill, held against the entry that is held, or got where none is. Raises as `got` does."""
        held = await self._entry(skill)
        return await self._read(self._server.client, held, uri)

    async def verified(self, skill: str) -> SkillVerdictView:
        """All files of a skill that its entry lists, and what the server's directories have. Raises as `got` does."""
        held = await self._entry(skill)
        client, settings = self._asked()
        files: list[SkillReadView] = []
        notes: list[FindingView] = []
        total = 0
        wanted = [each.uri for each in held.files] or [held.uri]
        for uri in dict.fromkeys(wanted):
            if len(files) >= MOST_FILES or total >= MOST_BYTES:
                what = f"{len(files):,} files with {total:,} bytes were read, and no more than a host has to take"
                notes.append(skill_note("skill-limits", "warning", what, of="Limits"))
                break
            found = await self._read(client, held, uri)
            total += found.size
            files.append(replace(found, text=None, omitted=0))
        unlisted: list[str] = []
        gone: list[str] = []
        if settings is not None and settings.get("directoryRead") is True:
            unlisted, gone, told = await self._directories(client, held)
            notes += told
        states = {each.state for each in files}
        state = (
            "failed"
            if "failed" in states or unlisted or gone
            else "unknown"
            if "unknown" in states
            else "passed"
        )
        return SkillVerdictView(
            skill=held, state=state, files=files, unlisted=unlisted, gone=gone, notes=notes
        )

    def _asked(self) -> tuple[Client, dict[str, Any] | None]:
        """The client, and the settings of the extension, None where it is not declared. Raises `NotConnected`."""
        client = self._server.client
        if self._of != self._server.transcript:
            self._held, self._of = {}, self._server.transcript
        capabilities = client.server_capabilities
        declared = (capabilities.extensions if capabilities is not None else None) or {}
        settings: Any = declared.get(SKILLS_EXTENSION)
        if SKILLS_EXTENSION not in declared:
            return client, None
        return client, cast("dict[str, Any]", settings) if isinstance(settings, dict) else {}

    async def _entry(self, skill: str) -> SkillView:
        self._asked()
        held = self._held.get(skill)
        return await self.got(skill) if held is None else held

    async def _read(self, client: Client, held: SkillView, uri: str) -> SkillReadView:
        try:
            result = await client.read(uri, fresh=True)
        except (DovetailError, ValueError) as problem:
            return unread(held, uri, str(problem))
        return verified(held, uri, objects_in(result.to_wire().get("contents")))

    async def _directories(
        self, client: Client, held: SkillView
    ) -> tuple[list[str], list[str], list[FindingView]]:
        """What only the directories have, what only the entry has, and what went wrong."""
        root, found, notes = root_of(held.uri), set[str](), list[FindingView]()
        waiting, seen = [root], set[str]()
        while waiting and len(seen) < _MOST_DIRECTORIES and len(found) < _MOST_FOUND:
            directory = waiting.pop()
            seen.add(directory)
            try:
                children = await _children(client, directory)
            except DovetailError as problem:
                what = f"its directory {directory} can't be listed: {problem}"
                notes.append(
                    skill_note("skill-directory", "error", what, where=directory, of="Reading Directories")
                )
                return [], [], notes
            for uri, kind in children:
                if not within(uri, directory):
                    what = f"{uri} is listed in the directory {directory}, and is not inside it"
                    notes.append(
                        skill_note("skill-outside", "error", what, where=uri, of="Reading Directories")
                    )
                elif kind == _DIRECTORY:
                    waiting += [] if uri in seen else [uri]
                else:
                    found.add(uri)
        if waiting:
            what = f"it has more than {len(seen)} directories and {len(found)} files: the others were not looked at"
            notes.append(skill_note("skill-directory", "warning", what, of="Reading Directories"))
            return [], [], notes
        listed = {each.uri for each in held.files}
        return ([], [], notes) if held.dynamic else (sorted(found - listed), sorted(listed - found), notes)


async def _pages(client: Client, method: str, params: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """The results of a list, page by page; a cursor that came before ends it."""
    seen: set[str] = set()
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        result = await client.request(method, params if cursor is None else {**params, "cursor": cursor})
        yield result
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str) or cursor in seen:
            return
        seen.add(cursor)


async def _children(client: Client, directory: str) -> list[tuple[str, Any]]:
    """What a directory has: addresses and types."""
    found: list[tuple[str, Any]] = []
    async for page in _pages(client, "resources/directory/read", {"uri": directory}):
        listed = page.get("resources")
        children = objects_in(listed)
        found += [
            (each["uri"], each.get("mimeType")) for each in children if isinstance(each.get("uri"), str)
        ]
        if len(found) > _MOST_FOUND:
            break
    return found


def _declaration(client: Client) -> list[FindingView]:
    capabilities = client.server_capabilities
    if capabilities is None or capabilities.resources is not None:
        return []
    what = "the server has skills and does not declare resources, by which they are read"
    return [skill_note("skills-resources", "error", what, of="Capability Negotiation")]


def _result(client: Client, result: dict[str, Any], member: str) -> list[FindingView]:
    """What is wrong with a result beside its entries. Of older revisions only the entries are known."""
    of = "Listing Skills" if member == "skills" else "Getting a Skill"
    wrong: list[str] = []
    kind = list if member == "skills" else dict
    if not isinstance(result.get(member), kind):
        wrong.append(f"the result has no {member}")
    if client.era == "stateless":
        ttl = result.get("ttlMs")
        if not isinstance(ttl, int | float) or isinstance(ttl, bool) or ttl < 0:
            wrong.append("the result does not say for how long it may be kept (ttlMs)")
        if result.get("cacheScope") not in ("public", "private"):
            wrong.append("the result does not say for whom it may be kept (cacheScope)")
        if result.get("resultType") != "complete":
            wrong.append('the resultType of the result is not "complete"')
    return [skill_note("skills-result", "error", each, of=of) for each in wrong]
