"""What is listed is what can be used, in every method, by every caller, however apps are composed."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import Phase, example, given, settings
from visible_apps import (
    CALLERS,
    CHANGES,
    ID,
    KINDS,
    TREES,
    VERSION,
    VERSIONS,
    WHO,
    Built,
    CallerWire,
    EntrySpec,
    MountSpec,
    SourceSpec,
    candidates,
    name_in,
)

from dovetail.protocol.uri_template.template import URITemplate
from dovetail.runtime import hub

ERAS = ("2025-11-25", "2026-07-28")
#: A tool without versions stands between two versions: the first shadows it, and it shadows nothing.
_BETWEEN_VERSIONS = SourceSpec(
    (EntrySpec("tools", "t1", version="1"),),
    1,
    mounts=tuple(
        MountSpec(None, SourceSpec((EntrySpec("tools", "t1", version=version),), 1, dynamic=True))
        for version in (None, "2")
    ),
)
METHODS = {"tools": "tools/call", "prompts": "prompts/get", "resources": "resources/read"}
ALL_VERSIONS = ("1", "2", "9", "10")
_REFERENCES = {"prompts": ("ref/prompt", "name", "topic"), "templates": ("ref/resource", "uri", "name")}

PHASES = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
EXAMPLES = int(os.environ.get("VISIBILITY_EXAMPLES", "25"))

Lists = dict[str, dict[str, str]]


@pytest.fixture(autouse=True, scope="module")
def _at_once() -> Iterator[None]:
    """A list that changes twice in a moment is told of twice, so that there is no pause to wait for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hub, "CALM", 0.0)
        yield


@asynccontextmanager
async def callers(built: Built, revision: str, who: list[str]) -> AsyncGenerator[dict[str, CallerWire]]:
    """A wire for each kind of caller."""
    wires = {each: CallerWire(built.app, revision, *CALLERS[each]) for each in who}
    try:
        for wire in wires.values():
            await wire.open()
        yield wires
    finally:
        for wire in wires.values():
            await wire.close()
        await built.app.service.stop()


async def lists_of(wire: CallerWire) -> Lists:
    """What a caller is shown: by kind, what each name stands for."""
    found: Lists = {}
    for kind in KINDS:
        listed = await wire.listed(kind)
        names = [name_in(kind, item) for item in listed]
        assert len(names) == len(set(names)), f"twice in one list: {names}"
        found[kind] = {name: item["_meta"][ID] for name, item in zip(names, listed, strict=True)}
        if kind == "tools":
            for item in listed:
                wire.versions[item["name"]] = item["_meta"].get(VERSIONS, [])
                assert item["_meta"].get(VERSION) == next(iter(wire.versions[item["name"]]), None)
    return found


async def check_uses(who: str, wire: CallerWire, shown: Lists, everybody: dict[str, set[str]]) -> None:
    """What can be used is what was listed, and is that very thing."""
    for kind, method in (("tools", "tools/call"), ("prompts", "prompts/get")):
        for name in candidates(kind, everybody[kind]):
            used = await wire.use(method, {"name": name, **({"arguments": {}} if kind == "tools" else {})})
            listed = shown[kind].get(name)
            assert used in (listed or "", "scopes" if listed else ""), (who, method, name, used, listed)
            if kind == "tools":
                await check_versions(who, wire, name, listed)
    for uri, fits in _uris(everybody).items():
        used = await wire.use("resources/read", {"uri": uri})
        exact = shown["resources"].get(uri)
        if exact is not None:
            assert used in (exact, "scopes"), (who, uri, used, exact)
        else:
            ways = {shown["templates"][template] for template in fits if template in shown["templates"]}
            assert used in {*ways, ""} or (used == "scopes" and ways), (who, uri, used, ways)
            alone = (
                "only-here" in uri and len(fits) == 1
            )  # a URI of its own may be hidden, and is not read then
            assert used or not (alone and ways), (who, uri, "is listed, and can't be read", ways)
        if not wire.stateless:
            heard = await wire.use("resources/subscribe", {"uri": uri})
            assert {"": "", "scopes": "scopes"}.get(used, "done") == heard, (who, uri, used, heard)
    for kind in ("prompts", "templates"):
        reference, member, argument = _REFERENCES[kind]
        for name in candidates(kind, everybody[kind]):
            given_of = {"name": "rest" if "{+rest}" in name else argument, "value": ""}
            ref = {"type": reference, member: name}
            used = await wire.use("completion/complete", {"ref": ref, "argument": given_of})
            listed = shown[kind].get(name)
            if listed is None:
                assert used == "", (who, "completes", name, used)
            else:
                assert used in (listed, "scopes", "nothing to suggest", ""), (who, name, used, listed)


async def check_versions(who: str, wire: CallerWire, name: str, listed: str | None) -> None:
    """Each version that is told of can be asked for, the first is the listed one, and there are no others."""
    told = wire.versions.get(name, []) if listed else []
    assert told == sorted(told, key=int, reverse=True)
    used = {
        each: await wire.use("tools/call", {"name": name, "arguments": {}}, each) for each in ALL_VERSIONS
    }
    if listed and not told:  # it has no versions; who lacks its scopes hears of these first
        assert set(used.values()) in ({""}, {"scopes"}), (who, name, used)
        return
    assert {each for each in used if used[each]} == set(told), (who, name, used, told)
    ids = [id for id in used.values() if id not in ("", "scopes")]
    assert len(ids) == len(set(ids)), (who, name, used)
    if told:
        assert used[told[0]] in (listed, "scopes")


def _uris(everybody: dict[str, set[str]]) -> dict[str, list[str]]:
    """URIs to try, and the templates that each fits."""
    templates = candidates("templates", everybody["templates"])
    uris = {*candidates("resources", everybody["resources"])}
    for template in templates:
        parsed = URITemplate(template)
        uris.add(parsed.expand(dict.fromkeys(parsed.variables, "only-here")))
    return {
        uri: [each for each in templates if URITemplate(each).match(uri) is not None] for uri in sorted(uris)
    }


async def check_cursors(wires: dict[str, CallerWire]) -> None:
    """A cursor of one named caller is refused for all others."""
    for who, wire in wires.items():
        for method, cursors in wire.cursors.items():
            for other, their in wires.items():
                if CALLERS[who][1].key != CALLERS[other][1].key:
                    answer = await their.request(method, {"cursor": cursors[0]})
                    assert answer.get("error", {}).get("code") == -32602, (who, other, method, answer)


async def check_tree(spec: SourceSpec, revision: str, asking: list[str]) -> None:
    """Everything about one tree of apps in one revision."""
    built = Built(spec)
    async with callers(built, revision, asking) as wires:
        shown = {who: await lists_of(wire) for who, wire in wires.items()}
        everybody = {kind: {name for each in shown.values() for name in each[kind]} for kind in KINDS}
        for who, wire in wires.items():
            await check_uses(who, wire, shown[who], everybody)
            assert await lists_of(wire) == shown[who], "the same list, kept or not"
        await check_cursors(wires)


@pytest.mark.parametrize("revision", ERAS)
@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(spec=TREES, asking=WHO)
@example(spec=_BETWEEN_VERSIONS, asking=["ada", "ada with a"])
def test_what_is_listed_is_what_can_be_used(spec: SourceSpec, asking: list[str], revision: str) -> None:
    asyncio.run(check_tree(spec, revision, asking))


async def check_change(
    spec: SourceSpec, revision: str, asking: list[str], change: tuple[int, EntrySpec, bool]
) -> None:
    """Who hears of a change in one of the apps."""
    built = Built(spec)
    place, entry, remove = change
    kind = "resources" if entry.kind == "templates" else entry.kind
    async with callers(built, revision, ["here", *(each for each in asking if each != "here")]) as wires:
        before = {who: await lists_of(wire) for who, wire in wires.items()}
        for wire in wires.values():
            await wire.listen()
        had = {who: wire.offered.copy() for who, wire in wires.items()}
        built.change(place, entry, remove)
        await asyncio.sleep(built.held_back())  # what was told a moment ago is told again later
        for _ in range(200):  # there is nothing else to wait for but other tasks
            await asyncio.sleep(0)
        now = {who: await lists_of(wire) for who, wire in wires.items()}
        shown = now["here"][entry.kind] != before["here"][entry.kind]
        for who, wire in wires.items():
            heard = wire.heard()
            changed = now[who][entry.kind] != before[who][entry.kind]
            assert not changed or kind in heard or entry.kind not in had[who], (who, "did not hear")
            transport, principal = CALLERS[who]
            judged = transport == "http" or not principal.is_anonymous
            told = all(each.source.dynamic or _can_tell(each.source) for each in spec.mounts)
            if entry.need == "root" and judged and principal.subject != "root" and told and shown:
                assert changed or kind not in heard, (who, "heard of what it may not know of")


def _can_tell(spec: SourceSpec) -> bool:
    """Whether what each caller sees of it is known without waiting."""
    return not (spec.dynamic or spec.filtered) and all(_can_tell(each.source) for each in spec.mounts)


@pytest.mark.parametrize("revision", ERAS)
@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(spec=TREES, asking=WHO, change=CHANGES)
def test_who_sees_a_change_hears_of_it(
    spec: SourceSpec, asking: list[str], change: tuple[int, EntrySpec, bool], revision: str
) -> None:
    asyncio.run(check_change(spec, revision, asking, change))


async def check_updates(spec: SourceSpec, revision: str, asking: list[str]) -> None:
    """Who hears that a resource is another: those who can read it, and nobody from whom it is hidden. Where that is not
    known without waiting, what may be hidden is not heard of.
    """
    built = Built(spec)
    async with callers(built, revision, ["here", *(each for each in asking if each != "here")]) as wires:
        everybody: dict[str, set[str]] = {kind: set() for kind in KINDS}
        for wire in wires.values():
            for kind, listed in (await lists_of(wire)).items():
                everybody[kind].update(listed)
        uris = list(_uris(everybody))
        used = {
            who: {uri: await wire.use("resources/read", {"uri": uri}) for uri in uris}
            for who, wire in wires.items()
        }
        for who, wire in wires.items():
            refused = ("scopes",) if wire.stateless else ("scopes", "")
            await wire.hear_of([uri for uri in uris if used[who][uri] not in refused])
            wire.updated()
        for uri in uris:
            built.app.resource_updated(uri)
        for _ in range(300):  # there is nothing else to wait for but other tasks
            await asyncio.sleep(0)
        for who, wire in wires.items():
            heard = wire.updated()
            for uri in uris:
                if used[who][uri] not in ("", "scopes"):
                    assert uri in heard or not _can_tell(spec), (
                        who,
                        uri,
                        "reads it, and did not hear",
                        used[who][uri],
                    )
                elif used["here"][uri]:
                    assert uri not in heard, (who, uri, "heard of what it can't see", used[who][uri])


@pytest.mark.parametrize("revision", ERAS)
@settings(max_examples=EXAMPLES, deadline=None, phases=PHASES)
@given(spec=TREES, asking=WHO)
def test_who_reads_a_resource_hears_of_it(spec: SourceSpec, asking: list[str], revision: str) -> None:
    asyncio.run(check_updates(spec, revision, asking))
