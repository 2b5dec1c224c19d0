"""The documents of authorization, and the addresses at which they stand."""

from __future__ import annotations

import json

import pytest

from dovetail.auth.metadata import (
    MetadataInvalid,
    parse_authorization_server,
    parse_client,
    parse_protected_resource,
)
from dovetail.auth.resources import (
    authorization_server_urls,
    canonical_resource,
    origin_of,
    protected_resource_urls,
    same_issuer,
)
from dovetail.auth.strict_json import NotAnObject, read_object


@pytest.mark.requirement("R2607-AUTH-071", "R2607-AUTH-072", "R2511-AUTH-050", "R2511-AUTH-051")
@pytest.mark.parametrize(
    "written, canonical",
    [
        ("https://mcp.example.com/mcp", "https://mcp.example.com/mcp"),
        ("https://mcp.example.com", "https://mcp.example.com"),
        ("https://mcp.example.com/", "https://mcp.example.com"),
        ("HTTPS://MCP.Example.COM/Server/MCP", "https://mcp.example.com/Server/MCP"),
        ("https://mcp.example.com:443/mcp/", "https://mcp.example.com/mcp/"),
        ("https://mcp.example.com:8443", "https://mcp.example.com:8443"),
        ("http://localhost:80/mcp", "http://localhost/mcp"),
        ("http://[::1]:8000/mcp", "http://[::1]:8000/mcp"),
        ("https://a.example/mcp?tenant=1", "https://a.example/mcp?tenant=1"),
        ("https://m\u00fcller.example/mcp", "https://xn--mller-kva.example/mcp"),
    ],
)
def test_a_resource_has_one_name(written, canonical):
    assert canonical_resource(written) == canonical
    assert canonical_resource(canonical) == canonical


@pytest.mark.parametrize(
    "url",
    [
        "mcp.example.com",
        "https://mcp.example.com#x",
        "https://mcp.example.com#",
        "https://u:p@a.example",
        "https://u@a.example",
        "ftp://a.example",
        "javascript:alert(1)",
        "https://",
        "https:///mcp",
        "/mcp",
        "",
        "https://a.example:99999/",
        "https://a.example:x/",
        "https://a.example/ x",
        "https://a.example/\nx",
        "https://a.example\\@b.example",
        "https://a.example/" + "x" * 5000,
        "https://stra\u00dfe.example/mcp",  # read by some as strasse.example
        "https://a\u3002example/mcp",
        "https://\uff41.example/mcp",
        "https://a.ex\u00adample/mcp",
        "https://[v1.example]/mcp",
    ],
)
def test_what_names_no_resource(url):
    for function in (canonical_resource, protected_resource_urls, authorization_server_urls, origin_of):
        with pytest.raises(ValueError, match=r"."):
            function(url)


@pytest.mark.hostile
@pytest.mark.parametrize("path", ["/a/../b", "/..", "/./a", "/%2e%2E/a", "/a/.%2e"])
def test_an_issuer_whose_path_leads_elsewhere(path):
    """Its well-known address would be a place that whoever chose the issuer wants asked."""
    with pytest.raises(ValueError, match="dots"):
        authorization_server_urls("https://a.example" + path)


def test_where_metadata_stands():
    assert protected_resource_urls("https://a.example/public/mcp") == [
        "https://a.example/.well-known/oauth-protected-resource/public/mcp",
        "https://a.example/.well-known/oauth-protected-resource",
    ]
    assert protected_resource_urls("https://a.example/") == [
        "https://a.example/.well-known/oauth-protected-resource"
    ]
    assert authorization_server_urls("https://a.example/tenant1") == [
        "https://a.example/.well-known/oauth-authorization-server/tenant1",
        "https://a.example/.well-known/openid-configuration/tenant1",
        "https://a.example/tenant1/.well-known/openid-configuration",
    ]
    assert authorization_server_urls("https://a.example/t/") == authorization_server_urls(
        "https://a.example/t"
    )
    assert authorization_server_urls("https://a.example/") == [
        "https://a.example/.well-known/oauth-authorization-server",
        "https://a.example/.well-known/openid-configuration",
    ]
    with pytest.raises(ValueError, match="query"):
        authorization_server_urls("https://a.example?x=1")


def test_issuers_are_the_same_only_if_they_are_equal():
    assert same_issuer("https://a.example", "https://a.example")
    for other in ("https://a.example/", "https://A.example", "https://a.example:443", "http://a.example"):
        assert not same_issuer("https://a.example", other)


def test_documents_are_read():
    found = parse_authorization_server(
        json.dumps(
            {
                "issuer": "https://a.example",
                "token_endpoint": "https://a.example/token",
                "code_challenge_methods_supported": ["S256"],
                "authorization_response_iss_parameter_supported": True,
                "client_id_metadata_document_supported": True,
                "something_new": {"x": 1},
                "registration_endpoint": None,
            }
        ).encode()
    )
    assert found.token_endpoint == "https://a.example/token"
    assert found.authorization_response_iss_parameter_supported
    assert found.client_id_metadata_document_supported
    assert parse_protected_resource(b'{"resource":"https://a.example/mcp"}').authorization_servers is None
    client = parse_client(b'{"client_id":"c","client_secret":"very secret","redirect_uris":["app:/cb"]}')
    assert "very secret" not in repr(client)
    assert client.redirect_uris == ["app:/cb"]


BROKEN = [
    b"",
    b"[]",
    b"null",
    b"{",
    b'{"issuer":"https://a.example","issuer":"https://b.example"}',
    b'{"issuer":"https://a.example"} x',
    b'{"issuer":7}',
    b"{}",
    b'{"issuer":"https://a.example","token_endpoint":["https://a.example"]}',
    b'{"issuer":"https://a.example","scopes_supported":"a b"}',
    b'{"issuer":"https://a.example","x":NaN}',
    b'{"issuer":"https://a.example","x":"\\ud800"}',
    b'{"issuer":"https://a.example","x":' + b"[" * 40 + b"]" * 40 + b"}",
    b'{"issuer":"https://a.example","x":"' + b"x" * 300_000 + b'"}',
    b'{"issuer":"https://a.example","scopes_supported":[' + b'"x",' * 2000 + b'"x"]}',
    b'\xef\xbb\xbf{"issuer":"https://a.example"}',
    '{"issuer":"https://a.example"}'.encode("utf-16"),
    b"\xff",
]


@pytest.mark.hostile
@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_documents_that_can_be_read_in_two_ways_or_in_none(body):
    with pytest.raises(MetadataInvalid) as caught:
        parse_authorization_server(body)
    assert len(str(caught.value)) < 300


@pytest.mark.hostile
@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "java\nscript:alert(1)",
        " https://a.example",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "//a.example",
        "https:a.example",
        "https://",
        "https://@a.example",
        "https://a.example/\tx",
        'https://a.example/"x',
        "https://a.example\\x",
        "",
    ],
)
def test_v35_documents_name_only_web_addresses(url):
    for member in ("authorization_endpoint", "token_endpoint", "jwks_uri", "op_policy_uri"):
        body = json.dumps({"issuer": "https://a.example", member: url}).encode()
        with pytest.raises(MetadataInvalid, match=member):
            parse_authorization_server(body)
    for body in ({"resource": url}, {"resource": "https://a.example", "authorization_servers": [url]}):
        with pytest.raises(MetadataInvalid):
            parse_protected_resource(json.dumps(body).encode())
    with pytest.raises(MetadataInvalid, match="logo_uri"):
        parse_client(json.dumps({"logo_uri": url}).encode())


def test_depth_counts_no_brackets_in_texts():
    text = json.dumps({"a": '[{"\\' * 100, "b": [[1]]})
    assert read_object(text.encode(), 10_000)["b"] == [[1]]
    deep = "[" * 31 + "]" * 31
    assert read_object(f'{{"a":{deep}}}'.encode(), 10_000)
    with pytest.raises(NotAnObject, match="deep"):
        read_object(f'{{"a":[{deep}]}}'.encode(), 10_000)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 400, "-" + "9" * 41, "NaN", "Infinity", "-Infinity", "01"]
)
def test_numbers_that_nobody_reckons_with_are_no_json(number):
    """An expiry of four hundred digits is one that `float` fails at, wherever that may be."""
    with pytest.raises(NotAnObject, match=r"number|valid JSON"):
        read_object(f'{{"exp": {number}}}'.encode(), 10_000)
    assert read_object(b'{"a": 18446744073709551616, "b": 1e300}', 10_000)["a"] == 2**64
