"""Every fenced block of README.md and docs/ does what the page says, in an empty folder.

What a page claims in code is run, what it shows as output is compared, what it shows as configuration is parsed. A
block that nobody knows how to test fails (see `page_blocks` for the orders). Nothing leaves the machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from page_blocks import ROOT, PageWrong, blocks_of, pages, read_blocks
from page_running import Differs, PageRun


@pytest.mark.vendor_methods(
    "com.example/load",
    "com.example/burn",
    "org.example/weigh",
    "notifications/org.example/closing",
    "com.example/prices/get",
    "com.example/counter/fetch",
    "com.example/ticket",
    "notifications/com.example/oven",
    "ovenIds",
)
@pytest.mark.parametrize("path", pages(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_does_what_it_says(path: Path, tmp_path: Path) -> None:
    with PageRun(tmp_path) as run:
        for block in blocks_of(path):
            try:
                run.do(block)
            except Differs:
                raise
            except Exception as problem:
                raise AssertionError(f"{block.where}: {type(problem).__name__}: {problem}") from problem


def test_the_first_pages_are_as_short_as_they_promise() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme.count("\n") < 200
    files = {block.object: block.text for block in blocks_of(ROOT / "README.md") if block.verb == "file"}
    assert len(files["server.py"].splitlines()) <= 12
    assert len(files["client.py"].splitlines()) <= 8


@pytest.mark.parametrize(
    "text",
    [
        "```\nwhat is this\n```\n",
        "```rust\nfn main() {}\n```\n",
        "```bash\nrm -rf build\n```\n",
        "```text\nsome output\n```\n",
        "<!-- not run: no -->\n```bash\nx\n```\n",
        "<!-- file -->\n```python\nx = 1\n```\n",
        "<!-- whatever -->\n```python\nx = 1\n```\n",
        "<!--run-->\n```bash\ntrue\n```\n",
        "* a list\n  ```python\n  x = 1\n  ```\n",
        "```python\nx = 1\n",
    ],
)
def test_a_block_that_nobody_can_test_is_refused(text: str) -> None:
    with pytest.raises(PageWrong):
        list(read_blocks(text, "page.md"))


@pytest.mark.parametrize(
    "text",
    [
        "```python\nprint(1)\n```\n<!-- output -->\n```text\n2\n```\n",
        "```python\nprint('a b')\n```\n<!-- output -->\n```text\na ... c\n```\n",
        "<!-- run -->\n```bash\nfalse\n```\n",
        "<!-- run -->\n```bash\nfalse\ntrue\n```\n",
        "<!-- raises: ValueError -->\n```python\nx = 1\n```\n",
        "<!-- serve: http://127.0.0.1:8000 -->\n```bash\necho not today\n```\n",
    ],
)
def test_a_page_that_is_wrong_fails(text: str, tmp_path: Path) -> None:
    with PageRun(tmp_path) as run:
        *before, last = read_blocks(text, "page.md")
        for block in before:
            run.do(block)
        with pytest.raises(Differs):
            run.do(last)


def test_a_page_that_is_right_passes(tmp_path: Path) -> None:
    text = """
```python
import asyncio
value = await asyncio.sleep(0, "a\\nb\\nb\\nc")
print(value, __name__)
```
<!-- output -->
```text
a
...
c __main...
```
<!-- raises: ValueError -->
```python
int(value)
```
<!-- output -->
```text
invalid literal...
```
<!-- file: folder/x.json -->
```json
{"a": 8000}
```
<!-- run -->
```bash
test "$(python -c 'import json; print(json.load(open("folder/x.json"))["a"])')" != 0
```
"""
    with PageRun(tmp_path) as run:
        for block in read_blocks(text, "page.md"):
            run.do(block)
    assert run.done == ["python", "text output", "python raises", "text output", "json file", "bash run"]
