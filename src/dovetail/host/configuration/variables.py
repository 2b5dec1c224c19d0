"""Variables in entries: what each host writes, what stands for it elsewhere, and what it is when a server is opened.

Theory of operation. A text is taken apart into plain pieces and `Reference`s by the syntax of the host that it was
written for; what that host would take as it is stays as it is. Values are put in when a server is opened, never before,
and never come back into a file. A reference that has no value is an error that names it.

Specification: none; the documentation of each host.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from .errors import ConfigurationError, VariableMissing

__all__ = ["Reference", "VariableSyntax", "Variables", "parts_of", "rendered"]

_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
_BRACES: Final = re.compile(r"\$\{(?P<inside>[^{}$]*)\}|\$(?P<bare>" + _NAME + ")")
_BY_NAME: Final = "${{{}}}"
_BY_KIND: Final = "${{env:{}}}"
_VARIABLE: Final = re.compile(rf"(?P<name>{_NAME})(?::-(?P<default>.*))?", re.DOTALL)


class Reference(NamedTuple):
    """What stands for a value. ``kind``: "env" (of the environment), "input" (asked for), "keyring", "place" (a folder)
    or "other" (known to one host alone). ``text``: as it was written.
    """

    kind: str
    name: str
    default: str | None
    text: str


@dataclass(frozen=True, slots=True)
class VariableSyntax:
    """How a host writes variables.

    ``env``: a variable of the environment: ``"${{{}}}"`` where it is written ``${NAME}``, ``"${{env:{}}}"`` for
    ``${env:NAME}``, and "" (the default) where the host has none. ``default``: whether ``${NAME:-DEFAULT}`` is one,
    too; ``bare``: whether ``$NAME`` is. ``kinds``: what may stand before a colon: "env", "input", "keyring", or words
    that the host alone knows. ``places``: names of folders, such as "workspaceFolder".

    Raises `ConfigurationError` for what is read otherwise than it is written.
    """

    env: str = ""
    default: bool = False
    bare: bool = False
    kinds: frozenset[str] = frozenset()
    places: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.env not in ("", _BY_NAME, _BY_KIND):
            raise ConfigurationError(
                f"variables of the environment are written as {_BY_NAME!r} or {_BY_KIND!r} says, not as {self.env!r}"
            )
        if self.env == _BY_KIND and "env" not in self.kinds:
            raise ConfigurationError('"env" stands before a colon (env=), so it is one of the kinds')
        if (self.default or self.bare) and self.env != _BY_NAME:
            raise ConfigurationError(f"defaults and bare names are for hosts that write {_BY_NAME!r}")


@dataclass(frozen=True)
class Variables:
    """Where values come from when a server is opened.

    ``environment`` (default: that of this process); ``workspace``: the folder of the project (default: the current
    one); ``inputs``: what was answered, by id, or what asks; ``secrets``: what gives a secret of a server by its name
    (`ServerSecrets.reader`), None where there is no keyring.
    """

    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    workspace: Path | None = None
    inputs: Mapping[str, str] | Callable[[str], str] = field(default_factory=dict[str, str])
    secrets: Callable[[str], str] | None = None

    def _value(self, reference: Reference, where: str) -> str:
        kind, name, default, text = reference
        if kind == "env":
            found = self.environment.get(name)
            if found is None or (default is not None and not found):
                found = default
            if found is None:
                raise VariableMissing(f"{where} names {text}, and the environment has no {name!r}; set it")
            return found
        if kind == "input":
            found = self.inputs(name) if callable(self.inputs) else self.inputs.get(name)
            if found is None:
                raise VariableMissing(f"{where} names {text}, and nobody gave the input {name!r}")
            return found
        if kind == "keyring":
            if self.secrets is None:
                raise VariableMissing(f"{where} names {text}, and no keyring is asked here")
            return self.secrets(name)
        if kind == "place":
            return self._place(name)
        raise VariableMissing(f"{where} names {text}, which only the host that it was written for knows")

    def expand(self, text: str, syntax: VariableSyntax, where: str) -> str:
        """A text with its values. ``where``: who wants it, for the error. Raises `VariableMissing`."""
        return "".join(
            each if isinstance(each, str) else self._value(each, where) for each in parts_of(text, syntax)
        )

    def _place(self, name: str) -> str:
        workspace = self.workspace or Path.cwd()
        return {
            "workspaceFolder": str(workspace),
            "workspaceFolderBasename": workspace.name,
            "userHome": str(Path.home()),
            "pathSeparator": os.sep,
            "/": os.sep,
        }[name]


def parts_of(text: str, syntax: VariableSyntax) -> list[str | Reference]:
    """The pieces of a text, in order."""
    pieces: list[str | Reference] = []
    at = 0
    for found in _BRACES.finditer(text):
        reference = _reference(syntax, found)
        if reference is not None:
            pieces += [text[at : found.start()], reference]
            at = found.end()
    return [each for each in [*pieces, text[at:]] if each != ""]


def rendered(text: str, source: VariableSyntax, target: VariableSyntax, host: str) -> str:
    """A text of one host as another one writes it. Raises `ConfigurationError` for what that one has no words for.
    ``host``: its title, for the error.
    """
    pieces: list[str] = []
    for each in parts_of(text, source):
        if isinstance(each, str):
            pieces.append(each)
            if any(not isinstance(part, str) for part in parts_of(each, target)):
                raise ConfigurationError(f"{host} would take {each!r} for a variable, which it is not")
        else:
            pieces.append(_written(each, target, host))
    return "".join(pieces)


def _written(reference: Reference, target: VariableSyntax, host: str) -> str:
    kind, name, default, text = reference
    if kind == "env" and target.env:
        if default is None:
            return target.env.format(name)
        if target.default:
            return f"${{{name}:-{default}}}"
        raise ConfigurationError(
            f"{host} knows no defaults, so {text} can't be said there; write ${{{name}}}"
        )
    if kind in target.kinds and kind in ("input", "keyring"):
        return f"${{{kind}:{name}}}"
    if kind == "place" and name in target.places:
        return f"${{{name}}}"
    what = {"env": "variables", "input": "inputs", "keyring": "the keyring"}.get(kind, "such variables")
    raise ConfigurationError(
        f"{host} takes nothing from {what}, so {text} can't be said there; give the value"
    )


def _reference(syntax: VariableSyntax, found: re.Match[str]) -> Reference | None:
    """What was found as a reference, None for what this host takes as it is."""
    if found["bare"] is not None:
        return Reference("env", found["bare"], None, found[0]) if syntax.bare else None
    inside = found["inside"]
    kind, colon, rest = inside.partition(":")
    if inside in syntax.places:
        return Reference("place", inside, None, found[0])
    if colon and not rest.startswith("-") and kind in syntax.kinds:
        known = kind in ("env", "input", "keyring")
        return Reference(kind if known else "other", rest, None, found[0])
    if syntax.env.startswith("${{{}"):
        variable = _VARIABLE.fullmatch(inside)
        if variable and (syntax.default or variable["default"] is None):
            return Reference("env", variable["name"], variable["default"], found[0])
    return None
