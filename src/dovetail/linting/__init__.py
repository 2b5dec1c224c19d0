"""Judging recorded conversations: each message against the specification, live or afterwards.

`Linter` takes the lines of a capture (`dovetail.recording`) one by one and gives a `Finding` for each thing that is
wrong, with the rule, the requirement of the specification and the address of its page. `lint_capture` does so for a
whole capture. `RULES` has all rules.

Specification: the pages of each rule; docs/linting.md.
"""

from .findings import Finding
from .linter import Linter, lint_capture
from .rules import RULES, LintRule, RuleSource, Severity

__all__ = ["RULES", "Finding", "Linter", "LintRule", "RuleSource", "Severity", "lint_capture"]
