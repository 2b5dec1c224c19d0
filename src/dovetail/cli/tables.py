"""What a server offers, as tables. Names and addresses are never cut: they are there to be copied."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, cast

try:
    from rich import box
    from rich.table import Table
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol.types import Prompt, Resource, ResourceTemplate, Tool
from .safe_text import safe

__all__ = ["prompts_table", "resources_table", "templates_table", "tools_table"]

_LONGEST: Final = 400
_HINTS: Final = (
    ("read_only_hint", "reads only"),
    ("destructive_hint", "destructive"),
    ("open_world_hint", "reaches outside"),
)


def tools_table(tools: Sequence[Tool]) -> Table:
    """Tools: name, arguments, what they do."""
    table = _table("Tools", len(tools), "Name", "Arguments", "Description")
    for tool in tools:
        hints = [
            word for name, word in _HINTS if tool.annotations and getattr(tool.annotations, name) is True
        ]
        about = _about(tool.title, tool.description)
        if hints:
            about.append(f"{' ' if about else ''}({', '.join(hints)})", style="yellow")
        table.add_row(_name(tool.name), _arguments(tool.input_schema), about)
    return table


def resources_table(resources: Sequence[Resource]) -> Table:
    """Resources: address, type and size, what they hold."""
    table = _table("Resources", len(resources), "URI", "Type", "Description")
    for each in resources:
        size = f"{each.size:,} bytes" if each.size is not None else ""
        table.add_row(
            _name(each.uri), _joined(each.mime_type, size), _about(each.title or each.name, each.description)
        )
    return table


def templates_table(templates: Sequence[ResourceTemplate]) -> Table:
    """Templates: pattern, type, what they hold."""
    table = _table("Resource templates", len(templates), "Template", "Type", "Description")
    for each in templates:
        about = _about(each.title or each.name, each.description)
        table.add_row(_name(each.uri_template), _joined(each.mime_type), about)
    return table


def prompts_table(prompts: Sequence[Prompt]) -> Table:
    """Prompts: name, arguments, what they are for."""
    table = _table("Prompts", len(prompts), "Name", "Arguments", "Description")
    for each in prompts:
        arguments = Text()
        for argument in each.arguments or ():
            _argument(arguments, argument.name, "", required=bool(argument.required))
        table.add_row(_name(each.name), arguments, _about(each.title, each.description))
    return table


def _table(title: str, count: int, *columns: str) -> Table:
    table = Table(
        title=Text(f"{title} ({count})", style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        expand=False,
    )
    first, second, third = columns
    table.add_column(first, overflow="fold", style="cyan", no_wrap=False)
    table.add_column(second, overflow="fold")
    table.add_column(third, overflow="fold")
    return table


def _name(text: str) -> Text:
    return Text(safe(text))


def _about(title: str | None, description: str | None) -> Text:
    said = Text()
    if title:
        said.append(safe(title), style="bold")
    if description and description != title:
        short = description if len(description) <= _LONGEST else f"{description[:_LONGEST]}..."
        said.append(f"{': ' if title else ''}{safe(short)}")
    return said


def _joined(*parts: str | None) -> Text:
    return Text(safe(", ".join(part for part in parts if part)))


def _arguments(schema: dict[str, Any]) -> Text:
    """``city: string``, ``[days: integer = 3]``, a line each."""
    said = Text()
    properties: Any = schema.get("properties")
    required: Any = schema.get("required") or []
    if isinstance(properties, dict):
        for name, each in cast("dict[str, Any]", properties).items():
            _argument(said, name, _type(each), required=name in required)
    return said


def _argument(said: Text, name: str, kind: str, *, required: bool) -> None:
    if said:
        said.append("\n")
    said.append(safe(name), style="" if required else "dim")
    said.append(safe(f"{'' if required else '?'}{': ' + kind if kind else ''}"), style="dim")


def _type(schema: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    members = cast("dict[str, Any]", schema)
    kind = _kind(members)
    return f"{kind} = {members['default']!r}"[:80] if "default" in members else kind[:80]


def _kind(members: dict[str, Any]) -> str:
    if isinstance(members.get("enum"), list):
        return " | ".join(map(str, cast("Iterable[Any]", members["enum"])))
    for word in ("anyOf", "oneOf"):
        if isinstance(members.get(word), list):
            listed = cast("list[Any]", members[word])
            return " | ".join(
                _kind(cast("dict[str, Any]", each)) for each in listed if isinstance(each, dict)
            )
    kind = members.get("type")
    if isinstance(kind, list):
        return " | ".join(map(str, cast("list[Any]", kind)))
    if kind == "array" and isinstance(members.get("items"), dict):
        return f"{_kind(cast('dict[str, Any]', members['items'])) or 'any'}[]"
    return str(kind or members.get("const") or "")
