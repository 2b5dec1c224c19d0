"""Every rule: how grave it is, what it says, which requirement of the specification it keeps and where that stands.

Theory of operation. A rule may keep requirements of several revisions; `Rule.of` chooses the one for the revision that
was spoken. The rows of stateful revisions before the last one are those of that one, where they did not differ.
``rules.toml`` beside this file has the rows; docs/linting.md shows them, and a test holds the two equal.

Specification: the pages named in each row.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from ..protocol.revisions import PROFILES, REVISIONS
from ..specification import page_address

__all__ = ["RULES", "Rule", "RuleSource", "Severity"]

_FILE: Final = Path(__file__).with_name("rules.toml")

Severity = Literal["error", "warning", "hint"]
"""How grave a finding is: "error" breaks what the specification demands or what clients refuse, "warning" works and
works badly, "hint" is worth a thought.
"""


class RuleSource(Struct, frozen=True):
    """Where a rule comes from. ``requirement``: the id of the requirement, empty where there is none. ``page``: where
    it stands below the specification, without the revision.
    """

    requirement: str
    page: str


class Rule(Struct, frozen=True):
    """One rule. ``name``: stable; ``group``: what it is about; ``sentence``: what is wrong where it is found;
    ``sources``: where it stands in the specification.
    """

    name: str
    group: str
    severity: Literal["error", "warning", "hint"]
    sentence: str
    sources: tuple[RuleSource, ...]

    def of(self, revision: str) -> tuple[str, str]:
        """The requirement for a revision (empty where there is none), and the address of its page."""
        return _source(self, revision)


@cache
def _source(rule: Rule, revision: str) -> tuple[str, str]:
    profile = PROFILES.get(revision)
    known = [each for each in rule.sources if each.requirement]
    if profile is None or not known:
        first = rule.sources[0]
        return "", page_address(first.page, _revision_of(first.requirement) or revision)
    own = [each for each in known if _revision_of(each.requirement) == revision]
    extension = [each for each in known if profile.stateless and not _revision_of(each.requirement)]
    same_era = [
        each
        for each in known
        if (there := PROFILES.get(_revision_of(each.requirement))) is not None and there.era == profile.era
    ]
    chosen = next(
        iter((*own, *sorted(same_era, key=lambda each: each.requirement, reverse=True), *extension)), None
    )
    if chosen is None:
        return "", page_address(known[0].page, _revision_of(known[0].requirement))
    return chosen.requirement, page_address(chosen.page, _revision_of(chosen.requirement) or revision)


@cache
def _revision_of(requirement: str) -> str:
    """The revision that a requirement is of: its id begins with the year and the month."""
    return next((each for each in REVISIONS if requirement[1:5] == each[2:4] + each[5:7]), "")


def _read() -> dict[str, Rule]:
    file: dict[str, list[dict[str, Any]]] = tomllib.loads(_FILE.read_text("utf-8"))
    read = (
        Rule(
            each["name"],
            each["group"],
            each["severity"],
            each["sentence"],
            tuple(map(_source_of, each["sources"])),
        )
        for each in file["rule"]
    )
    return {each.name: each for each in read}


def _source_of(text: str) -> RuleSource:
    requirement, _, page = text.rpartition(" ")
    return RuleSource(requirement, page)


RULES: Final[Mapping[str, Rule]] = MappingProxyType(_read())
"""Every rule by its name, in the order of the documentation."""
