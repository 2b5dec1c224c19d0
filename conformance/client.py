"""The client that the client scenarios of the conformance suite drive: ``python conformance/client.py URL``.

The suite serves a scenario at the URL and says by the environment which: ``MCP_CONFORMANCE_SCENARIO``, and for some
``MCP_CONFORMANCE_CONTEXT``, a JSON object with what the client is to use. The client finds out by itself what the
server speaks. Exit status 0: everything went as a client's author would expect; else a message says what did not.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from dovetail import Client
from dovetail.auth.login import (
    ClientCredentials,
    EnterpriseManaged,
    MemoryTokens,
    OAuth,
    WorkloadIdentity,
    discover_login,
)
from dovetail.client import Accept, Decline, ElicitRequest

# No client of ours knows skills, so these scenarios end before anything is sent.
UNSERVED = ("sep-2640-",)
# What the suite calls the document of its client; used only where the authorization server takes such documents.
CLIENT_DOCUMENT = "https://conformance-test.local/client-metadata.json"


def context() -> dict[str, Any]:
    """What the scenario gives the client to use."""
    return json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))


async def greet(url: str) -> None:
    """Connect, which is all that the server of this scenario offers."""
    async with Client(url) as client:
        print(f"{client.server_info} speaks {client.revision}")


async def list_tools(url: str) -> None:
    """Connect and see what there is."""
    async with Client(url) as client:
        async for tool in client.tools():
            print(f"tool {tool.name}")


async def call_add_numbers(url: str) -> None:
    """Call a tool with two numbers."""
    async with Client(url) as client:
        assert "add_numbers" in [tool.name async for tool in client.tools()]
        result = await client.call_tool("add_numbers", {"a": 5, "b": 3})
        print(result.raise_on_error().text)


async def accept_suggestions(url: str) -> None:
    """Accept a form without touching it: the client fills in what the server suggested."""

    async def accept(request: ElicitRequest) -> Accept:
        print(f"asked: {request.message}")
        return Accept({})

    async with Client(url, elicitation=accept) as client:
        result = await client.call_tool("test_client_elicitation_defaults")
        print(result.raise_on_error().text)


async def call_across_reconnection(url: str) -> None:
    """Call a tool whose server lets go of the connection before it answers."""
    async with Client(url) as client:
        result = await client.call_tool("test_reconnection")
        print(result.raise_on_error().text)


async def declare_everything(url: str) -> None:
    """Declare every capability, so that the server sees how each is declared."""

    async def decline(_: ElicitRequest) -> Decline:
        return Decline()

    async def sample(_: Any) -> str:
        return "Nothing to say"

    async with Client(url, elicitation=decline, sampling=sample, roots=[]) as client:
        print(f"{client.server_info} speaks {client.revision}")


async def use_all_named(url: str) -> None:
    """Call each tool, read each resource and get each prompt, so that every name travels in a header."""
    async with Client(url) as client:
        for tool in [tool async for tool in client.tools()]:
            await client.call_tool(tool.name)
        for resource in [resource async for resource in client.resources()]:
            await client.read(resource.uri)
        for prompt in [prompt async for prompt in client.prompts()]:
            await client.get_prompt(prompt.name)


async def mirror_parameters(url: str) -> None:
    """Make the calls of the context; the tools want some of the arguments repeated in headers."""
    async with Client(url) as client:
        assert [tool.name async for tool in client.tools()]
        for call in context()["toolCalls"]:
            result = await client.call_tool(call["name"], call["arguments"])
            result.raise_on_error()


async def call_whatever_is_left(url: str) -> None:
    """Call every tool that the client offers: those with invalid header names it has dropped."""
    async with Client(url) as client:
        names = [tool.name async for tool in client.tools()]
        assert names == ["valid_tool"], f"the client offers {names}"
        await client.call_tool("valid_tool", {"region": "us-west1"})


async def answer_in_rounds(url: str) -> None:
    """Answer what the server asks between the rounds of a call, while another call goes on."""

    async def confirm(_: ElicitRequest) -> Accept:
        return Accept({"confirmed": True})

    async with Client(url, elicitation=confirm) as client:
        assert [tool.name async for tool in client.tools()]
        calls = (
            "test_mrtr_echo_state",
            "test_mrtr_unrelated",
            "test_mrtr_no_state",
            "test_mrtr_no_result_type",
        )
        for result in await asyncio.gather(*(client.call_tool(name) for name in calls)):
            print(result.raise_on_error().text)


async def give_schema_back(url: str) -> None:
    """Send a tool's input schema back as it came."""
    async with Client(url) as client:
        tools = {tool.name: tool async for tool in client.tools()}
        schema = tools["json_schema_2020_12_tool"].input_schema
        result = await client.call_tool("json_schema_echo", {"schema": schema})
        print(result.raise_on_error().text)


async def browse(url: str) -> bool:
    """Be the person's browser: the suite's login page sends it on at once."""
    import aiohttp  # which takes longer to import than a client without it; few scenarios have a login page

    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.ok


async def use(url: str, auth: Any) -> None:
    """List the tools and call the one there is, with these credentials."""
    async with Client(url, auth=auth) as client:
        names = [tool.name async for tool in client.tools()]
        for name in names:
            result = await client.call_tool(name, {})
            print(result.raise_on_error().text)


async def log_in(url: str) -> None:
    """Log in in a browser, as the server demands it."""
    await use(
        url,
        OAuth(open_browser=browse, tokens=MemoryTokens(), client_metadata_url=CLIENT_DOCUMENT, timeout=15),
    )


async def log_in_bound(url: str) -> None:
    """Log in with tokens that are bound to a key."""
    await use(url, OAuth(open_browser=browse, tokens=MemoryTokens(), dpop=True, timeout=15))


async def log_in_as_known(url: str) -> None:
    """Log in as a client that the authorization server knows from beforehand.

    Whoever has such credentials knows whom they are for; the suite does not say, so its own server is asked.
    """
    given, issuer = context(), (await discover_login(url)).issuer
    await use(
        url,
        OAuth(
            client_id=given["client_id"],
            client_secret=given["client_secret"],
            issuer=issuer,
            open_browser=browse,
            tokens=MemoryTokens(),
        ),
    )


async def be_let_in_by_key(url: str) -> None:
    """Get in as a program, with a key."""
    given, issuer = context(), (await discover_login(url)).issuer
    await use(
        url,
        ClientCredentials(given["client_id"], issuer=issuer, private_key=given["private_key_pem"]),
    )


async def be_let_in_by_secret(url: str) -> None:
    """Get in as a program, with a secret."""
    given, issuer = context(), (await discover_login(url)).issuer
    await use(url, ClientCredentials(given["client_id"], issuer=issuer, client_secret=given["client_secret"]))


async def be_let_in_by_company(url: str) -> None:
    """Get in by the company's identity provider."""
    given, issuer = context(), (await discover_login(url)).issuer
    await use(
        url,
        EnterpriseManaged(
            given["client_id"],
            client_secret=given["client_secret"],
            issuer=issuer,
            idp_issuer=given["idp_issuer"],
            idp_token_endpoint=given["idp_token_endpoint"],
            idp_client_id=given["idp_client_id"],
            subject_token=given["idp_id_token"],
        ),
    )


async def be_let_in_by_platform(url: str) -> None:
    """Get in as a workload, with the token of its platform."""
    given, issuer = context(), (await discover_login(url)).issuer
    await use(url, WorkloadIdentity(given["client_id"], issuer=issuer, assertion=given["valid_jwt"]))


SCENARIOS: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "initialize": greet,
    "tools_call": call_add_numbers,
    "elicitation-sep1034-client-defaults": accept_suggestions,
    "sse-retry": call_across_reconnection,
    "request-metadata": declare_everything,
    "http-standard-headers": use_all_named,
    "http-custom-headers": mirror_parameters,
    "http-invalid-tool-headers": call_whatever_is_left,
    "sep-2322-client-request-state": answer_in_rounds,
    "json-schema-ref-no-deref": list_tools,
    "json-schema-2020-12-preservation": give_schema_back,
    "auth/pre-registration": log_in_as_known,
    "auth/client-credentials-jwt": be_let_in_by_key,
    "auth/client-credentials-basic": be_let_in_by_secret,
    "auth/cross-app-access-complete-flow": be_let_in_by_company,
    "auth/enterprise-managed-authorization": be_let_in_by_company,
    "auth/dpop": log_in_bound,
    "auth/dpop-nonce": log_in_bound,
    "auth/wif-jwt-bearer": be_let_in_by_platform,
}


if __name__ == "__main__":
    scenario = os.environ.get("MCP_CONFORMANCE_SCENARIO", "")
    if scenario.startswith(UNSERVED):
        sys.exit(f"{scenario}: not possible yet, this client does not know skills")
    perform = SCENARIOS.get(scenario) or (log_in if scenario.startswith("auth/") else None)
    if perform is None or len(sys.argv) != 2:
        sys.exit(
            f"usage: MCP_CONFORMANCE_SCENARIO=NAME {sys.argv[0]} URL, with NAME one of {', '.join(SCENARIOS)}"
        )
    asyncio.run(perform(sys.argv[1]))
