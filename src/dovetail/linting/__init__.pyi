"""The names of `dovetail.linting` for type checkers. Written by: python tools/public_api.py --write"""

from dovetail.linting.findings import Finding
from dovetail.linting.linter import Linter, lint_capture
from dovetail.linting.rules import RULES, LintRule, RuleSource, Severity

__all__ = ["Finding", "LintRule", "Linter", "RULES", "RuleSource", "Severity", "lint_capture"]
