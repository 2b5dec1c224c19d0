"""Judging recorded conversations: each message against the specification, live or afterwards.

`Linter` takes the lines of a capture (`dovetail.recording`) one by one and gives a `Finding` for each thing that is
wrong, with the rule, the requirement of the specification and the address of its page. `lint_capture` does so for a
whole capture. `RULES` has all rules.

Specification: the pages of each rule; docs/linting.md.
"""

# pyright: reportUnsupportedDunderAll=false
# The stub beside this file has the types; `python tools/public_api.py --write` writes it from this table.

from ..lazy_names import LazyNames

_lazy = LazyNames(
    __name__,
    {
        "dovetail.linting.findings": ("Finding",),
        "dovetail.linting.linter": ("Linter", "lint_capture"),
        "dovetail.linting.rules": ("RULES", "LintRule", "RuleSource", "Severity"),
    },
)
__getattr__ = _lazy.find
__dir__ = _lazy.shown
__all__ = list(_lazy.names)
