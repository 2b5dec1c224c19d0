"""A server with a view of its own, as an author would write one: it greets its host, shows what its tool got and gave,
and has a button for each thing that a view may ask for. `python app_server.py`
"""

from __future__ import annotations

import asyncio
from typing import Any

from dovetail import App, Context

__all__ = ["CONNECT", "VIEW"]

app = App("clock tower", version="1")
CONNECT = "https://api.example.com"

VIEW = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Clock</title>
<style>body { font: 14px sans-serif; margin: 8px } button { margin: 2px }</style></head>
<body>
<h1>Clock</h1>
<p id="theme"></p><p id="mode"></p><p id="input"></p><p id="result"></p><p id="said"></p><p id="lists"></p>
<button id="refresh">Refresh</button>
<button id="secret">Call a tool that is not for views</button>
<button id="unknown">Ask for nonsense</button>
<button id="link">Open a link</button>
<button id="badlink">Open a bad link</button>
<button id="big">Take all of it</button>
<button id="message">Say something</button>
<button id="context">Tell the model</button>
<button id="read">Read a resource</button>
<button id="list">List</button>
<button id="slow">Call slowly</button>
<button id="stop">Stop that</button>
<button id="bye">Leave</button>
<form id="form"><input id="typed" aria-label="Typed"><button>Send</button></form>
<script>
let next = 0;
const waiting = new Map();
const show = (id, text) => { document.getElementById(id).textContent = text; };
const post = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
function ask(method, params = {}) {
    const id = next++;
    post({ id, method, params });
    return new Promise((done, failed) => waiting.set(id, { done, failed }));
}
const notes = {
    "ui/notifications/tool-input": (params) => show("input", "input " + JSON.stringify(params.arguments)),
    "ui/notifications/tool-result": (params) => show("result", "result " + params.content[0].text),
    "ui/notifications/tool-cancelled": (params) => show("result", "cancelled: " + params.reason),
    "ui/notifications/host-context-changed": (params) => around(params),
    "notifications/progress": (params) => show("lists", "step " + params.progress),
    "notifications/tools/list_changed": () => show("lists", "tools changed"),
};
function around(context) {
    if (context.theme) show("theme", "theme " + context.theme);
    if (context.displayMode) show("mode", "mode " + context.displayMode);
}
window.addEventListener("message", (event) => {
    if (event.source !== window.parent) return;
    const { id, method, params, result, error } = event.data;
    if (method === "ui/resource-teardown") {
        post({ method: "notifications/message", params: { level: "info", data: "good bye" } });
        post({ id, result: {} });
    } else if (method) notes[method]?.(params);
    else if (error) waiting.get(id).failed(error);
    else waiting.get(id).done(result);
});
const told = (promise) => promise.then(
    (result) => show("said", JSON.stringify(result)),
    (error) => show("said", "error " + error.code + ": " + error.message),
);
const on = (id, act) => document.getElementById(id).addEventListener("click", () => told(act()));
on("refresh", () => ask("tools/call", { name: "refresh", arguments: { by: 1 } }));
on("secret", () => ask("tools/call", { name: "secret" }));
on("unknown", () => ask("no/such", {}));
on("link", () => ask("ui/open-link", { url: "https://clock.example/now" }));
on("badlink", () => ask("ui/open-link", { url: "file:///etc/passwd" }));
on("big", () => ask("ui/request-display-mode", { mode: "fullscreen" }));
on("message", () => ask("ui/message", { role: "user", content: [{ type: "text", text: "What time is it?" }] }));
on("context", () => ask("ui/update-model-context", { structuredContent: { hour: 12 } }));
on("read", () => ask("resources/read", { uri: "clock://face" }));
on("list", () => ask("tools/list").then(({ tools }) => tools.map((each) => each.name)));
let slow;
on("slow", () => { slow = next; return ask("tools/call", { name: "wind", _meta: { progressToken: "w" } }); });
document.getElementById("stop").addEventListener("click", () =>
    post({ method: "notifications/cancelled", params: { requestId: slow } }));
document.getElementById("bye").addEventListener("click", () =>
    post({ method: "ui/notifications/request-teardown", params: {} }));
document.getElementById("form").addEventListener("submit", (event) => {
    event.preventDefault();
    show("said", "typed " + document.getElementById("typed").value);
});
ask("ui/initialize", {
    protocolVersion: "2026-01-26",
    appInfo: { name: "clock", version: "3" },
    appCapabilities: { availableDisplayModes: ["inline", "fullscreen"] },
}).then((result) => {
    around(result.hostContext);
    post({ method: "ui/notifications/initialized", params: {} });
    new ResizeObserver(() => post({
        method: "ui/notifications/size-changed",
        params: { width: document.body.scrollWidth, height: 420 },
    })).observe(document.body);
});
</script></body></html>"""

UI: dict[str, Any] = {"resourceUri": "ui://clock/face"}


@app.tool(meta={"ui": UI})
async def clock(city: str = "Oslo") -> str:
    """What time it is, with a view."""
    return f"noon in {city}"


@app.tool(meta={"ui/resourceUri": "ui://clock/face"})
async def sleepy(ctx: Context) -> str:
    """A tool that never ends, with the view said the old way."""
    await ctx.progress(1, 2, "asleep")
    await asyncio.sleep(600)
    return "awake"


@app.tool(meta={"ui": {"resourceUri": "ui://clock/gone"}})
def lost() -> str:
    """Its view does not exist."""
    return "lost"


@app.tool(meta={"ui": {**UI, "visibility": ["app"]}})
def refresh(by: int) -> str:
    """For the view alone."""
    return f"{12 + by} o'clock"


@app.tool(meta={"ui": {"visibility": ["model"]}})
def secret() -> str:
    """Not for views."""
    return "only for models"


@app.tool
async def wind(ctx: Context) -> str:
    """Progress, and no end."""
    await ctx.progress(1, 3, "turning")
    await asyncio.sleep(600)
    return "wound"


@app.resource(
    "ui://clock/face",
    mime_type="text/html;profile=mcp-app",
    meta={
        "ui": {"csp": {"connectDomains": [CONNECT, "'; script-src *"]}, "permissions": {"clipboardWrite": {}}}
    },
)
def face() -> str:
    """The view."""
    return VIEW


@app.resource("clock://face")
def dial() -> str:
    """What the view reads."""
    return "twelve numbers"


if __name__ == "__main__":
    app.run()
