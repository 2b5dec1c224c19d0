"""The card of a server: got, judged, and held against what the server says."""

from __future__ import annotations

import pytest
from carded import card_of, carded
from inspected import kitchen
from test_web_access import logged_in, served

from dovetail.revisions import REVISIONS
from dovetail_inspector.cards.comparing import leads_to
from dovetail_inspector.cards.fetching import LARGEST, card_address
from dovetail_inspector.views import CardView, ConnectionSettings, ServerTarget


async def connected(inspection, url, revision="auto"):
    server = inspection.add("weather", ServerTarget(url=url), ConnectionSettings(revision=revision))
    server.connect()
    await server.connected()
    assert server.view.state == "ready", server.view.error
    return server


def rules(view: CardView) -> dict[str, str]:
    return {each.rule: each.severity for each in view.notes}


def fact(view: CardView, name: str):
    return next(each for each in view.facts if each.fact == name)


@pytest.mark.parametrize("revision", ["2026-07-28", "2025-11-25"])
async def test_a_right_card_is_the_same_in_all_that_the_server_says(inspection, revision):
    async with carded() as weather:
        versions = {"supportedProtocolVersions": list(REVISIONS)}
        remote = {"type": "streamable-http", "url": weather.url, **versions}
        weather.write(card_of(weather.url, remotes=[remote]))
        server = await connected(inspection, weather.url, revision)
        view = await inspection.card(server.id)
        assert (view.state, view.status, view.url) == ("found", 200, f"{weather.url}/server-card")
        assert view.notes == []
        assert {each.fact: each.state for each in view.facts} == dict.fromkeys(
            (
                "name",
                "version",
                "title",
                "description",
                "websiteUrl",
                "remotes",
                "supportedProtocolVersions",
            ),
            "same",
        )
        assert view.content["remotes"] == [remote]


async def test_it_is_asked_for_without_credentials_and_as_a_page_would(inspection):
    async with carded() as weather:
        target = ServerTarget(url=weather.url, headers={"Authorization": "Bearer hidden", "X-Key": "hidden"})
        server = inspection.add("weather", target)
        view = await inspection.card(server.id)
        assert view.state == "found"
        assert view.facts == []
        assert "Connect" in view.message
        assert len(weather.asked) == 3
        for each in weather.asked:
            assert each["accept"] == "application/mcp-server-card+json"
            assert "hidden" not in str(each)
        assert ["origin" in each for each in weather.asked] == [False, True, False]
        assert weather.asked[2]["if-none-match"] == '"1"'


async def test_what_differs_and_what_only_one_says(inspection):
    async with carded() as weather:
        server = await connected(inspection, weather.url)
        weather.write(
            card_of(
                weather.url,
                name="org.other/rain",
                version="1.3.0",
                title=None,
                icons=[{"src": "https://example.com/a.png"}],
                remotes=[
                    {"type": "sse", "url": weather.url},
                    {"type": "streamable-http", "url": "https://elsewhere.example/mcp"},
                ],
                tools=[{"name": "forecast"}, {"name": "tide"}],
                capabilities={"tools": {}, "prompts": {}},
            )
        )
        view = await inspection.card(server.id)
        states = {each.fact: each.state for each in view.facts}
        assert states["name"] == states["version"] == states["remotes"] == states["tools"] == "differs"
        assert (fact(view, "version").card, fact(view, "version").server) == ("1.3.0", "1.2.0")
        assert states["title"] == states["icons"] == "missing"
        assert fact(view, "title").note == "the card says nothing of it"
        assert fact(view, "icons").note == "the server says nothing of it"
        assert "another transport" in fact(view, "remotes").note
        assert fact(view, "tools").note == "tide: only the card names it"
        assert states["capabilities"] == "differs"
        assert fact(view, "capabilities").card == ["prompts", "tools"]
        assert rules(view)["card-primitives"] == "warning"


async def test_a_name_without_its_namespace_and_a_place_that_is_not_in_the_card(inspection):
    async with carded() as weather:
        server = await connected(inspection, weather.url)
        weather.write(card_of(weather.url, name="x/com.example/weather", remotes=[]))
        view = await inspection.card(server.id)
        assert "namespace" in fact(view, "name").note
        assert fact(view, "remotes").state == "missing"
        elsewhere = {"type": "streamable-http", "url": "https://elsewhere.example/mcp"}
        weather.write(card_of(weather.url, remotes=[elsewhere]))
        found = fact(await inspection.card(server.id), "remotes")
        assert found.state == "differs"
        assert found.card == [elsewhere]


@pytest.mark.parametrize(
    "versions, state, words",
    [
        (["2025-11-25"], "differs", "2026-07-28 is spoken"),
        (["2026-07-28", "2099-01-01"], "differs", "2099-01-01: only the card names it"),
        (
            ["2026-07-28"],
            "missing",
            "2025-11-25, 2025-06-18, 2025-03-26, 2024-11-05: only the server names it",
        ),
        ([*REVISIONS], "same", ""),
    ],
)
async def test_the_revisions_of_the_card_are_those_that_the_server_discovers(
    inspection, versions, state, words
):
    async with carded() as weather:
        server = await connected(inspection, weather.url, "2026-07-28")
        remote = {"type": "streamable-http", "url": weather.url, "supportedProtocolVersions": versions}
        weather.write(card_of(weather.url, remotes=[remote]))
        found = fact(await inspection.card(server.id), "supportedProtocolVersions")
        assert (found.state, words in found.note) == (state, True)
        assert bool(found.note) == bool(words)


@pytest.mark.parametrize(
    "change, rule, severity",
    [
        ({"$schema": None}, "card-schema", "error"),
        ({"$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/x"}, "card-schema", "error"),
        ({"name": "weather"}, "card-schema", "error"),
        ({"description": "x" * 101}, "card-schema", "error"),
        ({"remotes": [{"type": "stdio", "url": "https://a.example/mcp"}]}, "card-schema", "error"),
        ({"remotes": [{"type": "sse", "url": "ftp://a.example/mcp"}]}, "card-schema", "error"),
        ({"icons": [{"src": "no address"}]}, "card-schema", "error"),
        ({"version": "^1.2"}, "card-version", "error"),
        ({"version": "1.x"}, "card-version", "error"),
        ({"version": "summer"}, "card-version", "hint"),
        ({"title": "a\u202eb"}, "card-hidden", "warning"),
        ({"remotes": [{"type": "sse", "url": "https://{who}.example/mcp"}]}, "card-variable", "warning"),
        ({"remotes": [{"type": "sse", "url": "https://10.1.2.3/mcp"}]}, "card-private", "warning"),
        ({"remotes": [{"type": "sse", "url": "https://intranet/mcp"}]}, "card-private", "warning"),
        (
            {
                "remotes": [
                    {
                        "type": "sse",
                        "url": "https://a.example/mcp",
                        "headers": [{"name": "X-Key", "isSecret": True, "value": "abc"}],
                    }
                ]
            },
            "card-secret",
            "error",
        ),
        ({"prompts": []}, "card-primitives", "warning"),
    ],
)
async def test_what_a_card_gets_wrong_is_found(inspection, change, rule, severity):
    async with carded() as weather:
        server = inspection.add("weather", ServerTarget(url=weather.url))
        weather.write(card_of(weather.url, **change))
        assert rules(await inspection.card(server.id)) == {rule: severity}


@pytest.mark.parametrize(
    "headers, found",
    [
        ({"content-type": "application/json"}, {"card-type": "warning"}),
        ({"access-control-allow-origin": "https://a.example"}, {"card-cors": "error"}),
        ({"cache-control": None}, {"card-cache": "hint"}),
        ({"etag": None}, {"card-etag": "hint"}),
        ({"access-control-expose-headers": None}, {"card-expose": "warning"}),
    ],
)
async def test_how_a_card_is_served_is_judged(inspection, headers, found):
    async with carded() as weather:
        server = inspection.add("weather", ServerTarget(url=weather.url))
        weather.headers = {name: each for name, each in {**weather.headers, **headers}.items() if each}
        assert rules(await inspection.card(server.id)) == found


@pytest.mark.parametrize(
    "body, rule",
    [
        (b"<html>", "card-json"),
        (b"\xff", "card-json"),
        (b"[" * 70 + b"]" * 70, "card-json"),
        (b"[1]", "card-schema"),
        (b"null", "card-schema"),
    ],
)
async def test_what_is_no_card_costs_nothing_but_itself(inspection, body, rule):
    async with carded() as weather:
        server = await connected(inspection, weather.url)
        weather.body = body
        view = await inspection.card(server.id)
        assert view.state == "found"
        assert set(rules(view)) == {rule}
        assert view.facts == []


@pytest.mark.parametrize(
    "status, state, words",
    [(404, "absent", "no card here"), (401, "failed", "without credentials"), (500, "failed", "answers 500")],
)
async def test_a_server_without_a_card_says_so(inspection, status, state, words):
    async with carded() as weather:
        server = inspection.add("weather", ServerTarget(url=weather.url))
        weather.status = status
        view = await inspection.card(server.id)
        assert (view.state, view.status) == (state, status)
        assert words in view.message
        assert len(weather.asked) == 1


async def test_a_card_that_is_too_long_or_leads_elsewhere_is_not_read(inspection):
    async with carded() as weather:
        server = inspection.add("weather", ServerTarget(url=weather.url))
        weather.body = b" " * (LARGEST + 1)
        view = await inspection.card(server.id)
        assert (view.state, str(LARGEST) in view.message) == ("failed", True)
        weather.status, weather.body = 302, b""
        weather.headers["location"] = "http://127.0.0.1:1/server-card"
        view = await inspection.card(server.id)
        assert (view.state, "another origin" in view.message) == ("failed", True)


async def test_a_server_that_is_started_has_none_and_one_elsewhere_is_found_by_its_address(
    inspection, tmp_path
):
    server = await kitchen(inspection, tmp_path)
    assert (await inspection.card(server.id)).state == "local"
    async with (
        carded() as weather,
        served(inspection) as (address, access),
        logged_in(address, access) as session,
    ):
        there = await connected(inspection, weather.url)
        path = f"/api/servers/{there.id}/card"
        async with session.post(path, json={"url": f"{weather.url}/other/server-card"}) as answer:
            found = await answer.json()
        assert found["url"].endswith("/other/server-card")
        assert found["state"] == "found"
        assert found["facts"][0] == {
            "fact": "name",
            "state": "same",
            "card": "com.example/weather",
            "server": "com.example/weather",
            "note": "",
        }
        async with session.get(path) as answer:
            assert answer.status == 405
        async with session.post("/api/servers/s9/card", json={}) as answer:
            assert answer.status == 404


@pytest.mark.parametrize(
    "endpoint, address",
    [
        ("https://a.example/mcp", "https://a.example/mcp/server-card"),
        ("https://a.example/mcp/?key=1#x", "https://a.example/mcp/server-card"),
        ("https://a.example", "https://a.example/server-card"),
    ],
)
def test_the_usual_place_is_below_the_endpoint(endpoint, address):
    assert card_address(endpoint) == address


@pytest.mark.parametrize(
    "template, url, there",
    [
        ("https://{tenant}.example.com/mcp", "https://ann.example.com/mcp", True),
        ("https://{tenant}.example.com/mcp", "https://ann/x.example.com/mcp", False),
        ("{base}/mcp", "https://ann.example.com/mcp/", True),
        ("https://a.example/mcp", "https://a.example/mcp/", True),
        ("https://a.example/mcp", "https://aXexample/mcp", False),
        (7, "https://a.example/mcp", False),
    ],
)
def test_an_address_with_variables_leads_to_a_server(template, url, there):
    assert leads_to(template, url) is there
