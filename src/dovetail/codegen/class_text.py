"""The text of one class of a module: a dataclass, or a ``TypedDict``.

A dataclass needs members whose names are identifiers and hide nothing that annotations are made of. Any other object is
a ``TypedDict``, written as a class where its names allow it, and else as a call.
"""

from collections.abc import Collection, Iterator

from .identifiers import is_identifier
from .literals import LINE, docstring, one_line, paragraphs, quoted, wrapped
from .type_nodes import ObjectMember, ObjectType, text_of

__all__ = ["class_lines"]


def class_lines(made: ObjectType, *, typed_dict: bool, taken: Collection[str]) -> Iterator[str]:
    """The lines of a class. ``taken``: names that its members must not hide."""
    if any(
        not is_identifier(each.name) or each.name in taken or each.name == "self" for each in made.members
    ):
        yield from _called(made)
        return
    is_dict = typed_dict or made.raw
    if not is_dict:
        yield "@dataclass(kw_only=True, slots=True)"
    yield f"class {made.name}{'(TypedDict)' if is_dict else ''}:"
    told = list(docstring([*paragraphs(made.about), *_about(made)], "    "))
    yield from told
    if told:
        yield ""
    for each in made.members:
        text = text_of(each.node, raw=made.raw)
        if each.required:
            yield f"    {each.name}: {text}"
        elif is_dict:
            yield f"    {each.name}: NotRequired[{text}]"
        else:
            yield f"    {each.name}: {'Any' if text == 'Any' else f'{text} | UnsetType'} = UNSET"


def _called(made: ObjectType) -> Iterator[str]:
    lines = [f"        {quoted(each.name)}: {_quoted_type(each, raw=made.raw)}," for each in made.members]
    skip = "  # fmt: skip" if any(len(line) > LINE for line in lines) else ""
    yield from (f"{made.name} = TypedDict(", f'    "{made.name}",', "    {", *lines, "    },", f"){skip}")


def _quoted_type(member: ObjectMember, *, raw: bool) -> str:
    text = quoted(text_of(member.node, raw=raw))
    return text if member.required else f"NotRequired[{text}]"


def _about(made: ObjectType) -> list[str]:
    lines: list[str] = []
    for each in made.members:
        said = one_line(each.about)
        if each.default:
            said = f"{said.rstrip('.')}; left out, {each.default}" if said else f"left out, {each.default}"
        if said:
            lines += wrapped(f"{each.name}: ", said, "")
    return ["", *lines] if lines and made.about else lines
