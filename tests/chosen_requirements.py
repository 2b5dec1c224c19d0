"""``--requirements ID,ID``: run only the tests that are tagged with one of these rows.

`tools/mutations.py` asks for the tests of the rows that a broken line should fail.
"""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--requirements", default="", help="only tests tagged with one of these rows, by comma")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(filter(None, str(config.getoption("--requirements") or "").split(",")))
    if not wanted:
        return
    chosen = [
        item for item in items if any(wanted & set(mark.args) for mark in item.iter_markers("requirement"))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen
