"""What a server offers, as tables, or as entries where a table has no room. Names and addresses are never cut: they are
there to be copied.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, cast

try:
    from rich import box
    from rich.console import Group, RenderableType
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text
except ImportError as missing:
    raise ImportError(
        "this command needs the command line's own packages: pip install 'dovetail[cli]'"
    ) from missing

from ..protocol.safe_text import in_place, safe
from ..protocol.types import Prompt, Resource, ResourceTemplate, Tool

__all__ = ["shown"]

_LONGEST: Final = 400
_NARROW: Final = 60
_HINTS: Final = (
    ("read_only_hint", "reads only"),
    ("destructive_hint", "destructive"),
    ("open_world_hint", "reaches outside"),
)


class _TableRow(NamedTuple):
    name: str
    details: Text
    about: Text


def shown(kind: str, items: Sequence[Any], width: int) -> RenderableType:
    """What a server offers of a kind ("tools", "resources", "resourceTemplates" or "prompts"), for a terminal of that
    many columns. A table where there is room for one, else entries below each other.
    """
    title, headings, row = _KINDS[kind]
    rows = [row(item) for item in items]
    heading = Text(f"{title} ({len(rows)})", style="bold")
    longest = max(len(each.name) for each in rows)
    if width < _NARROW or longest > width // 2:
        return Group(heading, "", *(_entry(each) for each in rows))
    return _table(heading, headings, rows)


def _tool(tool: Tool) -> _TableRow:
    hints = [word for name, word in _HINTS if tool.annotations and getattr(tool.annotations, name) is True]
    about = _about(tool.title, tool.description)
    if hints:
        about.append(f"{' ' if about else ''}({', '.join(hints)})", style="yellow")
    return _TableRow(in_place(tool.name), _arguments(tool.input_schema), about)


def _resource(resource: Resource) -> _TableRow:
    size = f"{resource.size:,} bytes" if resource.size is not None else ""
    about = _about(resource.title or resource.name, resource.description)
    return _TableRow(in_place(resource.uri), _joined(resource.mime_type, size), about)


def _template(template: ResourceTemplate) -> _TableRow:
    about = _about(template.title or template.name, template.description)
    return _TableRow(in_place(template.uri_template), _joined(template.mime_type), about)


def _prompt(prompt: Prompt) -> _TableRow:
    arguments = Text()
    for argument in prompt.arguments or ():
        _argument(arguments, argument.name, "", required=bool(argument.required))
    return _TableRow(in_place(prompt.name), arguments, _about(prompt.title, prompt.description))


_KINDS: Final[dict[str, tuple[str, tuple[str, str, str], Callable[[Any], _TableRow]]]] = {
    "tools": ("Tools", ("Name", "Arguments", "Description"), _tool),
    "resources": ("Resources", ("URI", "Type", "Description"), _resource),
    "resourceTemplates": ("Resource templates", ("Template", "Type", "Description"), _template),
    "prompts": ("Prompts", ("Name", "Arguments", "Description"), _prompt),
}


def _table(heading: Text, headings: Sequence[str], rows: Iterable[_TableRow]) -> Table:
    table = Table(title=heading, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=False)
    for number, each in enumerate(headings):
        table.add_column(each, overflow="fold", style="" if number else "cyan")
    for row in rows:
        table.add_row(Text(row.name), row.details, row.about)
    return table


def _entry(row: _TableRow) -> Group:
    """One entry: its name as it is, to be copied, and the rest below it."""
    name = Text(row.name, style="cyan", no_wrap=True, overflow="ignore")
    return Group(name, *(Padding(each, (0, 0, 0, 2)) for each in (row.details, row.about) if each), "")


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
            _argument(said, name, _type(each, schema.get("$defs")), required=name in required)
    return said


def _argument(said: Text, name: str, kind: str, *, required: bool) -> None:
    if said:
        said.append("\n")
    said.append(in_place(name), style="" if required else "dim")
    said.append(in_place(f"{'' if required else '?'}{': ' + kind if kind else ''}"), style="dim")


def _type(schema: Any, definitions: Any) -> str:
    if not isinstance(schema, dict):
        return ""
    members = cast("dict[str, Any]", schema)
    kind = _kind(members, cast("dict[str, Any]", definitions) if isinstance(definitions, dict) else {})
    return (
        f"{kind} = {json.dumps(members['default'], ensure_ascii=False)}"[:80]
        if "default" in members
        else kind[:80]
    )


def _kind(members: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A type in a few words: of a class its name, of a choice its values, of a text the form that it has."""
    if isinstance(members.get("enum"), list):
        return " | ".join(map(str, cast("Iterable[Any]", members["enum"])))
    reference = members.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        found: Any = definitions.get(name)
        plain = isinstance(found, dict) and "enum" in found
        return _kind(cast("dict[str, Any]", found), {}) if plain else name
    for word in ("anyOf", "oneOf"):
        if isinstance(members.get(word), list):
            listed = cast("list[Any]", members[word])
            kinds = (
                _kind(cast("dict[str, Any]", each), definitions) for each in listed if isinstance(each, dict)
            )
            return " | ".join(dict.fromkeys(each for each in kinds if each))
    kind = members.get("type")
    if isinstance(kind, list):
        return " | ".join(map(str, cast("list[Any]", kind)))
    if kind == "array" and isinstance(members.get("items"), dict):
        item = _kind(cast("dict[str, Any]", members["items"]), definitions) or "any"
        return f"({item})[]" if " | " in item else f"{item}[]"
    if kind == "string" and isinstance(members.get("format"), str):
        return str(members["format"])
    return str(kind or members.get("const") or "")
