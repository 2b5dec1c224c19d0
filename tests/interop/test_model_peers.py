"""The types of model APIs' own packages take what we make and give what we read; frameworks run our tools. Each is said
in one run of `peers/model_formats.py`, in an environment that has them all.

Follows: server/tools, "Tool Result".
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from importlib.metadata import version
from typing import Any

import pytest

from interop.installing import CACHE, HERE, PATIENCE, ROOT, filled, locked, pin

PACKAGES = ("openai", "anthropic", "google-genai", "pydantic-ai-slim", "langchain-core")
CALLS = [["c1", "shed__fetch", {"what": "rake"}], ["c2", "shed__list", {}]]


@cache
def found() -> dict[str, Any]:
    """What the packages said."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    ours = [f"{name}=={version(name)}" for name in ("msgspec", "jsonschema-rs")]
    with locked(CACHE / "lock"):
        home = filled("models", [*(pin(each) for each in PACKAGES), *ours], lambda _text: None)
    done = subprocess.run(
        [str(home / "bin" / "python"), str(HERE / "peers" / "model_formats.py")],
        env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT / 'tests' / 'models'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.timeout(PATIENCE + 150)
@pytest.mark.parametrize("format", ["openai-chat", "openai-responses", "anthropic"])
def test_the_types_of_an_api_have_all_that_is_said(format: str) -> None:
    assert found()[format] == {"tools": [], "messages": [], "calls": CALLS}


@pytest.mark.timeout(PATIENCE + 150)
def test_gemini_has_bytes_where_we_have_base64() -> None:
    """Its SDK writes the same bytes in the other alphabet of Base64."""
    said = found()["gemini"]
    assert said["messages"] == [".parts.functionResponse.parts.inlineData.data"]
    assert said["image"] is True
    assert (said["tools"], said["calls"]) == ([], CALLS)


@pytest.mark.timeout(PATIENCE + 150)
def test_langchain_runs_our_tools() -> None:
    """Parameters that are called as LangChain's own reach the tool, too."""
    said = found()["langchain"]
    assert said["schema"]["required"] == ["what"]
    assert (said["status"], said["kinds"], said["image"]) == ("success", ["text", "image"], "image/png")
    assert said["text"] == "a rake, c r s"
    assert said["failed"] == ["error", "1", "there is no spade"]


@pytest.mark.timeout(PATIENCE + 150)
def test_pydantic_ai_runs_our_tools() -> None:
    said = found()["pydantic-ai"]
    assert said["output"] == "done"
    assert said["description"] == "Fetch a tool."
    assert said["schema"]["required"] == ["what"]
    assert said["returned"] == [
        ["failed", ["there is no spade"]],
        ["success", ["a rake, none  ", "image/png"]],
    ]
