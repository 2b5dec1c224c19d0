"""Write the pinned, hashed requirement files under ``constraints/``.

Theory of operation: pip itself resolves (``pip install --dry-run --report``), so the lock is what pip would
install. A report holds one hash per package, that of the file chosen for this interpreter; the lock has to
install on other Python versions and platforms as well, so the hashes of *every* usable file of the chosen
version are read from the index, through pip's own session and configuration. No index address is known
here, and none is written.

Run it with the lowest supported Python: what only newer ones leave out is harmless, the other way round is
not.

    python tools/lock.py

"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from workspace import ROOT, applications

# The largest first: the others take its versions, so that one environment can hold them all.
GROUPS = ("dev", "demo")
LOWEST = (3, 11)
# Interpreter and ABI tags of a wheel that CPython 3.11 to 3.14 with the GIL can use.
INTERPRETERS = re.compile(r"^(py2\.py3|py3|py311|py3\d*|cp3(1[1-4])|cp3\d+(?=-abi3))")
ABIS = re.compile(r"^(none|abi3|cp31[1-4])$")
PLATFORMS = re.compile(r"^(any|.*manylinux.*(x86_64|aarch64).*|macosx_.*|win_amd64)$")


def normal(name: str) -> str:
    """The name of a package as the index spells it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def group_requirements(project: dict[str, Any], group: str) -> list[str]:
    """The third-party requirements of a dependency group, with our own extras opened up.

    What is ours is left out: it is installed from the tree, after its requirements.
    """
    found: list[str] = []
    for item in project["dependency-groups"][group]:
        if isinstance(item, dict):
            found += group_requirements(project, item["include-group"])
        else:
            found += opened(project, item)
    return list(dict.fromkeys(found))


def opened(project: dict[str, Any], requirement: str) -> list[str]:
    """A requirement, or in place of one of the library, with extras or without, what these ask for."""
    own = re.fullmatch(r"dovetail(?:\[([^\]]+)\])?(?:==[\w.]+)?", requirement)
    if own is None:
        return [requirement]
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    found: list[str] = list(project["project"]["dependencies"])
    for extra in (own.group(1) or "").split(","):
        found += extras[extra.strip()] if extra else ()
    return found


def requirements_of_applications(project: dict[str, Any]) -> list[str]:
    """What the applications ask for besides each other. They are set up with every group, from one lock."""
    ours = {normal(each.name) for each in applications()}
    asked = [each for app in applications() for each in app.declared["project"].get("dependencies", ())]
    others = [each for each in asked if normal(re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0]) not in ours]
    return [each for one in others for each in opened(project, one)]


def resolve(requirements: list[str], agreed: dict[str, str]) -> dict[str, str]:
    """Ask pip for one consistent set of versions, package name to version, within those agreed already."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        pins = Path(scratch) / "pins.txt"
        pins.write_text("".join(f"{name}=={version}\n" for name, version in agreed.items()))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        command += ["--constraint", str(pins), "--report", str(report)]
        subprocess.run([*command, *requirements], check=True)
        packages = json.loads(report.read_text())["install"]
    return {normal(each["metadata"]["name"]): each["metadata"]["version"] for each in packages}


def fits(filename: str) -> bool:
    """Whether a wheel's tags are among those the lock serves."""
    tags = filename.removesuffix(".whl").split("-")[-3:]
    python, abi, platform = tags
    return bool(INTERPRETERS.match(f"{python}-{abi}") and ABIS.match(abi) and PLATFORMS.match(platform))


class Index:
    """The package index, seen through pip: addresses, credentials and certificates stay pip's business."""

    def __init__(self) -> None:
        from pip._internal.commands import create_command
        from pip._internal.index.collector import LinkCollector

        command: Any = create_command("download")
        options, _ = command.parser.parse_args([])
        self.links: Any = LinkCollector.create(command._build_session(options), options=options)

    def hashes(self, name: str, version: str) -> list[str]:
        """The sha256 digests of every usable file of one release, sorted.

        Wheels only, unless the release has none that fits.

        Raises:
            SystemExit: the index names no file with a digest for this release.
        """
        from pip._internal.index.collector import parse_links
        from pip._internal.models.link import Link

        wheels: set[str] = set()
        sources: set[str] = set()
        for address in self.links.search_scope.get_index_urls_locations(name):
            if address.startswith("file:"):
                continue  # a folder of this machine is nobody else's index
            page = self.links.fetch_response(Link(address))
            for link in parse_links(page) if page else ():
                digest = link.hash if link.hash_name == "sha256" else None
                if digest is None or link.is_yanked:
                    continue
                if link.is_wheel:
                    parts = link.filename.split("-")
                    if normal(parts[0]) == name and parts[1] == version and fits(link.filename):
                        wheels.add(digest)
                elif normal(link.filename) == normal(f"{name}-{version}.tar.gz"):
                    sources.add(digest)
        if not (wheels or sources):
            raise SystemExit(f"lock: the index has no file with a digest for {name} {version}")
        return sorted(wheels or sources)


def render(group: str, requirements: list[str], versions: dict[str, str], index: Index) -> str:
    """The text of one constraints file."""
    markers = {
        normal(re.split(r"[\[<>=!~; ]", each, maxsplit=1)[0]): each.partition(";")[2].strip()
        for each in requirements
    }
    lines = [
        f"# The dependency group {group!r} of pyproject.toml, and what apps/ need: pinned, with the digests of all",
        "# usable files.",
        "# Written by tools/lock.py; do not edit by hand.",
        "# Install with: pip install --require-hashes -r <this file>",
    ]
    for name in sorted(versions):
        marker = f" ; {markers[name]}" if markers.get(name) else ""
        lines.append(f"{name}=={versions[name]}{marker} \\")
        digests = index.hashes(name, versions[name])
        lines += [f"    --hash=sha256:{digest} \\" for digest in digests]
        lines[-1] = lines[-1].removesuffix(" \\")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the constraints file of each group."""
    if sys.version_info[:2] != LOWEST:
        print(
            f"lock: run this with Python {LOWEST[0]}.{LOWEST[1]}, the lowest version supported",
            file=sys.stderr,
        )
        return 2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    index = Index()
    agreed: dict[str, str] = {}
    for group in GROUPS:
        ours = [*group_requirements(project, group), *requirements_of_applications(project)]
        requirements = list(dict.fromkeys(ours))
        versions = resolve(requirements, agreed)
        agreed |= versions
        target = ROOT / "constraints" / f"{group}.txt"
        target.parent.mkdir(exist_ok=True)
        target.write_text(render(group, requirements, versions, index))
        print(f"{target.relative_to(ROOT)}: {len(versions)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
