"""The documents of `openapi_peers.toml`: packages fetched as they are, held against their digests, and read from there.

Theory of operation: like other peers a package is kept under `.cache/interop`, in a folder whose name holds a digest of
what was asked for. It is not installed: npm packs it into one file, in which the documents are found. The network is
needed once.

Follows: no page of the specification.
"""

from __future__ import annotations

import base64
import hashlib
import os
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from interop.installing import CACHE, HERE, Say, SetUpFailed, locked, node_binary, run, whole

PEERS = HERE / "openapi_peers.toml"


@dataclass(frozen=True)
class DocumentPeer:
    """One document: what its API is called, the package that carries it, and where in it."""

    api: str
    package: str
    version: str
    sha512: str
    member: str

    def read(self, say: Say = lambda _text: None) -> bytes:
        """The document. Raises `SetUpFailed` where the package can't be had, or is another one."""
        packed = package(self, say)
        with tarfile.open(packed) as archive:
            found = archive.extractfile(f"package/{self.member}")
            if found is None:
                raise SetUpFailed(f"{self.package} has no {self.member}")
            return found.read()


def documents() -> list[DocumentPeer]:
    """All of them, in the order of the file."""
    listed = tomllib.loads(PEERS.read_text(encoding="utf-8"))["packages"]
    return [
        DocumentPeer(api, each["name"], each["version"], each["sha512"], member)
        for each in listed
        for api, member in each["documents"].items()
    ]


def package(peer: DocumentPeer, say: Say) -> Path:
    """The packed package, fetched unless it is there."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    with locked(CACHE / "lock"):
        node = node_binary(say)
        npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"

        def make(folder: Path) -> None:
            folder.mkdir()
            wanted = f"{peer.package}@{peer.version}"
            path = f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"
            run(
                [str(node), str(npm), "pack", wanted, "--ignore-scripts", "--loglevel=error"],
                cwd=folder,
                path=path,
            )
            (packed,) = folder.glob("*.tgz")
            digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
            if digest != peer.sha512:
                raise SetUpFailed(f"{wanted} has the digest {digest}, not the one of {PEERS.name}")

        plain = "openapi-" + peer.package.strip("@").replace("/", "-")
        folder = whole(plain, f"{peer.package} {peer.version}\n{peer.sha512}", make, say)
    (packed,) = folder.glob("*.tgz")
    return packed
