"""House rule: which content types there are is said once, in `protocol/types/content.py`; all others read it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import get_args

import pytest
from source_tree import Source, findings, package_sources

from dovetail.protocol.types.content import BLOCKS, CONTENT, ContentBlock, SamplingContent, UnknownContent

KINDS = frozenset(each.kind.__name__ for each in CONTENT)
TAGS = frozenset(each.name for each in CONTENT)
# Whoever names more of them knows a list of them, and the next type would have to be added to it.
MOST = 2
MAY = {
    "src/dovetail/protocol/types/content.py": "is the place",
    "src/dovetail/protocol/types/__init__.py": "exports them",
    "src/dovetail/__init__.py": "exports them",
    "src/dovetail/openapi/responses.py": "makes four of them from what an API answered",
    "src/dovetail/server/media.py": "makes three of them from bytes and files",
}


def listed(source: Source) -> Iterator[str]:
    """Where a file names several content types, by class or by name on the wire."""
    if source.name in MAY or source.name.startswith(
        "src/dovetail/protocol/revisions/v"
    ):  # history of each type
        return
    kinds = {node.id for node in ast.walk(source.tree) if isinstance(node, ast.Name) and node.id in KINDS}
    if len(kinds) > MOST:
        yield f"{source.name}: knows {', '.join(sorted(kinds))}"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Set | ast.List | ast.Tuple | ast.Dict):
            parts = node.keys if isinstance(node, ast.Dict) else node.elts
            tags = {each.value for each in parts if isinstance(each, ast.Constant) and each.value in TAGS}
            if len(tags) > MOST:
                yield f"{source.at(node)}: lists {', '.join(sorted(tags))}"


def test_content_types_are_listed_in_one_place() -> None:
    assert not findings(listed, package_sources())


@pytest.mark.parametrize(
    "text",
    [
        "BLOCKS = (TextContent, ImageContent, AudioContent)",
        'TAGS = frozenset({"text", "image", "resource_link"})',
        'LABELS = {"text": 1, "image": 2, "audio": 3}',
    ],
)
def test_the_rule_sees_a_second_list(text: str) -> None:
    assert list(listed(Source("src/dovetail/cli/x.py", text)))


def test_every_type_that_may_stand_somewhere_is_in_the_table() -> None:
    standing = {*get_args(ContentBlock), *get_args(SamplingContent)} - {UnknownContent}
    assert standing == {each.kind for each in CONTENT}
    assert len({each.name for each in CONTENT}) == len(CONTENT)
    assert get_args(ContentBlock) == BLOCKS
