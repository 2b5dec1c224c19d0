"""The tables of rules in docs/linting.md, made of `dovetail.linting.RULES`.

Theory of operation. What stands between the two comments of the page is written anew; the rest is left alone. A test
holds the two equal.

    python tools/linting_table.py --check
    python tools/linting_table.py --write
"""

from __future__ import annotations

import sys

from workspace import ROOT

from dovetail.linting import RULES, LintRule

PAGE = ROOT / "docs" / "linting.md"
BEGIN = "<!-- rules: written by tools/linting_table.py -->\n"
END = "<!-- end of the rules -->\n"


def tables() -> str:
    """All rules, a table for each group."""
    groups: dict[str, list[LintRule]] = {}
    for rule in RULES.values():
        groups.setdefault(rule.group, []).append(rule)
    return "\n".join(
        f"### {group}\n\n| rule | | what is wrong | where it stands |\n|---|---|---|---|\n"
        + "".join(
            f"| `{rule.name}` | {rule.severity} | {rule.sentence} | {_sources(rule)} |\n" for rule in rules
        )
        for group, rules in groups.items()
    )


def _sources(rule: LintRule) -> str:
    return " ".join(f"[{each.requirement or each.page}]({each.address})" for each in rule.sources)


def page_as_it_should_be() -> str:
    """The whole page."""
    text = PAGE.read_text("utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{tables()}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Check or write, as asked."""
    if arguments not in (["--check"], ["--write"]):
        print(__doc__)
        return 2
    text = page_as_it_should_be()
    if arguments == ["--write"]:
        PAGE.write_text(text, "utf-8")
        return 0
    if text != PAGE.read_text("utf-8"):
        print("docs/linting.md has other rules: run python tools/linting_table.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
