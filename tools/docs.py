"""Build the site: the pages, a search, and a reference of every public name. ``python tools/docs.py [FOLDER]``.

Theory of operation. The pages of ``docs/`` and those beside the README are laid out in ``build/docs/source`` as they
are, links between them turned to where they lie then; a link to source code becomes its plain text, for a site has no
source tree. The orders of tested blocks (HTML comments) go; a block that is a file gets its name as a caption. Then the
reference is written (`tools/reference.py`): a page for each public package, each name with its signature, docstring
and a tested example. Sphinx makes HTML of it; any warning of its is an error, so a broken link or a docstring that
does not read ends the build.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import reference
from page_blocks import ORDER, Block
from workspace import ROOT, applications

SOURCE = ROOT / "build" / "docs" / "source"
#: Pages outside of docs/ that the site has as well, and what they are called there: also those of the applications.
BESIDE = {
    **{f"{each.path}/README.md": f"{each.path}.md" for each in applications()},
    "README.md": "readme.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
#: What stands in the contents for a page whose own title says nothing there.
TITLES = {"readme.md": "Readme <readme>"}
PICTURES = {".svg", ".png", ".webp"}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)")
PART = re.compile(r"^\*\*(?P<name>[^*]+)\*\*$")


def lay_out() -> None:
    """Copy the pages to where Sphinx reads them, links mended."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    shutil.copy(ROOT / "docs" / "conf.py", SOURCE)
    (SOURCE / "static").mkdir()
    shutil.copy(ROOT / "docs" / "site.css", SOURCE / "static")
    pages = {path: path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")}
    pages |= {ROOT / name: Path(place) for name, place in BESIDE.items()}
    for path, place in pages.items():
        (SOURCE / place).parent.mkdir(parents=True, exist_ok=True)
        (SOURCE / place).write_text(as_page(path, place, pages))
    for path in (ROOT / "docs").rglob("*"):
        if path.suffix in PICTURES:
            target = SOURCE / path.relative_to(ROOT / "docs")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
    index = SOURCE / "index.md"
    index.write_text(index.read_text() + "".join(contents(pages)))


def as_page(path: Path, place: Path, pages: dict[Path, Path]) -> str:
    """The text of a page as the site has it."""
    lines: list[str] = []
    caption = ""
    for line in path.read_text().split("\n"):
        if order := ORDER.match(line.strip()):
            caption = order["object"] if order["verb"] == "file" else ""
        elif caption:
            lines += [f"```{{code-block}} {line.strip('`')}", f":caption: {caption}", ""]
            caption = ""
        else:
            lines.append(line)

    def mended(found: re.Match[str]) -> str:
        target, _, anchor = found["target"].partition("#")
        if not target or "://" in target or target.startswith("mailto:"):
            return found[0]
        there = (path.parent / target).resolve()
        if there in pages:
            up = "../" * (len(place.parts) - 1)
            return f"[{found['text']}]({up}{pages[there].as_posix()}{'#' + anchor if anchor else ''})"
        return found[0] if found["image"] or there.suffix in PICTURES else found["text"]

    return LINK.sub(mended, "\n".join(lines))


def contents(pages: dict[Path, Path]) -> Iterator[str]:
    """The tables of contents, which the index of the site has below its own lists."""
    listed = (ROOT / "docs" / "index.md").read_text()
    part, parts, seen = "", dict[str, list[str]](), set[str]()
    for line in listed.split("\n"):
        if heading := PART.match(line.strip()):
            part = heading["name"]
        for link in LINK.finditer(line):
            there = ((ROOT / "docs") / link["target"].partition("#")[0]).resolve()
            if part and there in pages and pages[there].as_posix() not in seen:
                seen.add(pages[there].as_posix())
                parts.setdefault(part, []).append(pages[there].as_posix())
    left = sorted(place.as_posix() for place in pages.values() if place.as_posix() not in {*seen, "index.md"})
    if unlisted := [place for place in left if place not in BESIDE.values()]:
        raise SystemExit(f"docs: docs/index.md lists no {', '.join(unlisted)}")
    for name, places in parts.items():
        yield toctree(name, places)
    yield toctree("Reference", list(reference_pages()))
    yield toctree("Project", left)


def toctree(name: str, places: list[str]) -> str:
    """One table of contents."""
    lines = "\n".join(TITLES.get(place, place.rpartition(".")[0]) for place in places)
    return f"\n```{{toctree}}\n:hidden:\n:caption: {name}\n\n{lines}\n```\n"


# The reference


def reference_pages() -> Iterator[str]:
    """The pages of the reference in order: a package, then those of its classes that have a page of their own."""
    for package in reference.packages():
        yield f"reference/{package}.rst"
        yield from (f"reference/{home}.{name}.rst" for home, name in reference.SHOWN if home == package)


def write_reference() -> None:
    """A page for each public package, and one for each class that users hold in their hands."""
    folder = SOURCE / "reference"
    folder.mkdir()
    documented: dict[int, str] = {}
    for package, entries in reference.packages().items():
        about = (inspect.getdoc(reference.module(package)) or "").partition("\n\n")[0]
        lines = [*heading(f"``{package}``", "="), about, ""]
        for entry in entries:
            first = documented.setdefault(id(entry.value), entry.dotted)
            if first != entry.dotted and callable(entry.value):
                lines += [f"``{entry.name}``: see `{first}`.", ""]
            elif (package, entry.name) in reference.SHOWN:
                page = [*heading(f"``{entry.name}``", "="), *described(entry)]
                (folder / f"{entry.dotted}.rst").write_text("\n".join(page))
                lines += [f"``{entry.name}``: see :doc:`its own page <{entry.dotted}>`.", ""]
            else:
                lines += [*heading(entry.name, "-"), *described(entry), ""]
        (folder / f"{package}.rst").write_text("\n".join(lines))


def heading(title: str, line: str) -> list[str]:
    """A title and what underlines it."""
    return [title, line * len(title), ""]


def described(entry: reference.Entry) -> Iterator[str]:
    """What the reference says of one name."""
    value = entry.value
    if inspect.isclass(value):
        held = (entry.package, entry.name) in reference.SHOWN
        made = reference.made_by_users(value)
        yield f".. autoclass:: {entry.dotted}{'' if made else '()'}"
        if not held:
            yield "   :members:"
            if hidden := reference.hidden_of(value):
                yield f"   :exclude-members: {', '.join(hidden)}"
            if not made:
                yield from ("", "You are given one; how it is made is not public.")
            yield from ("", *shown(reference.example_of(entry)))
            yield from options(entry.name)
            return
        if not made:
            yield from ("", "You are given one; how it is made is not public.")
        yield from ("", *shown(reference.example_of(entry)), *options(entry.name))
        for name in reference.methods_of(value):
            kind = "attribute" if isinstance(reference.members_of(value)[name], property) else "method"
            yield from ("", *heading(name, "-"), f".. auto{kind}:: {entry.dotted}.{name}", "")
            yield from shown(reference.example_of_method(entry.name, name))
            yield from options(f"{entry.name}.{name}")
    elif inspect.isroutine(value):
        yield f".. autofunction:: {entry.dotted}"
        yield from ("", *shown(reference.example_of(entry)))
    else:
        yield f".. py:data:: {entry.dotted}"
        yield from ("", f"   ``{printed(value)}``", "", *shown(reference.example_of(entry)))


def options(call: str) -> Iterator[str]:
    """Each option of a call with its example."""
    together: dict[Block, list[str]] = {}
    for each, option in reference.option_rows():
        block = reference.example_of_option(call, option) if each == call else None
        if block is not None:
            together.setdefault(block, []).append(f"``{option}=``")
    if together:
        yield from ("", f".. rubric:: Options of ``{call}``", "")
        for each in reference.typed_options(reference.called(call)):
            yield from (inspect.getdoc(each) or "", "")
    for block, names in together.items():
        yield from shown(block, ", ".join(names))


def shown(block: Block | None, what: str = "") -> Iterator[str]:
    """A tested statement as an example; ``what``: of what."""
    if block is None:
        return
    page = Path(block.page)
    place = page.relative_to("docs").as_posix() if page.parts[0] == "docs" else BESIDE[block.page]
    name = "the README </readme>" if place == "readme.md" else f"/{place.removesuffix('.md')}"
    source = f"{what}, from :doc:`{name}`:" if what else f"From :doc:`{name}`:"
    yield from ("", source, "", ".. code-block:: python", "")
    yield from (f"   {line}".rstrip() for line in block.text.rstrip("\n").split("\n"))
    yield ""


def printed(value: Any) -> str:
    """A constant or an alias as a line of text."""
    text = " ".join(repr(value).replace("dovetail.protocol.types.", "").split())
    return text if len(text) < 300 else text[:297] + "..."


def run(folder: Path, build: Callable[..., Any] = subprocess.run) -> int:
    """Everything; gives Sphinx's exit status."""
    began = time.monotonic()
    lay_out()
    write_reference()
    sys.stdout.write(f"docs: {sum(1 for _ in SOURCE.rglob('*.*'))} files laid out, building ...\n")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-q",
        "-W",
        "--keep-going",
        "-b",
        "html",
        str(SOURCE),
        str(folder),
    ]
    status = build(command, check=False, cwd=ROOT).returncode
    if not status:
        where = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
        sys.stdout.write(f"docs: open {where}/index.html ({time.monotonic() - began:.0f} s)\n")
    return status


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "build" / "docs" / "html"))
