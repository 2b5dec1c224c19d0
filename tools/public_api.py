"""Compare the public names with the snapshot in ``tests/house/public_api.txt``, or write it anew.

A public name is one in the ``__all__`` of a package (a folder with ``__init__.py``) no part of whose dotted
name begins with an underscore. The source is read, not imported, so that a missing extra changes nothing.

    python tools/public_api.py --check
    python tools/public_api.py --write

"""

from __future__ import annotations

import ast
import difflib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
SNAPSHOT = ROOT / "tests" / "house" / "public_api.txt"
HEADER = "# The public names, package by package. Written by: python tools/public_api.py --write\n"


def exported(path: Path) -> list[str] | None:
    """The names in a file's ``__all__``, or None if there is none or it is no plain list of strings."""
    for node in ast.parse(path.read_text("utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(each, ast.Name) and each.id == "__all__" for each in targets):
            try:
                names = ast.literal_eval(getattr(node, "value", ast.Constant(None)))
            except ValueError:
                return None
            plain = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
            return sorted(names) if plain else None
    return None


def listing() -> tuple[str, list[str]]:
    """The snapshot as it should be, and what is wrong with the source."""
    lines: list[str] = []
    wrong: list[str] = []
    for path in sorted((SOURCE / "dovetail").rglob("__init__.py")):
        parts = path.parent.relative_to(SOURCE).parts
        if any(part.startswith("_") for part in parts):
            continue
        package = ".".join(parts)
        names = exported(path)
        if names is None:
            wrong.append(f"{package} has no __all__ that is a plain list of strings")
        elif len(set(names)) != len(names):
            wrong.append(f"{package} names something twice in __all__")
        lines += [f"{package}: {name}" for name in names or ()]
    return HEADER + "".join(f"{line}\n" for line in lines), wrong


def main(arguments: list[str]) -> int:
    """Check or write, as asked."""
    if arguments not in (["--check"], ["--write"]):
        print(__doc__)
        return 2
    text, wrong = listing()
    for each in wrong:
        print(f"public_api: {each}")
    if arguments == ["--write"]:
        SNAPSHOT.write_text(text, "utf-8")
        print(f"public_api: wrote {text.count(chr(10)) - 1} names")
        return 1 if wrong else 0
    old = SNAPSHOT.read_text("utf-8") if SNAPSHOT.exists() else ""
    if old != text:
        print(
            *difflib.unified_diff(
                old.splitlines(), text.splitlines(), "locked", "in the source", lineterm="", n=0
            ),
            sep="\n",
        )
        print("public_api: if this change is meant, run: python tools/public_api.py --write")
    return 1 if wrong or old != text else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
