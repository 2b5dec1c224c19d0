"""YAML that people write, changed by lines: what is not changed stays as it is, comments and all.

Theory of operation. PyYAML says where each node of the text stands. A member of a block mapping is its lines, from its
name to the end of what it holds, so a change replaces, adds or takes away whole lines; comments between members stay. A
mapping in braces is written anew in its place, unless a comment in it would be lost. New texts are always quoted, so
that no reader takes one for a number or a truth value. After a change the text is read again and has to say what was
meant, which no text with an anchor that the change breaks does.

Specification: none; YAML 1.1 and 1.2 where they agree.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, cast

from .errors import ConfigurationError, ConfigurationUnreadable

__all__ = ["YAMLText"]

_BREAKS: Final = re.compile("[\x85\u2028\u2029]|\r(?!\n)")
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class YAMLText:
    """A text of YAML whose root is a mapping. Raises `ConfigurationUnreadable`, and ImportError, which names the extra,
    without PyYAML.
    """

    def __init__(self, text: str, *, where: str = "the text") -> None:
        self._yaml = yaml = _yaml()
        self.text = text
        self._where = where
        try:
            self._root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
            value: Any = yaml.safe_load(text)
        except yaml.YAMLError as problem:
            raise ConfigurationUnreadable(f"{where} is no YAML: {_told(problem)}") from None
        except (RecursionError, ValueError) as problem:
            raise ConfigurationUnreadable(f"{where} is no YAML that can be used: {problem}") from None
        if value is None:
            self._root, value = None, {}
        if not isinstance(value, dict):
            raise ConfigurationUnreadable(f"{where} is no mapping of YAML")
        self.value = cast("dict[str, Any]", value)

    def get(self, path: Sequence[str]) -> Any:
        """What stands at a path, None where nothing does."""
        found: Any = self.value
        for name in path:
            found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
        return found

    def set(self, path: Sequence[str], value: Any) -> "YAMLText":
        """The text with this value at a path, whose missing mappings are made. Where mappings stand on both sides, only
        the members that differ are touched. Raises `ConfigurationError`.
        """
        self._check()
        node = self._root
        for depth, name in enumerate(path):
            found = _member(node, name)
            if found is None:
                for each in reversed(path[depth + 1 :]):
                    value = {each: value}
                return self._inserted(path[:depth], node, name, value)
            if depth == len(path) - 1:
                return self._replaced(path, found, value)
            if self.get(path[: depth + 1]) is None:  # `extensions:` with nothing in it
                for each in reversed(path[depth + 1 :]):
                    value = {each: value}
                return self._lines(found, self._entry(name, value, found[0].start_mark.column))
            if not isinstance(found[1], self._yaml.MappingNode):
                raise ConfigurationError(f"{self._where}: {name!r} is no mapping; mend it first")
            if found[1].flow_style:
                return self._flow(path[: depth + 1], found[1], path[depth + 1 :], value)
            node = found[1]
        raise ConfigurationError(f"{self._where}: the whole of it can't be replaced")

    def remove(self, path: Sequence[str]) -> "YAMLText":
        """The text without what stands at a path; itself where nothing does. Comments stay."""
        self._check()
        node = self._root
        for depth, name in enumerate(path):
            found = _member(node, name)
            if found is None:
                return self
            if depth == len(path) - 1:
                if len(node.value) > 1:
                    return self._lines(found, [])
                return self.set(path[:-1], {}) if depth else self._again("")
            if found[1].flow_style and isinstance(found[1], self._yaml.MappingNode):
                return self._flow(path[: depth + 1], found[1], path[depth + 1 :], None)
            node = found[1]
        return self

    def _check(self) -> None:
        """Refuse a text whose lines are not the same to every reader."""
        found = _BREAKS.search(self.text)
        if found is not None:
            raise ConfigurationError(
                f"{self._where} has the character U+{ord(found[0]):04X}, which only some readers of YAML take for an "
                "end of a line; write it as an escape first"
            )

    def _replaced(self, path: Sequence[str], found: tuple[Any, Any], value: Any) -> "YAMLText":
        old = self.get(path)
        if _same(old, value):
            return self
        mapping = isinstance(found[1], self._yaml.MappingNode) and not found[1].flow_style
        if mapping and isinstance(old, dict) and isinstance(value, dict) and value:
            changed = self
            before, after = cast("dict[str, Any]", old), cast("dict[str, Any]", value)
            for name, each in after.items():
                changed = changed.set([*path, name], each)
            for name in before.keys() - after.keys():
                changed = changed.remove([*path, name])
            return changed
        return self._lines(found, self._entry(path[-1], value, found[0].start_mark.column))

    def _inserted(self, path: Sequence[str], node: Any, name: str, value: Any) -> "YAMLText":
        """A member more, behind the last one of a block mapping."""
        if node is None:
            lines = self.text.split("\n") if self.text.strip() else []
            while lines and not lines[-1].strip():
                lines.pop()
            return self._again("\n".join([*lines, *self._entry(name, value, 0), ""]))
        if node.flow_style:
            return self._flow(path, node, [name], value)
        lines = self.text.split("\n")
        last = node.value[-1]
        margin = node.value[0][0].start_mark.column
        at = self._last_line(last[0], last[1]) + 1
        lines[at:at] = self._entry(name, value, margin)
        if lines[-1]:
            lines.append("")
        return self._again("\n".join(lines))

    def _flow(self, path: Sequence[str], node: Any, rest: Sequence[str], value: Any) -> "YAMLText":
        """A mapping in braces, written anew. ``value``: None takes away what stands at ``rest``."""
        start, end = node.start_mark.index, node.end_mark.index
        if "#" in self.text[start:end] or "&" in self.text[start:end] or "*" in self.text[start:end]:
            raise ConfigurationError(
                f"{self._where}: {'.'.join(path) or 'all of it'} stands in braces, with a comment or a reference that "
                "would be lost; write it in lines, or change it yourself"
            )
        whole: dict[str, Any] = json.loads(json.dumps(self.get(path)))
        inner = whole
        for name in rest[:-1]:
            inner = inner.setdefault(name, {})
        if value is None:
            inner.pop(rest[-1], None)
        else:
            inner[rest[-1]] = value
        if not path or not isinstance(node, self._yaml.MappingNode):
            return self._again(self.text[:start] + json.dumps(whole) + self.text[end:])
        found = self._found(path)
        return self._lines(found, self._entry(path[-1], whole, found[0].start_mark.column))

    def _found(self, path: Sequence[str]) -> tuple[Any, Any]:
        node: Any = self._root
        found: Any = None
        for name in path:
            found = _member(node, name)
            node = found[1]
        return found

    def _lines(self, found: tuple[Any, Any], new: list[str]) -> "YAMLText":
        """The lines of a member, replaced. A comment at the end of its only line stays there."""
        key, node = found
        lines: list[str] = self.text.split("\n")
        first: int = key.start_mark.line
        last = self._last_line(key, node)
        head = lines[first][: key.start_mark.column]
        if head.strip():
            raise ConfigurationError(
                f"{self._where}, line {first + 1}: this entry does not stand in lines of its own; change it yourself"
            )
        if new and first == last and isinstance(node, self._yaml.ScalarNode):
            tail = lines[last][node.end_mark.column :]
            new = [*new[:-1], new[-1] + tail] if len(new) == 1 else [new[0] + tail, *new[1:]]
        lines[first : last + 1] = new
        return self._again("\n".join(lines))

    def _last_line(self, key: Any, node: Any) -> int:
        """The last line of what a member holds, without comments and blank lines behind it."""
        if isinstance(node, self._yaml.MappingNode) and not node.flow_style and node.value:
            return max(self._last_line(*each) for each in node.value)
        if isinstance(node, self._yaml.SequenceNode) and not node.flow_style and node.value:
            return max(self._last_line(each, each) for each in node.value)
        line: int = node.end_mark.line
        if (
            node.end_mark.column == 0 and line > key.start_mark.line
        ):  # a text in lines ends where the next begins
            lines: list[str] = self.text.split("\n")
            line -= 1
            while line > node.start_mark.line and not lines[line].strip():
                line -= 1
        return max(line, key.start_mark.line)

    def _entry(self, name: str, value: Any, margin: int) -> list[str]:
        text: str = self._yaml.dump(
            {name: value}, Dumper=_dumper(self._yaml), sort_keys=False, allow_unicode=True, width=1_000_000
        )
        end = "\r" if "\r\n" in self.text else ""
        return [f"{' ' * margin}{line}{end}" for line in text.rstrip("\n").split("\n")]

    def _again(self, text: str) -> "YAMLText":
        return YAMLText(text, where=self._where)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError:
        raise ImportError("configuration in YAML needs PyYAML: pip install 'dovetail[yaml]'") from None
    return yaml


def _dumper(yaml: Any) -> Any:
    """One that quotes every text but the names of members, and gives lists in one line."""

    def mapping(dumper: Any, data: Any) -> Any:
        node = dumper.represent_mapping("tag:yaml.org,2002:map", data.items(), flow_style=not data)
        for name, _ in node.value:
            name.style = None if _PLAIN.fullmatch(name.value) else '"'
        return node

    def sequence(dumper: Any, data: Any) -> Any:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)

    def text(dumper: Any, data: Any) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style='"')

    def never(*_: Any) -> bool:
        return True

    quoting: Any = type("Quoting", (yaml.SafeDumper,), {"ignore_aliases": never})
    for kind, represent in ((dict, mapping), (list, sequence), (str, text)):
        quoting.add_representer(kind, represent)
    return quoting


def _member(node: Any, name: str) -> tuple[Any, Any] | None:
    if node is None:
        return None
    return next((each for each in node.value if each[0].value == name), None)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same to every reader: 1, 1.0 and true are not."""
    return repr(one) == repr(other)


def _told(problem: Any) -> str:
    mark = getattr(problem, "problem_mark", None)
    what = getattr(problem, "problem", None) or str(problem)
    return what if mark is None else f"line {mark.line + 1}: {what}"
