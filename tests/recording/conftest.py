"""Every line of every recording that a test leaves is held against the schema of the format."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import jsonschema_rs
import pytest

from dovetail.cli import main
from dovetail.recording import capture_schema


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, standard output, standard error."""

    def command(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capfd.readouterr()
        return code, out, err

    return command


@pytest.fixture(autouse=True)
def held_against_the_schema(tmp_path: Path) -> Iterator[None]:
    """Closed, so that no member is written that the schema does not have."""
    yield
    schema = capture_schema()
    for each in ("header", "line", "http"):
        schema["$defs"][each]["additionalProperties"] = False
    validator = jsonschema_rs.validator_for(schema)
    for path in tmp_path.rglob("*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                validator.validate(json.loads(line))
