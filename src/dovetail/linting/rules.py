"""Every rule: how grave it is, what it says, which requirement of the specification it keeps and where that stands.

Theory of operation. A rule may keep requirements of several revisions; `LintRule.of` chooses the one for the revision
that was spoken. The rows of stateful revisions before the last one are those of that one, where they did not differ.
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

__all__ = ["RULES", "LintRule", "RuleSource", "Severity"]

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

    @property
    def address(self) -> str:
        """Where the page is read, in the revision of the requirement, or in the newest one."""
        return page_address(self.page, _revision_of(self.requirement))


class LintRule(Struct, frozen=True):
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
def _source(rule: LintRule, revision: str) -> tuple[str, str]:
    profile = PROFILES.get(revision)
    known = [each for each in rule.sources if each.requirement]
    if profile is None or not known:
        first = rule.sources[0]
        return "", page_address(first.page, _revision_of(first.requirement) or revision)
    own = {_revision_of(each.requirement): each for each in reversed(known)}
    if revision in own:
        return own[revision].requirement, own[revision].address
    same_era = [there for there in own if there in PROFILES and PROFILES[there].era == profile.era]
    chosen = own[max(same_era)] if same_era else own.get("") if profile.stateless else None
    if chosen is None:
        return "", page_address(known[0].page, _revision_of(known[0].requirement))
    return chosen.requirement, chosen.address


@cache
def _revision_of(requirement: str) -> str:
    """The revision that a requirement is of: its id begins with the year and the month."""
    return next((each for each in REVISIONS if requirement.startswith(f"R{each[2:4]}{each[5:7]}")), "")


def _read() -> dict[str, LintRule]:
    file: dict[str, list[dict[str, Any]]] = tomllib.loads(_FILE.read_text("utf-8"))
    read = (
        LintRule(
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


RULES: Final[Mapping[str, LintRule]] = MappingProxyType(_read())
"""Every rule by its name, in the order of the documentation."""
