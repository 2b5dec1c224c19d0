"""The everything server: what the server scenarios of the conformance suite ask for, and nothing they do not.

    python conformance/server.py --port 8000     HTTP on the loopback, at /mcp
    python conformance/server.py --stdio         standard input and output

With ``CLUSTER_STORE`` in the environment it keeps everything there, as one of several workers does.

Each tool, resource and prompt is a fixture whose name and words the suite prescribes; every default is on. One body
serves both eras: what it asks goes out as a request in one and as an input-required result in the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from dataclasses import asdict
from typing import Annotated, Any

from fixtures import (
    CHOICES,
    PNG,
    SCHEMA_2020_12,
    WAV,
    Account,
    Color,
    Confirmation,
    Deletion,
    Person,
    PromptContext,
    Suggested,
)

from dovetail import (
    App,
    Ask,
    Audio,
    Context,
    Declined,
    Dismissed,
    Elicit,
    EmbeddedResource,
    File,
    Form,
    Header,
    Image,
    InternalError,
    PromptMessage,
    ResourceContents,
    Roots,
    Sample,
    TextContent,
    ToolError,
    user,
)
from dovetail.extensions.tasks import tasks
from dovetail.stores import PostgresStore, RedisStore, SQLiteStore, Store


def shared_store() -> Store | None:
    """The store that the environment names; None where this process is the only one."""
    place = os.environ.get("CLUSTER_STORE", "")
    if place.startswith("redis://"):
        return RedisStore(place)
    return (
        PostgresStore(place) if place.startswith("postgresql://") else SQLiteStore(place) if place else None
    )


app = App(
    "dovetail-everything",
    store=shared_store(),
    extensions=[tasks()],
    title="Dovetail conformance server",
    instructions="Every tool here is a fixture of the conformance suite.",
)


# Tools: what they return


@app.tool
async def test_simple_text() -> str:
    """Return a text."""
    return "This is a simple text response for testing."


@app.tool
async def test_image_content() -> Image:
    """Return a picture of one pixel."""
    return Image(PNG)


@app.tool
async def test_audio_content() -> Audio:
    """Return a short silence."""
    return Audio(WAV)


@app.tool
async def test_embedded_resource() -> File:
    """Return a resource embedded in the result."""
    text = b"This is an embedded resource content."
    return File(text, uri="test://embedded-resource", mime_type="text/plain")


@app.tool
async def test_multiple_content_types() -> list[TextContent | Image | File]:
    """Return text, a picture and a resource together."""
    data = json.dumps({"test": "data", "value": 123}).encode()
    return [
        TextContent(text="Multiple content types test:"),
        Image(PNG),
        File(data, uri="test://mixed-content-resource", mime_type="application/json"),
    ]


@app.tool
async def test_error_handling() -> str:
    """Fail, in a way that the model may read."""
    raise ToolError("This tool intentionally returns an error for testing")


@app.tool(input_schema=SCHEMA_2020_12)
async def json_schema_2020_12_tool(arguments: dict[str, Any]) -> str:
    """Take arguments described with the whole vocabulary of JSON Schema 2020-12."""
    return f"Received {', '.join(sorted(arguments))}"


@app.tool
async def test_header_parameter(region: Annotated[str, Header("Region")]) -> str:
    """Take an argument that clients repeat in the header Mcp-Param-Region."""
    return f"Region: {region}"


# Tools: what they tell while they run


@app.tool
async def test_tool_with_logging(ctx: Context) -> str:
    """Send three log messages."""
    await ctx.log("info", "Tool execution started")
    await asyncio.sleep(0.05)
    await ctx.log("info", "Tool processing data")
    await asyncio.sleep(0.05)
    await ctx.log("info", "Tool execution completed")
    return "Tool with logging executed"


@app.tool
async def test_logging_tool(ctx: Context) -> str:
    """Send a log message, which arrives only if the request asked for logs."""
    await ctx.log("info", "This is for those who asked")
    return "Logged"


@app.tool
async def test_tool_with_progress(ctx: Context) -> str:
    """Report progress three times."""
    for done in (0, 50, 100):
        if done:
            await asyncio.sleep(0.05)
        await ctx.progress(done, 100, f"Completed step {done} of 100")
    return "Tool with progress executed"


@app.tool
async def test_reconnection(ctx: Context) -> str:
    """Let go of the connection half-way; the client comes back for the result."""
    await ctx.close_stream(retry=0.1)
    await asyncio.sleep(0.1)
    return "Reconnection test completed"


# Tools: what they ask


async def answered(ctx: Context, message: str, form: Any) -> str:
    """What came of a question, the person's refusal included."""
    try:
        answer = await ctx.elicit(message, form)
    except Declined:
        return "action=decline"
    except Dismissed:
        return "action=cancel"
    content = answer if isinstance(answer, dict) else asdict(answer)
    return f"action=accept, content={json.dumps(content)}"


@app.tool
async def test_sampling(prompt: str, ctx: Context) -> str:
    """Put a prompt to the client's model."""
    message = await ctx.sample(prompt, max_tokens=100)
    return f"LLM response: {text_of(message.content)}"


@app.tool
async def test_elicitation(message: str, ctx: Context) -> str:
    """Ask for an account."""
    return f"User response: {await answered(ctx, message, Account)}"


@app.tool
async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
    """Ask with a suggestion in every field."""
    return f"Elicitation completed: {await answered(ctx, 'Please review the suggested values', Suggested)}"


@app.tool
async def test_elicitation_sep1330_enums(ctx: Context) -> str:
    """Ask for choices in each of their spellings."""
    return f"Elicitation completed: {await answered(ctx, 'Please choose', CHOICES)}"


@app.tool
async def test_missing_capability(ctx: Context) -> str:
    """Need the client's model; a client that does not lend it is told so."""
    message = await ctx.sample("Say hello", max_tokens=20)
    return text_of(message.content)


@app.tool
async def test_streaming_elicitation(ctx: Context) -> str:
    """Report progress, then ask."""
    await ctx.progress(1, 2, "About to ask")
    person = await ctx.elicit("What is your name?", Person, key="user_name")
    return f"Hello, {person.name}!"


@app.tool
async def test_input_required_result_elicitation(ctx: Context) -> str:
    """Greet the person by the name that they give."""
    person = await ctx.elicit("What is your name?", Person, key="user_name")
    return f"Hello, {person.name}!"


@app.tool
async def test_input_required_result_sampling(ctx: Context) -> str:
    """Ask the client's model about France."""
    message = await ctx.sample("What is the capital of France?", max_tokens=100, key="capital_question")
    return text_of(message.content)


@app.tool
async def test_input_required_result_list_roots(ctx: Context) -> str:
    """Name the client's roots."""
    roots = await ctx.roots(key="client_roots")
    return ", ".join(f"{root.name or 'unnamed'} ({root.uri})" for root in roots)


@app.tool
async def test_input_required_result_request_state(ctx: Context) -> str:
    """Ask once, with state that comes back."""
    confirmation = await ctx.elicit("Please confirm", Confirmation, key="confirm")
    return f"state-ok, confirmed: {confirmation.ok}"


@app.tool
async def test_input_required_result_tampered_state(ctx: Context) -> str:
    """Ask once; state that was tampered with is refused before this body runs."""
    confirmation = await ctx.elicit("Please confirm", Confirmation, key="confirm")
    return f"confirmed: {confirmation.ok}"


@app.tool
async def test_input_required_result_multiple_inputs(ctx: Context) -> str:
    """Ask person, model and client in one round."""
    answers = await ctx.ask(
        user_name=Elicit("What is your name?", Form.of(Person)),
        greeting=Sample("Generate a greeting", max_tokens=50),
        client_roots=Roots(),
    )
    name, greeting, roots = answers["user_name"].name, answers["greeting"], answers["client_roots"]
    return f"{text_of(greeting.content)} {name}, you work in {len(roots)} folders"


@app.tool
async def test_input_required_result_multi_round(ctx: Context) -> str:
    """Ask twice, the second time after the first answer."""
    person = await ctx.elicit("Step 1: What is your name?", Person, key="step1")
    choice = await ctx.elicit("Step 2: What is your favorite color?", Color, key="step2")
    return f"{person.name} likes {choice.color}"


@app.tool
async def test_input_required_result_capabilities(ctx: Context) -> str:
    """Ask only what this client can be asked."""
    offered = ctx.client.capabilities
    if offered.elicitation is not None:
        person = await ctx.elicit("What is your name?", Person, key="user_name")
        return f"Hello, {person.name}!"
    if offered.sampling is not None:
        message = await ctx.sample("Greet a stranger", max_tokens=50, key="greeting")
        return text_of(message.content)
    return "Hello, stranger!"


def text_of(content: Any) -> str:
    """The text of a message, of one block or several."""
    blocks = content if isinstance(content, list) else [content]
    return " ".join(block.text for block in blocks if isinstance(block, TextContent))


# Tools: what runs as a task


@app.tool
async def greet(name: str = "you") -> str:
    """Greet, at once."""
    return f"Hello, {name}!"


@app.tool(task="optional")
async def slow_compute(seconds: float = 1.0, label: str = "") -> str:
    """Take some seconds."""
    await asyncio.sleep(seconds)
    return f"{label} took {seconds:g} s"


@app.tool(task="required")
async def failing_job() -> str:
    """Fail as a tool fails, after a second."""
    await asyncio.sleep(1)
    raise ToolError("the job failed")


@app.tool(task="optional")
async def protocol_error_job() -> str:
    """Fail as the protocol fails."""
    raise InternalError("the job can't be done here")


@app.tool(task="optional")
async def confirm_delete(ctx: Context, filename: str) -> str:
    """Ask before something is deleted."""
    sure = await ctx.elicit(f"Delete {filename}?", Deletion, key="confirm")
    return f"deleted {filename}" if sure.confirm else f"kept {filename}"


@app.tool(task="optional")
async def multi_input(ctx: Context) -> str:
    """Ask two things at once."""
    answers = await ctx.ask(
        first=Elicit("The first one?", Form.of(Deletion)),
        second=Elicit("The second one?", Form.of(Deletion)),
    )
    return f"{answers['first']} and {answers['second']}"


@app.tool(task="required")
async def test_tool_with_task(user_name: Annotated[Person, Ask("What is your name?")]) -> str:
    """Ask for a name, then go on as a task."""
    return f"Hello, {user_name.name}!"


# Tools: what they change


async def dynamic_tool() -> str:
    """Be there for a moment."""
    return "Here"


async def dynamic_prompt() -> str:
    """Be there for a moment."""
    return "Here"


@app.tool
async def test_trigger_tool_change() -> str:
    """Add a tool to the list, and take it off again; clients that listen hear of it. Lists stay the same."""
    app.add_tool(dynamic_tool)
    app.remove_tool("dynamic_tool")
    return "The list of tools has changed"


@app.tool
async def test_trigger_prompt_change() -> str:
    """Add a prompt to the list, and take it off again; clients that listen hear of it. Lists stay the same."""
    app.add_prompt(dynamic_prompt)
    app.remove_prompt("dynamic_prompt")
    return "The list of prompts has changed"


# Resources


@app.resource("test://static-text", mime_type="text/plain")
async def static_text() -> str:
    """A text that never changes."""
    return "This is the content of the static text resource."


@app.resource("test://static-binary", mime_type="image/png")
async def static_binary() -> bytes:
    """A picture of one pixel."""
    return PNG


@app.resource("test://watched-resource", mime_type="text/plain")
async def watched_resource() -> str:
    """A text that clients may subscribe to."""
    return "Watch this."


@app.resource("test://template/{id}/data", mime_type="application/json")
async def template_data(id: str) -> dict[str, Any]:
    """Data of any id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


# Prompts


@app.prompt
async def test_simple_prompt() -> str:
    """A prompt without arguments."""
    return "This is a simple prompt for testing."


@app.prompt
async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """A prompt with two arguments.

    Args:
        arg1: First test argument
        arg2: Second test argument
    """
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@app.completion("test_prompt_with_arguments", "arg1")
async def complete_arg1(typed: str) -> list[str]:
    """Suggest what begins as typed."""
    return [word for word in ("paris", "park", "party") if word.startswith(typed)]


@app.prompt
async def test_prompt_with_embedded_resource(resourceUri: str) -> list[PromptMessage]:  # noqa: N803 (a wire name)
    """A prompt that embeds a resource.

    Args:
        resourceUri: URI of the resource to embed
    """
    embedded = ResourceContents(
        uri=resourceUri, mime_type="text/plain", text="Embedded resource content for testing."
    )
    return [
        user(EmbeddedResource(resource=embedded)),
        user("Please process the embedded resource above."),
    ]


@app.prompt
async def test_prompt_with_image() -> list[PromptMessage]:
    """A prompt that shows a picture."""
    return [user(Image(PNG)), user("Please analyze the image above.")]


@app.prompt
async def test_input_required_result_prompt(ctx: Context) -> str:
    """A prompt that asks the person first."""
    answer = await ctx.elicit("What context should the prompt use?", PromptContext, key="user_context")
    return f"Use this context: {answer.context}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="The server that the conformance suite tests.")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--port", type=int, help="serve over HTTP on this port of the loopback")
    way.add_argument("--stdio", action="store_true", help="serve on standard input and output")
    options = parser.parse_args()
    if options.stdio:
        app.run()
    else:
        app.run("http", port=options.port)
