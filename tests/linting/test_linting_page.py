"""The page about linting has the rules that there are, and each rule names what exists."""

from __future__ import annotations

import csv
from collections.abc import Iterator

import linting_table
import pytest

from dovetail.linting import RULES, LintRule
from dovetail.revisions import REVISIONS
from dovetail.specification import SITE
from dovetail.surface import Surface, lint
from dovetail.types import Prompt, PromptArgument, Resource, ResourceTemplate, Tool


def requirements() -> dict[str, str]:
    """The ids of the committed list, each with its level."""
    path = linting_table.ROOT / "tests" / "requirements.csv"
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["level"] for row in csv.DictReader(file)}


def test_the_page_has_the_rules_that_there_are() -> None:
    assert linting_table.page_as_it_should_be() == linting_table.PAGE.read_text("utf-8")


def test_every_requirement_is_a_known_one() -> None:
    known = requirements()
    named = {each.requirement for rule in RULES.values() for each in rule.sources if each.requirement}
    assert named <= known.keys()
    assert len(named) > 150


@pytest.mark.parametrize("revision", [*REVISIONS, "", "tomorrow"])
def test_every_rule_has_an_address_in_every_revision(revision: str) -> None:
    for rule in RULES.values():
        requirement, page = rule.of(revision)
        assert page.startswith(f"{SITE}/")
        assert not requirement or requirement in {each.requirement for each in rule.sources}


def test_the_requirement_is_that_of_the_revision_where_it_has_one() -> None:
    rule = RULES["progress-token-unknown"]
    assert [rule.of(revision)[0][:5] for revision in REVISIONS] == ["R2511"] * 4 + ["R2607"]


def odd_surfaces() -> Iterator[Surface]:
    """Surfaces that break each rule of `lint`."""
    tools = [
        Tool(name="a b", input_schema={"type": "strange"}),
        Tool(name="a.b", input_schema={"type": "object", "properties": {"x": {}}}, description="x" * 5_000),
        Tool(
            name="c",
            input_schema={"$schema": "https://example.com/d"},
            output_schema={"$ref": "https://e.com"},
        ),
        Tool(name="c", input_schema={"type": "array"}, description="\u202e"),
        Tool(name="d", input_schema={"properties": {"x": {"x-mcp-header": "a b"}}}),
    ]
    prompts = [Prompt(name="p", arguments=[PromptArgument(name="a"), PromptArgument(name="a")])]
    yield Surface(
        server={},
        tools=tuple(tools),
        prompts=tuple(prompts),
        resources=(Resource(uri="a", name="a"),),
        resource_templates=(ResourceTemplate(uri_template="{", name="b"),),
    )


def test_what_lint_finds_in_a_surface_are_rules_of_the_same_weight() -> None:
    weights = {"note": "hint"}
    found = [each for surface in odd_surfaces() for each in lint(surface)]
    assert len({each.rule for each in found}) > 10
    for each in found:
        rule: LintRule = RULES[each.rule]
        if (
            each.rule != "server-info-missing"
        ):  # in a surface that is shown; on the wire it is one hint of many
            assert rule.severity == weights.get(each.severity, each.severity), each
