"""Secrets that an entry holds in clear: found by their name or their looks, hidden when shown, moved to the keyring.

What counts as a secret is what counts as one in a recording (`dovetail.capture.redaction`).
Specification: none.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, NamedTuple

from ...capture.redaction import Redaction
from .definitions import ServerDefinition
from .variables import parts_of

__all__ = ["ClearSecret", "hidden", "moved_to_keyring", "secrets_in_clear"]

_HIDDEN: Final = "[hidden]"


class ClearSecret(NamedTuple):
    """A secret in clear. ``place``: "env", "headers", "args" or "url"; ``name``: under which it stands there."""

    place: str
    name: str

    def __str__(self) -> str:
        words = {"env": "the variable", "headers": "the header", "args": "argument", "url": "the URL"}
        return f"{words[self.place]} {self.name}".strip()


def secrets_in_clear(definition: ServerDefinition) -> list[ClearSecret]:
    """Where an entry holds what looks like a secret. A reference to a variable is none."""
    return list(_found(definition))


def hidden(definition: ServerDefinition) -> ServerDefinition:
    """The entry for people to look at, its secrets hidden."""
    found = secrets_in_clear(definition)
    names = {(each.place, each.name) for each in found}

    def shown(place: str, values: Mapping[str, str]) -> dict[str, str]:
        return {name: _HIDDEN if (place, name) in names else each for name, each in values.items()}

    looks = Redaction().text
    return replace(
        definition,
        args=tuple(looks(each) for each in definition.args),
        url=looks(definition.url),
        env=shown("env", definition.env),
        headers=shown("headers", definition.headers),
    )


def moved_to_keyring(definition: ServerDefinition) -> tuple[ServerDefinition, dict[str, str]]:
    """An entry of ours with ``${keyring:NAME}`` where variables and headers held secrets, and the secrets by name.
    Those in arguments and URLs stay.
    """
    secrets: dict[str, str] = {}
    env, headers = dict(definition.env), dict(definition.headers)
    for place, name in secrets_in_clear(definition):
        values = {"env": env, "headers": headers}.get(place)
        if values is not None:
            secrets[name] = values[name]
            values[name] = f"${{keyring:{name}}}"
    return replace(definition, env=env, headers=headers), secrets


def _found(definition: ServerDefinition) -> Iterator[ClearSecret]:
    rules = Redaction()
    syntax = definition.syntax

    def clear(text: str) -> bool:
        return bool(text) and all(isinstance(each, str) for each in parts_of(text, syntax))

    for name, value in definition.env.items():
        if clear(value) and (rules.is_secret(name, value) or rules.text(value) != value):
            yield ClearSecret("env", name)
    for name, value in definition.headers.items():
        if clear(value) and (rules.is_secret(name, value) or rules.text(value) != value):
            yield ClearSecret("headers", name)
    for number, value in enumerate(definition.args, 1):
        if clear(value) and rules.text(value) != value:
            yield ClearSecret("args", str(number))
    if clear(definition.url) and rules.text(definition.url) != definition.url:
        yield ClearSecret("url", "")
