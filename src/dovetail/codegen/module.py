"""Writes the module: from what a server offers to the source of its typed clients.

Theory of operation. Names first: every tool, resource, template and prompt gets its method, those whose names are
identifiers already before others. Then the types, from all schemas, in the order of the tools' names. Then the text:
types, the class that awaits, the class that blocks. At last the imports, which are those names that the text uses. The
text is what ``ruff format`` leaves as it is, with lines of 110 characters.

The same surface gives the same text, byte for byte, whatever the order of the server's lists.

Specification: server/tools, server/resources, server/prompts.
"""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import unquote

from dovetail.types import Prompt, Resource, ResourceTemplate, Tool

from .class_text import class_lines
from .identifiers import Names, plain_identifier, type_name
from .literals import LINE, docstring, one_line, paragraphs, quoted, wrapped
from .schema_types import TypesOfModule
from .surface import ServerSurface, marks_of
from .type_nodes import ATOMS, NOTHING, ListOf, Node, ObjectMember, mark_raw, statement, text_of, union

__all__ = ["generate"]

T = TypeVar("T")

_IMPORTS: Final = {
    "collections.abc": ("Mapping",),
    "dataclasses": ("dataclass",),
    "typing": ("TYPE_CHECKING", "Any", "Final", "Literal", "NotRequired", "TypeAlias", "TypedDict", "Union"),
    "dovetail": ("ToolResult",),
    "dovetail.client": ("ProgressHandler", "Seconds"),
    "dovetail.codegen": ("UNSET", "BlockingTypedClient", "TypedClient", "UnsetType"),
    "dovetail.types": ("GetPromptResult", "ReadResourceResult"),
}
_IMPORTED: Final = frozenset(name for names in _IMPORTS.values() for name in names)
_BUILT_IN: Final = frozenset({"bool", "bytes", "dict", "float", "int", "list", "str", "tuple"})
_OF_CLASS: Final = frozenset(
    {"self", "open", "close", "client", "changed", "written_tools", "written_revision"}
)
_OPTIONS: Final = {
    "timeout": "Seconds = UNSET",
    "progress": "ProgressHandler | None = None",
    "meta": "Mapping[str, Any] | None = None",
}
_EXPRESSION: Final = re.compile(r"\{([+#./;?&=,!@|]?)([^{}]*)\}")
_PLAIN_VALUE: Final = union([ATOMS["string"], ATOMS["integer"]])
_SEVERAL: Final = ListOf(ATOMS["string"])


class _Keyword(NamedTuple):
    """A keyword of a method: what it is in Python, and what it is at the server."""

    name: str
    member: ObjectMember


class _WrittenMethod(NamedTuple):
    """A method: its name, what it says, its keywords, what it gives, and what it calls (``{}``: the keywords' values).

    ``further``: the keyword that takes arguments of any names, and their type. ``options``: the keywords that say how.
    """

    name: str
    about: list[str]
    parameters: list[_Keyword]
    gives: str
    calls: str
    before: list[str]
    after: list[str]
    options: list[str]
    further: tuple[str, Node] | None = None


def generate(surface: ServerSurface, *, typed_dict: bool = False, source: str = "TARGET") -> str:
    """The source of a module with a typed client of a server, and the same client blocking.

    Objects become dataclasses, with ``typed_dict`` TypedDicts: plain dicts when the module runs. ``source``: the words
    after ``dovetail gen`` that wrote it, to be read in its head; it should hold no secret.
    """
    return _Writer(surface, typed_dict=typed_dict).module(source)


class _Writer:
    def __init__(self, surface: ServerSurface, *, typed_dict: bool) -> None:
        self._surface = surface
        self._typed_dict = typed_dict
        named = surface.info.name if surface.info is not None else "Server"
        self._class = f"{type_name(named)[:24]}Client"
        self._tools = _sorted({each.name: each for each in surface.tools})
        self._resources = _sorted({each.uri: each for each in surface.resources})
        self._templates = _sorted({each.uri_template: each for each in surface.resource_templates})
        self._prompts = _sorted({each.name: each for each in surface.prompts})
        self._methods = self._named()
        self._names = Names(
            {*_IMPORTED, *_BUILT_IN, self._class, f"Blocking{self._class}", *self._methods.values()}
        )
        self._types = TypesOfModule(self._names)

    # Names

    def _named(self) -> dict[tuple[str, str], str]:
        """The method of each thing. Names that stay as they are come first, so that none of them gives way."""
        wanted = [
            *((("tool", each.name), each.name, "tool") for each in self._tools),
            *((("resource", each.uri), f"read_{each.name}", "read") for each in self._resources),
            *((("template", each.uri_template), f"read_{each.name}", "read") for each in self._templates),
            *((("prompt", each.name), f"prompt_{each.name}", "prompt") for each in self._prompts),
        ]
        names = Names({*_OF_CLASS, *_BUILT_IN, *_IMPORTED, self._class, f"Blocking{self._class}"})
        found: dict[tuple[str, str], str] = {}
        for key, name, kind in sorted(wanted, key=lambda each: plain_identifier(each[1], each[2]) != each[1]):
            found[key] = names.free(plain_identifier(name, kind))
        return found

    def _parameters(self, members: Sequence[ObjectMember]) -> tuple[list[_Keyword], Names]:
        names = Names({*_BUILT_IN, *_IMPORTED, "self", *self._names.all()})
        there: dict[str, str] = {}
        for each in sorted(members, key=lambda each: plain_identifier(each.name, "argument") != each.name):
            there[each.name] = names.free(plain_identifier(each.name, "argument"))
        return [_Keyword(there[each.name], each) for each in members], names

    # Methods

    def _all_methods(self) -> list[_WrittenMethod]:
        # All types are made before any keyword gets its name, for that must not hide one.
        read = [
            (each, *self._types.arguments(each.input_schema, self._methods["tool", each.name]))
            for each in self._tools
        ]
        given = [self._gives(each) for each in self._tools]
        found = [self._of_tool(*each, gives) for each, gives in zip(read, given, strict=True)]
        found += [self._of_resource(each) for each in self._resources]
        found += [self._of_template(each) for each in self._templates]
        found += [self._of_prompt(each) for each in self._prompts]
        return found

    def _gives(self, tool: Tool) -> Node | None:
        if tool.output_schema is None:
            return None
        return self._types.value(tool.output_schema, self._methods["tool", tool.name], "result")

    def _of_tool(
        self, tool: Tool, members: list[ObjectMember], further: Node | None, gives: Node | None
    ) -> _WrittenMethod:
        parameters, names = self._parameters(members)
        more = None if further is None else (names.free("further"), further)
        text = "ToolResult" if gives is None else text_of(gives)
        into = "None" if gives is None else "Literal[None]" if gives == NOTHING else text
        about = paragraphs(tool.description or tool.title) or [f"Call the tool {one_line(repr(tool.name))}."]
        about += _about_arguments(parameters, more)
        return _WrittenMethod(
            self._methods["tool", tool.name],
            about,
            parameters,
            text,
            "_call",
            [quoted(tool.name)],
            [into],
            _options(names),
            more,
        )

    def _of_resource(self, resource: Resource) -> _WrittenMethod:
        gives = _read_as(resource.mime_type)
        about = paragraphs(resource.description or resource.title) or [
            f"Read the resource {one_line(repr(resource.uri))}."
        ]
        into = "None" if gives == "ReadResourceResult" else gives
        name = self._methods["resource", resource.uri]
        before, after = [quoted(resource.uri), "None"], [into]
        return _WrittenMethod(name, about, [], gives, "_read", before, after, _options(Names()))

    def _of_template(self, template: ResourceTemplate) -> _WrittenMethod:
        members = list(_variables(template.uri_template))
        parameters, names = self._parameters(sorted(members, key=lambda each: not each.required))
        gives = _read_as(template.mime_type)
        about = paragraphs(template.description or template.title) or [
            f"Read a resource of {one_line(repr(template.uri_template))}."
        ]
        into = "None" if gives == "ReadResourceResult" else gives
        name = self._methods["template", template.uri_template]
        before = [quoted(template.uri_template)]
        return _WrittenMethod(name, about, parameters, gives, "_read", before, [into], _options(names))

    def _of_prompt(self, prompt: Prompt) -> _WrittenMethod:
        members = [
            ObjectMember(
                each.name, ATOMS["string"], bool(each.required), each.description or each.title or ""
            )
            for each in {each.name: each for each in prompt.arguments or ()}.values()
        ]
        parameters, names = self._parameters(sorted(members, key=lambda each: not each.required))
        about = paragraphs(prompt.description or prompt.title) or [
            f"The messages of the prompt {one_line(repr(prompt.name))}."
        ]
        about += _about_arguments(parameters, None)
        name = self._methods["prompt", prompt.name]
        return _WrittenMethod(
            name, about, parameters, "GetPromptResult", "_prompt", [quoted(prompt.name)], [], _options(names)
        )

    # Text

    def module(self, source: str) -> str:
        """The whole text."""
        methods = self._all_methods()
        mark_raw(self._types.aliases)
        taken = self._names.all() | _IMPORTED | _BUILT_IN
        body: list[str] = []
        for each in self._types.objects:
            body += ["", "", *class_lines(each, typed_dict=self._typed_dict, taken=taken)]
        body += self._aliases()
        body += ["", "", *self._marks()]
        body += self._client(self._class, "TypedClient", methods, awaits=True)
        body += self._client(f"Blocking{self._class}", "BlockingTypedClient", methods, awaits=False)
        head = [*docstring(self._head(source), ""), "", "from __future__ import annotations", ""]
        text = [*head, *_imports(body), *body]
        return "\n".join([*text, ""])

    def _head(self, source: str) -> list[str]:
        info = self._surface.info
        who = one_line(f"{info.name} {info.version}" if info is not None else "without a name")
        written = f"Written by: dovetail gen {'--typed-dict ' if self._typed_dict else ''}{one_line(source)}"
        return [
            f"Typed clients of the MCP server {who}.",
            "",
            *wrapped("", written, ""),
            f"From what the server offered in revision {one_line(self._surface.revision)}.",
            "Changes to this file are lost when it is written anew.",
        ]

    def _aliases(self) -> list[str]:
        lines: list[str] = []
        for each in self._types.aliases:
            if each.guarded:
                lines += ["", "if TYPE_CHECKING:", *statement(each, "    "), "else:"]
                lines += [f"    {each.name} = Any"]
            else:
                lines += ["", *statement(each, "")]
        return ["", *lines] if lines else []

    def _marks(self) -> list[str]:
        marks = marks_of(self._tools)
        if not marks:
            return ["_TOOLS: Final[Mapping[str, tuple[str, str]]] = {}"]
        lines = [
            f"    {quoted(name)}: ({quoted(taken)}, {quoted(given)}),"
            for name, (taken, given) in marks.items()
        ]
        skip = "  # fmt: skip" if any(len(line) > LINE for line in lines) else ""
        return ["_TOOLS: Final[Mapping[str, tuple[str, str]]] = {", *lines, f"}}{skip}"]

    def _client(
        self, name: str, above: str, methods: Sequence[_WrittenMethod], *, awaits: bool
    ) -> Iterator[str]:
        info = self._surface.info
        about = paragraphs(info.title or info.name) if info is not None else []
        about = [f"The server {about[0]}{'' if awaits else ', blocking'}." if about else "The server."]
        more = paragraphs(self._surface.instructions)
        yield from ("", "", f"class {name}({above}):")
        yield from docstring([*about, *(["", *more] if more else [])], "    ")
        yield from (
            "",
            f"    written_revision = {quoted(self._surface.revision)}",
            "    written_tools = _TOOLS",
        )
        for each in methods:
            yield ""
            yield from _method_lines(each, awaits=awaits)


def _method_lines(method: _WrittenMethod, *, awaits: bool) -> Iterator[str]:
    yield f"    {'async ' if awaits else ''}def {method.name}("
    yield "        self,"
    yield "        *,"
    for name, member in method.parameters:
        text = text_of(member.node)
        yield f"        {name}: {text}," if member.required else f"        {name}: {_optional(text)} = UNSET,"
    if method.further is not None:
        name, node = method.further
        yield f"        {name}: Mapping[str, {text_of(node)}] | None = None,"
    yield from (
        f"        {name}: {rest}," for name, rest in zip(method.options, _OPTIONS.values(), strict=True)
    )
    yield f"    ) -> {method.gives}:"
    yield from docstring(method.about, "        ")
    call = [*(f"            {each}," for each in method.before)]
    pairs = [f"                {quoted(member.name)}: {name}," for name, member in method.parameters]
    if method.further is not None:
        pairs.insert(0, f"                **({method.further[0]} or {{}}),")
    if method.before[-1] != "None":  # a resource has no variables
        call += ["            {", *pairs, "            },"] if pairs else ["            {},"]
    call += [f"            {each}," for each in (*method.after, *method.options)]
    skip = "  # fmt: skip" if any(len(line) > LINE for line in call) else ""
    yield f"        return {'await ' if awaits else ''}self.{method.calls}("
    yield from call
    yield f"        ){skip}"


def _optional(text: str) -> str:
    return "Any" if text == "Any" else f"{text} | UnsetType"


def _options(names: Names) -> list[str]:
    """The keywords that say how a call is made; a tool's own arguments go before them."""
    return [names.free(each if names.is_free(each) else f"call_{each}") for each in _OPTIONS]


def _about_arguments(parameters: Sequence[_Keyword], further: tuple[str, Node] | None) -> list[str]:
    lines: list[str] = []
    for name, member in parameters:
        said = one_line(member.about)
        if member.default:
            said = (
                f"{said.rstrip('.')}; left out, {member.default}" if said else f"left out, {member.default}"
            )
        if name != member.name:
            said = (
                f"{said.rstrip('.')} ({one_line(repr(member.name))})" if said else one_line(repr(member.name))
            )
        if said:
            lines += wrapped(f"{name}: ", said, "    ")
    if further is not None:
        lines.append(f"    {further[0]}: arguments of other names")
    return ["", "Args:", *lines] if lines else []


def _read_as(kind: str | None) -> str:
    """What a resource is read as: text or bytes, where the server says what it is."""
    if not kind:
        return "ReadResourceResult"
    plain = kind.partition(";")[0].strip().lower()
    is_text = plain.startswith("text/") or plain.endswith(("/json", "+json", "/xml", "+xml", "/yaml"))
    return "str" if is_text else "bytes"


def _variables(template: str) -> Iterator[ObjectMember]:
    """The variables of a URI template, once each. Those of its query and fragment may be left out."""
    seen: set[str] = set()
    for operator, inside in _EXPRESSION.findall(template):
        for each in inside.split(","):
            name = each.rstrip("*").partition(":")[0]
            if name and name not in seen:
                seen.add(name)
                node = _SEVERAL if each.endswith("*") else _PLAIN_VALUE
                yield ObjectMember(
                    name, node, operator not in ("?", "&", "#"), unquote(name) if "%" in name else ""
                )


def _imports(body: Iterable[str]) -> list[str]:
    """The imports of what the text uses."""
    used = {each.id for each in ast.walk(ast.parse("\n".join(body))) if isinstance(each, ast.Name)}
    for each in ast.walk(ast.parse("\n".join(body))):
        if isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id == "TypedDict":
            used |= set(_names_in(each.args[1]))
    lines: list[str] = []
    ours = False
    for module, names in _IMPORTS.items():
        wanted = [name for name in names if name in used]
        if not wanted:
            continue
        if module.startswith("dovetail") and not ours:
            ours = True
            lines += [""] if lines else []
        line = f"from {module} import {', '.join(wanted)}"
        if len(line) > LINE:
            lines += [f"from {module} import (", *(f"    {name}," for name in wanted), ")"]
        else:
            lines.append(line)
    return lines


def _names_in(node: ast.expr) -> Iterator[str]:
    """The names in the quoted types of a functional ``TypedDict``."""
    values: list[Any] = node.values if isinstance(node, ast.Dict) else []
    for value in values:
        for each in ast.walk(value):
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                inner = ast.parse(each.value, mode="eval")
                yield from (name.id for name in ast.walk(inner) if isinstance(name, ast.Name))


def _sorted(items: Mapping[str, T]) -> list[T]:
    """Each once, in the order of what it is known by."""
    return [items[key] for key in sorted(items)]
