"""A server with skills, whatever stands in their files and whatever their entries say of them."""

from __future__ import annotations

import hashlib
from copy import deepcopy
from typing import Annotated, Any

from dovetail import App, InvalidParams
from dovetail.extensions import Extension, ExtensionMethod

__all__ = ["GIT", "PDF", "Skilled", "entry_of"]

GIT = "skill://git-workflow/SKILL.md"
PDF = "skill://acme/pdf-processing/SKILL.md"
TEXTS = {
    GIT: "---\nname: git-workflow\ndescription: How this team commits\nlicense: MIT\n---\n\n# Git\n\nCommit often.\n",
    PDF: (
        "---\nname: pdf-processing\ndescription: >-\n  Work with\n  documents\nmetadata:\n"
        "  version: '2.1'\n  since: 2024-01-01\n---\n\nSee references/FORMS.md.\n"
    ),
    "skill://acme/pdf-processing/references/FORMS.md": "# Forms\n",
    "skill://acme/pdf-processing/scripts/extract.py": "print('never run here')\n",
}
FRONTMATTER: dict[str, dict[str, Any]] = {
    GIT: {"name": "git-workflow", "description": "How this team commits", "license": "MIT"},
    PDF: {
        "name": "pdf-processing",
        "description": "Work with documents",
        "metadata": {"version": "2.1", "since": "2024-01-01"},
    },
}


def entry_of(files: dict[str, str], uri: str, frontmatter: dict[str, Any]) -> dict[str, Any]:
    """The entry that a skill has to have."""
    root = uri.removesuffix("SKILL.md")
    return {
        "uri": uri,
        "frontmatter": frontmatter,
        "resources": [
            {
                "uri": each,
                "digest": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}",
                "size": len(text.encode()),
            }
            for each, text in files.items()
            if each.startswith(root)
        ],
    }


class Skilled:
    """The server. ``files``: their texts; ``skills``: the entries, in pages of ``page``; ``unlisted``: entries that are
    in no list; ``read``: what was read.
    """

    def __init__(self, *, directories: bool = True) -> None:
        self.files = dict(TEXTS)
        self.skills: list[Any] = [
            entry_of(self.files, uri, deepcopy(said)) for uri, said in FRONTMATTER.items()
        ]
        self.unlisted: list[Any] = []
        self.page = 1
        self.endless = False
        self.beside: dict[str, Any] = {"ttlMs": 1000, "cacheScope": "public"}
        self.read: list[str] = []
        self.app = App("skilled", extensions=[self._extension(directories=directories)])
        self.app.add_resource(self._file, uri="skill://{+path}", mime_type="text/markdown")

    def _extension(self, *, directories: bool) -> Extension:
        methods = [
            ExtensionMethod(name="skills/list", handler=self._list, repeatable=True),
            ExtensionMethod(name="skills/get", handler=self._get, repeatable=True),
            ExtensionMethod(name="resources/directory/read", handler=self._directory, repeatable=True),
        ]
        return Extension(
            identifier="io.modelcontextprotocol/skills",
            settings={"directoryRead": True} if directories else {},
            methods=methods[: 3 if directories else 2],
        )

    def _list(self, cursor: str = "0") -> dict[str, Any]:
        at = int(cursor)
        end = at + self.page
        more = {"nextCursor": str(end)} if end < len(self.skills) else {}
        if self.endless:
            more = {"nextCursor": cursor}
        return {"skills": self.skills[at:end], **more, **self.beside}

    def _get(self, uri: str) -> dict[str, Any]:
        for each in [*self.skills, *self.unlisted]:
            if isinstance(each, dict) and each.get("uri") == uri:
                return {"skill": each, **self.beside}
        raise InvalidParams(f"no skill is served at {uri}")

    def _directory(self, uri: Annotated[str, "of the directory"]) -> dict[str, Any]:
        below = [each.removeprefix(f"{uri}/") for each in self.files if each.startswith(f"{uri}/")]
        if not below:
            raise InvalidParams(f"{uri} is no directory")
        children = dict.fromkeys(each.partition("/")[0] for each in below)
        return {
            "resources": [
                {
                    "uri": f"{uri}/{each}",
                    "name": each,
                    "mimeType": "text/plain" if each in below else "inode/directory",
                }
                for each in children
            ]
        }

    def _file(self, path: str) -> str:
        self.read.append(f"skill://{path}")
        return self.files[f"skill://{path}"]


app = Skilled().app

if __name__ == "__main__":
    app.run()
