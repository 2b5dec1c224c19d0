"""A server with a view and with skills that are worth a picture: beehives that are weighed."""

from __future__ import annotations

from typing import Any

from skilled import Skilled, entry_of

from dovetail import App

__all__ = ["SKILL", "apiary"]

SKILL = "skill://bees/winter-feeding/SKILL.md"
FILES = {
    SKILL: (
        "---\nname: winter-feeding\ndescription: How to feed colonies from October to March\n---\n\n"
        "# Winter feeding\n\nWeigh each hive first. Below 35 kg it needs fondant.\n"
    ),
    "skill://bees/winter-feeding/references/fondant.md": "# Fondant\n\nFour parts of sugar to one of water.\n",
    "skill://bees/winter-feeding/scripts/needs.py": "def fondant(kg: float) -> float:\n    return max(0, 35 - kg)\n",
    "skill://bees/swarm-watch/SKILL.md": "---\nname: swarm-watch\ndescription: Signs of a swarm\n---\n\nListen.\n",
}
SAID = {
    SKILL: {"name": "winter-feeding", "description": "How to feed colonies from October to March"},
    "skill://bees/swarm-watch/SKILL.md": {"name": "swarm-watch", "description": "Signs of a swarm"},
}

VIEW = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Hives</title>
<style>
:root { color-scheme: light dark }
body { font: 14px/1.4 sans-serif; margin: 14px; color: light-dark(#1b2422, #e3e9e7) }
h1 { font-size: 16px; margin: 0 0 10px }
dl { display: grid; grid-template-columns: auto 1fr auto; gap: 8px 10px; align-items: center; margin: 0 0 14px }
dd { margin: 0 }
i { display: block; height: 14px; border-radius: 3px; background: light-dark(#c98a1b, #e3b85c) }
</style></head>
<body><h1>Hives this morning</h1><dl></dl><button>Weigh again</button>
<script>
let next = 0;
const post = (message) => window.parent.postMessage({ jsonrpc: "2.0", ...message }, "*");
const ask = (method, params) => post({ id: next++, method, params });
function shown(hives) {
    document.querySelector("dl").replaceChildren(...Object.entries(hives).flatMap(([name, kg]) => {
        const [term, bar, weight] = ["dt", "dd", "dd"].map((tag) => document.createElement(tag));
        const line = document.createElement("i");
        line.style.width = kg * 2 + "%";
        bar.append(line);
        [term.textContent, weight.textContent] = [name, kg + " kg"];
        return [term, bar, weight];
    }));
}
window.addEventListener("message", ({ source, data }) => {
    if (source !== window.parent) return;
    if (data.method === "ui/notifications/tool-result") shown(data.params.structuredContent);
    if (data.method === "ui/resource-teardown") post({ id: data.id, result: {} });
    if (data.id !== 0 || data.method) return;
    post({ method: "ui/notifications/initialized", params: {} });
    post({ method: "ui/notifications/size-changed", params: { height: 230 } });
});
document.querySelector("button").addEventListener("click", () =>
    ask("tools/call", { name: "weigh", arguments: { apiary: "north" } }));
ask("ui/initialize", {
    protocolVersion: "2026-01-26", appInfo: { name: "hives", version: "1.0" }, appCapabilities: {},
});
</script></body></html>"""


def apiary() -> App:
    """The server: one tool with a view; two skills, of one of which a file was changed and another one added."""
    skilled = Skilled()
    skilled.files, skilled.page = dict(FILES), 10
    skilled.skills = [entry_of(skilled.files, uri, said) for uri, said in SAID.items()]
    skilled.files["skill://bees/winter-feeding/scripts/needs.py"] += "\nprint(fondant(31))\n"
    skilled.files["skill://bees/winter-feeding/notes.md"] = "# Notes\n"
    app = skilled.app
    ui: dict[str, Any] = {"resourceUri": "ui://apiary/hives"}

    def weigh(apiary: str = "north") -> dict[str, int]:
        """Weigh the hives of an apiary, in kilograms."""
        return {"A 1": 38, "A 2": 41, "B 1": 31, "B 2": 44}

    app.add_tool(weigh, meta={"ui": ui})
    app.add_resource(
        lambda: VIEW,
        uri="ui://apiary/hives",
        name="hives",
        mime_type="text/html;profile=mcp-app",
        meta={"ui": {"csp": {"connectDomains": ["https://weather.example.com"]}}},
    )
    return app
