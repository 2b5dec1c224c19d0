"""Documents of real APIs are taken whole: each operation becomes a tool whose schemas can be used, and the table of
docs/openapi.md says what each gave.

Follows: server/tools.
"""

from __future__ import annotations

import pytest

from dovetail.openapi import OpenAPIProvider
from dovetail.types import compile_schema, encode
from interop.installing import ROOT
from interop.openapi_peers import DocumentPeer, documents

HEADER = "| API | package | OpenAPI | MB | tools | with an output schema | left out | partly open | MB of the list |"


def table() -> dict[str, list[str]]:
    """The rows of the page, by API."""
    lines = (ROOT / "docs" / "openapi.md").read_text(encoding="utf-8").splitlines()
    start = lines.index(HEADER) + 2
    rows: dict[str, list[str]] = {}
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells
    return rows


def test_the_table_has_every_document() -> None:
    assert list(table()) == [each.api for each in documents()]
    assert len({each.package for each in documents()}) >= 6


@pytest.mark.timeout(300)
@pytest.mark.parametrize("peer", documents(), ids=lambda peer: peer.api)
def test_a_document_gives_what_the_table_says(peer: DocumentPeer) -> None:
    data = peer.read()
    provider = OpenAPIProvider(data, server="https://api.example.com")
    tools = [each.described for each in provider.known("tools", None) or ()]
    for tool in tools[:: 1 if len(tools) < 300 else 5]:  # all of them were, once: it takes minutes
        compile_schema(tool.input_schema)
        if tool.output_schema is not None:
            compile_schema(tool.output_schema)
    assert len({tool.name for tool in tools}) == len(tools) == len(provider.operations)
    promised = sum(tool.output_schema is not None for tool in tools)
    size = sum(len(encode(tool)) for tool in tools)
    assert max(len(encode(tool)) for tool in tools) < 64 * 1024
    row = table()[peer.api]
    version = "3.0" if b"3.0." in data[:2000] else "3.1"
    found = [
        peer.api,
        f"`{peer.package}`",
        version,
        f"{len(data) / 1e6:.1f}",
        str(len(tools)),
        str(promised),
        str(len(provider.left_out)),
        str(len(provider.left_open)),
        f"{size / 1e6:.1f}",
    ]
    assert found == row


@pytest.mark.timeout(300)
def test_what_is_left_open_is_had_by_a_higher_limit() -> None:
    (peer,) = (each for each in documents() if each.api == "Kubernetes")
    provider = OpenAPIProvider(peer.read(), server="https://api.example.com")
    assert "io.k8s.api.core.v1.PodSpec" in provider.left_open["createCoreV1NamespacedPod"]
    whole = OpenAPIProvider(peer.read(), server="https://api.example.com", max_schema=1_000_000)
    assert whole.left_open == {}
    tools = {each.described.name: each.described for each in whole.known("tools", None) or ()}
    definitions = tools["createCoreV1NamespacedPod"].input_schema["$defs"]
    assert "containers" in definitions["io.k8s.api.core.v1.PodSpec"]["properties"]
